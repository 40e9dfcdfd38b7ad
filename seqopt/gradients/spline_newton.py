"""The optimality conditions of spline programs and Newton steps on them, all shots in one banded system."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpbtrf, dpbtrs

from seqopt.gradients.cones import (
    ComplexArray,
    Cones,
    FloatArray,
    Scaling,
    divide,
    inner,
    into_interior,
    longest_step,
    product,
    scaling,
)

BoolArray = npt.NDArray[np.bool_]
_STOP_SHORT = 0.99  # of the way to the border of the cones


@dataclass(frozen=True, kw_only=True)
class SplineProgram:
    """Minimise 1/2 c' P c + Re(linear' c) with |first differences| and steepness |second differences| in their radii.

    The coefficients ``head`` and ``tail`` are given, what lies between is sought. With ``row`` a mean of coefficients
    is pinned, ``row @ c = pinned``; with ``share`` all radii are scaled by one number a shot, which is minimised too.
    """

    head: ComplexArray
    """(shots, 0 or 2)"""
    tail: ComplexArray
    """(shots, 0 or 2)"""
    free: int
    """Number of coefficients sought."""
    bands: FloatArray
    """(3, all) diagonal and two lower diagonals of P, over all coefficients."""
    linear: ComplexArray
    """(shots, all)"""
    steepness: float
    grad_radius: FloatArray
    """(all - 1,)"""
    slew_radius: FloatArray
    """(all - 2,)"""
    row: FloatArray | None = None
    """(free,)"""
    pinned: ComplexArray | None = None
    """(shots,)"""
    share: bool = False
    constant: FloatArray | None = None
    """(shots,) of the objective, which makes it one whose least value may be 0."""


@dataclass
class State:
    """Where the method stands: coefficients, border unknowns, slacks and multipliers of the cones."""

    x: ComplexArray
    border: FloatArray
    s: Cones
    z: Cones

    def kept(self, shots: BoolArray) -> State:
        """That of some shots."""
        return State(self.x[shots], self.border[shots], self.s.kept(shots), self.z.kept(shots))


class StalledError(Exception):
    """Rounding made the system of one shot indefinite."""

    def __init__(self, shot: int) -> None:
        super().__init__(shot)
        self.shot = shot


class Equations:
    """The optimality conditions of some shots of a program, and Newton steps on them."""

    def __init__(self, program: SplineProgram, shots: BoolArray | None = None) -> None:
        self.program = program
        chosen = slice(None) if shots is None else shots
        self.head, self.tail = program.head[chosen], program.tail[chosen]
        self.linear = program.linear[chosen]
        self.constant = np.zeros(len(self.linear)) if program.constant is None else program.constant[chosen]
        self.pinned = None if program.pinned is None else program.pinned[chosen]
        first, last = self.head.shape[1], self.head.shape[1] + program.free
        self.inside = slice(first, last)
        total = last + self.tail.shape[1]
        self.grads = slice(max(first - 1, 0), min(last, total - 1))  # differences that hold something sought
        self.radius = np.concatenate([program.grad_radius[self.grads], program.slew_radius])
        self.borders = 2 if program.row is not None else int(program.share)
        fixed = self.whole(np.zeros((len(self.linear), program.free), dtype=complex))
        self.offset = self._differences(fixed)
        self.right = (self.linear + self._quadratic(fixed))[:, self.inside]
        self._chosen = np.ones(len(program.linear), dtype=bool) if shots is None else shots

    def kept(self, going: BoolArray) -> Equations:
        """Those of the shots that go on."""
        chosen = np.zeros(len(self.program.linear), dtype=bool)
        chosen[np.flatnonzero(self._chosen)[going]] = True
        return Equations(self.program, chosen)

    def whole(self, x: ComplexArray) -> ComplexArray:
        """All coefficients."""
        return np.concatenate([self.head, x, self.tail], axis=1)

    def _differences(self, whole: ComplexArray) -> ComplexArray:
        first = np.diff(whole, axis=1)
        return np.concatenate([first[:, self.grads], self.program.steepness * np.diff(first, axis=1)], axis=1)

    def adjoint(self, v: ComplexArray) -> ComplexArray:
        """Of the differences, over what is sought."""
        count = self.grads.stop - self.grads.start
        total = self.program.free + self.head.shape[1] + self.tail.shape[1]
        out = np.zeros((len(v), total), dtype=complex)
        out[:, self.grads.start + 1 : self.grads.stop + 1] += v[:, :count]
        out[:, self.grads] -= v[:, :count]
        second = self.program.steepness * v[:, count:]
        out[:, :-2] += second
        out[:, 1:-1] -= 2 * second
        out[:, 2:] += second
        return np.asarray(out[:, self.inside])

    def _quadratic(self, whole: ComplexArray) -> ComplexArray:
        diagonal, one, two = self.program.bands
        out = diagonal * whole
        out[:, 1:] += one[:-1] * whole[:, :-1]
        out[:, :-1] += one[:-1] * whole[:, 1:]
        out[:, 2:] += two[:-2] * whole[:, :-2]
        out[:, :-2] += two[:-2] * whole[:, 2:]
        return np.asarray(out)

    def linear_differences(self, x: ComplexArray) -> ComplexArray:
        """Change of the differences with what is sought."""
        return self._differences(self.whole(x)) - self.offset

    def residual(self, state: State) -> tuple[ComplexArray, FloatArray, Cones]:
        """What is missing in the equations for x, for the border, and in s = radii and differences."""
        program = self.program
        whole = self.whole(state.x)
        in_x = (self._quadratic(whole) + self.linear)[:, self.inside] - self.adjoint(state.z.v)
        in_border = np.zeros((len(in_x), self.borders))
        share: FloatArray | float = 1.0
        if program.row is not None and self.pinned is not None:
            in_x = in_x + (state.border[:, 0] + 1j * state.border[:, 1])[:, None] * program.row
            missing = state.x @ program.row - self.pinned
            in_border = np.stack([missing.real, missing.imag], -1)
        elif program.share:
            share = state.border[:, :1]
            in_border = 1.0 - (self.radius * state.z.t).sum(1, keepdims=True)
        gap = Cones(state.s.t - share * self.radius, state.s.v - self._differences(whole))
        return in_x, in_border, gap

    def defects(self, residual: tuple[ComplexArray, FloatArray, Cones]) -> tuple[FloatArray, FloatArray]:
        """(shots,) largest defect of a constraint, and of the slope of the objective, relative to that at 0."""
        in_x, in_border, cones = residual
        slope = np.abs(in_x).max(1) / (1.0 + np.abs(self.right).max(1))
        border = np.abs(in_border).max(1) if self.borders else np.zeros(len(in_x))
        if self.program.share:
            slope, border = np.maximum(slope, border), np.zeros(len(in_x))
        violation = np.max([border, np.abs(cones.t).max(1), np.abs(cones.v).max(1)], axis=0)
        return np.asarray(violation), np.asarray(slope)

    def objective(self, state: State) -> FloatArray:
        """Its value, (shots,)."""
        if self.program.share:
            return state.border[:, 0]
        whole = self.whole(state.x)
        energy = (whole.conj() * (0.5 * self._quadratic(whole) + self.linear)).real.sum(1)
        return np.asarray(energy + self.constant)

    def start(self) -> State:
        """The least-squares point of the unscaled system, moved into the cones."""
        shots, cones = self.offset.shape
        flat = Cones(np.zeros((shots, cones)), np.zeros((shots, cones), complex))
        zero = State(np.zeros((shots, self.program.free), complex), np.zeros((shots, self.borders)), flat, flat)
        unscaled = Scaling(np.ones((shots, cones)), Cones(np.ones((shots, cones)), flat.v))
        x, border, _, z = _Newton(self, unscaled).direction(self.residual(zero), flat, np.ones(shots))
        return State(x, border, into_interior(Cones(-z.t, -z.v)), into_interior(z))

    def step(self, state: State, residual: tuple[ComplexArray, FloatArray, Cones]) -> State:
        """One predictor and corrector."""
        scaled = scaling(state.s, state.z)
        broken = ~np.isfinite(scaled.size + scaled.unit.t).all(1)
        if broken.any():
            raise StalledError(int(np.argmax(broken)))
        newton = _Newton(self, scaled)
        point = scaled.forward(state.z)
        square, mean = product(point, point), inner(state.s, state.z).mean(1)
        affine = Cones(-point.t, -point.v)
        _, _, ds, dz = newton.direction(residual, affine, np.ones(len(mean)))
        reach = np.minimum(1.0, np.minimum(longest_step(state.s, ds), longest_step(state.z, dz)))
        centring = (1.0 - reach) ** 3
        second = product(scaled.back(ds), scaled.forward(dz))
        aim = Cones((centring * mean)[:, None] - square.t - second.t, -square.v - second.v)
        dx, dborder, ds, dz = newton.direction(residual, divide(point, aim), 1.0 - centring)
        step = np.minimum(longest_step(state.s, ds), longest_step(state.z, dz))
        step = np.minimum(1.0, _STOP_SHORT * step)[:, None]
        return State(state.x + step * dx, state.border + step * dborder, state.s.plus(ds, step), state.z.plus(dz, step))


class _Newton:
    """The linear system of one scaling, factorised: banded for the coefficients, dense for the border."""

    def __init__(self, equations: Equations, scaled: Scaling) -> None:
        self._equations, self._scaled = equations, scaled
        self._shots, self._size = len(equations.linear), equations.program.free
        self._factor, failed = dpbtrf(self._bands(), lower=1, overwrite_ab=1)
        if failed:
            raise StalledError((failed - 1) // (2 * self._size))
        program = equations.program
        columns = np.zeros((equations.borders, self._shots, self._size), dtype=complex)
        self._dense = np.zeros((self._shots, equations.borders, equations.borders))
        if program.row is not None:
            columns[0], columns[1] = program.row, 1j * program.row
        elif program.share:
            radius = np.broadcast_to(equations.radius, scaled.size.shape)
            pulled = scaled.back(scaled.back(Cones(radius, np.zeros(radius.shape, dtype=complex))))
            columns[0] = equations.adjoint(pulled.v)
            self._dense[:, 0, 0] = (radius * pulled.t).sum(1)
        self._columns = columns
        self._solved = self._solve(columns)
        self._schur = self._dense - np.einsum("psn,qsn->spq", columns.conj(), self._solved).real

    def direction(
        self, residual: tuple[ComplexArray, FloatArray, Cones], target: Cones, keep: FloatArray
    ) -> tuple[ComplexArray, FloatArray, Cones, Cones]:
        """Steps of x, border, s and z that take ``keep`` of the residual away and scaled products to the target."""
        in_x, in_border, in_cones = residual
        equations, scaled, share = self._equations, self._scaled, self._equations.program.share
        part = scaled.forward(target).plus(in_cones, keep[:, None])
        pulled = scaled.back(scaled.back(part))
        right = equations.adjoint(pulled.v) - keep[:, None] * in_x
        below = -keep[:, None] * in_border
        if share:
            below = below + (equations.radius * pulled.t).sum(1, keepdims=True)
        dx = self._solve(right[None])[0]
        dborder = below
        if equations.borders:
            missing = below - np.einsum("psn,sn->sp", self._columns.conj(), dx).real
            try:
                dborder = np.linalg.solve(self._schur, missing[:, :, None])[:, :, 0]
            except np.linalg.LinAlgError:  # rounding cancelled all of it
                raise StalledError(int(np.argmin(np.abs(np.linalg.det(self._schur))))) from None
            dx = dx - np.einsum("sp,psn->sn", dborder, self._solved)
        stretch = dborder * equations.radius if share else np.zeros(part.t.shape)
        ds = Cones(stretch, equations.linear_differences(dx)).plus(in_cones, -keep[:, None])
        dz = scaled.back(target.plus(scaled.back(ds), -1.0))
        return dx, dborder, ds, dz

    def _solve(self, right: ComplexArray) -> ComplexArray:
        """The banded system for (columns, shots, size) right sides."""
        if not len(right):
            return right
        solved, _ = dpbtrs(self._factor, right.reshape(len(right), -1).view(float).T, lower=1)
        return np.ascontiguousarray(solved.T).view(complex).reshape(right.shape)

    def _bands(self) -> FloatArray:
        """(6, shots x size x 2) lower bands, x and y interleaved; shots follow each other and do not couple."""
        equations = self._equations
        blocks = np.zeros((3, 3, self._shots, self._size))  # (coefficient apart, xx or xy or yy)
        bands = equations.program.bands[:, equations.inside]
        blocks[:, 0] = blocks[:, 2] = bands[:, None]
        w, size = self._scaled.unit.v, self._scaled.size
        weights = np.stack([1 + 2 * w.real**2, 2 * w.real * w.imag, 1 + 2 * w.imag**2]) / size**2
        total = self._size + equations.head.shape[1] + equations.tail.shape[1]
        whole = np.zeros((3, 3, self._shots, total))
        count, grads = equations.grads.stop - equations.grads.start, equations.grads
        first, second = weights[:, :, :count], equations.program.steepness**2 * weights[:, :, count:]
        whole[0][:, :, grads] += first
        whole[0][:, :, grads.start + 1 : grads.stop + 1] += first
        whole[1][:, :, grads] -= first
        whole[0][:, :, :-2] += second
        whole[0][:, :, 1:-1] += 4 * second
        whole[0][:, :, 2:] += second
        whole[1][:, :, :-2] -= 2 * second
        whole[1][:, :, 1:-1] -= 2 * second
        whole[2][:, :, :-2] += second
        blocks += whole[:, :, :, equations.inside]
        for apart in (1, 2):
            blocks[apart, :, :, self._size - apart :] = 0.0
        lower = np.zeros((6, self._shots, self._size, 2))
        for apart in range(3):
            xx, xy, yy = blocks[apart]
            lower[2 * apart, ..., 0], lower[2 * apart, ..., 1] = xx, yy
            lower[2 * apart + 1, ..., 0] = xy
            if apart:
                lower[2 * apart - 1, ..., 1] = xy
        return lower.reshape(6, -1)
