"""Curves in k-space, the shortest time in which gradients can run along them, and the waveform that does.

The time follows Lustig, Kim & Pauly (IEEE TMI 27:866, 2008): along the arc s the squared speed w obeys
w <= Gmax^2, w kappa <= Smax and (dw/ds / 2)^2 + (w kappa)^2 <= Smax^2; one pass forward and one back give the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.integrate import cumulative_simpson
from scipy.interpolate import CubicHermiteSpline

from seqopt.gradients.waveform import k_at, sample_times
from seqopt.sampling.readouts import Readouts

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
_HEADROOM = 1.02  # of time: 2 % below the gradient limit, 4 % below the slew limit, for what lies between the points


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A path kx + i ky in 1/m, without a time."""

    k: ComplexArray
    """(points,)"""
    tangent: ComplexArray
    """(points,) of length 1."""
    curvature_m: FloatArray
    """(points,) in m, that is 1/(1/m)."""
    arc_per_m: FloatArray
    """(points,) length from the start."""


def analytic_curve(parameter: FloatArray, k: ComplexArray, first: ComplexArray, second: ComplexArray) -> Curve:
    """A curve from its values and derivatives at equally spaced values of a parameter."""
    size = np.abs(first)
    arc = cumulative_simpson(size, x=parameter, initial=0.0)
    return Curve(k=k, tangent=first / size, curvature_m=np.abs((first.conj() * second).imag) / size**3, arc_per_m=arc)


def rounded_polyline(corners: ComplexArray, *, radius_per_m: float) -> Curve:
    """Straight lines with a circular arc of at most ``radius_per_m`` in place of each corner."""
    legs = np.diff(corners)
    length, direction = np.abs(legs), legs / np.abs(legs)
    turn = np.angle(direction[1:] / direction[:-1])
    half = np.tan(np.abs(turn) / 2)
    cut = np.minimum(radius_per_m * half, 0.5 * np.minimum(length[1:], length[:-1]))
    before, after = np.concatenate([[0.0], cut]), np.concatenate([cut, [0.0]])
    k, tangent, curvature, arc = [], [], [], []
    done = 0.0
    for leg in range(len(legs)):
        straight = length[leg] - before[leg] - after[leg]
        straight = straight if straight > 1e-6 * length[leg] else 0.0
        along = np.linspace(0.0, straight, 121)  # odd, for a point in the middle
        k.append(corners[leg] + direction[leg] * (before[leg] + along))
        tangent.append(np.full(len(along), direction[leg]))
        curvature.append(np.zeros(len(along)))
        arc.append(done + along)
        done += straight
        if leg == len(turn) or abs(turn[leg]) < 1e-9:
            continue
        radius = cut[leg] / half[leg]
        angle = np.linspace(0.0, turn[leg], 26)
        curvature[-1][-1] = 1 / radius  # the joint belongs to the arc
        centre = k[-1][-1] + 1j * np.sign(turn[leg]) * direction[leg] * radius
        k.append(centre + (k[-1][-1] - centre) * np.exp(1j * angle))
        tangent.append(direction[leg] * np.exp(1j * angle))
        curvature.append(np.full(len(angle), 1 / radius))
        arc.append(done + radius * np.abs(angle))
        done += radius * abs(turn[leg])
    joined = np.concatenate(arc)
    new = np.concatenate([[True], np.diff(joined) > 1e-9 * joined[-1]])  # joints come twice; the former counts
    return Curve(
        k=np.concatenate(k)[new],
        tangent=np.concatenate(tangent)[new],
        curvature_m=np.concatenate(curvature)[new],
        arc_per_m=joined[new],
    )


@dataclass(frozen=True, kw_only=True)
class Ride:
    """A curve with the time of each of its points, as short as the limits allow."""

    curve: Curve
    times_s: FloatArray
    speed_hz_per_m: FloatArray
    echo_point: int
    """The point to lie on the echo sample: 0, or the middle of a symmetric curve."""
    dwell_s: float

    @property
    def needed_s(self) -> float:
        """Shortest readout: twice the way to an echo in the middle, or the whole way from the first sample on."""
        if self.echo_point:
            return float(_HEADROOM * 2 * self.times_s[self.echo_point])
        return float(_HEADROOM * self.times_s[-1] + 0.5 * self.dwell_s)

    def path(self, readouts: Readouts) -> tuple[FloatArray, int]:
        """Spread over the whole readout: k (samples, 2) in 1/m at the ADC samples, 0 at the echo, and the echo sample.

        The edge value of the gradient is its mean over one raster about the edge: means of what keeps limits on a
        vector and on its rate keep them too, exactly.
        """
        dwell_s, raster = readouts.dwell_s, readouts.scanner.grad_raster_s
        echo = 0 if self.echo_point == 0 else readouts.samples // 2
        echo_s = (echo + 0.5) * dwell_s
        at = self.times_s[self.echo_point]
        stretch = echo_s / at if self.echo_point else (readouts.readout_s - echo_s) / self.times_s[-1]
        edges = int(np.ceil(readouts.readout_s / raster - 1e-9)) + 1
        bounds = (np.arange(edges + 1) - 0.5) * raster
        k = self._at(at + (bounds - echo_s) / stretch)
        gradient = np.diff(np.stack([k.real, k.imag], -1), axis=0) / raster
        times = sample_times(readouts.samples, dwell_s=dwell_s, adc_start_s=0.0)
        moved = k_at(times, gradient, raster_s=raster)
        return moved - moved[echo], echo

    def _at(self, times_s: FloatArray) -> ComplexArray:
        """K at any time; straight on before the start and after the end."""
        velocity = self.speed_hz_per_m * self.curve.tangent
        inside = np.clip(times_s, 0.0, self.times_s[-1])
        spline = CubicHermiteSpline(self.times_s, self.curve.k, velocity)
        beyond = np.minimum(times_s, 0.0) * velocity[0] + np.maximum(times_s - self.times_s[-1], 0.0) * velocity[-1]
        return np.asarray(spline(inside) + beyond)


def fastest(curve: Curve, readouts: Readouts, *, from_rest: bool = False, echo_in_middle: bool = False) -> Ride:
    """The shortest times along a curve; at its ends it may be as fast as the limits allow, unless it starts at rest."""
    limit = readouts.max_slew_hz_per_m_per_s
    bend, step = curve.curvature_m.tolist(), np.diff(curve.arc_per_m).tolist()
    square = np.minimum(readouts.max_grad_hz_per_m**2, limit / np.maximum(curve.curvature_m, 1e-30)).tolist()
    if from_rest:
        square[0] = 0.0
    for i in range(len(step)):
        room = limit * limit - (square[i] * bend[i]) ** 2
        square[i + 1] = min(square[i + 1], square[i] + 2 * step[i] * sqrt(max(room, 0.0)))
    for i in reversed(range(len(step))):
        room = limit * limit - (square[i + 1] * bend[i + 1]) ** 2
        square[i] = min(square[i], square[i + 1] + 2 * step[i] * sqrt(max(room, 0.0)))
    speed = np.sqrt(square)
    times = np.concatenate([[0.0], np.cumsum(2 * np.array(step) / (speed[1:] + speed[:-1]))])
    return Ride(
        curve=curve,
        times_s=times,
        speed_hz_per_m=speed,
        echo_point=len(times) // 2 if echo_in_middle else 0,
        dwell_s=readouts.dwell_s,
    )


def richest(
    ride_of: Callable[[float], Ride], readouts: Readouts, *, least: float, most: float, step: float
) -> tuple[Ride, float]:
    """The ride with the largest ``least + n step <= most`` that fits into the readout, and that number.

    The least where none fits.
    """
    low, high = 0, int((most - least) / step + 1e-9)
    best = ride_of(least)
    if best.needed_s > readouts.readout_s:
        return best, least
    stride, found = 1, False
    while low < high:  # in doubling strides until one is too long, since long rides cost most; then by halves
        middle = (low + high + 1) // 2 if found else min(low + stride, high)
        ride = ride_of(least + middle * step)
        if ride.needed_s <= readouts.readout_s:
            low, best, stride = middle, ride, 2 * stride
        else:
            high, found = middle - 1, True
    return best, least + low * step
