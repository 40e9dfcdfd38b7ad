"""An acquired file joined with the sequence that was played: which readout is which, and its k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core.played_scan import PlayedScan
from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile, Reader
from seqopt.mrd.heads import NOT_IMAGING, Heads, encodes_image, imaging_space, is_noise
from seqopt.mrd.trajectory import FARTHEST_PER_FOV, read_trajectory
from seqopt.mrd.trajectory_units import Space
from seqopt.mrd.whole_reader import whole
from seqopt.mrd.xml_header import UNIT_NAME, signatures, user_string

Rows = npt.NDArray[np.int64]
_KEY = ("slice", "kspace_encode_step_1", "repetition", "contrast", "average", "set", "phase")
_LOOKED_AT = 64  # readouts whose own trajectory is compared with the sequence's
_NOISE = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
_NO_IMAGE = sum(1 << (flag - 1) for flag in NOT_IMAGING)
_NAVIGATOR = 1 << (ismrmrd.ACQ_IS_NAVIGATION_DATA - 1)


class PlayedReader:
    """A file whose imaging readouts have the sequence's counters, and as trajectory its k in 1/m."""

    def __init__(self, reader: Reader, played: PlayedScan) -> None:
        """Raises `SeqoptError` with the sizes, or the names, where the data cannot be of this sequence."""
        reader = whole(reader, played, _acquired_order(reader.heads))
        self.path, self.xml, self.header = reader.path, reader.xml, reader.header
        self._reader, self._played = reader, played
        self.numbers, how = matched(reader.heads, played, reader.path)
        self.notes = [*reader.notes, how, *_differences(reader, played, self.numbers)]
        self.heads = _renumbered(reader.heads, played, self.numbers)

    def acquisitions(self, rows: Sequence[int] | Rows) -> list[ismrmrd.Acquisition]:
        """Acquisitions of these rows, ascending, with the sequence's counters and k."""
        items = self._reader.acquisitions(rows)
        return [self._joined(item, int(row)) for item, row in zip(items, rows, strict=True)]

    def _joined(self, item: ismrmrd.Acquisition, row: int) -> ismrmrd.Acquisition:
        number = int(self.numbers[row])
        if number < 0:
            return item
        head = item.getHead()
        head.flags = int(self.heads["flags"][row])
        if self._played.image[number]:
            for name in self._played.counters:
                setattr(head.idx, name, int(self.heads[name][row]))
            head.idx.segment = 0
            head.trajectory_dimensions = 2
            return ismrmrd.Acquisition(head, item.data, self._played.k_per_m(number).astype(np.float32))
        return ismrmrd.Acquisition(head, item.data, item.traj if item.trajectory_dimensions else None)


def _renumbered(heads: Heads, played: PlayedScan, numbers: Rows) -> Heads:
    heads = heads.copy()
    known = np.flatnonzero(numbers >= 0)
    image, noise = (known[mask[numbers[known]]] for mask in (played.image, played.noise))
    other = known[~(played.image | played.noise)[numbers[known]]]
    heads["flags"][image] &= ~np.uint64(_NOISE | _NO_IMAGE)
    heads["flags"][noise] |= np.uint64(_NOISE)
    unsaid = other[encodes_image(heads[other])]
    heads["flags"][unsaid] |= np.uint64(_NAVIGATOR)
    for name, values in played.counters.items():
        heads[name][image] = values[numbers[image]]
    heads["segment"][image] = 0
    heads["trajectory_dimensions"][image] = 2
    return heads


def matched(heads: Heads, played: PlayedScan, path: Path) -> tuple[Rows, str]:
    """(readouts of the file,) numbers of the ADC events that made them, -1 for none; and a note on how it was told.

    In play order where counts and lengths agree; else by labels, where the file's counters tell readouts apart; else
    the file is taken for the beginning of the scan.
    """
    order = _acquired_order(heads)
    choices = [
        (order, np.arange(len(played.samples))),
        (order[~is_noise(heads[order])], np.flatnonzero(~played.noise)),
        (order[encodes_image(heads[order])], np.flatnonzero(played.image)),
    ]
    numbers = np.full(len(heads), -1, dtype=np.int64)
    for rows, events in choices:
        if len(rows) == len(events) and np.array_equal(heads["number_of_samples"][rows], played.samples[events]):
            numbers[rows] = events
            return numbers, f"{len(rows)} readouts were joined with those of {played.name} in play order"
    rows, events = choices[2]
    labels = _by_labels(heads, rows, events, played)
    if labels is not None:
        numbers[rows] = labels
        return numbers, f"{len(rows)} readouts were joined with those of {played.name} by their labels"
    for rows, events in choices:
        begun = events[: len(rows)]
        if 0 < len(rows) < len(events) and np.array_equal(heads["number_of_samples"][rows], played.samples[begun]):
            numbers[rows] = begun
            return numbers, (
                f"the scan is incomplete: its {len(rows)} readouts were taken for the first of the {len(events)} that "
                f"{played.name} plays"
            )
    raise SeqoptError(
        f"{path} holds {len(choices[2][0])} imaging readouts of {_lengths(heads['number_of_samples'][choices[2][0]])} "
        f"samples, but {played.name} plays {len(choices[2][1])} of {_lengths(played.samples[choices[2][1]])}; "
        "give the sequence that was played"
    )


def _differences(reader: Reader, played: PlayedScan, numbers: Rows) -> list[str]:
    """What the file says of its sequence that is not so; refused where both its name and its k are another's."""
    named = sorted(md5.lower() for md5 in signatures(reader.header))
    other = bool(named and played.signatures) and not played.signatures & set(named)
    apart = _apart(reader, played, numbers)
    far = apart is not None and apart > FARTHEST_PER_FOV
    names = f"{named[0][:8]}, {played.name} is {min(played.signatures)[:8]}" if other else ""
    if other and far:
        raise SeqoptError(
            f"{reader.path} is of the sequence {names}, and its trajectory is {apart:.3g} cycles/FOV away; "
            "give the sequence that was played"
        )
    if far:
        return [f"the file's own trajectory is {apart:.3g} cycles/FOV away from that of {played.name}, which was taken"]
    return [f"the data name the sequence {names}: was it exported anew?"] if other else []


def _apart(reader: Reader, played: PlayedScan, numbers: Rows) -> float | None:
    """Farthest distance in cycles/FOV of some readouts' own k, if the header states its unit, from what is played."""
    image = (numbers >= 0) & played.image[numbers] & (reader.heads["trajectory_dimensions"] >= 2)
    rows = np.flatnonzero(image)[:_LOOKED_AT]
    if not len(rows) or user_string(reader.header, UNIT_NAME) is None:
        return None
    raw = replace(RawFile.of(reader, imaging_space(reader.heads)), acquisitions=reader.acquisitions(rows))
    ends = {(item.discard_pre, item.number_of_samples - item.discard_post) for item in raw.acquisitions}
    if len(ends) > 1:
        return None
    try:
        k_per_m = read_trajectory(reader.path, raw, [raw.acquisitions], []).k_per_m
    except SeqoptError:  # the sequence is given because the file's own trajectory is of no use
        return None
    due = np.stack([played.k_per_m(int(numbers[row]))[slice(*next(iter(ends)))] for row in rows])
    return float(np.abs((k_per_m - due) * Space.of(raw.encoding.reconSpace).fov_m).max())


def _acquired_order(heads: Heads) -> Rows:
    """By scan_counter where every readout has its own, else as they lie in the file."""
    counter = heads["scan_counter"]
    if len(np.unique(counter)) == len(counter):
        return np.argsort(counter, kind="stable")
    return np.arange(len(heads))


def _by_labels(heads: Heads, rows: Rows, events: Rows, played: PlayedScan) -> Rows | None:
    """The event of each row whose labels are the row's counters; None where these tell not apart or name none."""
    found = list(zip(*(heads[name][rows].tolist() for name in _KEY), strict=True))
    known = {key: event for event, key in zip(events.tolist(), _keys(played, events), strict=True)}
    if len(set(found)) < max(2, len(found)) or len(known) < len(events) or not set(found) <= set(known):
        return None
    matching = np.array([known[key] for key in found], dtype=np.int64)
    return matching if np.array_equal(heads["number_of_samples"][rows], played.samples[matching]) else None


def _keys(played: PlayedScan, events: Rows) -> list[tuple[int, ...]]:
    return list(zip(*(played.counters[name][events].tolist() for name in _KEY), strict=True))


def _lengths(samples: npt.NDArray[Any]) -> str:
    return " or ".join(str(length) for length in np.unique(samples)[:3].tolist()) or "no"
