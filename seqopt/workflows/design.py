"""The main job: images -> learned, projected, judged trajectory -> certified files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from seqopt.core import Certificate, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.learn.parallel import World, alone, join
from seqopt.pulseq.gre import build_gre, plan_gre
from seqopt.recon.in_loop import CgSense
from seqopt.workflows.certified import certify_unwritten
from seqopt.workflows.design_notices import baseline_notices, planned_notices
from seqopt.workflows.design_outcome import DesignOutcome
from seqopt.workflows.design_output import write_design
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.design_setup import choose_device, images_and_coils, prepare_folder
from seqopt.workflows.judging import judge, tune
from seqopt.workflows.learning import learn, make_recon, make_sampling
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
    tell: Callable[[str], None] | None = None,
) -> tuple[DesignOutcome, Certificate | None]:
    """Learn, project, judge, write and certify one design into ``request.out``.

    ``stop`` is asked after each step; when true, a checkpoint is written and `InterruptedRunError` raised. Everything
    random depends on the seed and the step only, so that a resumed run ends where the unbroken one would have. Of
    several processes the first one writes, and it alone returns a certificate. ``tell`` hears before the training that
    already the fixed trajectory's sequence breaks a limit; without it nobody looks.
    """
    initial = request.initial()
    fixed = request.baseline()
    check_timing(fixed)
    run = _begin(request, watch, stop, world)
    if tell is not None and world.is_first and not request.resume:
        _forewarn(fixed, tell)
    make_sampling(run, initial), make_recon(run, CgSense())  # what does not fit is refused before the time is spent
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
    return _finish(run, outcome)


def judge_baseline(
    request: DesignRequest, *, watch: Watch = lambda *_: None, stop: Callable[[], bool] = lambda: False
) -> None:
    """Judge the initial trajectory alone, as `design` judges its fixed one; leaves design.h5 and scores.json."""
    fixed = request.baseline()
    run = _begin(request, watch, stop, alone)
    run.task = task_of(run)
    found = judge(run, "fixed", fixed, tune(run, fixed))
    scores = {name: {"fixed": one} for name, one in found.scores.items()}
    write_scores(request.out / "scores.json", request, scores, {"fixed": fixed}, seconds=run.checkpoint.spent_s)
    save_design(request.out / "design.h5", fixed, networks=found.networks)
    run.checkpoint.remove()


def check_timing(fixed: TrajectoryDesign) -> None:
    """Refuse a TE, TR or flip angle that cannot be: now, not after the training."""
    try:
        plan_gre(fixed)
    except SeqoptError as error:
        raise SeqoptError(
            f"{error} (of the fixed trajectory, to which the learned one keeps; without --te and --tr you get the "
            "shortest)"
        ) from error


def _forewarn(fixed: TrajectoryDesign, tell: Callable[[str], None]) -> None:
    for notice in planned_notices(fixed.provenance):
        tell(f"{notice}.")
    for notice in baseline_notices(certify_unwritten(build_gre(fixed)[0], fixed)):
        tell(f"{notice}. The learned one starts from it; training goes on.")


def _begin(request: DesignRequest, watch: Watch, stop: Callable[[], bool], world: World) -> Run:
    for batch in (request.recipe.batch, request.recipe.network_batch):
        world.part(batch)  # refuses a batch that the processes cannot share
    device = world.device if world.size > 1 else choose_device(request.device)
    if request.amp and device.type != "cuda":
        raise SeqoptError(f"--amp: got the device {device}, expected a GPU, where bfloat16 is fast; leave out --amp")
    checkpoint = prepare_folder(request, world)
    watch("images", 0, 1, "")
    run = Run(request, *images_and_coils(request, device), checkpoint, watch, stop, world)
    watch("images", 1, 1, run.images.source)
    return run


def _finish(run: Run, outcome: DesignOutcome) -> tuple[DesignOutcome, Certificate | None]:
    """Write everything, in the first process; the others wait for it."""
    request, world, certificate = run.request, run.world, None
    if world.is_first:
        outcome, certificate = write_design(request, outcome, watch=run.watch, seconds=run.checkpoint.spent_s)
        run.checkpoint.remove()
    world.barrier()
    return outcome, certificate
