"""Judging masks: each through the same noise, reconstructions and networks, tuned with the same budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqopt.learn.targets import Scores, score
from seqopt.learn.tasks import Classification, Segmentation
from seqopt.learn.train_task import Task
from seqopt.recon.cartesian_loop import DEFAULT_REGULARISATION, CartesianCgSense
from seqopt.sampling.masks import baseline_order, mask_of
from seqopt.workflows.mask_choice import Choice
from seqopt.workflows.mask_networks import read_by_network, tuned_network
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.mask_run import MaskRun

BoolArray = npt.NDArray[np.bool_]
FULL, UNREFINED, IGS = "all lines", "IGS before its swaps", "IGS"
BASELINES = {  # shown as: name in `sampling.masks`, whether it is drawn
    "Center": ("center", False),
    "fastMRI equispaced": ("fastmri-equispaced", True),
    "fastMRI random": ("fastmri-random", True),
    "variable density": ("variable-density", True),
}
SHOWN = 3
"""Held-out images in the figures, at most."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One mask to be judged."""

    label: str
    draw: int
    mask: BoolArray


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the judges found about one mask."""

    label: str
    draw: int
    mask: BoolArray
    scores: Mapping[str, Scores]
    """By judge."""
    pictures: Mapping[str, npt.NDArray[Any]]
    """``image`` (shown, y, x) as reconstructed, and ``classes`` (shown, y, x) as segmented after fine-tuning."""


def candidates(request: MaskRequest, choice: Choice) -> list[Candidate]:
    """Every mask to compare: all lines, IGS before and after its swaps, and the baselines with their draws."""
    found = [Candidate(label=FULL, draw=0, mask=np.ones(request.lines, bool))]
    if choice.swaps:
        found.append(Candidate(label=UNREFINED, draw=0, mask=_mask(request, choice.selected)))
    found.append(Candidate(label=IGS, draw=0, mask=_mask(request, choice.order)))
    for label, (name, drawn) in BASELINES.items():
        for draw in range(request.recipe.draws if drawn else 1):
            order = baseline_order(
                name, request.lines, request.shots, calibration=request.central, seed=1000 * request.seed + draw
            )
            found.append(Candidate(label=label, draw=draw, mask=_mask(request, order)))
    return found


def taught_masks(masks: Sequence[Candidate]) -> list[BoolArray]:
    """One mask after another for a network that is to serve all: each kind as often, its draws in turn."""
    kinds: dict[str, list[BoolArray]] = {}
    for one in masks:
        if one.label not in (FULL, UNREFINED):
            kinds.setdefault(one.label, []).append(one.mask)
    rounds = max(len(draws) for draws in kinds.values())
    return [draws[number % len(draws)] for number in range(rounds) for draws in kinds.values()]


def _mask(request: MaskRequest, order: npt.NDArray[np.int64]) -> BoolArray:
    return mask_of(order[: request.shots], request.lines)


def judge_masks(run: MaskRun, masks: Sequence[Candidate], network: Task | None) -> tuple[list[Judged], dict[str, Any]]:
    """Score every mask on the held-out images; also the weights of the network tuned for IGS, empty without one.

    Masks that an interrupted run has judged come from its checkpoint.
    """
    judged: list[Judged] = []
    weights: dict[str, Any] = {}
    steps = run.request.recipe.tune_steps
    for number, one in enumerate(masks):
        key = f"judge {one.label} {one.draw}"

        def each(done: int, loss: float, number: int = number, label: str = one.label) -> None:
            run.watch("judge", number * steps + done, len(masks) * steps, f"{label}: loss {loss:.4f}")

        if key not in run.checkpoint.finished:
            tuned = None
            if network is not None and one.label != FULL:
                tuned = tuned_network(run, network, one.mask, key, each)
            found = _judge(run, one, network, tuned)
            if one.label == IGS and tuned is not None:
                found["weights"] = tuned.state_dict()
            run.checkpoint.finish(key, found)
        kept = run.checkpoint.finished[key]
        weights = kept.get("weights", weights)
        judged.append(_judged(one, kept))
        run.watch("judge", (number + 1) * steps, len(masks) * steps, one.label)
        run.pause("judge")
    return judged, weights


def _judge(run: MaskRun, one: Candidate, network: Task | None, tuned: Task | None) -> dict[str, Any]:
    """Scores by judge and pictures, in a form that a checkpoint can hold."""
    part = run.images.parts["test"]
    truth = part.images.abs()
    scores, pictures = {}, {}
    shown = shown_images(len(truth))
    for judge, estimate, reader in _estimates(run, one.mask, network, tuned):
        found = score(estimate.cpu(), truth, part.labels, reader, batch=run.request.recipe.pass_batch)
        scores[judge] = {
            "each": {name: torch.from_numpy(values) for name, values in _with_mean_dice(found.each).items()},
            "overall": dict(found.overall),
        }
        pictures["image"] = estimate[shown].cpu()
        if isinstance(reader, Segmentation):
            with torch.no_grad():
                pictures["classes"] = reader(estimate[shown]).argmax(1).to(torch.uint8).cpu()
        elif isinstance(reader, Classification):
            pictures["classes"] = reader.classify(estimate[shown]).to(torch.uint8).cpu()
    return {"scores": scores, "pictures": pictures}


def _estimates(
    run: MaskRun, mask: BoolArray, network: Task | None, tuned: Task | None
) -> Iterator[tuple[str, Tensor, Task | None]]:
    """Judge, magnitudes (n, y, x) and the network that reads them; the last one is what the figures show."""
    if run.request.task != "reconstruction":
        estimate = run.reconstruct_test(mask, read_by_network(run))
        for name, reader in (("as trained", network), ("fine-tuned", tuned)):
            if reader is not None:
                yield name, estimate, reader
        return
    recons: dict[str, nn.Module] = {"zero-filled": run.zero_filled()}
    if run.request.coils > 1 and run.request.maps_possible:
        recons["cg-sense"] = CartesianCgSense(run.request.recipe.iterations, DEFAULT_REGULARISATION)
    for name, recon in recons.items():
        yield name, run.reconstruct_test(mask, recon), None
    estimate = run.reconstruct_test(mask, read_by_network(run))
    for name, restorer in (("U-Net", network), ("U-Net fine-tuned", tuned)):
        if restorer is not None:
            with torch.no_grad():
                yield (
                    name,
                    torch.cat([restorer(one) for one in torch.split(estimate, run.request.recipe.pass_batch)]),
                    None,
                )


def _with_mean_dice(each: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, npt.NDArray[np.float64]]:
    structures = [values for name, values in each.items() if name.startswith("Dice ")]
    return {**({"Dice": np.mean(structures, axis=0)} if structures else {}), **each}


def shown_images(count: int) -> list[int]:
    """Numbers of the held-out images that figures show."""
    return sorted({int(place) for place in np.linspace(0, count - 1, SHOWN + 2)[1:-1].round()})


def _judged(one: Candidate, kept: Mapping[str, Any]) -> Judged:
    scores = {
        judge: Scores(each={name: values.numpy() for name, values in found["each"].items()}, overall=found["overall"])
        for judge, found in kept["scores"].items()
    }
    pictures = {name: value.numpy() for name, value in kept["pictures"].items()}
    return Judged(label=one.label, draw=one.draw, mask=one.mask, scores=scores, pictures=pictures)
