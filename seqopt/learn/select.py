"""Which phase-encoding lines to acquire: greedily, all of them scored by one gradient.

Source: Razumov, Rogov, Dylov, "Optimal MRI Undersampling Patterns for Ultimate Benefit of Medical Vision Tasks", 2022
(IGS), Algorithm 1. Calibration lines, several lines a step and several candidates are not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError, reject
from seqopt.learn.line_scores import FloatArray, LineScores
from seqopt.sampling.masks import centre_out, mask_of, refuse_impossible_mask

IntArray = npt.NDArray[np.int64]

TIE = 1e-5
"""Gradients that differ by less than this share of the largest one are equal: float32 cannot tell them apart."""
EQUAL = 1e-6
"""So are targets that differ by less than this share."""


@dataclass(frozen=True)
class Selection:
    """Lines in the order in which they entered; finished or not, the choice goes on from here."""

    order: IntArray
    """(n,) line numbers, the most valuable first: the first m are the mask of m lines. The lines set at the start lead,
    lowest frequency first."""
    curve: tuple[tuple[int, float], ...] = ()
    """(lines, target over the training set), one a pass."""
    passes: int = 0
    """Forward and backward over the whole training set; the last point of the curve needs forward alone."""
    trials: int = 0
    """Forward passes over the training set, each with one candidate added."""
    shortlist: tuple[int, ...] = ()
    """Candidates of the step under way, the most negative derivative first; empty between steps."""
    tried: tuple[float, ...] = ()
    """The target with each of the first of them added."""


def select(
    scores: LineScores,
    *,
    lines: int,
    calibration: int = 0,
    per_step: int = 1,
    candidates: int = 1,
    start: Selection | None = None,
    each: Callable[[int, float], None] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Selection:
    """The nested order of the first ``lines`` lines; ``each(lines set, target)`` watches, ``stop`` ends it early.

    See ``selections``. What a stopped run returns is a ``start`` for the next.
    """
    found = start
    options = {"calibration": calibration, "per_step": per_step, "candidates": candidates}
    for found in selections(scores, lines=lines, start=start, **options):
        if not found.shortlist:
            each(*found.curve[-1])
        if stop():
            break
    assert found is not None
    return found


def selections(
    scores: LineScores,
    *,
    lines: int,
    calibration: int = 0,
    per_step: int = 1,
    candidates: int = 1,
    start: Selection | None = None,
) -> Iterator[Selection]:
    """Algorithm 1 after each of its passes; any of them is a ``start`` from which the same choice goes on.

    The ``calibration`` central lines are set first, for 0 the line N/2 alone. Each pass then sets the ``per_step``
    unset lines of the most negative derivative; one is set even where no derivative is negative, since the scan is to
    have that many lines. The derivative promises to first order only: of several ``candidates`` each is tried by a
    forward pass, and those with the lowest target are set. Equal derivatives (`TIE`) and targets (`EQUAL`) go to the
    lower frequency, then to the lower line: a magnitude image without noise cannot tell k from -k.
    Raises `SeqoptError` for more lines than the images have, and for a start that does not begin with the same lines.
    """
    refuse_impossible_mask(scores.lines, lines, calibration)
    refuse_bad_steps(per_step, candidates)
    fixed = centre_out(scores.lines)[: max(calibration, 1)]
    found = start or Selection(order=fixed)
    _refuse_bad_start(found, fixed, lines, scores.lines)
    while len(found.order) < lines:
        entering = min(per_step, lines - len(found.order))
        if found.shortlist:
            found = _tried(scores, found, entering)
        else:
            found = _scored(scores, found, entering, candidates)
        yield found
    if not found.curve or found.curve[-1][0] < len(found.order):
        last = (len(found.order), scores.value(mask_of(found.order, scores.lines)))
        found = replace(found, curve=(*found.curve, last))
    yield found


def _scored(scores: LineScores, found: Selection, entering: int, candidates: int) -> Selection:
    """One forward and backward pass: the best lines enter, or become candidates where there are more of them."""
    value, gradient = scores.gradient(mask_of(found.order, scores.lines))
    rank = np.argsort(centre_out(scores.lines))
    free = np.setdiff1d(np.arange(scores.lines), found.order)
    best: list[int] = []
    for _ in range(min(max(candidates, entering), len(free))):
        best.append(_best(gradient, np.setdiff1d(free, best), rank))
    curve = (*found.curve, (len(found.order), value))
    if len(best) > entering:
        return replace(found, curve=curve, passes=found.passes + 1, shortlist=tuple(best))
    return replace(found, curve=curve, passes=found.passes + 1, order=np.append(found.order, best))


def _tried(scores: LineScores, found: Selection, entering: int) -> Selection:
    """One forward pass with the next candidate added; after the last of them the best enter, the best first."""
    line = found.shortlist[len(found.tried)]
    tried = (*found.tried, scores.value(mask_of(np.append(found.order, line), scores.lines)))
    if len(tried) < len(found.shortlist):
        return replace(found, trials=found.trials + 1, tried=tried)
    values, order = np.array(tried), found.order
    for _ in range(entering):
        best = np.flatnonzero(values <= values.min() + EQUAL * np.abs(values.min()))[0]
        order, values[best] = np.append(order, found.shortlist[best]), np.inf
    return replace(found, trials=found.trials + 1, order=order, shortlist=(), tried=())


def _best(gradient: FloatArray, free: IntArray, rank: IntArray) -> int:
    """The free line of the most negative derivative; among equals the one of lowest rank."""
    equal = free[gradient[free] <= gradient[free].min() + TIE * np.abs(gradient[free]).max()]
    return int(equal[np.argmin(rank[equal])])


def refuse_bad_steps(per_step: int, candidates: int) -> None:
    """Raise `SeqoptError` for less than one line a step, and for fewer candidates than it sets unless none is tried."""
    if per_step < 1:
        raise reject("lines a step", got=per_step, expected="1 or more", remedy="1 is the paper's")
    if candidates != 1 and candidates < per_step:
        expected = f"{per_step} or more, as many as enter at a step" if candidates > 1 else "1 or more"
        raise reject("candidates", got=candidates, expected=expected, remedy="1 tries none, as the paper")


def _refuse_bad_start(start: Selection, fixed: IntArray, lines: int, matrix: int) -> None:
    order = start.order
    known = len(np.unique(order)) == len(order) <= lines and order.min() >= 0 and order.max() < matrix
    if not known or not np.array_equal(order[: len(fixed)], fixed):
        raise SeqoptError(
            f"start of the choice: got lines {order.tolist()}, expected at most {lines}, each once, led by "
            f"{fixed.tolist()}; start anew, or with the calibration and the lines of then"
        )
