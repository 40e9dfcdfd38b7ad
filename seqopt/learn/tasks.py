"""What the images are for: a network that was trained on fully sampled images judges reconstructions, and teaches.

Source: Razumov, Rogov, Dylov, 2022 (IGS), section "Targets", there for Cartesian masks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqopt.errors import SeqoptError, reject
from seqopt.recon.unet import EncoderDecoder
from seqopt.registry import Registry

TISSUES = ("GM", "WM")
"""The maps that label an image, as an `ImageSet` names them."""
CLASSES = ("background and CSF", *TISSUES)
"""What each pixel may be; the first is whatever is no tissue."""
STEPS = 100

LabelledBatch = Callable[[int], tuple[Tensor, Tensor]]
"""Step -> images (batch, y, x), complex or magnitude, and tissue maps (batch, tissues, y, x): of the step alone."""


class Segmentation(nn.Module):
    """Which tissue each pixel of a magnitude image shows, by a small U-Net."""

    channels = TISSUES
    classes = CLASSES

    def __init__(self, width: int = 8, levels: int = 4) -> None:
        super().__init__()
        self.network = EncoderDecoder(1, len(CLASSES), channels=width, levels=levels)

    def forward(self, images: Tensor) -> Tensor:
        """Magnitude (batch, y, x) -> logits (batch, classes, y, x).

        Each image is scaled by its intensity-weighted mean, which does not depend on how much of it is background.
        """
        scale = images.square().sum((-2, -1), keepdim=True) / images.sum((-2, -1), keepdim=True).clamp_min(1e-12)
        logits: Tensor = self.network((images / scale.clamp_min(1e-12))[:, None])
        return logits

    def loss(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Soft Dice loss of the tissues plus cross-entropy, means over the images; differentiable in the estimate.

        In: magnitude (batch, y, x); tissue maps (batch, tissues, y, x) in 0..1. Source: the IGS paper, eq. 2 and 3.
        """
        logits, truth = self(estimate), class_maps(labels)
        chance, wanted = logits.softmax(1)[:, 1:].flatten(2), truth[:, 1:].flatten(2)
        overlap = (2.0 * (chance * wanted).sum(-1) + 1.0) / (chance.sum(-1) + wanted.sum(-1) + 1.0)
        total: Tensor = 1.0 - overlap.mean() + functional.cross_entropy(logits, truth)
        return total

    @torch.no_grad()
    def dice(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Dice coefficient of each image and class (batch, classes) by the likeliest class; 1 where both are empty."""
        truth = class_maps(labels).flatten(2)
        found = functional.one_hot(self(estimate).argmax(1), len(CLASSES)).permute(0, 3, 1, 2).flatten(2).to(truth)
        total = found.sum(-1) + truth.sum(-1)
        return torch.where(total > 0, 2.0 * (found * truth).sum(-1) / total.clamp_min(1.0), torch.ones_like(total))

    def freeze(self) -> Segmentation:
        """Itself, from now on a judge that does not learn."""
        return self.eval().requires_grad_(False)


tasks: Registry[type[Segmentation]] = Registry("task")
tasks.register("segmentation")(Segmentation)


def class_maps(tissues: Tensor) -> Tensor:
    """Tissue maps (batch, tissues, y, x) in 0..1 -> each pixel's likeliest class, one-hot (batch, classes, y, x)."""
    if tissues.ndim != 4 or tissues.shape[1] != len(TISSUES):
        raise SeqoptError(
            f"labels of shape {tuple(tissues.shape)}, expected the maps {', '.join(TISSUES)} (batch, tissues, y, x)"
        )
    rest = 1.0 - tissues.sum(1, keepdim=True)
    likeliest = torch.cat([rest, tissues], 1).argmax(1)
    return functional.one_hot(likeliest, len(CLASSES)).permute(0, 3, 1, 2).to(tissues)


def train_segmenter(
    batch_of: LabelledBatch,
    *,
    steps: int = STEPS,
    seed: int,
    device: torch.device | str = "cpu",
    rate: float = 3e-2,
    each: Callable[[int, float], None] = lambda *_: None,
    **sizes: int,
) -> Segmentation:
    """A frozen `Segmentation` of these ``sizes``, trained on fully sampled images; ``each(steps done, loss)`` watches.

    The result depends on the seed and the batches alone. Raises `SeqoptError` when there is no step or it diverges.
    """
    if steps < 1:
        raise reject("steps of the segmentation network", got=steps, expected="1 or more", remedy=f"{STEPS} is usual")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        task = Segmentation(**sizes).to(device)
        optimiser = torch.optim.Adam(task.parameters(), rate)
        for index in range(steps):
            rise = min(1.0, (index + 1) / 10)
            optimiser.param_groups[0]["lr"] = rate * rise * (0.02 + 0.49 * (1.0 + math.cos(math.pi * index / steps)))
            images, labels = (one.to(device) for one in batch_of(index))
            loss = task.loss(images.abs(), labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if not bool(torch.isfinite(loss)):
                raise SeqoptError(f"the segmentation network diverged at step {index}; check the images")
            each(index + 1, float(loss.detach()))
    return task.freeze()
