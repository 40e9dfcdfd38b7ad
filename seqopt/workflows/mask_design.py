"""The design of a Cartesian mask: images -> network -> chosen lines -> judged against baselines -> certified files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Certificate
from seqopt.errors import SeqoptError
from seqopt.learn.train_task import Task
from seqopt.pulseq.cartesian import plan_mask
from seqopt.workflows.mask_choice import Choice, choose_lines
from seqopt.workflows.mask_judging import Judged, candidates, judge_masks, shown_images, taught_masks
from seqopt.workflows.mask_networks import restoring_network, task_network
from seqopt.workflows.mask_outcome import MaskOutcome
from seqopt.workflows.mask_output import write_mask_files
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.mask_run import MaskRun
from seqopt.workflows.run import Watch

Weights = Mapping[str, npt.NDArray[Any]]


def design_mask(
    request: MaskRequest,
    *,
    watch: Watch = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[MaskOutcome, Certificate]:
    """Train, choose, swap, judge, write and certify one mask into ``request.out``.

    ``stop`` is asked after each step; when true, a checkpoint is written and `InterruptedRunError` raised. Everything
    random depends on the seed only, so that a resumed run ends where the unbroken one would have.
    """
    _check_timing(request)
    run = MaskRun.begin(request, watch, stop)
    network = task_network(run)
    choice = choose_lines(run, network)
    masks = candidates(request, choice)
    network = network or restoring_network(run, taught_masks(masks))
    judged, tuned = judge_masks(run, masks, network)
    outcome = _outcome(run, choice, judged, _stored(network, tuned))
    outcome, certificate = write_mask_files(request, outcome, watch=watch, seconds=run.checkpoint.spent_s)
    run.checkpoint.remove()
    return outcome, certificate


def _check_timing(request: MaskRequest) -> None:
    """Refuse a TE, TR, flip angle or dwell that cannot be: now, not after the training."""
    try:
        plan_mask(request.slowest())
    except SeqoptError as error:
        raise SeqoptError(f"{error} (that fits whatever lines are chosen)") from error


def _stored(network: Task | None, tuned: Mapping[str, Any]) -> dict[str, Weights]:
    """Weights for design.h5: of the U-Net that restores, under the name by which `recon` finds it, those tuned."""
    if network is None:
        return {}
    if network.kind == "restoring":
        return {"unet": {name.removeprefix("network."): value.cpu().numpy() for name, value in tuned.items()}}
    states = {"task": network.state_dict(), "task-tuned": tuned}
    return {name: {key: value.cpu().numpy() for key, value in state.items()} for name, state in states.items()}


def _outcome(run: MaskRun, choice: Choice, judged: list[Judged], networks: Mapping[str, Weights]) -> MaskOutcome:
    request, images = run.request, run.images
    test = images.parts["test"]
    shown = shown_images(len(test.images))
    return MaskOutcome(
        design=request.designed(choice.order, target=dict(request.target)),
        task=request.task,
        choice=choice,
        judged=tuple(judged),
        shown=tuple(shown),
        truth=np.abs(test.images[shown].numpy()),
        labels=None if test.labels is None else test.labels[shown].numpy(),
        classes=images.classes,
        networks=networks,
        history=dict(run.checkpoint.history),
        image_source=images.source,
        counts={
            **images.counts,
            "selection": len(images.parts["train"].images),
            "swap validation": len(images.parts["validation"].images),
            "judged": len(test.images),
        },
        noise_sigma=images.noise_sigma,
    )
