"""Training what reads an image for a task: on fully sampled images, then, if wanted, on reconstructions of a mask."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

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


class Training(Generic[AnyTask]):
    """A task that learns step by step, and goes on from any of them exactly."""

    def __init__(
        self, task: AnyTask, batch_of: LabelledBatch, *, steps: int, rate: float, device: torch.device | str = "cpu"
    ) -> None:
        """The task learns from the batch of each step; raises `SeqoptError` when there is no step."""
        if steps < 1:
            raise reject(f"steps of the {task.kind} network", got=steps, expected="1 or more", remedy="100 are usual")
        self.task, self.batch_of, self.total, self.rate, self.device = task.to(device), batch_of, steps, rate, device
        self.optimiser = torch.optim.Adam(task.parameters(), rate)
        self.done = 0

    def steps(self) -> Iterator[float]:
        """The loss of each step to come: Adam, the rate rising over ten steps, then falling as a cosine to a fiftieth.

        Raises `SeqoptError` when it diverges.
        """
        while self.done < self.total:
            with torch.enable_grad():
                loss = self._step()
            self.done += 1
            if not bool(torch.isfinite(loss)):
                raise SeqoptError(f"the {self.task.kind} network diverged at step {self.done - 1}; check the images")
            yield float(loss)

    def _step(self) -> Tensor:
        rise = min(1.0, (self.done + 1) / 10)
        cosine = 0.02 + 0.49 * (1.0 + math.cos(math.pi * self.done / self.total))
        self.optimiser.param_groups[0]["lr"] = self.rate * rise * cosine
        images, labels = (one.to(self.device) for one in self.batch_of(self.done))
        loss = self.task.loss(images.abs(), labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.detach()

    def run(self, each: Watch = lambda *_: None) -> AnyTask:
        """Learn to the end; the frozen task."""
        for loss in self.steps():
            each(self.done, loss)
        return self.task.freeze()

    def state(self) -> dict[str, Any]:
        """Tensors and numbers only: safe for ``torch.load(weights_only=True)``. Of random numbers it needs none."""
        return {"done": self.done, "task": self.task.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where ``state()`` was taken."""
        self.task.load_state_dict(state["task"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["done"])


def training(
    make: Callable[[], AnyTask],
    batch_of: LabelledBatch,
    *,
    steps: int,
    seed: int,
    device: torch.device | str = "cpu",
    rate: float | None = None,
) -> Training[AnyTask]:
    """The training of the task that ``make`` makes, for batches of fully sampled images.

    The learning rate is the task's own unless one is given. The result depends on the seed and the batches alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        task = make()
    return Training(task, batch_of, steps=steps, rate=task.rate if rate is None else rate, device=device)


def fine_tuning(
    task: AnyTask,
    batch_of: LabelledBatch,
    *,
    steps: int,
    device: torch.device | str = "cpu",
    rate: float | None = None,
) -> Training[AnyTask]:
    """The training of a copy of a trained task, for batches of reconstructions of one mask.

    The budget is the steps and the batches: given the same ones, every mask is treated alike. The task itself stays as
    it is.
    """
    rate = FINE_TUNING_SHARE * task.rate if rate is None else rate
    copied = copy.deepcopy(task).requires_grad_(True).train()
    return Training(copied, batch_of, steps=steps, rate=rate, device=device)


def train_task(
    make: Callable[[], AnyTask], batch_of: LabelledBatch, *, each: Watch = lambda *_: None, **options: Any
) -> AnyTask:
    """The frozen task after its ``training``, which takes the same options; ``each`` watches."""
    return training(make, batch_of, **options).run(each)


def fine_tune(task: AnyTask, batch_of: LabelledBatch, *, each: Watch = lambda *_: None, **options: Any) -> AnyTask:
    """The frozen copy of a task after its ``fine_tuning``, which takes the same options; ``each`` watches."""
    return fine_tuning(task, batch_of, **options).run(each)
