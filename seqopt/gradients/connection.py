"""The shortest waveforms that bring k and gradient from rest at 0 to where a readout begins, and back to rest at 0.

For a duration the least share of the limits that does it is a convex problem, solved for all shots at once by
`interior_point`; the shortest common duration follows by bisection over whole rasters. A lobe along the slice (its
rephaser or spoiler) shares the time: what it takes of the limits on the vector (x, y, z) is taken from x and y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seqopt.core import Scanner
from seqopt.errors import SeqoptError
from seqopt.gradients.interior_point import minimise
from seqopt.gradients.spline import ComplexArray, FloatArray, bending_bands
from seqopt.gradients.spline_newton import SplineProgram

_SMOOTHING = 1e-3  # weight of the mean squared slew beside the largest: makes the waveform unique
_SLACK = 1e-6  # of the limits, for the last digits of the solver
_LONGEST = 20_000  # rasters
_HARDEST = 4  # shots that alone decide on the duration; the others are checked at the end
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a waveform may use, as the length of (x, y, z)."""

    grad_hz_per_m: float
    slew_hz_per_m_per_s: float
    raster_s: float

    @classmethod
    def of(cls, scanner: Scanner) -> Limits:
        """The scanner's with its margin."""
        return cls(
            grad_hz_per_m=scanner.margin * scanner.max_grad_hz_per_m,
            slew_hz_per_m_per_s=scanner.margin * scanner.max_slew_hz_per_m_per_s,
            raster_s=scanner.grad_raster_s,
        )

    def derated(self, slew_share: float) -> Limits:
        """With a share of the slew rate."""
        return replace(self, slew_hz_per_m_per_s=slew_share * self.slew_hz_per_m_per_s)

    @property
    def unit_per_m(self) -> float:
        """Step of k in one raster at the largest gradient: in this unit coefficients differ by 1 at most."""
        return self.grad_hz_per_m * self.raster_s

    @property
    def steepness(self) -> float:
        """Rasters from zero to the largest gradient: second differences times this are 1 at most."""
        return self.grad_hz_per_m / (self.slew_hz_per_m_per_s * self.raster_s)


@dataclass(frozen=True, kw_only=True)
class Lobe:
    """A trapezoid along the slice from zero to zero, over whole rasters."""

    rasters: int
    ramp: int
    amplitude_hz_per_m: float

    def corners(self) -> tuple[tuple[int, float], ...]:
        """(edge, Hz/m) of its corners."""
        top = self.amplitude_hz_per_m
        middle = ((self.ramp, top), (self.rasters - self.ramp, top))
        return ((0, 0.0), *(middle if 2 * self.ramp < self.rasters else middle[:1]), (self.rasters, 0.0))

    def edges_hz_per_m(self) -> FloatArray:
        """(rasters + 1,) on raster edges."""
        edge, value = zip(*self.corners(), strict=True)
        return np.asarray(np.interp(np.arange(self.rasters + 1), edge, value))


def slice_lobe(area_per_m: float, rasters: int, limits: Limits) -> Lobe:
    """The trapezoid of a moment over so many rasters whose larger share, of amplitude or of slew, is least.

    It may exceed the limits; `leftover` says so.
    """
    ramps = np.arange(1, rasters // 2 + 1)
    amplitude = np.abs(area_per_m) / ((rasters - ramps) * limits.raster_s)
    share = np.maximum(
        amplitude / limits.grad_hz_per_m, amplitude / (ramps * limits.raster_s) / limits.slew_hz_per_m_per_s
    )
    best = int(np.argmin(share))
    return Lobe(
        rasters=rasters, ramp=int(ramps[best]), amplitude_hz_per_m=float(np.copysign(amplitude[best], area_per_m))
    )


def leftover(lobe: Lobe, limits: Limits) -> tuple[FloatArray, FloatArray] | None:
    """Shares of amplitude (rasters + 1,) and slew (rasters,) that a lobe leaves to x and y; None if it leaves none."""
    z = lobe.edges_hz_per_m()
    grad = 1.0 - (z / limits.grad_hz_per_m) ** 2
    slew = 1.0 - (np.diff(z) / limits.raster_s / limits.slew_hz_per_m_per_s) ** 2
    if min(grad.min(), slew.min()) < 1e-4:
        return None
    return np.sqrt(grad), np.sqrt(slew)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Waveforms from rest at k = 0 to given ends, as spline coefficients."""

    coefficients: ComplexArray
    """(shots, rasters + 2) 1/m; the last two are the ends."""
    lobe: Lobe
    share: FloatArray
    """(shots,) of the limits that each uses."""


def connect(
    ends_per_m: ComplexArray,
    limits: Limits,
    *,
    slice_area_per_m: float = 0.0,
    slew_share: float = 1.0,
    least_rasters: int = 3,
) -> Connection:
    """Connect rest at k = 0 with the spline coefficients (shots, 2) 1/m of each shot's end, in the shortest same time.

    ``slew_share`` of the slew limit is used, against nerve stimulation; easier shots use less. Raises ``SeqoptError``
    where no duration does.
    """
    return _Search(ends_per_m, limits, slice_area_per_m, slew_share).shortest(max(least_rasters, 3))


def connect_within(
    rasters: int, ends_per_m: ComplexArray, limits: Limits, *, slice_area_per_m: float = 0.0, slew_share: float = 1.0
) -> Connection | None:
    """The gentlest connection in exactly so many rasters; None where they do not suffice."""
    found = _Search(ends_per_m, limits, slice_area_per_m, slew_share).solve(rasters) if rasters >= 3 else None
    return found if found is not None and found.share.max() <= 1.0 else None


class _Search:
    """The least share of the limits for a number of rasters."""

    def __init__(self, ends: ComplexArray, limits: Limits, slice_area_per_m: float, slew_share: float) -> None:
        self.ends, self.limits, self.area, self.slew_share = ends, limits, slice_area_per_m, slew_share
        self.derated = limits.derated(slew_share)

    def shortest(self, least: int) -> Connection:
        """The connection in the fewest rasters, at least ``least``, in which all shots arrive."""
        rasters = max(least, self._guess())
        while (whole := self.solve(rasters)) is None:
            rasters = self._longer(rasters)
        low = least - 1
        while True:  # once, unless a shot that looked easy is not
            hardest = np.argsort(-whole.share, kind="stable")[:_HARDEST]
            low, rasters = self._bisect(hardest, low, whole.lobe.rasters, float(whole.share.max()))
            if rasters == whole.lobe.rasters:
                return whole
            found = self.solve(rasters)
            assert found is not None
            if found.share.max() <= 1.0:
                return found
            low, whole = rasters, found

    def _bisect(self, shots: IntArray, low: int, rasters: int, share: float) -> tuple[int, int]:
        """(too few, fewest) rasters for some shots, from what ``rasters`` ask; the share falls as their square."""
        high: int | None = None
        while True:
            low, high = (low, rasters) if share <= 1.0 else (max(low, rasters), high)
            if high is not None and high - low <= 1:
                return low, high
            if not np.isfinite(share):
                aim = self._longer(rasters)
            else:
                aim = math.ceil(rasters * math.sqrt(share) - (share <= 1.0) * 1e-9)
            rasters = max(aim, low + 1) if high is None else min(max(aim, low + 1), high - 1)
            if rasters > _LONGEST:
                self._longer(rasters)
            found = self.solve(rasters, shots)
            share = np.inf if found is None else float(found.share.max())

    @staticmethod
    def _longer(rasters: int) -> int:
        if rasters > _LONGEST:
            raise SeqoptError(
                f"no prephaser or rewinder of {_LONGEST} rasters brings k to the readout within the limits; "
                "the readout begins or ends at a gradient that they do not allow"
            )
        return math.ceil(1.2 * rasters)

    def _guess(self) -> int:
        """Rasters of a triangle as long as the farthest end and the slice's moment."""
        reach = math.hypot(float(np.abs(self.ends).max()), self.area)
        by_slew = 2.0 * math.sqrt(reach / self.derated.slew_hz_per_m_per_s)
        return math.ceil(1.2 * max(by_slew, reach / self.limits.grad_hz_per_m) / self.limits.raster_s) + 4

    def solve(self, rasters: int, shots: IntArray | None = None) -> Connection | None:
        """The gentlest waveforms over so many rasters; None where the slice alone needs longer."""
        ends = self.ends if shots is None else self.ends[shots]
        lobe = slice_lobe(self.area, rasters, self.derated)
        free = leftover(lobe, self.derated)
        if free is None:
            return None
        unit, steepness = self.limits.unit_per_m, self.limits.steepness
        grad, slew = free[0], self.slew_share * free[1]
        size = rasters + 2
        smoothing = _SMOOTHING * steepness**2 / rasters
        solution = minimise(
            SplineProgram(
                head=np.zeros((len(ends), 2), dtype=complex),
                tail=ends / unit,
                free=size - 4,
                bands=smoothing * bending_bands(size),
                linear=np.zeros((len(ends), size), dtype=complex),
                steepness=steepness,
                grad_radius=grad * (1 - _SLACK),
                slew_radius=slew * (1 - _SLACK),
                share=True,
            ),
            gap=1e-5,
        )
        first = np.diff(solution.coefficients, axis=1)
        second = steepness * np.abs(np.diff(first, axis=1)) / slew
        inner = np.abs(first[:, :-1]) / grad[:-1]  # the last belongs to the readout
        share = np.maximum(second.max(1), inner.max(1))
        return Connection(coefficients=solution.coefficients * unit, lobe=lobe, share=np.asarray(share))
