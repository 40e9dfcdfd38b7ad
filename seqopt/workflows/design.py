"""The main job: images -> learned, projected, judged trajectory -> certified files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from seqopt.core import Certificate, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.learn.parallel import World, alone, join
from seqopt.pulseq.gre import plan_gre
from seqopt.workflows.design_outcome import DesignOutcome
from seqopt.workflows.design_output import write_design
from seqopt.workflows.design_request import DesignRequest, slowest
from seqopt.workflows.design_setup import choose_device, images_and_coils, prepare_folder
from seqopt.workflows.judging import judge, tune
from seqopt.workflows.learning import learn, make_sampling
from seqopt.workflows.run import InterruptedRunError, Run, Watch
from seqopt.workflows.scores import write_scores
from seqopt.workflows.segmentation import task_of
from seqopt.workflows.store import save_design

__all__ = ["InterruptedRunError", "design", "in_company", "judge_baseline"]


@contextmanager
def in_company(request: DesignRequest) -> Iterator[World]:
    """The processes of torchrun or srun that do this request together; alone without them."""
    with join(choose_device(request.device), asked=request.distributed) as world:
        yield world


def design(
    request: DesignRequest,
    *,
    watch: Watch = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
    world: World = alone,
) -> tuple[DesignOutcome, Certificate]:
    """Learn, project, judge, write and certify one design into ``request.out``.

    ``stop`` is asked after each step; when true, a checkpoint is written and `InterruptedRunError` raised. Everything
    random depends on the seed and the step only, so that a resumed run ends where the unbroken one would have. Of
    several processes the first one writes; all return the same.
    """
    began = time.monotonic()
    initial = request.initial()
    fixed = request.designed(initial.k_per_m, initial)
    _check_timing(fixed)
    run = _begin(request, watch, stop, world)
    make_sampling(run, initial)  # refuses a warm start or form that does not fit, before the time is spent
    run.task = task_of(run)

    tuned = {"fixed": tune(run, fixed)}
    learned = learn(run, initial, tuned["fixed"])
    tuned["learned"] = tune(run, learned)
    judged = {which: judge(run, which, one, tuned[which]) for which, one in (("fixed", fixed), ("learned", learned))}
    watch("judge", 2, 2, "")
    outcome = DesignOutcome(
        fixed=fixed,
        learned=learned,
        scores={
            name: {which: found.scores[name] for which, found in judged.items()} for name in judged["fixed"].scores
        },
        cg_settings={which: found.cg_settings for which, found in judged.items()},
        networks={which: found.networks for which, found in judged.items()},
        truth=run.truth("test").abs().cpu().numpy(),
        psf={which: found.psf for which, found in judged.items()},
        history={name: list(points) for name, points in run.checkpoint.history.items()},
        image_source=run.images.source,
        counts={split: len(run.images.splits[split]) for split in run.images.splits},
    )
    return _finish(run, outcome, began)


def judge_baseline(
    request: DesignRequest, *, watch: Watch = lambda *_: None, stop: Callable[[], bool] = lambda: False
) -> None:
    """Judge the initial trajectory alone, as `design` judges its fixed one; leaves design.h5 and scores.json."""
    began = time.monotonic()
    initial = request.initial()
    fixed = request.designed(initial.k_per_m, initial)
    run = _begin(request, watch, stop, alone)
    run.task = task_of(run)
    found = judge(run, "fixed", fixed, tune(run, fixed))
    scores = {name: {"fixed": one} for name, one in found.scores.items()}
    write_scores(request.out / "scores.json", request, scores, seconds=time.monotonic() - began)
    save_design(request.out / "design.h5", fixed, networks=found.networks)
    run.checkpoint.remove()


def _check_timing(fixed: TrajectoryDesign) -> None:
    """Refuse a TE, TR or flip angle that cannot be: now, not after the training."""
    try:
        plan_gre(slowest(fixed))
    except SeqoptError as error:
        raise SeqoptError(
            f"{error} (that fits whatever is learned; without --te and --tr you get the shortest)"
        ) from error


def _begin(request: DesignRequest, watch: Watch, stop: Callable[[], bool], world: World) -> Run:
    for batch in (request.recipe.batch, request.recipe.network_batch):
        world.part(batch)  # refuses a batch that the processes cannot share
    checkpoint = prepare_folder(request, world)
    watch("images", 0, 1, "")
    device = world.device if world.size > 1 else choose_device(request.device)
    run = Run(request, *images_and_coils(request, device), checkpoint, watch, stop, world)
    watch("images", 1, 1, run.images.source)
    return run


def _finish(run: Run, outcome: DesignOutcome, began: float) -> tuple[DesignOutcome, Certificate]:
    """Write everything, in the first process; the others wait for it."""
    request, world = run.request, run.world
    if world.is_first:
        outcome, certificate = write_design(request, outcome, watch=run.watch, seconds=time.monotonic() - began)
        run.checkpoint.remove()
    world.barrier()
    return outcome, certificate
