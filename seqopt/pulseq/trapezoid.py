"""Trapezoids that several axes and all shots share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import Scanner

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trapezoid:
    """Ramp up, flat top, ramp down in seconds."""

    rise_s: float
    flat_s: float
    fall_s: float

    @property
    def duration_s(self) -> float:
        """Ramps and flat top."""
        return round(self.rise_s + self.flat_s + self.fall_s, 10)

    def amplitude(self, area_per_m: float) -> float:
        """Amplitude in Hz/m of this trapezoid with a moment in 1/m."""
        return area_per_m / (self.flat_s + (self.rise_s + self.fall_s) / 2)


def ceil_to(time_s: float, raster_s: float) -> float:
    """The next raster point, equal times kept."""
    return round(math.ceil(time_s / raster_s - 1e-6) * raster_s, 10)


def on_raster(time_s: float, raster_s: float) -> bool:
    """Whether a time is a whole number of rasters, within a millionth of one."""
    return abs(time_s / raster_s - round(time_s / raster_s)) < 1e-6


def shortest_trapezoid(area_per_m: FloatArray, *, scanner: Scanner) -> Trapezoid:
    """The shortest trapezoid with which every row of moments (n, axes) stays within the limits as a vector.

    All rows and axes share the timing, so that the vector is the moment's length times one unit trapezoid; the
    scanner's margin is kept, and its derating against nerve stimulation.
    """
    raster = scanner.grad_raster_s
    area = float(np.linalg.norm(area_per_m, axis=1).max())
    grad, slew = scanner.max_grad_hz_per_m * scanner.margin, scanner.design_slew_hz_per_m_per_s
    rise = max(ceil_to(math.sqrt(area / slew), raster), raster)
    flat = 0.0
    if area / rise > grad:
        effective = ceil_to(area / grad, raster)
        rise = max(ceil_to(area / effective / slew, raster), raster)
        flat = round(effective - rise, 10)
    return Trapezoid(rise, flat, rise)
