"""What of an acquired file belongs to which image: series, slices and readouts, told by the headers alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.heads import (
    CALIBRATION,
    COUNTERS,
    VOLUME_COUNTERS,
    Heads,
    encodes_image,
    flagged,
    imaging_space,
    is_noise,
    kept_samples,
)

Rows = npt.NDArray[np.int64]
BLOCK_BYTES = 16 << 20  # samples read at a time; a slice that is larger makes a block of its own
_NOISE_SAMPLES = 1 << 20  # more tell nothing more of the coils' covariance
_FEW = 0.1  # share of readouts recorded twice that passes for a repair; with more, the counters were not set


@dataclass(frozen=True, kw_only=True, order=True)
class SeriesKey:
    """Counters that tell one stack of slices from another."""

    contrast: int = 0
    set: int = 0
    phase: int = 0
    repetition: int = 0


@dataclass(frozen=True, kw_only=True)
class Block:
    """Slices of one series that are read and reconstructed together."""

    key: SeriesKey
    slices: tuple[int, ...]
    """Their numbers in the file, ascending."""
    rows: Rows
    """Imaging readouts, in the file's order."""
    calibration: Rows
    """Readouts that calibrate these slices, imaging readouts among them; of another series where this has none."""
    time_stamp: int
    """Of the first readout."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """Imaging readouts of one encoding space, and what else the file holds."""

    heads: Heads
    """Of the whole file, (readouts,)."""
    space: int
    rows: Rows
    """Imaging readouts in the file's order; of a readout in segments, every segment."""
    segments: int
    noise: Rows
    notes: tuple[str, ...] = ()

    @property
    def firsts(self) -> Rows:
        """The first segment of each imaging readout."""
        return self.rows[:: self.segments]

    @cached_property
    def series(self) -> tuple[SeriesKey, ...]:
        """In the order of contrast, set, phase, repetition."""
        found = np.unique(self.heads[self.firsts][list(VOLUME_COUNTERS)])
        return tuple(SeriesKey(**dict(zip(VOLUME_COUNTERS, map(int, row), strict=True))) for row in found)

    @cached_property
    def slices(self) -> tuple[int, ...]:
        """Numbers of the slices that any series has."""
        return tuple(np.unique(self.heads["slice"][self.rows]).tolist())

    def of(self, key: SeriesKey) -> Content:
        """One series of it."""
        mine = np.ones(len(self.rows), dtype=bool)
        for name in VOLUME_COUNTERS:
            mine &= self.heads[name][self.rows] == getattr(key, name)
        return replace(self, rows=self.rows[mine])

    def part(self, block: Block, slices: Collection[int]) -> Block:
        """The block without its other slices."""
        numbers = self.heads["slice"]
        rows = block.rows[np.isin(numbers[block.rows], list(slices))]
        return replace(
            block,
            slices=tuple(slice_ for slice_ in block.slices if slice_ in slices),
            rows=rows,
            calibration=block.calibration[np.isin(numbers[block.calibration], list(slices))],
            time_stamp=int(self.heads["acquisition_time_stamp"][rows[0]]),
        )

    def blocks(self) -> Iterator[Block]:
        """Series by series, slices ascending; slices of one block have the same shots or lines, calibration as well."""
        for key in self.series:
            yield from _blocks(self.of(key), key)


def content_of(heads: Heads, path: Path, *, segments: int = 1, without: npt.NDArray[np.bool_] | None = None) -> Content:
    """Sort the file's readouts by what they are; ``without`` are those that serve other ends, (readouts,).

    Raises `SeqoptError` where nothing encodes an image, for 3-D encoding, for readouts that differ in channels or
    length, and for counters that were not set.
    """
    notes: list[str] = []
    mine = ~without if without is not None else np.ones(len(heads), dtype=bool)
    noise = np.flatnonzero(is_noise(heads) & mine)
    imaging = encodes_image(heads) & mine
    space = imaging_space(heads[mine])
    rows = np.flatnonzero(imaging & (heads["encoding_space_ref"] == space))
    other = mine & ~imaging & ~is_noise(heads) & ~flagged(heads, *CALIBRATION)
    _note_left_out(int(other.sum()), int(imaging.sum()) - len(rows), space, notes)
    if not len(rows):
        raise SeqoptError(f"{path} holds no imaging readouts, only noise or calibration; give the acquired data")
    if heads["kspace_encode_step_2"][rows].any():
        raise SeqoptError(f"{path} is encoded in 3-D (kspace_encode_step_2 is used); seqopt reconstructs 2-D slices")
    rows = _whole(heads, rows, segments, notes)
    if not len(rows):
        raise SeqoptError(f"{path}: no readout has all of its {segments} segments; the file is incomplete")
    rows = _once(heads, rows, segments, path, notes)
    _check_sizes(heads, rows, path)
    enough = int(np.searchsorted(np.cumsum(kept_samples(heads)[noise]), _NOISE_SAMPLES)) + 1
    return Content(heads=heads, space=space, rows=rows, segments=segments, noise=noise[:enough], notes=tuple(notes))


def _note_left_out(other: int, elsewhere: int, space: int, notes: list[str]) -> None:
    if other:
        notes.append(f"left out {other} readouts that are no imaging data (navigators, phase correction, dummies)")
    if elsewhere:
        notes.append(f"encoding space {space} was reconstructed; {elsewhere} readouts of others were left out")


def _whole(heads: Heads, rows: Rows, segments: int, notes: list[str]) -> Rows:
    """Readouts all of whose segments follow each other."""
    if segments == 1:
        return rows
    places = heads[rows][[name for name in COUNTERS if name != "segment"]]
    starts = np.ones(max(0, len(rows) - segments + 1), dtype=bool)
    for segment in range(segments):
        part = slice(segment, segment + len(starts))
        starts &= (heads["segment"][rows[part]] == segment) & (places[part] == places[: len(starts)])
    found = np.flatnonzero(starts)
    if segments * len(found) < len(rows):
        lost = len(rows) - segments * len(found)
        notes.append(f"the scan is incomplete: {lost} segments of readouts whose others are missing were left out")
    return np.asarray(rows[(found[:, None] + np.arange(segments)).reshape(-1)])


def _once(heads: Heads, rows: Rows, segments: int, path: Path, notes: list[str]) -> Rows:
    """Of readouts with equal counters the last, which a scanner recorded again; many mean that none were set."""
    last, counts = _last_of_equals(heads[rows][list(COUNTERS)])
    if counts.max() == 1:
        return rows
    surplus = len(rows) - len(last)
    if surplus > _FEW * len(last):
        place = heads[rows[last[int(counts.argmax())]]]
        raise SeqoptError(
            f"{path}: slice {place['slice']} shot or line {place['kspace_encode_step_1']} was recorded {counts.max()} "
            "times with equal counters; they are not set: give the sequence with --seq, or data of one repetition"
        )
    notes.append(f"{surplus // segments} readouts were recorded again with equal counters; the last of each was taken")
    return rows[np.sort(last)]


def _last_of_equals(keys: Heads) -> tuple[Rows, npt.NDArray[np.int64]]:
    _, first, counts = np.unique(keys[::-1], return_index=True, return_counts=True)
    return len(keys) - 1 - first, counts


def _check_sizes(heads: Heads, rows: Rows, path: Path) -> None:
    channels = heads["active_channels"][rows]
    if len(np.unique(channels)) > 1:
        change = rows[int(np.argmax(channels != channels[0]))]
        raise SeqoptError(
            f"{path}: readout {change} has {heads['active_channels'][change]} coils, those before it {channels[0]}; "
            "readouts differ in size, give data of one protocol"
        )
    lengths = np.unique(kept_samples(heads)[rows])
    if len(lengths) > 1:
        sizes = " and ".join(f"{channels[0]} x {length}" for length in lengths[:3].tolist())
        raise SeqoptError(f"{path}: readouts differ in size (channels x samples: {sizes}); give data of one protocol")
    if not lengths[0] or not channels[0]:
        raise SeqoptError(f"{path}: readouts hold no samples; give the acquired data, not a header alone")


def _blocks(content: Content, key: SeriesKey) -> Iterator[Block]:
    heads, rows = content.heads, content.rows
    calibration = _calibration(content, key)
    numbers = heads["slice"][rows]
    order = np.argsort(numbers, kind="stable")
    parts = np.split(rows[order], np.flatnonzero(np.diff(numbers[order])) + 1)
    waiting: list[Rows] = []
    for part in parts:
        if waiting and (
            _bytes(heads, [*waiting, part]) > BLOCK_BYTES or not _fits(heads, waiting[0], part, calibration)
        ):
            yield _block(heads, key, waiting, calibration)
            waiting = []
        waiting.append(part)
    yield _block(heads, key, waiting, calibration)


def _calibration(content: Content, key: SeriesKey) -> Rows:
    """Of each slice the readouts that are flagged, in the series itself or else the nearest that has any.

    Scanners record them once, with the first repetition or contrast.
    """
    heads = content.heads
    rows = np.flatnonzero(flagged(heads, *CALIBRATION) & (heads["encoding_space_ref"] == content.space))
    if not len(rows):
        return rows
    groups, group = np.unique(heads[rows][list(VOLUME_COUNTERS)], return_inverse=True)
    apart = {name: np.abs(groups[name].astype(np.int64) - getattr(key, name)) for name in VOLUME_COUNTERS}
    order = np.lexsort((apart["repetition"], apart["contrast"] + apart["set"] + apart["phase"]))
    rank = np.argsort(order)[group.reshape(-1)]
    slices = heads["slice"][rows]
    nearest = np.full(int(slices.max()) + 1, len(groups))
    np.minimum.at(nearest, slices, rank)
    return np.asarray(rows[rank == nearest[slices]])


def _bytes(heads: Heads, parts: list[Rows]) -> int:
    rows = np.concatenate(parts)
    return int(8 * (heads["active_channels"][rows].astype(np.int64) * heads["number_of_samples"][rows]).sum())


def _fits(heads: Heads, first: Rows, part: Rows, calibration: Rows) -> bool:
    """Whether a slice can be read with another: equal directions and equal shots, of the calibration too."""
    one, other = heads[first[0]], heads[part[0]]
    if any(not np.allclose(one[name], other[name], atol=1e-4) for name in ("read_dir", "slice_dir")):
        return False
    its = [calibration[heads["slice"][calibration] == slice_] for slice_ in (one["slice"], other["slice"])]
    steps = [np.unique(heads[rows][["kspace_encode_step_1", "average"]]) for rows in (first, part, *its)]
    return np.array_equal(steps[0], steps[1]) and np.array_equal(steps[2], steps[3])


def _block(heads: Heads, key: SeriesKey, parts: list[Rows], calibration: Rows) -> Block:
    slices = tuple(int(heads["slice"][part[0]]) for part in parts)
    return Block(
        key=key,
        slices=slices,
        rows=np.sort(np.concatenate(parts)),
        calibration=calibration[np.isin(heads["slice"][calibration], slices)],
        time_stamp=int(heads["acquisition_time_stamp"][parts[0][0]]),
    )
