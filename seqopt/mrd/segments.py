"""Long readouts, which a receiver delivers in segments: one acquisition each, numbered by idx.segment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np

from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import PlannedReadout

_SAME = ("average", "slice", "kspace_encode_step_1", "kspace_encode_step_2", "contrast", "phase", "repetition", "set")


def divided(readouts: Iterable[PlannedReadout], segments: int) -> Iterator[PlannedReadout]:
    """Each readout as so many acquisitions, as converters deliver them; k = 0 is marked where it lies."""
    for readout in readouts:
        if segments == 1:
            yield readout
            continue
        each = readout.samples // segments
        for segment in range(segments):
            start = segment * each
            echo = readout.echo_sample - start
            yield replace(
                readout,
                samples=each,
                segment=segment,
                echo_sample=echo if 0 <= echo < each else 0,
                k_cycles=None if readout.k_cycles is None else readout.k_cycles[start : start + each],
            )


def joined(items: Sequence[ismrmrd.Acquisition], segments: int, path: Path) -> list[ismrmrd.Acquisition]:
    """Readouts made whole again from segments that follow each other; raises where one is missing."""
    if segments == 1:
        return list(items)
    if len(items) % segments:
        raise SeqoptError(
            f"{path}: {len(items)} acquisitions are no whole number of readouts of {segments} segments; "
            "the file is incomplete, export it again"
        )
    out = []
    for start in range(0, len(items), segments):
        parts = items[start : start + segments]
        numbers = [part.idx.segment for part in parts]
        if numbers != list(range(segments)) or len({_place(part) for part in parts}) > 1:
            raise SeqoptError(
                f"{path}: the segments of readout {start // segments} are numbered {numbers[:8]}, expected 0 to "
                f"{segments - 1} of one shot; the file is incomplete, export it again"
            )
        out.append(whole_of(parts))
    return out


def _place(item: ismrmrd.Acquisition) -> tuple[int, ...]:
    return tuple(int(getattr(item.idx, name)) for name in _SAME)


def whole_of(parts: Sequence[ismrmrd.Acquisition]) -> ismrmrd.Acquisition:
    """One acquisition of the samples that its segments keep, with the first one's header."""
    first = parts[0]
    whole = ismrmrd.Acquisition(first.getHead())
    data = np.concatenate([part.data[:, part.discard_pre : _end(part)] for part in parts], axis=1)
    trajectory = np.concatenate([part.traj[part.discard_pre : _end(part)] for part in parts], axis=0)
    whole.resize(data.shape[1], data.shape[0], first.trajectory_dimensions)
    whole.discard_pre = whole.discard_post = 0
    whole.idx.segment = 0
    whole.data[:] = data
    whole.traj[:] = trajectory
    return whole


def _end(item: ismrmrd.Acquisition) -> int:
    return int(item.number_of_samples - item.discard_post)
