"""Curved families about the centre: spirals out, in-out and of growing pitch, and the rosette."""

from __future__ import annotations

from math import gcd

import numpy as np
import numpy.typing as npt

from seqopt.sampling.curves import Ride, analytic_curve, fastest, richest
from seqopt.sampling.readouts import InitialPath, Readouts, rotated, through_the_centre

FloatArray = npt.NDArray[np.float64]
_POINTS_A_TURN = 240
_MIN_POINTS = 3000
_PITCH_RATIO = 4.0  # of the spiral with a dense centre, edge over centre


def spiral(readouts: Readouts) -> InitialPath:
    """Archimedean interleaves out from the centre at rest, as many turns as the readout allows, up to Nyquist."""
    return _outwards(readouts, 0.0)


def spiral_dense_centre(readouts: Readouts) -> InitialPath:
    """Interleaves whose pitch grows linearly with the radius, fourfold to the edge, where Nyquist is the goal."""
    return _outwards(readouts, float(np.log(_PITCH_RATIO)))


def spiral_in_out(readouts: Readouts) -> InitialPath:
    """From the edge in to the centre and on out by the same path mirrored in the centre; k = 0 in the middle."""
    _refuse_too_many_interleaves(readouts, 2)
    most = min(readouts.geometry.matrix) / (4 * readouts.shots)
    least = min(0.5, most)
    ride, _ = richest(
        lambda turns: _arm(readouts, turns, 0.0, both=True), readouts, least=least, most=most, step=_finely(least, most)
    )
    readouts.refuse_shorter_than(ride.needed_s, f"to wind {least:.2g} turns in and out of k-max")
    path, echo = ride.path(readouts)
    return through_the_centre(rotated(path, readouts.angles_rad(np.pi)), echo, co_moving=True)


def rosette(readouts: Readouts) -> InitialPath:
    """k-max sin(phi) exp(i nu phi) from the centre on, a whole number of petals a shot (Noll, IEEE TMI 16:372, 1997).

    As many petals as the readout holds, three at least, spread evenly over the circle by the choice of nu.
    """
    side = min(readouts.geometry.matrix)
    readouts.refuse_more_shots_than(side, "three petals a shot sample the edge fully")
    most = max(3, int(np.ceil(np.pi * side / readouts.shots)))
    ride, petals = richest(lambda count: _petals(readouts, round(count)), readouts, least=3, most=most, step=1)
    readouts.refuse_shorter_than(ride.needed_s, "to play three petals out to k-max")
    path, echo = ride.path(readouts)
    return through_the_centre(rotated(path, readouts.angles_rad(2 * np.pi) / petals), echo, co_moving=True)


def _outwards(readouts: Readouts, growth: float) -> InitialPath:
    """Interleaves with a pitch that grows by exp(growth) from the centre to the edge."""
    edge_pitch = growth * np.exp(growth) / np.expm1(growth) if growth else 1.0  # in mean pitches
    _refuse_too_many_interleaves(readouts, 1)
    most = edge_pitch * min(readouts.geometry.matrix) / (2 * readouts.shots)
    least = min(1.0, most)
    ride, _ = richest(
        lambda turns: _arm(readouts, turns, growth), readouts, least=least, most=most, step=_finely(least, most)
    )
    readouts.refuse_shorter_than(ride.needed_s, f"to wind {least:.2g} turns out to k-max")
    path, echo = ride.path(readouts)
    return through_the_centre(rotated(path, readouts.angles_rad(2 * np.pi)), echo, co_moving=True)


def _refuse_too_many_interleaves(readouts: Readouts, arms: int) -> None:
    most = min(readouts.geometry.matrix) // arms
    readouts.refuse_more_shots_than(most, "beyond which Nyquist needs less than half a turn of each")


def _finely(least: float, most: float) -> float:
    return max((most - least) / 4096, 1e-3)


def _arm(readouts: Readouts, turns: float, growth: float, *, both: bool = False) -> Ride:
    """One interleaf out from the centre, or ``both`` arms through it; r' is proportional to exp(growth angle / end)."""
    end = 2 * np.pi * turns
    points = max(_MIN_POINTS, int(_POINTS_A_TURN * turns) * (2 if both else 1)) // 2 * 2 + 1
    angle = np.linspace(-end if both else 0.0, end, points)
    way = np.abs(angle) / end  # r, r', r'' over the angle
    if growth:
        scale = readouts.k_max_per_m / np.expm1(growth)
        rise = scale * np.exp(growth * way)
        radius, slope, bend = rise - scale, growth / end * rise, (growth / end) ** 2 * rise
    else:
        radius = readouts.k_max_per_m * way
        slope, bend = np.full(points, readouts.k_max_per_m / end), np.zeros(points)
    turned = np.exp(1j * np.abs(angle))
    side = np.where(angle < 0, -1.0, 1.0)  # k(-angle) = -k(angle): the derivative is even, the second one odd
    curve = analytic_curve(
        angle,
        side * radius * turned,
        (slope + 1j * radius) * turned,
        side * (bend - radius + 2j * slope) * turned,
    )
    return fastest(curve, readouts, from_rest=not both, echo_in_middle=both)


def _petals(readouts: Readouts, petals: int) -> Ride:
    """The rosette's curve; each petal is turned against the one before by a step that visits all directions."""
    steps = [step for step in range(1, petals) if gcd(step, petals) == 1]
    nu = min((1.0 - 2.0 * step / petals for step in steps), key=lambda value: abs(value - 0.5))
    phi = np.linspace(0.0, petals * np.pi, max(_MIN_POINTS, _POINTS_A_TURN * petals) + 1)
    turned = readouts.k_max_per_m * np.exp(1j * nu * phi)
    sine, cosine = np.sin(phi), np.cos(phi)
    curve = analytic_curve(
        phi,
        sine * turned,
        (cosine + 1j * nu * sine) * turned,
        (2j * nu * cosine - (1 + nu * nu) * sine) * turned,
    )
    return fastest(curve, readouts)
