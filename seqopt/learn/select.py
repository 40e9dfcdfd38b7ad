"""Which phase-encoding lines to acquire: greedily, all candidates scored by one gradient, then refined by swaps.

Source: Razumov, Rogov, Dylov, "Optimal MRI Undersampling Patterns for Ultimate Benefit of Medical Vision Tasks", 2022
(IGS), Algorithm 1. Calibration lines, several lines a step and swaps are not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError, reject
from seqopt.learn.line_scores import BoolArray, FloatArray, LineScores
from seqopt.sampling.masks import central_lines, centre_out, refuse_impossible_mask

IntArray = npt.NDArray[np.int64]

TIE = 1e-5
"""Gradients that differ by less than this share of the largest one are equal: float32 cannot tell them apart."""


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


@dataclass(frozen=True)
class Swap:
    """One line for another."""

    removed: int
    added: int
    target: float
    """On the validation set, afterwards."""


@dataclass(frozen=True)
class Refinement:
    """What swapping lines brought."""

    order: IntArray
    """The refined lines by their old rank, newcomers without one last; then the rest of the old order."""
    swaps: tuple[Swap, ...]
    before: float
    """The target on the validation set."""
    after: float
    passes: int
    """Forward and backward over the training set."""

    @property
    def gain(self) -> float:
        """By how much the validation target fell, 0 or more."""
        return self.before - self.after


def select(
    scores: LineScores,
    *,
    lines: int,
    calibration: int = 0,
    per_step: int = 1,
    start: Selection | None = None,
    each: Callable[[int, float], None] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Selection:
    """The nested order of the first ``lines`` lines; ``each(lines set, target)`` watches, ``stop`` ends it early.

    See ``selections``. What a stopped run returns is a ``start`` for the next.
    """
    found = start
    for found in selections(scores, lines=lines, calibration=calibration, per_step=per_step, start=start):
        each(*found.curve[-1])
        if stop():
            break
    assert found is not None
    return found


def selections(
    scores: LineScores, *, lines: int, calibration: int = 0, per_step: int = 1, start: Selection | None = None
) -> Iterator[Selection]:
    """Algorithm 1 after each of its passes; any of them is a ``start`` from which the same choice goes on.

    The ``calibration`` central lines are set first, for 0 the line N/2 alone. Each pass then sets the ``per_step``
    unset lines of the most negative derivative; one is set even where no derivative is negative, since the scan is to
    have that many lines. Equal derivatives (`TIE`) go to the lower frequency, then to the lower line: a magnitude image
    without noise cannot tell k from -k.
    Raises `SeqoptError` for more lines than the images have, and for a start that does not begin with the same lines.
    """
    _refuse_bad_request(scores, lines, calibration, per_step)
    rank = np.argsort(centre_out(scores.lines))
    fixed = centre_out(scores.lines)[: max(calibration, 1)]
    found = start or Selection(order=fixed)
    _refuse_bad_start(found, fixed, lines, scores.lines)
    while len(found.order) < lines:
        value, gradient = scores.gradient(_mask(found.order, scores.lines))
        order, curve = list(found.order), (*found.curve, (len(found.order), value))
        for _ in range(min(per_step, lines - len(order))):
            order.append(_best(gradient, np.setdiff1d(np.arange(scores.lines), order), rank))
        found = Selection(np.array(order), curve, found.passes + 1)
        yield found
    if not found.curve or found.curve[-1][0] < len(found.order):
        last = (len(found.order), scores.value(_mask(found.order, scores.lines)))
        found = replace(found, curve=(*found.curve, last))
    yield found


def refine(
    order: IntArray,
    shots: int,
    *,
    training: LineScores,
    validation: LineScores,
    calibration: int = 0,
    tries: int = 4,
    each: Callable[[Swap], None] = lambda _: None,
) -> Refinement:
    """Swap lines of the mask ``order[:shots]`` as long as the target falls on the validation set.

    The derivative on the training set ranks the lines that may go, largest first, and those that may come, smallest
    first. Of their pairs the ``tries`` that promise most are tried in turn; the first that lowers the validation target
    is kept, and a round without one is the last. The lines that ``selections`` sets at the start stay.
    Raises `SeqoptError` for more shots than the order has.
    """
    refuse_impossible_mask(training.lines, shots, calibration)
    if shots > len(order):
        raise reject("shots to refine", got=shots, expected=f"1..{len(order)}", remedy="select more lines first")
    if training.lines != validation.lines:
        raise SeqoptError(f"validation images have {validation.lines} lines, those of training {training.lines}")
    fixed = central_lines(training.lines, max(calibration, 1))
    mask = _mask(order[:shots], training.lines)
    before = after = validation.value(mask)
    swaps: list[Swap] = []
    passes, better = 0, True
    while better:
        gradient, passes, better = training.gradient(mask)[1], passes + 1, False
        for removed, added in _promising(gradient, mask, fixed)[:tries]:
            other = mask.copy()
            other[[removed, added]] = False, True
            value = validation.value(other)
            if value < after:
                mask, after, better = other, value, True
                swaps.append(Swap(removed, added, value))
                each(swaps[-1])
                break
    return Refinement(_by_old_rank(order, mask), tuple(swaps), before, after, passes)


def _best(gradient: FloatArray, free: IntArray, rank: IntArray) -> int:
    """The free line of the most negative derivative; among equals the one of lowest rank."""
    equal = free[gradient[free] <= gradient[free].min() + TIE * np.abs(gradient[free]).max()]
    return int(equal[np.argmin(rank[equal])])


def _promising(gradient: FloatArray, mask: BoolArray, fixed: IntArray) -> list[tuple[int, int]]:
    """Pairs (line to remove, line to add), the largest fall of the target to first order first."""
    removable, unset = np.setdiff1d(np.flatnonzero(mask), fixed), np.flatnonzero(~mask)
    change = gradient[unset][None, :] - gradient[removable][:, None]
    order = np.argsort(change, axis=None, kind="stable")
    return [(int(removable[i]), int(unset[j])) for i, j in zip(*np.unravel_index(order, change.shape), strict=True)]


def _by_old_rank(order: IntArray, mask: BoolArray) -> IntArray:
    newcomers = np.setdiff1d(np.flatnonzero(mask), order)
    return np.concatenate([order[mask[order]], newcomers, order[~mask[order]]])


def _mask(order: IntArray, lines: int) -> BoolArray:
    mask = np.zeros(lines, dtype=bool)
    mask[order] = True
    return mask


def _refuse_bad_request(scores: LineScores, lines: int, calibration: int, per_step: int) -> None:
    refuse_impossible_mask(scores.lines, lines, calibration)
    if per_step < 1:
        raise reject("lines a step", got=per_step, expected="1 or more", remedy="1 is the paper's")


def _refuse_bad_start(start: Selection, fixed: IntArray, lines: int, matrix: int) -> None:
    order = start.order
    known = len(np.unique(order)) == len(order) <= lines and order.min() >= 0 and order.max() < matrix
    if not known or not np.array_equal(order[: len(fixed)], fixed):
        raise SeqoptError(
            f"start of the choice: got lines {order.tolist()}, expected at most {lines}, each once, led by "
            f"{fixed.tolist()}; start anew, or with the calibration and the lines of then"
        )
