"""The choice of lines of a run: Algorithm 1, then swaps that prove themselves on validation images; both resumable."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.learn.line_scores import LineScores
from seqopt.learn.select import Selection, selections
from seqopt.learn.swaps import Refinement, Swap, refinements
from seqopt.learn.targets import make_target
from seqopt.learn.train_task import Task
from seqopt.workflows.mask_run import MaskRun

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The nested order before and after its swaps, and what they were worth."""

    selected: IntArray
    order: IntArray
    curve: tuple[tuple[int, float], ...]
    """(lines, target over the training images)."""
    passes: int
    """Forward and backward over the training images, those of the swaps included."""
    trials: int = 0
    """Forward passes over the training images to try candidates."""
    swaps: tuple[Swap, ...] = ()
    before: float | None = None
    """The target on the validation images; None where no swap was to be tried."""
    after: float | None = None

    def facts(self) -> dict[str, Any]:
        """For the provenance; JSON-able."""
        return {
            "curve": [list(point) for point in self.curve],
            "passes": self.passes,
            "trials": self.trials,
            "order_before_swaps": self.selected.tolist(),
            "swaps": [asdict(swap) for swap in self.swaps],
            "validation_target": {"before": self.before, "after": self.after},
        }


def choose_lines(run: MaskRun, network: Task | None) -> Choice:
    """Nested order and swaps for the request's target, or what the checkpoint holds of them."""
    target = make_target(run.request.target, network)
    training, validation = (
        LineScores(run.batches(split), run.acquisition, run.inner(), target, seed=3 * run.request.seed + number)
        for number, split in enumerate(("train", "validation"))
    )
    found = _selected(run, training)
    choice = Choice(
        selected=found.order, order=found.order, curve=found.curve, passes=found.passes, trials=found.trials
    )
    if not run.request.swaps:
        return choice
    better = _refined(run, found.order, training, validation)
    return replace(
        choice,
        order=better.order,
        passes=found.passes + better.passes,
        swaps=better.swaps,
        before=better.before,
        after=better.after,
    )


def _selected(run: MaskRun, training: LineScores) -> Selection:
    request, checkpoint = run.request, run.checkpoint
    if "select" in checkpoint.finished:
        run.watch("select", request.nested, request.nested, "from the checkpoint")
        return _selection(checkpoint.finished["select"])
    state = run.kept("select")
    found = start = None if state is None else _selection(state)
    options = {"calibration": request.central, "per_step": request.per_step, "candidates": request.candidates}
    for found in selections(training, lines=request.nested, start=start, **options):
        lines, value = found.curve[-1]
        tried = f", {len(found.tried)} of {len(found.shortlist)} candidates tried" if found.shortlist else ""
        run.watch("select", min(lines, request.nested), request.nested, f"target {value:.4f}{tried}")
        checkpoint.save("select", selection_state(found))
        run.pause("select", selection_state(found))
    assert found is not None
    checkpoint.finish("select", selection_state(found))
    return found


def _refined(run: MaskRun, order: IntArray, training: LineScores, validation: LineScores) -> Refinement:
    request, checkpoint = run.request, run.checkpoint
    if "swaps" in checkpoint.finished:
        return _refinement(checkpoint.finished["swaps"])
    most = max(request.shots - max(request.central, 1), 1)  # rounds are not bounded; the bar is filled by each swap
    run.watch("swaps", 0, most, "")
    state = run.kept("swaps")
    found = start = None if state is None else _refinement(state)
    options = {"calibration": request.central, "tries": request.recipe.swap_tries}
    sets = {"training": training, "validation": validation}
    for found in refinements(order, request.shots, start=start, **sets, **options):  # type: ignore[arg-type]
        run.watch("swaps", min(len(found.swaps), most), most, f"validation target {found.after:.4f}")
        checkpoint.save("swaps", _refinement_state(found))
        run.pause("swaps", _refinement_state(found))
    assert found is not None
    run.watch("swaps", most, most, f"{len(found.swaps)} swaps")
    checkpoint.finish("swaps", _refinement_state(found))
    return found


def selection_state(found: Selection) -> dict[str, Any]:
    """Numbers and lists only: safe for ``torch.load(weights_only=True)``."""
    curve = [list(point) for point in found.curve]
    lists = {"order": found.order.tolist(), "shortlist": list(found.shortlist), "tried": list(found.tried)}
    return {**lists, "curve": curve, "passes": found.passes, "trials": found.trials}


def _selection(saved: dict[str, Any]) -> Selection:
    return Selection(
        np.array(saved["order"], np.int64),
        curve=tuple((int(lines), float(value)) for lines, value in saved["curve"]),
        passes=int(saved["passes"]),
        trials=int(saved["trials"]),
        shortlist=tuple(saved["shortlist"]),
        tried=tuple(saved["tried"]),
    )


def _refinement_state(found: Refinement) -> dict[str, Any]:
    untried = None if found.untried is None else [list(pair) for pair in found.untried]
    lists = {"order": found.order.tolist(), "each": list(found.each), "untried": untried}
    numbers = {"before": found.before, "passes": found.passes, "trials": found.trials}
    return {**lists, **numbers, "swaps": [asdict(swap) for swap in found.swaps]}


def _refinement(saved: dict[str, Any]) -> Refinement:
    return Refinement(
        order=np.array(saved["order"], np.int64),
        before=float(saved["before"]),
        each=tuple(saved["each"]),
        swaps=tuple(Swap(**swap) for swap in saved["swaps"]),
        passes=int(saved["passes"]),
        trials=int(saved["trials"]),
        untried=None if saved["untried"] is None else tuple((out, into) for out, into in saved["untried"]),
    )
