"""Corners of the distinct blocks of a sequence, many at once: what shots repeat is measured once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.pulseq.readback import PlayedSequence

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
AT_ONCE = 50_000


@dataclass(frozen=True)
class Corners:
    """Corners of several distinct blocks in a row."""

    owner: IntArray
    """(n,) index into ``PlayedGradients.keys``."""
    times_s: FloatArray
    """(n,) from its block's start."""
    gradient_hz_per_m: FloatArray
    """(n, 3) as played, rotated."""


def distinct_corners(played: PlayedSequence) -> Iterator[Corners]:
    """Every corner of every distinct block once, in batches of bounded size."""
    batch: list[tuple[int, FloatArray, FloatArray]] = []
    count = 0
    for number, key in enumerate(played.gradients.keys):
        times, gradient = played.corners_of(key)
        if len(times):
            batch.append((number, times, gradient))
            count += len(times)
        if count > AT_ONCE:
            yield _joined(batch)
            batch, count = [], 0
    if batch:
        yield _joined(batch)


def _joined(batch: list[tuple[int, FloatArray, FloatArray]]) -> Corners:
    return Corners(
        np.repeat([number for number, _, _ in batch], [len(times) for _, times, _ in batch]),
        np.concatenate([times for _, times, _ in batch]),
        np.concatenate([gradient for _, _, gradient in batch]),
    )
