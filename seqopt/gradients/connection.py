"""The shortest waveforms that bring k and gradient from rest at 0 to where a readout begins, and back to rest at 0.

For a duration the least share of the limits that does it is a convex problem, solved for all shots at once by
`interior_point`; the shortest common duration is bracketed between whole rasters. A lobe along the slice (its rephaser
or spoiler) shares the time: what it takes of the limits on the vector (x, y, z) is taken from x and y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

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
_HARDEST = 2  # shots that alone decide on the duration; the others are checked at the end
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a waveform may use, as the length of (x, y, z) or on each axis."""

    grad_hz_per_m: float
    slew_hz_per_m_per_s: float
    raster_s: float
    vector: bool = True

    @classmethod
    def of(cls, scanner: Scanner) -> Limits:
        """The scanner's with its margin."""
        return cls(
            grad_hz_per_m=scanner.margin * scanner.max_grad_hz_per_m,
            slew_hz_per_m_per_s=scanner.margin * scanner.max_slew_hz_per_m_per_s,
            raster_s=scanner.grad_raster_s,
            vector=scanner.oblique == "vector",
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
    if not limits.vector:
        return np.ones(len(grad)), np.ones(len(slew))
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


class _Tried(NamedTuple):
    """The share of the limits that some number of rasters asks for."""

    rasters: int
    share: float


def _next(tried: list[_Tried], low: int, otherwise: int, high: int) -> int:
    """Between two bounds, where the share is 1 by its last two values: a power of the rasters, the square by one alone.

    Rounded to the side of 1 that the last value does not lie on, so that the bounds close from both sides.
    """
    last, before = tried[-1], tried[-2] if len(tried) > 1 else None
    if not 0.0 < last.share < np.inf:
        return min(max(otherwise, low + 1), high - 1)
    power = 2.0
    if before is not None and 0.0 < before.share < np.inf and before.rasters != last.rasters:
        power = math.log(before.share / last.share) / math.log(last.rasters / before.rasters)
    aim: float = last.rasters * last.share ** (1.0 / max(power, 0.5))
    whole = math.floor(aim) if last.share <= 1.0 else math.ceil(aim)
    return min(max(whole, low + 1), high - 1)


class _Search:
    """The least share of the limits for a number of rasters."""

    def __init__(self, ends: ComplexArray, limits: Limits, slice_area_per_m: float, slew_share: float) -> None:
        self.ends, self.limits, self.area, self.slew_share = ends, limits, slice_area_per_m, slew_share
        self.derated = limits.derated(slew_share)

    def shortest(self, least: int) -> Connection:
        """The connection in the fewest rasters, at least ``least``, in which all shots arrive."""
        least = self._slice_alone(least)
        guess = self._guess()
        hardest = np.argsort(-guess, kind="stable")[:_HARDEST]
        low, rasters = _Tried(least - 1, np.inf), max(least, min(int(guess.max()), _LONGEST + 1))
        while True:  # once, unless a shot that looked easy is not
            low, fewest = self._bracket(hardest, low, rasters)
            found = self.solve(fewest)
            assert found is not None
            if found.share.max() <= 1.0:
                return found
            low, rasters = _Tried(fewest, float(found.share.max())), math.ceil(1.02 * fewest)
            hardest = np.argsort(-found.share, kind="stable")[:_HARDEST]

    def _bracket(self, shots: IntArray, low: _Tried, first: int) -> tuple[_Tried, int]:
        """(too few, fewest) rasters for some shots, from a guess; none in between is left untried."""
        high: _Tried | None = None
        tried: list[_Tried] = []
        aim = first
        while True:
            found = self.solve(aim, shots, decide=True)
            tried.append(_Tried(aim, np.inf if found is None else float(found.share.max())))
            low, high = (low, tried[-1]) if tried[-1].share <= 1.0 else (max(low, tried[-1]), high)
            if high is None:
                aim = _next(tried, low.rasters, self._longer(low.rasters), low.rasters * 2)
            elif high.rasters - low.rasters <= 1:
                return low, high.rasters
            else:
                middle = (low.rasters + high.rasters) // 2
                aim = middle if len(tried) % 6 == 5 else _next(tried, low.rasters, middle, high.rasters)

    def _slice_alone(self, least: int) -> int:
        """The fewest rasters, at least ``least``, that the lobe along the slice leaves something of."""
        low, high = least - 1, least
        while leftover(slice_lobe(self.area, high, self.derated), self.derated) is None:
            low, high = high, self._longer(high)
        while high - low > 1:
            middle = (low + high) // 2
            room = leftover(slice_lobe(self.area, middle, self.derated), self.derated)
            low, high = (middle, high) if room is None else (low, middle)
        return high

    @staticmethod
    def _longer(rasters: int) -> int:
        if rasters > _LONGEST:
            raise SeqoptError(
                f"no prephaser or rewinder of {_LONGEST} rasters brings k to the readout within the limits; "
                "the readout begins or ends at a gradient that they do not allow"
            )
        return math.ceil(1.2 * rasters)

    def _guess(self) -> FloatArray:
        """(shots,) rasters of a ramp to the end's gradient and of a triangle for what it leaves of way and slice."""
        slew, raster = self.derated.slew_hz_per_m_per_s, self.limits.raster_s
        end, speed = self.ends.mean(axis=1), np.diff(self.ends, axis=1)[:, 0] / raster
        left = np.hypot(np.abs(end - speed * np.abs(speed) / (2 * slew)), self.area)
        triangle = np.maximum(2.0 * np.sqrt(left / slew), left / self.limits.grad_hz_per_m)
        return np.asarray(np.ceil((np.abs(speed) / slew + triangle) / raster) + 4.0)

    def solve(self, rasters: int, shots: IntArray | None = None, *, decide: bool = False) -> Connection | None:
        """The gentlest waveforms over so many rasters; None where the slice alone needs longer.

        To ``decide`` whether the rasters suffice, they are found as well as that takes.
        """
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
            decide=decide,
        )
        first = np.diff(solution.coefficients, axis=1)
        second = steepness * np.abs(np.diff(first, axis=1)) / slew
        inner = np.abs(first[:, :-1]) / grad[:-1]  # the last belongs to the readout
        share = np.maximum(second.max(1), inner.max(1))
        return Connection(coefficients=solution.coefficients * unit, lobe=lobe, share=np.asarray(share))
