"""The gradient of a whole sequence on a raster, piece by piece: bounded memory, and rest costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.pulseq.readback import PlayedSequence

FloatArray = npt.NDArray[np.float64]
CORNERS = 50_000
SAMPLES = 1 << 17
MOST_SAMPLES = 400_000_000
"""Of gradient that is not at rest: an hour and more on a raster of 10 us."""


@dataclass(frozen=True)
class Piece:
    """Samples in a row."""

    first: int
    """Number of its first raster since the sequence's start."""
    after_rest: bool
    """Whether the gradient rested before it, long enough to be forgotten."""
    gradient_hz_per_m: FloatArray
    """(3, n) at the centres of n rasters."""


def too_long(played: PlayedSequence, raster_s: float) -> str:
    """Why gradients play for longer than they are looked at, in words; empty where they do not."""
    most, samples = MOST_SAMPLES, _active_samples(played, raster_s)
    if samples > most:
        return f"the file plays gradients for more than {most * raster_s:g} s"
    if samples * raster_s > 2 * played.duration_s + 1.0:  # of a damaged file: hours in blocks of milliseconds
        return "the file plays gradients far beyond the ends of their blocks"
    return ""


def _active_samples(played: PlayedSequence, raster_s: float) -> float:
    """Rasters, at most, in which some gradient plays."""
    corners = map(played.gradients.times_of, played.gradients.keys)
    spans_s = np.array([float(times[-1] - times[0]) if len(times) else 0.0 for times in corners])
    return float(spans_s[played.gradients.key_numbers].sum()) / raster_s


def pieces(
    played: PlayedSequence, *, raster_s: float, rest_s: float, within_s: tuple[float, float] = (0.0, np.inf)
) -> Iterator[Piece]:
    """Pieces in play order; rests longer than ``rest_s`` are left out, with a raster of rest on either side.

    Samples lie at raster centres, as interpreters and pypulseq's ``get_gradients`` have them. ``within_s`` keeps the
    blocks that play between two times.
    """
    at = -1  # the next raster to give; -1 after a rest
    for times, values, ends in _runs(played, rest_s, within_s):
        after_rest = at < 0
        start = max(0, int(np.floor(times[0] / raster_s)) - 1) if after_rest else at
        stop = int(np.ceil(times[-1] / raster_s)) + 2 if ends else int(np.floor(times[-1] / raster_s + 0.5 + 1e-9))
        for first in range(start, stop, SAMPLES):
            centres = (np.arange(first, min(first + SAMPLES, stop)) + 0.5) * raster_s
            rows = [np.interp(centres, times, axis, left=0.0, right=0.0) for axis in values.T]
            yield Piece(first, after_rest and first == start, np.stack(rows))
        at = -1 if ends else max(start, stop)


def _runs(
    played: PlayedSequence, rest_s: float, within_s: tuple[float, float]
) -> Iterator[tuple[FloatArray, FloatArray, bool]]:
    """Corners of some blocks: times (n,), gradients (n, 3), and whether a rest follows.

    Without one, the next run starts with the corner on which this one ends.
    """
    times: list[FloatArray] = []
    values: list[FloatArray] = []
    count = 0
    starts = played.starts_s
    begin = max(0, int(np.searchsorted(starts, within_s[0], side="right")) - 1)
    for block in range(begin, min(played.blocks, int(np.searchsorted(starts, within_s[1])))):
        t, g = played.corners_of(played.block_key(block))
        if not len(t):
            continue
        start = float(starts[block])
        if times and start + t[0] - times[-1][-1] > rest_s:
            yield (*_joined(times, values), True)
            times, values, count = [], [], 0
        times += [start + t[:1], start + t, start + t[-1:]]  # zero outside an event
        values += [np.zeros((1, 3)), g, np.zeros((1, 3))]
        count += len(t) + 2
        if count > CORNERS:
            yield (*_joined(times, values), False)
            times, values, count = [times[-1]], [values[-1]], 1
    if count > 1:
        yield (*_joined(times, values), True)


def _joined(times: list[FloatArray], values: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """One run; an event that outlasts its block does not turn time back."""
    return np.maximum.accumulate(np.concatenate(times)), np.concatenate(values)
