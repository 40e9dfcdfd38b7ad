"""What every stage of a design run shares, and how each of its trainings runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.images import Ahead, ImageSet, evaluation_images, training_batches
from seqopt.learn.fit import CHECK_EVERY, Batch, BatchOf, Fit, Step
from seqopt.learn.losses import image_losses
from seqopt.learn.parallel import World
from seqopt.learn.recipe import Recipe
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.segmentation import TaskOfRun

Watch = Callable[[str, int, int, str], None]
"""Called as (stage, done, total, remark)."""


class InterruptedRunError(Exception):
    """The user stopped the run; a checkpoint is there."""


@dataclass
class Run:
    """One design run, the same in each of its processes."""

    request: DesignRequest
    images: ImageSet
    acquisition: Acquisition
    checkpoint: Checkpoint
    watch: Watch
    stop: Callable[[], bool]
    world: World
    task: TaskOfRun | None = None
    """What is to be found in the images, where the loss asks for it."""

    def truth(self, split: str) -> Tensor:
        """Complex held-out images (n, y, x), the same in each run of a seed."""
        limit = self.request.recipe.limit_images
        chosen = evaluation_images(self.images, split, seed=self.request.seed, limit=limit)
        return torch.from_numpy(chosen).to(self.acquisition.device)

    def batch_of(self, size: int, stream: int) -> BatchOf:
        """Training images of a step, with labels if there is a task: a function of the seed and the step alone."""

        def batch(index: int) -> Batch:
            generator = np.random.default_rng([self.request.seed, stream, index])
            if self.task is None:
                return Batch(torch.from_numpy(next(training_batches(self.images, size, generator))))
            # one network reads one contrast: with a task, contrasts are not varied
            varied = training_batches(self.images, size, generator, labels=self.task.channels, contrasts=False)
            images, labels = next(varied)
            return Batch(torch.from_numpy(images), torch.from_numpy(labels))

        return batch

    @contextmanager
    def batches(self, size: int, stream: int, steps: int) -> Iterator[BatchOf]:
        """``batch_of``, read ahead in threads where images come from disk or a GPU would wait for them."""
        make = self.batch_of(size, stream)
        if isinstance(self.images.images, np.ndarray) and self.acquisition.device.type != "cuda":
            yield make
        else:
            with Ahead(make, steps=steps) as ahead:
                yield ahead

    def image_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe without the task's term in its loss, which `Fit` takes apart from the images' terms."""
        terms = {name: weight for name, weight in recipe.loss.items() if name in image_losses}
        return replace(recipe, loss=terms)

    def note(self, name: str, index: int, value: float) -> None:
        """Add a point to a learning curve."""
        self.checkpoint.history.setdefault(name, []).append((index, value))

    def train(
        self, stage: str, fit: Fit, validate: Callable[[], float] | None = None, *, patience: int | None = None
    ) -> dict[str, Any]:
        """Run one training to its end, or fetch it from the checkpoint; returns the state that counts.

        ``validate`` measures every so many steps; with ``patience`` the best measured state counts, and so many
        measurements without a better one end the training. It begins to count after the warm-up: before, the limits
        of the hardware do not bind.
        """
        checkpoint, recipe = self.checkpoint, self.request.recipe
        if stage in checkpoint.finished:
            result: dict[str, Any] = checkpoint.finished[stage]
            self.watch(stage, fit.total, fit.total, "from the checkpoint")
            return result
        best = _Best(patience, validate)
        if checkpoint.stage == stage and checkpoint.state is not None:
            try:
                fit.restore(checkpoint.state)
                best.restore(checkpoint.state.get("best"))
            except (LookupError, TypeError, ValueError, RuntimeError) as error:
                raise SeqoptError(
                    f"{checkpoint.path} does not fit this run, another version wrote it; start anew with --overwrite"
                ) from error
        elif fit.done == 0 and validate is not None:
            self.note(VALIDATION, 0, validate())
        self.watch(stage, fit.done, fit.total, "")
        with torch.enable_grad():
            for step in fit.steps():
                last = fit.done == fit.total
                look = not step.values.is_cuda or last or fit.done % CHECK_EVERY == 0  # each look waits for a GPU
                if look:
                    self._curves(stage, fit, step)
                if validate is not None and (fit.done % recipe.validate_every == 0 or last):
                    value = validate()
                    self.note(VALIDATION, fit.done, value)
                    if fit.done > recipe.warmup_share * fit.total:
                        last = self.world.any(best.consider(value, fit)) or last
                if last:
                    self.watch(stage, fit.total, fit.total, best.remark(fit))
                    break
                self.watch(stage, fit.done, fit.total, f"loss {step.loss:.4f}" if look else "")
                self._pause(stage, fit, best)
        kept = best.state or _kept(fit)
        if self.world.is_first:
            checkpoint.finish(stage, kept)
        if self.world.any(self.stop()):
            raise InterruptedRunError(stage)
        return kept

    def _curves(self, stage: str, fit: Fit, step: Step) -> None:
        self.note(f"loss/{stage}", step.index, step.loss)
        if fit.moves:
            self.note("excess over limits/gradient", step.index, step.gradient_excess)
            self.note("excess over limits/slew", step.index, step.slew_excess)

    def _pause(self, stage: str, fit: Fit, best: _Best) -> None:
        """Save what is due; stop when asked, all processes at the same step."""
        stopped = self.world.any(self.stop())
        if self.world.is_first and (stopped or fit.done % self.request.recipe.checkpoint_every == 0):
            self.checkpoint.save(stage, {**fit.state(), "best": best.saved()})
        if stopped:
            raise InterruptedRunError(stage)


VALIDATION = "validation PSNR (dB)/before projection"


def _kept(fit: Fit) -> dict[str, Any]:
    state = fit.state()
    return {part: {name: value.clone() for name, value in state[part].items()} for part in ("sampling", "recon")} | {
        "steps": fit.done
    }


class _Best:
    """The best state so far, if it is wanted."""

    def __init__(self, patience: int | None, validate: Callable[[], float] | None) -> None:
        self.patience = patience if validate is not None else None
        self.value, self.since = -float("inf"), 0
        self.state: dict[str, Any] | None = None

    def consider(self, value: float, fit: Fit) -> bool:
        """Take note of a validation; whether it is time to stop."""
        if self.patience is None:
            return False
        if value > self.value:
            self.value, self.since, self.state = value, 0, _kept(fit)
        else:
            self.since += 1
        return self.since >= self.patience

    def remark(self, fit: Fit) -> str:
        """What to tell at the end."""
        if self.state is None:
            return ""
        return f"stopped at step {fit.done}, best at {self.state['steps']}"

    def saved(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"value": self.value, "since": self.since, "state": self.state}

    def restore(self, saved: dict[str, Any] | None) -> None:
        """From the checkpoint."""
        if saved is not None and self.patience is not None:
            self.value, self.since, self.state = float(saved["value"]), int(saved["since"]), saved["state"]
