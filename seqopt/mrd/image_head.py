"""Which image of a scan one is and where it lies: counters, directions and centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.mrd.heads import SERIES_COUNTERS
from seqopt.mrd.placement import Placement

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ImageHead:
    """Counters as in the raw data, directions and centre in the patient system LPS."""

    slice: int
    repetition: int = 0
    contrast: int = 0
    set: int = 0
    phase: int = 0
    read_dir: FloatArray
    """(3,) unit vector along image x."""
    phase_dir: FloatArray
    """(3,) unit vector along image y."""
    slice_dir: FloatArray
    """(3,) unit vector through the slice."""
    position_m: FloatArray
    """(3,) centre of the slice in metres: pixel N/2 of both axes."""
    time_stamp: int = 0
    """Of the first readout, in the raw data's own ticks."""

    @property
    def series(self) -> tuple[int, int, int]:
        """Contrast, set and phase: images of equal ones make a series, of slices and repetitions."""
        return self.contrast, self.set, self.phase

    @property
    def directions(self) -> FloatArray:
        """(3, 3) rows read, phase, slice."""
        return np.stack([self.read_dir, self.phase_dir, self.slice_dir])


def heads_of(
    placement: Placement,
    slices: Sequence[int] | None = None,
    *,
    time_stamp: int = 0,
    **counters: int,
) -> list[ImageHead]:
    """One head a position of ``placement``; ``slices`` are their numbers, 0, 1, ... unless given.

    ``counters`` are some of `VOLUME_COUNTERS`, 0 unless given.
    """
    numbers = range(len(placement.positions_m)) if slices is None else slices
    return [
        ImageHead(
            slice=number,
            read_dir=placement.read_dir,
            phase_dir=placement.phase_dir,
            slice_dir=placement.slice_dir,
            position_m=position_m,
            time_stamp=time_stamp,
            **counters,
        )
        for number, position_m in zip(numbers, placement.positions_m, strict=True)
    ]


def series_of(heads: Sequence[ImageHead]) -> dict[tuple[int, int, int], list[int]]:
    """(contrast, set, phase) -> places of its images in ``heads``, by repetition and then slice."""
    found: dict[tuple[int, int, int], list[int]] = {key: [] for key in sorted({head.series for head in heads})}
    for place in sorted(range(len(heads)), key=lambda place: (heads[place].repetition, heads[place].slice)):
        found[heads[place].series].append(place)
    return found


def series_label(key: tuple[int, int, int], keys: Sequence[tuple[int, int, int]]) -> str:
    """What tells this series from the others, for file names: ``_contrast1_set0``; empty where there is one."""
    varying = [axis for axis in range(len(key)) if len({other[axis] for other in keys}) > 1]
    return "".join(f"_{SERIES_COUNTERS[axis]}{key[axis]}" for axis in varying)
