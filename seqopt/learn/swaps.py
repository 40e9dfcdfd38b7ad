"""Swaps of lines that prove themselves on other images than those that proposed them; not in the paper of IGS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import central_lines
from seqopt.errors import SeqoptError, reject
from seqopt.learn.line_scores import BoolArray, FloatArray, LineScores
from seqopt.sampling.masks import mask_of, refuse_impossible_mask

IntArray = npt.NDArray[np.int64]
ERRORS = 2.0
"""Standard errors by which the validation target must fall: smaller falls did not last on images that neither proposed
nor proved the swap (benchmarks/igs_swaps.py)."""


@dataclass(frozen=True)
class Swap:
    """One line for another."""

    removed: int
    added: int
    target: float
    """On the validation set, afterwards."""


@dataclass(frozen=True)
class Refinement:
    """What swapping lines brought; finished or not, it goes on from here."""

    order: IntArray
    """The refined lines by their old rank, newcomers without one last; then the rest of the old order."""
    before: float
    """The target on the validation set."""
    each: tuple[float, ...]
    """The target of each validation image by now."""
    swaps: tuple[Swap, ...] = ()
    passes: int = 0
    """Forward and backward over the training set."""
    trials: int = 0
    """Forward passes over the validation set."""
    untried: tuple[tuple[int, int], ...] | None = None
    """Pairs (line to remove, line to add) left of the round under way; None where they are to be ranked anew, empty
    when the last round is over."""

    @property
    def after(self) -> float:
        """The target on the validation set, by now."""
        return float(np.mean(self.each))

    @property
    def gain(self) -> float:
        """By how much the validation target fell, 0 or more."""
        return self.before - self.after


def refine(order: IntArray, shots: int, **options: Any) -> Refinement:
    """The last of the ``refinements``, which take the same options."""
    *_, last = refinements(order, shots, **options)
    return last


def refinements(
    order: IntArray,
    shots: int,
    *,
    training: LineScores,
    validation: LineScores,
    calibration: int = 0,
    tries: int = 4,
    errors: float = ERRORS,
    start: Refinement | None = None,
) -> Iterator[Refinement]:
    """Swap lines of the mask ``order[:shots]`` while the validation target falls; yields after each pass.

    The derivative on the training set ranks the lines that may go, largest first, and those that may come, smallest
    first. Of their pairs the ``tries`` that promise most are tried in turn; the first that lowers the validation target
    by more than ``errors`` standard errors of the mean difference, image by image, is kept, and a round without one is
    the last. The lines that ``selections`` sets at the start stay. Any yielded state is a ``start`` from which the same
    refinement goes on. Raises `SeqoptError` for more shots than the order has.
    """
    refuse_impossible_mask(training.lines, shots, calibration)
    if shots > len(order):
        raise reject("shots to refine", got=shots, expected=f"1..{len(order)}", remedy="select more lines first")
    if training.lines != validation.lines:
        raise SeqoptError(f"validation images have {validation.lines} lines, those of training {training.lines}")
    fixed = central_lines(training.lines, max(calibration, 1))
    found = start or _unrefined(order, shots, validation)
    yield found
    while found.untried != ():
        mask = mask_of(found.order[:shots], training.lines)
        if found.untried is None:
            pairs = _promising(training.gradient(mask)[1], mask, fixed)[:tries]
            found = replace(found, passes=found.passes + 1, untried=tuple(pairs))
        else:
            found = _tried(found, order, mask, validation, errors)
        yield found


def _unrefined(order: IntArray, shots: int, validation: LineScores) -> Refinement:
    each = validation.values(mask_of(order[:shots], validation.lines))
    return Refinement(order=np.asarray(order), before=float(np.mean(each)), each=tuple(each.tolist()), trials=1)


def _tried(found: Refinement, order: IntArray, mask: BoolArray, validation: LineScores, errors: float) -> Refinement:
    """One forward pass with the next pair swapped."""
    assert found.untried
    (removed, added), *rest = found.untried
    other = mask.copy()
    other[[removed, added]] = False, True
    each = validation.values(other)
    difference = each - np.array(found.each)
    if -difference.mean() <= errors * _standard_error(difference):
        return replace(found, trials=found.trials + 1, untried=tuple(rest))
    return Refinement(
        order=_by_old_rank(order, other),
        before=found.before,
        each=tuple(each.tolist()),
        swaps=(*found.swaps, Swap(removed, added, float(np.mean(each)))),
        passes=found.passes,
        trials=found.trials + 1,
    )


def _standard_error(values: FloatArray) -> float:
    """Of the mean; 0 for a single value, of which nothing is known."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _promising(gradient: FloatArray, mask: BoolArray, fixed: IntArray) -> list[tuple[int, int]]:
    """Pairs (line to remove, line to add), the largest fall of the target to first order first."""
    removable, unset = np.setdiff1d(np.flatnonzero(mask), fixed), np.flatnonzero(~mask)
    change = gradient[unset][None, :] - gradient[removable][:, None]
    order = np.argsort(change, axis=None, kind="stable")
    return [(int(removable[i]), int(unset[j])) for i, j in zip(*np.unravel_index(order, change.shape), strict=True)]


def _by_old_rank(order: IntArray, mask: BoolArray) -> IntArray:
    newcomers = np.setdiff1d(np.flatnonzero(mask), order)
    return np.concatenate([order[mask[order]], newcomers, order[~mask[order]]])
