"""The choice of lines of a run: Algorithm 1, then swaps that prove themselves on validation images; both resumable."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.learn.line_scores import LineScores
from seqopt.learn.select import Selection, Swap, refine, selections
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
    swaps: tuple[Swap, ...] = ()
    before: float | None = None
    """The target on the validation images; None where no swap was to be tried."""
    after: float | None = None

    def facts(self) -> dict[str, Any]:
        """For the provenance; JSON-able."""
        return {
            "curve": [list(point) for point in self.curve],
            "passes": self.passes,
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
    if not run.request.swaps:
        return Choice(selected=found.order, order=found.order, curve=found.curve, passes=found.passes)
    return _refined(run, found, training, validation)


def _selected(run: MaskRun, training: LineScores) -> Selection:
    request, checkpoint = run.request, run.checkpoint
    if "select" in checkpoint.finished:
        run.watch("select", request.nested, request.nested, "from the checkpoint")
        return _selection(checkpoint.finished["select"])
    start = _selection(checkpoint.state) if checkpoint.stage == "select" and checkpoint.state else None
    options = {"lines": request.nested, "calibration": request.central, "per_step": request.per_step}
    found = start
    for found in selections(training, start=start, **options):  # type: ignore[arg-type]
        lines, value = found.curve[-1]
        run.watch("select", min(lines, request.nested), request.nested, f"target {value:.4f}")
        checkpoint.save("select", _saved(found))
        run.pause("select", _saved(found))
    assert found is not None
    checkpoint.finish("select", _saved(found))
    return found


def _refined(run: MaskRun, found: Selection, training: LineScores, validation: LineScores) -> Choice:
    request, checkpoint = run.request, run.checkpoint
    if "swaps" not in checkpoint.finished:
        most = request.shots - max(request.central, 1)  # rounds are not bounded; the bar is filled by each swap
        run.watch("swaps", 0, max(most, 1), "")
        made: list[Swap] = []

        def each(swap: Swap) -> None:
            made.append(swap)
            run.watch("swaps", min(len(made), most), max(most, 1), f"validation target {swap.target:.4f}")
            run.pause("swaps")

        better = refine(
            found.order,
            request.shots,
            training=training,
            validation=validation,
            calibration=request.central,
            tries=request.recipe.swap_tries,
            each=each,
        )
        run.watch("swaps", max(most, 1), max(most, 1), f"{len(better.swaps)} swaps")
        checkpoint.finish(
            "swaps",
            {
                "order": better.order.tolist(),
                "swaps": [asdict(swap) for swap in better.swaps],
                "values": [better.before, better.after],
                "passes": better.passes,
            },
        )
    kept = checkpoint.finished["swaps"]
    return Choice(
        selected=found.order,
        order=np.array(kept["order"], np.int64),
        curve=found.curve,
        passes=found.passes + kept["passes"],
        swaps=tuple(Swap(**swap) for swap in kept["swaps"]),
        before=kept["values"][0],
        after=kept["values"][1],
    )


def _saved(found: Selection) -> dict[str, Any]:
    return {"order": found.order.tolist(), "curve": [list(point) for point in found.curve], "passes": found.passes}


def _selection(saved: dict[str, Any]) -> Selection:
    curve = tuple((int(lines), float(value)) for lines, value in saved["curve"])
    return Selection(np.array(saved["order"], np.int64), curve, int(saved["passes"]))
