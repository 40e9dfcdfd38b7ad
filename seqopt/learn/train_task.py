"""Training what reads an image for a task: on fully sampled images, then, if wanted, on reconstructions of a mask."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from seqopt.errors import SeqoptError, reject
from seqopt.learn.networks import name_and_sizes, networks

FINE_TUNING_SHARE = 0.3
"""Of the learning rate of training: the network already knows the task."""

LabelledBatch = Callable[[int], tuple[Tensor, Tensor]]
"""Step -> images (batch, y, x), complex or magnitude, and their labels: of the step alone."""
Watch = Callable[[int, float], None]
"""(steps done, loss)."""


class Task(nn.Module, ABC):
    """A network that says something about magnitude images, and the loss that teaches it."""

    kind: ClassVar[str]
    """What error messages call it."""
    rate: ClassVar[float]
    """The learning rate with which it learns well."""

    def __init__(self, network: str, classes: Sequence[str], *, width: int, levels: int) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.network = networks[network](1, len(self.classes), channels=width, levels=levels)

    def forward(self, images: Tensor) -> Tensor:
        """Magnitude (batch, y, x) -> logits (batch, classes, ...).

        Each image is scaled by its intensity-weighted mean, which does not depend on how much of it is background.
        """
        scale = images.square().sum((-2, -1), keepdim=True) / images.sum((-2, -1), keepdim=True).clamp_min(1e-12)
        logits: Tensor = self.network((images / scale.clamp_min(1e-12))[:, None])
        return logits

    @abstractmethod
    def loss(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """What training minimises: of magnitudes (batch, y, x) and their labels, a scalar."""

    @abstractmethod
    def cross_entropy(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the classes. Source: the IGS paper, eq. 3."""

    @classmethod
    def of_weights(cls, weights: Mapping[str, Any], classes: Sequence[str]) -> Self:
        """A frozen task with stored weights, its network read off them; raises `SeqoptError` for foreign ones."""
        inner = {key.removeprefix("network."): torch.as_tensor(value) for key, value in weights.items()}
        name, sizes = name_and_sizes(inner)
        task = cls(width=sizes["channels"], levels=sizes["levels"], classes=classes, network=name)  # type: ignore[call-arg]
        try:
            task.network.load_state_dict(inner)
        except RuntimeError as error:
            raise SeqoptError(f"{cls.kind} network: weights that do not fit {len(classes)} classes") from error
        return task.freeze()

    def freeze(self) -> Self:
        """Itself, from now on a judge that does not learn."""
        return self.eval().requires_grad_(False)


AnyTask = TypeVar("AnyTask", bound=Task)


def train_task(
    make: Callable[[], AnyTask],
    batch_of: LabelledBatch,
    *,
    steps: int,
    seed: int,
    device: torch.device | str = "cpu",
    rate: float | None = None,
    each: Watch = lambda *_: None,
) -> AnyTask:
    """The frozen task that ``make`` makes, trained on fully sampled images; ``each`` watches.

    The learning rate is the task's own unless one is given. The result depends on the seed and the
    batches alone. Raises `SeqoptError` when there is no step or it diverges.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        task = make().to(device)
    _learn(task, batch_of, steps=steps, rate=task.rate if rate is None else rate, device=device, each=each)
    return task.freeze()


def fine_tune(
    task: AnyTask,
    batch_of: LabelledBatch,
    *,
    steps: int,
    device: torch.device | str = "cpu",
    rate: float | None = None,
    each: Watch = lambda *_: None,
) -> AnyTask:
    """A frozen copy of a trained task that went on to learn from reconstructions of one mask.

    The budget is the steps and the batches: given the same ones, every mask is treated alike. The task itself stays as
    it is. Raises `SeqoptError` when there is no step or it diverges.
    """
    rate = FINE_TUNING_SHARE * task.rate if rate is None else rate
    copied = copy.deepcopy(task).requires_grad_(True).train().to(device)
    _learn(copied, batch_of, steps=steps, rate=rate, device=device, each=each)
    return copied.freeze()


def _learn(
    task: Task, batch_of: LabelledBatch, *, steps: int, rate: float, device: torch.device | str, each: Watch
) -> None:
    """Adam, the rate rising over ten steps and then falling as a cosine to a fiftieth."""
    if steps < 1:
        raise reject(f"steps of the {task.kind} network", got=steps, expected="1 or more", remedy="100 are usual")
    with torch.enable_grad():
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
                raise SeqoptError(f"the {task.kind} network diverged at step {index}; check the images")
            each(index + 1, float(loss.detach()))
