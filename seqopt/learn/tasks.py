"""What the images are for: a network that was trained on fully sampled images judges reconstructions, and teaches.

Source: Razumov, Rogov, Dylov, 2022 (IGS), section "Targets", there for Cartesian masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seqopt.errors import SeqoptError
from seqopt.learn.train_task import LabelledBatch, Task, Watch, train_task
from seqopt.registry import Registry

TISSUES = ("GM", "WM")
"""The maps that label an image, as an `ImageSet` names them."""
CLASSES = ("background and CSF", *TISSUES)
"""What each pixel may be; the first is whatever is no tissue."""
STEPS = 100


class Segmentation(Task):
    """Which class each pixel of a magnitude image shows, by a small U-Net; the first class is the background.

    Labels are class numbers (batch, y, x), or maps (batch, classes - 1, y, x) in 0..1 of all classes but the first.
    """

    kind = "segmentation"
    rate = 3e-2
    channels = TISSUES

    def __init__(
        self, width: int = 8, levels: int = 4, *, classes: Sequence[str] = CLASSES, network: str = "unet"
    ) -> None:
        super().__init__(network, classes, width=width, levels=levels)

    def loss(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Soft Dice loss of the structures plus cross-entropy, means over the images; differentiable in the estimate.

        In: magnitude (batch, y, x); labels. Source: the IGS paper, eq. 2 and 3.
        """
        logits = self(estimate)
        truth = self._truth(labels, logits)
        return _dice_loss(logits, truth) + functional.cross_entropy(logits, truth)

    def dice_loss(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Soft Dice loss, mean over images and structures (the background is none). Source: the IGS paper, eq. 2."""
        logits = self(estimate)
        return _dice_loss(logits, self._truth(labels, logits))

    def cross_entropy(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the pixels. Source: the IGS paper, eq. 3."""
        logits = self(estimate)
        return functional.cross_entropy(logits, self._truth(labels, logits))

    @torch.no_grad()
    def dice(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Dice coefficient of each image and class (batch, classes) by the likeliest class; 1 where both are empty."""
        logits = self(estimate)
        truth = self._truth(labels, logits).flatten(2)
        found = functional.one_hot(logits.argmax(1), len(self.classes)).permute(0, 3, 1, 2).flatten(2).to(truth)
        total = found.sum(-1) + truth.sum(-1)
        return torch.where(total > 0, 2.0 * (found * truth).sum(-1) / total.clamp_min(1.0), torch.ones_like(total))

    def _truth(self, labels: Tensor, logits: Tensor) -> Tensor:
        return class_maps(labels, self.classes).to(logits)


class Classification(Task):
    """Which class a whole magnitude image belongs to; labels are class numbers (batch,)."""

    kind = "classification"
    rate = 3e-3

    def __init__(
        self, width: int = 8, levels: int = 4, *, classes: Sequence[str], network: str = "residual-classifier"
    ) -> None:
        super().__init__(network, classes, width=width, levels=levels)

    def loss(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy."""
        return self.cross_entropy(estimate, labels)

    def cross_entropy(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the images. Source: the IGS paper, eq. 3."""
        return functional.cross_entropy(self(estimate), self._truth(labels))

    def soft_hinge(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """log(1 + exp(1 - margin)), mean over the images: the hinge with its corner rounded.

        The margin is the logit of the true class less the (soft) largest of the others; with two classes, less the
        other.
        """
        logits, truth = self(estimate), self._truth(labels)
        others = logits.scatter(1, truth[:, None], -torch.inf).logsumexp(1)
        return functional.softplus(1.0 - (logits.gather(1, truth[:, None])[:, 0] - others)).mean()

    @torch.no_grad()
    def classify(self, estimate: Tensor) -> Tensor:
        """The likeliest class of each image, (batch,)."""
        logits: Tensor = self(estimate)
        return logits.argmax(1)

    def _truth(self, labels: Tensor) -> Tensor:
        if labels.ndim != 1 or labels.is_floating_point():
            raise SeqoptError(f"labels of shape {tuple(labels.shape)}, expected one class number an image (batch,)")
        return labels


tasks: Registry[type[Segmentation]] = Registry("task")
"""Tasks whose labels are the maps of an `ImageSet`."""
tasks.register("segmentation")(Segmentation)


def _dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    chance, wanted = logits.softmax(1)[:, 1:].flatten(2), truth[:, 1:].flatten(2)
    overlap = (2.0 * (chance * wanted).sum(-1) + 1.0) / (chance.sum(-1) + wanted.sum(-1) + 1.0)
    return 1.0 - overlap.mean()


def class_maps(labels: Tensor, classes: Sequence[str] = CLASSES) -> Tensor:
    """Each pixel's class, one-hot (batch, classes, y, x), of class numbers (batch, y, x) or of maps.

    Maps (batch, classes - 1, y, x) in 0..1 leave out the first class, which has the rest; the likeliest class wins.
    """
    if labels.ndim == 3 and not labels.is_floating_point():
        return functional.one_hot(labels.long(), len(classes)).permute(0, 3, 1, 2)
    if labels.ndim != 4 or labels.shape[1] != len(classes) - 1:
        raise SeqoptError(
            f"labels of shape {tuple(labels.shape)}, expected the maps {', '.join(classes[1:])} "
            "(batch, maps, y, x) or whole numbers (batch, y, x)"
        )
    rest = 1.0 - labels.sum(1, keepdim=True)
    likeliest = torch.cat([rest, labels], 1).argmax(1)
    return functional.one_hot(likeliest, len(classes)).permute(0, 3, 1, 2).to(labels)


def train_segmenter(
    batch_of: LabelledBatch,
    *,
    steps: int = STEPS,
    seed: int,
    device: torch.device | str = "cpu",
    rate: float = Segmentation.rate,
    each: Watch = lambda *_: None,
    width: int = 8,
    levels: int = 4,
) -> Segmentation:
    """A frozen `Segmentation` into the tissues, of this size, trained as `train_task` does."""
    return train_task(
        lambda: Segmentation(width, levels), batch_of, steps=steps, seed=seed, device=device, rate=rate, each=each
    )
