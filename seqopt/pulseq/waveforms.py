"""Gradient events as true continuous piecewise-linear waveforms, with their exact moments."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import GradEvent, SeqFile, TrapEvent

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CornerTimes:
    """When the corners of an event lie; shared by all events with the same."""

    times_s: FloatArray
    """(n,) seconds from the block's start, increasing; rounded to 0.1 ns, so that corners of two axes compare equal."""
    widths_s: FloatArray
    """(n - 1,)"""
    distinct: bool
    """Whether no two are equal, as they are in a triangle."""

    @classmethod
    def of(cls, times_s: FloatArray) -> CornerTimes:
        """Times -> rounded times and their differences."""
        times = np.round(np.asarray(times_s, dtype=float), 10)
        widths = np.diff(times)
        return cls(times, widths, bool((widths > 0).all()))


@dataclass(frozen=True)
class Instants:
    """Moments in time, located between the corners of a waveform."""

    piece: npt.NDArray[np.intp]
    passed_s: FloatArray
    """Since the piece's first corner."""
    half_share: FloatArray
    """Half of the share of the piece that has passed."""

    @classmethod
    def of(cls, corners: CornerTimes, times_s: FloatArray) -> Instants:
        """Times (n,) between, before or after the corners; outside them nothing passes."""
        times = corners.times_s
        inside = np.clip(times_s, times[0], times[-1])
        piece = np.clip(np.searchsorted(times, inside, side="right") - 1, 0, len(times) - 2)
        passed, width = inside - times[piece], corners.widths_s[piece]
        return cls(piece, passed, np.divide(0.5 * passed, width, out=np.zeros_like(passed), where=width > 0))


@dataclass(frozen=True)
class Waveform:
    """Corners of one event from the block's start; zero outside."""

    corners: CornerTimes
    values_hz_per_m: FloatArray
    """(n,) Hz/m."""
    moments_per_m: FloatArray
    """(n,) 1/m, integral up to each corner."""

    @classmethod
    def of(cls, corners: CornerTimes, values_hz_per_m: FloatArray) -> Waveform:
        """Corners -> waveform with its moments."""
        values = np.asarray(values_hz_per_m, dtype=float)
        moments = np.zeros(len(values))
        np.cumsum(corners.widths_s * (values[1:] + values[:-1]) * 0.5, out=moments[1:])
        return cls(corners, values, moments)

    @classmethod
    def scaled(cls, corners: CornerTimes, samples: FloatArray, amplitude: float, kernels: ModuleType) -> Waveform:
        """The same of a shape's samples (n,) by compiled code."""
        values, moments = np.empty((2, len(samples)))
        kernels.waveform(samples, amplitude, corners.widths_s, values, moments)
        return cls(corners, values, moments)

    @property
    def times_s(self) -> FloatArray:
        """(n,) seconds, increasing."""
        return self.corners.times_s

    def at(self, times_s: FloatArray) -> FloatArray:
        """Gradient (n,) Hz/m at times (n,)."""
        return np.interp(times_s, self.times_s, self.values_hz_per_m, left=0.0, right=0.0)

    def moment(self, times_s: FloatArray) -> FloatArray:
        """Exact integral (n,) 1/m from the block's start to each time (n,)."""
        return self.moment_at(Instants.of(self.corners, times_s))

    def moment_into(self, out: FloatArray, instants: Instants, kernels: ModuleType) -> None:
        """What ``moment_at`` gives, into ``out`` (n,) by compiled code."""
        kernels.moments_at(
            self.values_hz_per_m, self.moments_per_m, instants.piece, instants.passed_s, instants.half_share, out
        )

    def moment_at(self, instants: Instants) -> FloatArray:
        """The same at times that were located once for many waveforms."""
        values, piece = self.values_hz_per_m, instants.piece
        before = values[piece]
        rise = values[piece + 1] - before
        inside: FloatArray = instants.passed_s * (before + instants.half_share * rise)
        return self.moments_per_m[piece] + inside


def trapezoid_times(event: TrapEvent) -> FloatArray:
    """Times (4,) of the corners of a trapezoid."""
    return event.delay_s + np.cumsum([0.0, event.rise_s, event.flat_s, event.fall_s])


def shaped_times(event: GradEvent, file: SeqFile, raster_s: float) -> FloatArray:
    """Times of the corners of a shaped gradient.

    Extended trapezoids have them in the time shape. Raster shapes have samples at raster centres (or half rasters),
    and ``first`` and ``last`` at their edges.
    """
    if event.time_shape > 0:
        times = file.shape(event.time_shape) * raster_s
        samples = file.shapes[event.shape].samples
        if len(times) != samples or len(times) < 2 or not (np.diff(times) > 0).all() or times[0] < 0:
            raise SeqoptError(
                f"{file.path}: line {file.shapes[event.time_shape].line}: time shape {event.time_shape} has "
                f"{len(times)} corners for {samples} amplitudes, or does not increase from 0; the file is damaged"
            )
        return np.asarray(event.delay_s + times)
    samples = file.shapes[event.shape].samples
    step = 0.5 * raster_s if event.time_shape == -1 else raster_s
    times = 0.5 * raster_s + np.arange(samples, dtype=float) * step
    return np.asarray(event.delay_s + np.concatenate([[0.0], times, [times[-1] + 0.5 * raster_s]]))


def shaped_values(
    event: GradEvent, file: SeqFile, *, previous_hz_per_m: float = 0.0, following_hz_per_m: float | None = None
) -> FloatArray:
    """Corners of a shaped gradient in Hz/m.

    Before version 1.5 the file does not hold ``first`` and ``last``. As other readers do, ``first`` then continues the
    axis' last value and ``last`` is extrapolated; where the last slope leads to what the axis plays next within half
    its step, ``last`` is that: a curved waveform that ends at zero is no step.
    """
    samples = file.shape(event.shape)
    if event.time_shape > 0:
        return event.amplitude_hz_per_m * samples
    values = np.empty(len(samples) + 2)
    np.multiply(samples, event.amplitude_hz_per_m, out=values[1:-1])
    values[0] = previous_hz_per_m if event.first_hz_per_m is None else event.first_hz_per_m
    if event.last_hz_per_m is not None:
        values[-1] = event.last_hz_per_m
        return values
    step = float(values[-2] - values[-3]) if len(samples) > 1 else 0.0
    values[-1] = values[-2] + 0.5 * step
    if following_hz_per_m is not None and abs(values[-1] - following_hz_per_m) <= 0.5 * abs(step):
        values[-1] = following_hz_per_m
    return values


def rotation_matrix(quaternion: tuple[float, float, float, float]) -> FloatArray:
    """Unit quaternion (scalar first) -> (3, 3) matrix that turns a logical gradient into the played one."""
    w, x, y, z = np.asarray(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
