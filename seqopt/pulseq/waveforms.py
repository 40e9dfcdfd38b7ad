"""Gradient events as true continuous piecewise-linear waveforms, with their exact moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import GradEvent, SeqFile, TrapEvent

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Waveform:
    """Corners of one event from the block's start; zero outside."""

    times_s: FloatArray
    """(n,) seconds, increasing."""
    values_hz_per_m: FloatArray
    """(n,) Hz/m."""
    moments_per_m: FloatArray
    """(n,) 1/m, integral up to each corner."""

    @classmethod
    def of(cls, times_s: FloatArray, values_hz_per_m: FloatArray) -> Waveform:
        """Corners -> waveform; times are rounded to 0.1 ns, so that equal corners of two axes compare equal."""
        times = np.round(np.asarray(times_s, dtype=float), 10)
        values = np.asarray(values_hz_per_m, dtype=float)
        pieces = np.diff(times) * (values[1:] + values[:-1]) / 2
        return cls(times, values, np.concatenate([[0.0], np.cumsum(pieces)]))

    def at(self, times_s: FloatArray) -> FloatArray:
        """Gradient (n,) Hz/m at times (n,)."""
        return np.interp(times_s, self.times_s, self.values_hz_per_m, left=0.0, right=0.0)

    def moment(self, times_s: FloatArray) -> FloatArray:
        """Exact integral (n,) 1/m from the block's start to each time (n,)."""
        inside = np.clip(times_s, self.times_s[0], self.times_s[-1])
        piece = np.clip(np.searchsorted(self.times_s, inside, side="right") - 1, 0, len(self.times_s) - 2)
        passed = inside - self.times_s[piece]
        width = self.times_s[piece + 1] - self.times_s[piece]
        rise = self.values_hz_per_m[piece + 1] - self.values_hz_per_m[piece]
        slope = np.divide(rise, width, out=np.zeros_like(width), where=width > 0)
        return self.moments_per_m[piece] + passed * (self.values_hz_per_m[piece] + 0.5 * slope * passed)


def trapezoid(event: TrapEvent) -> Waveform:
    """Corners of a trapezoid."""
    times = event.delay_s + np.cumsum([0.0, event.rise_s, event.flat_s, event.fall_s])
    return Waveform.of(times, event.amplitude_hz_per_m * np.array([0.0, 1.0, 1.0, 0.0]))


def shaped(event: GradEvent, file: SeqFile, *, raster_s: float, previous_hz_per_m: float = 0.0) -> Waveform:
    """Corners of a shaped gradient.

    Extended trapezoids have their corners in the time shape. Raster shapes have samples at raster centres (or half
    rasters), and ``first`` and ``last`` at their edges; before version 1.5 the file does not hold these, and as other
    readers do, ``first`` continues the axis' last value ``previous_hz_per_m`` and ``last`` is extrapolated.
    """
    values = event.amplitude_hz_per_m * file.shape(event.shape)
    if event.time_shape > 0:
        times = file.shape(event.time_shape) * raster_s
        if len(times) != len(values) or len(times) < 2 or not (np.diff(times) > 0).all():
            raise SeqoptError(
                f"{file.path}: time shape {event.time_shape} has {len(times)} corners for {len(values)} amplitudes, or "
                "does not increase; the file is damaged"
            )
        return Waveform.of(event.delay_s + times, values)
    step = 0.5 * raster_s if event.time_shape == -1 else raster_s
    begin = 0.5 * raster_s
    times = begin + np.arange(len(values), dtype=float) * step
    last = event.last_hz_per_m
    if last is None:
        last = 1.5 * values[-1] - 0.5 * values[-2] if len(values) > 1 else values[-1]
    first = previous_hz_per_m if event.first_hz_per_m is None else event.first_hz_per_m
    times = np.concatenate([[0.0], times, [times[-1] + 0.5 * raster_s]])
    return Waveform.of(event.delay_s + times, np.concatenate([[first], values, [last]]))


def rotation_matrix(quaternion: tuple[float, float, float, float]) -> FloatArray:
    """Unit quaternion (scalar first) -> (3, 3) matrix that turns a logical gradient into the played one."""
    norm = float(np.linalg.norm(quaternion))
    if not 0.99 < norm < 1.01:
        raise SeqoptError(f"rotation: got a quaternion of length {norm:g}, expected 1; the file is damaged")
    w, x, y, z = np.asarray(quaternion) / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
