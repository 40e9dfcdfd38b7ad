"""Acquired Cartesian MRD data -> lines of k-space without oversampling, with calibration, noise and placement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import LEAST_CALIBRATION, CartesianData, Geometry, MaskDesign
from seqopt.core.cartesian_data import central_run
from seqopt.errors import SeqoptError
from seqopt.mrd.cartesian_grid import CartesianGrid, centred, grid_of_design, grid_of_header
from seqopt.mrd.files import RawFile, read_raw
from seqopt.mrd.from_header import read_placement
from seqopt.mrd.placement import Placement
from seqopt.mrd.scan import (
    check_values,
    common_size,
    imaging_readouts,
    is_imaging,
    kept,
    noise_readouts,
    noise_samples,
    sorted_readouts,
)
from seqopt.mrd.xml_header import SIGNATURE_NAME, user_string

ComplexArray = npt.NDArray[np.complex64]
Lines = dict[tuple[int, int], ComplexArray]
"""(slice, line) -> (coils, x)."""
_COUNTERS = ("repetition", "contrast", "phase", "set")


@dataclass(frozen=True, kw_only=True)
class CartesianScan:
    """One file: what a reconstruction needs, the image that is wanted, where its slices lie, what reading decided."""

    data: CartesianData
    image: Geometry
    """Smaller than the data's own along y where the phase encoding was oversampled."""
    placement: Placement
    notes: tuple[str, ...] = ()


def is_cartesian(raw: RawFile) -> bool:
    """Whether the header says so and no readout holds a trajectory of its own."""
    said = str(raw.header.encoding[0].trajectory.value) == "cartesian"
    return said and all(item.trajectory_dimensions == 0 for item in raw.acquisitions)


def read_cartesian_scan(path: Path, design: MaskDesign | None = None) -> CartesianScan:
    """Read acquired lines, placed by ``design`` or else by the header.

    Averages are averaged; of repetitions, contrasts, phases and sets the first is taken; lines that are missing are
    left out: notes say so. Raises `SeqoptError` for files that are missing, foreign, truncated, damaged, not
    Cartesian, or of another design.
    """
    return sort_cartesian_scan(read_raw(path), path, design)


def sort_cartesian_scan(raw: RawFile, path: Path, design: MaskDesign | None = None) -> CartesianScan:
    """What `read_cartesian_scan` does, of a file that was read already."""
    if design is None and not is_cartesian(raw):
        raise SeqoptError(f"{path} is not Cartesian by its header; give the design with --design")
    notes: list[str] = []
    own = [item for item in raw.acquisitions if is_imaging(item) or not _is_calibration(item)]
    items = imaging_readouts(replace(raw, acquisitions=own), path, notes)
    slices = sorted({int(item.idx.slice) for item in items})
    grid = grid_of_design(design) if design is not None else grid_of_header(raw, path, notes, slices=len(slices))
    _, length = common_size(path, items)
    _check_length(path, length, grid, design)
    found = _lines(path, items, grid, notes)
    slices = sorted({slice_ for slice_, _ in found})
    numbers = np.array(sorted({line for _, line in found}), dtype=np.int64)
    _note_missing(path, found, slices, design, notes)
    samples, acquired = _stacked(found, slices, numbers)
    check_values(path, samples)
    calibration, calibration_lines = _calibration(path, raw, items, found, slices, grid, notes)
    noise = noise_readouts(raw)
    first = items[0]
    data = CartesianData(
        samples=samples,
        lines=numbers,
        acquired=acquired,
        geometry=replace(grid.encoded, slices=len(slices)),
        dwell_s=_dwell_s(first, grid, design),
        calibration=calibration,
        calibration_lines=calibration_lines,
        noise=noise_samples(noise, samples.shape[1], path),
        noise_dwell_s=1e-6 * noise[0].sample_time_us if noise and noise[0].sample_time_us > 0 else None,
        design_signature=user_string(raw.header, SIGNATURE_NAME),
    )
    image = replace(grid.image, slices=len(slices))
    firsts = [next(item for item in items if item.idx.slice == slice_) for slice_ in slices]
    return CartesianScan(data=data, image=image, placement=_placement(firsts, grid, slices, notes), notes=tuple(notes))


def _is_calibration(item: ismrmrd.Acquisition) -> bool:
    flags = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    return any(item.isFlagSet(flag) for flag in flags)


def _check_length(path: Path, length: int, grid: CartesianGrid, design: MaskDesign | None) -> None:
    if design is not None and length != grid.samples:
        raise SeqoptError(
            f"{path}: readouts have {length} samples, but the design {design.name} has {grid.samples}; "
            "give the design that was played"
        )
    if length > grid.samples:
        raise SeqoptError(
            f"{path}: readouts have {length} samples, but the header's encoded matrix has {grid.samples}; "
            "correct the header or give the design with --design"
        )


def _lines(path: Path, items: Sequence[ismrmrd.Acquisition], grid: CartesianGrid, notes: list[str]) -> Lines:
    """The lines within the matrix, averaged, unreversed, centred and without oversampling."""
    groups = sorted_readouts(path, items, notes, word="line")
    if any(item.center_sample == 0 for item in items):
        notes.append("readouts state no centre sample; their middle was taken")
    inside = {key: value for key, value in groups.items() if 0 <= grid.line(key[1]) < grid.encoded.matrix[1]}
    if not inside:
        raise SeqoptError(f"{path}: no line lies within the header's matrix; its line counters or limits are wrong")
    if len(inside) < len(groups):
        notes.append(f"left out {len(groups) - len(inside)} lines beyond the image's matrix")
    means = np.stack([np.mean([_centred(item, grid) for item in group], axis=0) for group in inside.values()])
    return dict(zip(((key[0], grid.line(key[1])) for key in inside), grid.without_oversampling(means), strict=True))


def _centred(item: ismrmrd.Acquisition, grid: CartesianGrid) -> ComplexArray:
    """(coils, encoded samples), kx = 0 in the middle, kx ascending."""
    data = kept(item)
    length = data.shape[1]
    centre = int(item.center_sample) - int(item.discard_pre) if item.center_sample else length // 2
    if item.isFlagSet(ismrmrd.ACQ_IS_REVERSE):
        data, centre = data[:, ::-1], length - 1 - centre
    return centred(data, grid.samples, centre)


def _note_missing(path: Path, found: Lines, slices: list[int], design: MaskDesign | None, notes: list[str]) -> None:
    """Say what is missing of the design, or of what other slices have; refuse what the design does not have."""
    lines = {line for _, line in found}
    wanted_slices = slices
    if design is not None:
        wanted_slices = list(range(design.geometry.slices))
        strange_lines, strange_slices = sorted(lines - set(design.lines.tolist())), sorted({*slices} - {*wanted_slices})
        if strange_lines or strange_slices:
            strange = f"line {strange_lines[0]}" if strange_lines else f"slice {strange_slices[0]}"
            raise SeqoptError(
                f"{path} holds {strange}, which the design {design.name} does not; give the design that was played"
            )
        lines = set(design.lines.tolist())
    lost = len(wanted_slices) - len(slices)
    if lost:
        notes.append(f"the scan is incomplete: {lost} of {len(wanted_slices)} slices are missing")
    missing = len(slices) * len(lines) - len(found)
    if missing:
        notes.append(
            f"the scan is incomplete: {missing} of {len(slices) * len(lines)} lines are missing; "
            "each slice is reconstructed from the lines it has"
        )


def _stacked(
    found: Lines, slices: list[int], numbers: npt.NDArray[np.int64]
) -> tuple[ComplexArray, npt.NDArray[np.bool_]]:
    """Samples (slices, coils, lines, x), zero where missing, and (slices, lines) whether they were acquired."""
    coils, x = next(iter(found.values())).shape
    samples = np.zeros((len(slices), coils, len(numbers), x), np.complex64)
    acquired = np.zeros((len(slices), len(numbers)), dtype=bool)
    for (slice_, line), data in found.items():
        place = slices.index(slice_), int(np.searchsorted(numbers, line))
        samples[place[0], :, place[1]] = data
        acquired[place] = True
    return samples, acquired


def _calibration(
    path: Path,
    raw: RawFile,
    items: Sequence[ismrmrd.Acquisition],
    found: Lines,
    slices: list[int],
    grid: CartesianGrid,
    notes: list[str],
) -> tuple[ComplexArray, npt.NDArray[np.int64]]:
    """The flagged lines that every slice has; where only the acquired ones about the centre suffice for maps, those."""
    wanted = [getattr(items[0].idx, name) for name in _COUNTERS]
    flagged = [
        item
        for item in raw.acquisitions
        if _is_calibration(item)
        and item.encoding_space_ref == 0
        and [getattr(item.idx, name) for name in _COUNTERS] == wanted
    ]
    lines: Lines = {}
    if flagged:
        coils, length = common_size(path, flagged)
        if coils != items[0].active_channels or length > grid.samples:
            raise SeqoptError(f"{path}: calibration readouts differ in channels or length from the image's")
        lines = _lines(path, flagged, grid, [])
    numbers = _in_every_slice(lines, slices)
    if len(numbers) < LEAST_CALIBRATION:
        run = central_run(_in_every_slice(found, slices), grid.encoded.matrix[1])
        if len(run) >= LEAST_CALIBRATION:
            few = f"too few calibration lines ({len(numbers)})" if len(numbers) else "no calibration lines"
            notes.append(f"{few} are flagged; the {len(run)} lines about the centre serve")
            lines, numbers = found, run
    chosen = {(slice_, line): lines[slice_, line] for slice_ in slices for line in numbers.tolist()}
    if not chosen:
        return np.zeros((len(slices), items[0].active_channels, 0, grid.encoded.matrix[0]), np.complex64), numbers
    samples, _ = _stacked(chosen, slices, numbers)
    check_values(path, samples)
    return samples, numbers


def _in_every_slice(lines: Lines, slices: list[int]) -> npt.NDArray[np.int64]:
    numbers = {line for _, line in lines}
    common = [line for line in sorted(numbers) if all((slice_, line) in lines for slice_ in slices)]
    return np.array(common, dtype=np.int64)


def _dwell_s(first: ismrmrd.Acquisition, grid: CartesianGrid, design: MaskDesign | None) -> float:
    dwell_s = 1e-6 * float(first.sample_time_us) * grid.samples / grid.kept
    return dwell_s if dwell_s > 0 or design is None else design.dwell_s


def _placement(
    firsts: Sequence[ismrmrd.Acquisition], grid: CartesianGrid, slices: list[int], notes: list[str]
) -> Placement:
    placement = read_placement(firsts, grid.image, notes)
    if len(placement.positions_m) > len(slices):  # a design's own places, of which an aborted scan has fewer
        return replace(placement, positions_m=placement.positions_m[slices])
    return placement
