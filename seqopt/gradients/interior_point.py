"""Interior-point method for waveforms under amplitude and slew limits, all shots at once.

A piecewise-linear gradient draws a quadratic spline in k-space. In its B-spline coefficients c the gradient is a first,
the slew rate a second difference and k at any time a mean of three neighbours, so that every Newton step is one banded
system: a primal-dual method with Mehrotra's corrector (Vandenberghe, The CVXOPT linear and quadratic cone program
solvers, 2010) needs 10 to 25 of them. Planes are complex numbers, x + i y; each shot keeps its own steps, so that a
shot's result depends neither on the others nor on its angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.gradients.cones import ComplexArray, Cones, FloatArray, inner
from seqopt.gradients.spline_newton import BoolArray, Equations, SplineProgram, StalledError, State

_RELATIVE_GAP = 1e-8  # of the objective: what rounding allows in programs whose limits all bind
_VIOLATION = 1e-9  # of the radii
_SLOPE = 1e-6


@dataclass(frozen=True, kw_only=True)
class SplineSolution:
    """Coefficients with what proves them."""

    coefficients: ComplexArray
    """(shots, all)"""
    gap: FloatArray
    """(shots,) the objective lies at most so far above the least."""
    violation: FloatArray
    """(shots,) largest defect of a pinned mean or a limit, in units of the radii."""
    iterations: int
    history: FloatArray
    """(iterations, shots) gap; NaN once a shot is done."""


def minimise(program: SplineProgram, *, gap: float, most: int = 60, decide: bool = False) -> SplineSolution:
    """Solve until every shot's duality gap is below ``gap`` or 1e-8 of its objective, or ``most`` steps are done.

    To ``decide`` whether a share is above 1 it need be known no better than a tenth of how far it lies from 1.
    The caller judges what comes back: an impossible program ends with a large violation and not with an error.
    """
    equations = Equations(program)
    shots = len(program.linear)
    best = _Best(equations, decide)
    state, active = equations.start(), np.arange(shots)
    history: list[FloatArray] = []
    while len(history) < most and len(active):
        residual = equations.residual(state)
        gaps = inner(state.s, state.z).sum(1)
        history.append(np.full(shots, np.nan))
        history[-1][active] = gaps
        going = best.take(active, state, gaps, equations, residual, gap)
        if not going.all():
            active, state, equations = active[going], state.kept(going), equations.kept(going)
            residual = equations.residual(state)
        while len(active):
            try:
                with np.errstate(all="ignore"):  # what is not finite is told apart in the step
                    state = equations.step(state, residual)
                break
            except StalledError as stalled:  # rounding ended this shot; its best point stands
                going = np.arange(len(active)) != stalled.shot
                active, state, equations = active[going], state.kept(going), equations.kept(going)
                residual = equations.residual(state)
    return best.solution(len(history), np.array(history))


class _Best:
    """Of each shot the best point so far, since rounding makes the last ones worse in very wild programs."""

    def __init__(self, equations: Equations, decide: bool) -> None:
        shots = len(equations.linear)
        self._equations, self._decide = equations, decide
        self._x = np.zeros((shots, equations.program.free), dtype=complex)
        self._merit, self._gap, self._violation = (np.full(shots, np.inf) for _ in range(3))

    def take(
        self,
        shots: npt.NDArray[np.int64],
        state: State,
        gaps: FloatArray,
        equations: Equations,
        residual: tuple[ComplexArray, FloatArray, Cones],
        gap: float,
    ) -> BoolArray:
        """Which shots are to go on."""
        violation, slope = equations.defects(residual)
        objective = equations.objective(state)
        wanted = np.maximum(gap, _RELATIVE_GAP * np.abs(objective))
        ease = np.maximum(1.0, 0.1 * np.abs(objective - 1.0) / wanted) if self._decide else np.ones(len(wanted))
        merit = np.max([gaps / wanted / ease, violation / _VIOLATION / ease, slope / _SLOPE / np.sqrt(ease)], axis=0)
        better = np.isfinite(merit) & (merit < self._merit[shots])
        at = shots[better]
        self._x[at], self._merit[at], self._gap[at] = state.x[better], merit[better], gaps[better]
        self._violation[at] = violation[better]
        return np.asarray(np.isfinite(merit) & (merit > 1.0))

    def solution(self, iterations: int, history: FloatArray) -> SplineSolution:
        return SplineSolution(
            coefficients=self._equations.whole(self._x),
            gap=self._gap,
            violation=self._violation,
            iterations=iterations,
            history=history,
        )
