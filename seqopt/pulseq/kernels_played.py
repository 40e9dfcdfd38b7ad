"""Compiled loops over corners and samples that are played: moments, limits, k."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.pulseq.kernel_types import (
    FIXED,
    FLAGS,
    FLOAT,
    FLOATS,
    INT,
    INTS,
    PIECES,
    POINTS,
    ROWS,
    FloatArray,
    IntArray,
    compiled,
)  # fmt: skip


@compiled(FIXED, FLOAT, FLOATS, FLOATS, FLOATS)
def waveform(
    samples: FloatArray, amplitude: float, widths_s: FloatArray, values: FloatArray, moments: FloatArray
) -> None:
    """Samples (n,) between which widths (n - 1,) lie, into values (n,) and their integral (n,) up to each."""
    values[0], moments[0], total = amplitude * samples[0], 0.0, 0.0
    for at in range(1, len(samples)):
        values[at] = amplitude * samples[at]
        total += widths_s[at - 1] * (values[at] + values[at - 1]) * 0.5
        moments[at] = total


@compiled(FLOATS, FLOATS, PIECES, FLOATS, FLOATS, FLOATS)
def moments_at(
    values: FloatArray, moments: FloatArray, piece: IntArray, passed_s: FloatArray, half_share: FloatArray,
    out: FloatArray,
) -> None:  # fmt: skip
    """Integral (samples,) of a waveform up to instants within its pieces, into ``out``."""
    for at in range(len(out)):
        place = piece[at]
        before = values[place]
        inside = passed_s[at] * (before + half_share[at] * (values[place + 1] - before))
        out[at] = moments[place] + inside


@compiled(FLOATS, FLOATS, FLOATS, FLOATS, INT, INT, FLOATS, FLOATS, INTS, FLOATS, INTS, INTS)
def largest_of_block(
    times_s: FloatArray, gx: FloatArray, gy: FloatArray, gz: FloatArray, number: int, plays: int, limits: FloatArray,
    value: FloatArray, owner: IntArray, time_s: FloatArray, over: IntArray, count: IntArray,
) -> None:  # fmt: skip
    """Amplitudes and slew rates of a block's corners (n,) s and Hz/m into what was largest so far.

    ``limits`` (2,) are those of amplitude and slew; ``value``, ``owner``, ``time_s`` and ``over`` (8,) hold x, y, z and
    the vector of amplitudes and then of slew rates; ``count`` (2,). A block is played so many times.
    """
    last = len(times_s) - 1
    for kind in range(2):
        for at in range(last + 1 - kind):
            x, y, z, time = gx[at], gy[at], gz[at], times_s[at]
            if kind == 1:
                width = times_s[at + 1] - time
                if not width > 0:
                    continue
                x, y, z = (gx[at + 1] - x) / width, (gy[at + 1] - y) / width, (gz[at + 1] - z) / width
                time = (times_s[at + 1] + time) / 2
            count[kind] += plays
            for axis, size in enumerate((abs(x), abs(y), abs(z), np.sqrt(x * x + y * y + z * z))):
                place = 4 * kind + axis
                if size > limits[kind]:
                    over[place] += plays
                if size > value[place]:
                    value[place], owner[place], time_s[place] = size, number, time


@compiled(FLOATS, FLOATS, FLOATS, FLOATS, FLOATS)
def energy_of_block(times_s: FloatArray, gx: FloatArray, gy: FloatArray, gz: FloatArray, energy: FloatArray) -> None:
    """Integral of the square of each axis (n,) between corners (n,), added to ``energy`` (3,)."""
    x = y = z = 0.0
    for at in range(len(times_s) - 1):
        width = times_s[at + 1] - times_s[at]
        x += width * (gx[at] * gx[at] + gx[at] * gx[at + 1] + gx[at + 1] * gx[at + 1]) / 3
        y += width * (gy[at] * gy[at] + gy[at] * gy[at + 1] + gy[at + 1] * gy[at + 1]) / 3
        z += width * (gz[at] * gz[at] + gz[at] * gz[at + 1] + gz[at + 1] * gz[at + 1]) / 3
    energy[0] += x
    energy[1] += y
    energy[2] += z


@compiled(ROWS)
def ends_of_rows(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Smallest (3,) and largest (3,) of each row (3, n)."""
    lows, highs = np.empty(3), np.empty(3)
    for axis in range(3):
        low = high = rows[axis, 0]
        for at in range(rows.shape[1]):
            low = rows[axis, at] if rows[axis, at] < low else low
            high = rows[axis, at] if rows[axis, at] > high else high
        lows[axis], highs[axis] = low, high
    return lows, highs


@compiled(ROWS, FLOATS, FLAGS)
def nearest(rows: FloatArray, offset: FloatArray, counts: npt.NDArray[np.bool_]) -> tuple[int, float]:
    """Which column of rows (3, n) + ``offset`` (3,) is shortest, and how long it is; not every axis ``counts``."""
    squares = np.zeros(rows.shape[1])
    for axis in range(3):
        if counts[axis]:
            for at in range(len(squares)):
                squares[at] += (rows[axis, at] + offset[axis]) ** 2
    found = 0
    for at in range(len(squares)):
        if squares[at] < squares[found]:
            found = at
    return found, np.sqrt(squares[found])


@compiled(ROWS, FLOATS, POINTS, FLOATS)
def farthest(rows: FloatArray, offset: FloatArray, due: FloatArray, fov_m: FloatArray) -> tuple[int, float]:
    """Where rows (3, n) + ``offset`` (3,) lie farthest from ``due`` (n, 2), and how far; lengths in units of 1/FOV."""
    worst, found = -1.0, 0
    for at in range(rows.shape[1]):
        x = (rows[0, at] + offset[0]) * fov_m[0] - due[at, 0] * fov_m[0]
        y = (rows[1, at] + offset[1]) * fov_m[1] - due[at, 1] * fov_m[1]
        z = (rows[2, at] + offset[2]) * fov_m[2]
        square = x * x + y * y + z * z
        if square > worst:
            worst, found = square, at
    return found, np.sqrt(worst)
