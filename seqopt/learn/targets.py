"""What a mask is chosen for: losses of reconstructions by name, through a frozen network where they need one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqopt.errors import SeqoptError
from seqopt.learn.losses import image_loss, image_losses, nmse, psnr, ssim
from seqopt.learn.recipe import parse_loss
from seqopt.learn.tasks import Classification, Segmentation
from seqopt.learn.train_task import Task
from seqopt.registry import Registry

Target = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Estimate and truth (batch, y, x), magnitudes; labels or None -> scalar, the mean over the images."""
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

targets: Registry[Callable[[Task | None], Target]] = Registry("target")
"""Each makes its loss from the frozen network of the task."""


def _of_images(name: str) -> Callable[[Task | None], Target]:
    return lambda task: lambda estimate, truth, labels: image_loss(estimate, truth, {name: 1.0})


for _name in image_losses:
    targets.register(_name)(_of_images(_name))


@targets.register("psnr")
def _psnr(task: Task | None) -> Target:
    """Less PSNR, in dB."""
    return lambda estimate, truth, labels: -psnr(estimate, truth).mean()


@targets.register("dice")
def _dice(task: Task | None) -> Target:
    if not isinstance(task, Segmentation):
        raise _needs("dice", "segmentation")
    return lambda estimate, truth, labels: task.dice_loss(estimate, _given(labels, "dice"))


@targets.register("cross-entropy")
def _cross_entropy(task: Task | None) -> Target:
    if task is None:
        raise _needs("cross-entropy", "segmentation or classification")
    return lambda estimate, truth, labels: task.cross_entropy(estimate, _given(labels, "cross-entropy"))


@targets.register("soft-hinge")
def _soft_hinge(task: Task | None) -> Target:
    if not isinstance(task, Classification):
        raise _needs("soft-hinge", "classification")
    return lambda estimate, truth, labels: task.soft_hinge(estimate, _given(labels, "soft-hinge"))


def _needs(name: str, task: str) -> SeqoptError:
    return SeqoptError(f"target {name!r} needs a network for {task}; choose that task, or l1, ssim, mse or psnr")


def _given(labels: Tensor | None, name: str) -> Tensor:
    if labels is None:
        raise SeqoptError(f"target {name!r} needs labels; give labelled images")
    return labels


def parse_target(text: str) -> dict[str, float]:
    """``"dice=1,ssim=0.5"`` -> weights by name; a name alone counts 1. Raises `SeqoptError` for what is unknown."""
    weights = parse_loss(text, list(targets))
    if not any(weight > 0 for weight in weights.values()) or any(not 0 <= w < np.inf for w in weights.values()):
        raise SeqoptError(f"target {text!r}: weights must be 0 or more, and one above 0; write for example dice=1")
    return weights


def make_target(weights: Mapping[str, float], task: Task | None = None) -> Target:
    """The weighted sum of targets by name, those that need one through ``task``; raises where the task does not fit."""
    terms = [(weight, targets[name](task)) for name, weight in weights.items()]

    def target(estimate: Tensor, truth: Tensor, labels: Tensor | None) -> Tensor:
        return torch.stack([weight * term(estimate, truth, labels) for weight, term in terms]).sum()

    return target


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good reconstructions are."""

    each: Mapping[str, FloatArray]
    """By name, the score of every image (n,): PSNR in dB, SSIM, NMSE; with a task Dice of each structure, or whether
    the image was classified rightly, 1 or 0."""
    overall: Mapping[str, float]
    """The means of these over the images; with a task the mean Dice of the structures, or F1 and accuracy."""


@torch.no_grad()
def score(
    estimate: Tensor, truth: Tensor, labels: Tensor | None = None, task: Task | None = None, *, batch: int = 16
) -> Scores:
    """Judge magnitudes (n, y, x) by the fully sampled ones and by their labels through the network of a task."""
    each: dict[str, FloatArray] = {
        "PSNR": _numbers(psnr(estimate, truth)),
        "SSIM": _numbers(ssim(estimate, truth)),
        "NMSE": _numbers(nmse(estimate, truth)),
    }
    more: dict[str, float] = {}
    if isinstance(task, Segmentation):
        pairs = zip(_parts(estimate, batch), _parts(_given(labels, "dice"), batch), strict=True)
        dice = _numbers(torch.cat([task.dice(one, label) for one, label in pairs]))[:, 1:]
        each |= {f"Dice {name}": dice[:, place] for place, name in enumerate(task.classes[1:])}
        more = {"Dice": float(dice.mean())}
    elif isinstance(task, Classification):
        known = _given(labels, "accuracy").cpu().numpy()
        found = torch.cat([task.classify(one) for one in _parts(estimate, batch)]).cpu().numpy()
        each["accuracy"] = (found == known).astype(np.float64)
        more = {"F1": macro_f1(found, known, range(len(task.classes)))}
    return Scores(each=each, overall={name: float(values.mean()) for name, values in each.items()} | more)


def macro_f1(found: IndexArray, known: IndexArray, classes: Collection[int] | Sequence[int]) -> float:
    """Mean over the classes of F1 = 2 TP / (2 TP + FP + FN), of class numbers (n,); 1 for a class not in either."""
    values = []
    for number in classes:
        hits = int(((found == number) & (known == number)).sum())
        total = int((found == number).sum() + (known == number).sum())
        values.append(2.0 * hits / total if total else 1.0)
    return float(np.mean(values))


def _parts(values: Tensor, size: int) -> list[Tensor]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _numbers(values: Tensor) -> FloatArray:
    return values.double().cpu().numpy()
