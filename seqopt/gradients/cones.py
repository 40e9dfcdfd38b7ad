"""Second-order cones {(t, v): |v| <= t} with v in the plane as a complex number: what interior-point steps need.

Scaling after Nesterov and Todd as in Vandenberghe, The CVXOPT linear and quadratic cone program solvers (2010),
sections 4 and 5, for many small cones at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]


class Cones(NamedTuple):
    """One vector (t, v) a cone; arrays (shots, cones)."""

    t: FloatArray
    v: ComplexArray

    def plus(self, other: Cones, factor: FloatArray | float = 1.0) -> Cones:
        """Self + factor other."""
        return Cones(self.t + factor * other.t, self.v + factor * other.v)

    def kept(self, shots: npt.NDArray[np.bool_]) -> Cones:
        """Those of some shots."""
        return Cones(self.t[shots], self.v[shots])


def inner(a: Cones, b: Cones) -> FloatArray:
    """Inner product of each cone's pair."""
    return np.asarray(a.t * b.t + (a.v.conj() * b.v).real)


def room(a: Cones) -> FloatArray:
    """t^2 - |v|^2 without cancellation; positive inside."""
    length = np.abs(a.v)
    return np.asarray((a.t - length) * (a.t + length))


def product(a: Cones, b: Cones) -> Cones:
    """Jordan product, whose unit is (1, 0)."""
    return Cones(inner(a, b), a.t * b.v + b.t * a.v)


def divide(a: Cones, b: Cones) -> Cones:
    """The c for which a o c = b."""
    t = (a.t * b.t - (a.v.conj() * b.v).real) / room(a)
    return Cones(t, (b.v - t * a.v) / a.t)


def longest_step(a: Cones, step: Cones) -> FloatArray:
    """(shots,) the largest factor with which every cone of a + factor step stays inside."""
    curve = step.t**2 - np.abs(step.v) ** 2
    slope = a.t * step.t - (a.v.conj() * step.v).real
    left = room(a)
    square = slope**2 - curve * left
    below = np.sqrt(np.maximum(square, 0.0)) - slope
    reach = np.where((square >= 0) & (below > 0), left / np.where(below > 0, below, 1.0), np.inf)
    return np.asarray(reach.min(axis=1))


def into_interior(a: Cones) -> Cones:
    """The nearest shift along the units of all cones of a shot that leaves each of them well inside."""
    depth = (np.abs(a.v) - a.t).max(axis=1, keepdims=True)
    return Cones(a.t + np.where(depth >= -1e-8 * np.abs(a.t).max(axis=1, keepdims=True), 1.0 + depth, 0.0), a.v)


class Scaling(NamedTuple):
    """The W with W z = W^-1 s: size (shots, cones) and a hyperbolic unit vector."""

    size: FloatArray
    unit: Cones

    def forward(self, a: Cones) -> Cones:
        """W a."""
        along = (self.unit.v.conj() * a.v).real
        turned = a.v + self.unit.v * (a.t + along / (1.0 + self.unit.t))
        return Cones(self.size * (self.unit.t * a.t + along), self.size * turned)

    def back(self, a: Cones) -> Cones:
        """W^-1 a."""
        along = (self.unit.v.conj() * a.v).real
        turned = a.v + self.unit.v * (along / (1.0 + self.unit.t) - a.t)
        return Cones((self.unit.t * a.t - along) / self.size, turned / self.size)


def scaling(s: Cones, z: Cones) -> Scaling:
    """Scaling point of two interior points."""
    s_size, z_size = np.sqrt(room(s)), np.sqrt(room(z))
    s_unit, z_unit = Cones(s.t / s_size, s.v / s_size), Cones(z.t / z_size, z.v / z_size)
    between = np.sqrt((1.0 + inner(s_unit, z_unit)) / 2.0)
    unit = Cones((s_unit.t + z_unit.t) / (2 * between), (s_unit.v - z_unit.v) / (2 * between))
    return Scaling(np.sqrt(s_size / z_size), unit)
