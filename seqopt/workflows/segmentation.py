"""A task in the loss: its network is trained on fully sampled images first, then judges and teaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqopt.images import evaluation_images, training_batches
from seqopt.learn.tasks import Segmentation, tasks, train_segmenter

if TYPE_CHECKING:
    from seqopt.workflows.run import Run

STREAM = 3  # of random numbers; 1 and 2 are those of trajectory and networks


@dataclass(frozen=True, kw_only=True)
class TaskOfRun:
    """The trained, frozen network of a task, its weight in the loss, and the held-out labels."""

    network: Segmentation
    weight: float
    labels: Tensor
    """(images, tissues, y, x) of the held-out images."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the maps that label an image."""
        return tuple(self.network.channels)

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Estimate (batch, y, x) and labels -> scalar."""
        return self.network.loss

    def score(self, images: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float64]]:
        """Dice of each held-out reconstruction (images, y, x) and tissue."""
        estimate = torch.from_numpy(images).to(self.labels.device)
        dice = torch.cat(
            [self.network.dice(one[None], label[None]) for one, label in zip(estimate, self.labels, strict=True)]
        )
        found = dice.double().cpu().numpy()
        return {f"Dice {name}": found[:, 1 + place] for place, name in enumerate(self.channels)}


def task_of(run: Run) -> TaskOfRun | None:
    """The task that the recipe's loss names, its network trained or fetched from the checkpoint; None without one."""
    recipe, request, device = run.request.recipe, run.request, run.acquisition.device
    named = [name for name in recipe.loss if name in tasks]
    if not named:
        return None
    (name,) = named
    _, maps = evaluation_images(
        run.images, "test", seed=request.seed, limit=recipe.limit_images, labels=tasks[name].channels
    )

    def batch_of(index: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng([request.seed, STREAM, index])
        channels = tasks[name].channels
        varied = training_batches(run.images, recipe.network_batch, generator, labels=channels, contrasts=False)
        images, labels = next(varied)
        return torch.from_numpy(images), torch.from_numpy(labels)

    if "task" in run.checkpoint.finished:
        network = tasks[name]().to(device)
        network.load_state_dict(run.checkpoint.finished["task"])
        network.freeze()
        run.watch("task", 1, 1, "from the checkpoint")
    else:
        network = train_segmenter(
            batch_of,
            steps=recipe.task_steps,
            seed=request.seed,
            device=device,
            each=lambda done, loss: run.watch("task", done, recipe.task_steps, f"loss {loss:.4f}"),
        )
        if run.world.is_first:
            run.checkpoint.finish("task", network.state_dict())
    return TaskOfRun(network=network, weight=recipe.loss[name], labels=torch.from_numpy(maps).to(device))
