"""The gradient loop: sampling and reconstruction trained jointly (Peng et al., CVPR 2022, eq. 15)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from seqopt.core import Scanner
from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.gradients.penalty import kinematic_penalty, soft_shrink_excess
from seqopt.learn.accelerate import faster
from seqopt.learn.losses import image_loss
from seqopt.learn.parallel import World, alone
from seqopt.learn.recipe import Recipe
from seqopt.recon.registry import root_sum_of_squares
from seqopt.sampling.trajectory import Path

OUTSIDE = 100.0
"""Weight of k beyond k-max, from the first step: there the image's grid cannot tell what the scanner would see."""

CHECK_EVERY = 20
"""Steps between looks at the loss on a GPU, where each look waits for all that is under way."""


@dataclass(frozen=True)
class Batch:
    """The images of one step and, for a task, what is to be found in them."""

    images: Tensor
    """(batch, y, x) complex."""
    labels: Tensor | None = None
    """(batch, ...) as the task wants them."""

    def part(self, own: slice, device: torch.device) -> Batch:
        """Some of the images, on a device."""
        return Batch(
            _moved(self.images[own], device), None if self.labels is None else _moved(self.labels[own], device)
        )


BatchOf = Callable[[int], Batch]
"""Step index -> the whole batch: a function of the step alone, so that a resumed run sees the same."""

SoftLimit = Callable[[Path], Tensor]
"""The path -> its excess over some limit beside gradient and slew, a scalar; 0 within it."""

Task = Callable[[Tensor, Tensor], Tensor]
"""Estimate (batch, y, x) and labels -> scalar, a mean over the images."""


@dataclass(frozen=True)
class Step:
    """What one step measured; the numbers stay on the device until one is read, which waits for the step."""

    index: int
    values: Tensor
    """(3,): loss, gradient excess, slew excess."""

    @property
    def loss(self) -> float:
        """Fidelity to images and task; raises `SeqoptError` when it is not finite."""
        loss = self._numbers[0]
        if not math.isfinite(loss):
            raise SeqoptError(f"learning diverged at step {self.index}: the loss is {loss}; lower the rate or rerun")
        return loss

    @property
    def gradient_excess(self) -> float:
        """Mean excess over the gradient limit."""
        return self._numbers[1]

    @property
    def slew_excess(self) -> float:
        """Mean excess over the slew limit."""
        return self._numbers[2]

    @cached_property
    def _numbers(self) -> list[float]:
        return [float(value) for value in self.values.tolist()]


class Fit:
    """One joint training; ``steps()`` runs it, ``state()`` and ``restore()`` carry it over a break."""

    def __init__(
        self,
        sampling: nn.Module,
        recon: nn.Module,
        acquisition: Acquisition,
        batch_of: BatchOf,
        *,
        recipe: Recipe,
        steps: int,
        scanner: Scanner,
        seed: int,
        task: Task | None = None,
        task_weight: float = 0.0,
        world: World = alone,
        amp: bool = False,
        compile: bool = False,
        soft_limits: tuple[SoftLimit, ...] = (),
    ) -> None:
        """``task`` adds its weighted loss; what it learned before stays.

        ``world`` shares each batch among processes; ``amp`` runs the networks (no transform, no solver) in bfloat16;
        ``compile`` hands networks and the ODE's field to torch.compile; ``soft_limits`` weigh as gradient and slew do.
        """
        if not recipe.loss and (task is None or task_weight == 0.0):
            raise SeqoptError("loss: got no term and no task, expected at least one; for example l1=1,ssim=1")
        self.sampling, self.recon, self.acquisition = sampling, recon, acquisition
        self.batch_of, self.recipe, self.total, self.seed = batch_of, recipe, steps, seed
        self.task, self.task_weight, self.world, self.soft_limits = task, task_weight, world, soft_limits
        self.limits = {
            "max_grad_hz_per_m": scanner.margin * scanner.max_grad_hz_per_m,
            "max_slew_hz_per_m_per_s": scanner.margin * scanner.max_slew_hz_per_m_per_s,
        }
        self.k_max_per_m = min(acquisition.geometry.k_max_per_m)
        self.moves = bool(_learned(sampling))
        groups = [
            (_learned(sampling), recipe.rate_trajectory),
            (_learned(recon), recipe.rate_network),
        ]
        self.rates = [rate for parameters, rate in groups if parameters]
        self.parameters = [parameter for parameters, _ in groups for parameter in parameters]
        world.align(self.parameters)
        self.optimiser = torch.optim.Adam([{"params": parameters} for parameters, _ in groups if parameters])
        self.faster = faster(sampling, recon, device=acquisition.device, amp=amp, compiled=compile)
        self.done = 0
        self.weights: Tensor | None = None
        self.spectrum: Tensor | None = None  # of a trajectory that does not move

    def steps(self) -> Iterator[Step]:
        """Train from where it stands to the end."""
        while self.done < self.total:
            index = self.done
            self._schedule(index / self.total)
            batch = self.batch_of(index)
            with self.faster():  # the backward pass too: the adjoint method solves there
                path: Path = self.sampling()
                fidelity = self._fidelity(index, batch, path)
                gradient, slew, outside = self._penalties(path)
                warm = index < self.recipe.warmup_share * self.total
                excess = gradient + slew + sum(limit(path) for limit in self.soft_limits if self.moves)
                loss = fidelity + (0.0 if warm else self.recipe.penalty) * excess + OUTSIDE * outside
                self.optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
            values = torch.stack([fidelity.detach(), gradient.detach(), slew.detach()])
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            self.world.average([*gradients, values])
            self.optimiser.step()
            self.done += 1
            step = Step(index, values)
            if not values.is_cuda or self.done % CHECK_EVERY == 0 or self.done == self.total:
                _ = step.loss  # raises if it is not finite
            yield step

    def _fidelity(self, index: int, batch: Batch, path: Path) -> Tensor:
        """The loss of this process's images."""
        count = len(batch.images)
        own = self.world.part(count)
        mine = batch.part(own, self.acquisition.device)
        measurement = self.acquisition.measure(
            mine.images,
            path.k_per_m,
            self._weights(index, path),
            self._noise(index),
            spectrum=self._spectrum(path),
            among=(own, count),
        )
        estimate: Tensor = self.recon(measurement)
        fidelity = estimate.new_zeros(())
        if self.recipe.loss:
            fidelity = image_loss(estimate, mine.images.abs(), self.recipe.loss)
        if self.moves and self.recipe.adjoint_weight:
            plain = root_sum_of_squares(measurement.coil_images())
            fidelity = fidelity + self.recipe.adjoint_weight * image_loss(plain, mine.images.abs(), {"rmse": 10.0})
        if self.task is not None and self.task_weight:
            if mine.labels is None:
                raise SeqoptError("task: got images without labels, expected labels; leave out the task or give labels")
            fidelity = fidelity + self.task_weight * self.task(estimate, mine.labels)
        return fidelity

    def state(self) -> dict[str, Any]:
        """Tensors and numbers only: safe for ``torch.load(weights_only=True)``."""
        return {
            "done": self.done,
            "sampling": self.sampling.state_dict(),
            "recon": self.recon.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "weights": self.weights,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on exactly where ``state()`` was taken."""
        self.sampling.load_state_dict(state["sampling"])
        self.recon.load_state_dict(state["recon"])
        self.optimiser.load_state_dict(state["optimiser"])
        weights = state["weights"]
        self.done, self.weights = int(state["done"]), None if weights is None else weights.to(self.acquisition.device)

    def _schedule(self, share: float) -> None:
        coarse = self.recipe.coarse_share
        self.sampling.open_to(min(1.0, coarse + (1.0 - coarse) * share / 0.6))  # type: ignore[operator]
        factor = 1.0
        if self.recipe.anneal:
            rise = min(1.0, (share * self.total + 1) / 10)
            factor = rise * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * share)))
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _weights(self, index: int, path: Path) -> Tensor:
        if self.weights is None or (self.moves and index % self.recipe.refresh_weights == 0):
            self.weights = self.acquisition.weights(path.k_per_m)
        return self.weights

    def _spectrum(self, path: Path) -> Tensor | None:
        if self.moves:
            return None
        if self.spectrum is None:
            assert self.weights is not None
            self.spectrum = self.acquisition.kernel(path.k_per_m, self.weights)
        return self.spectrum

    def _noise(self, index: int) -> torch.Generator:
        generator = torch.Generator(self.acquisition.device)
        return generator.manual_seed(self.seed * 1_000_003 + index)

    def _penalties(self, path: Path) -> tuple[Tensor, Tensor, Tensor]:
        if not self.moves:
            zero = path.k_per_m.new_zeros(())
            return zero, zero, zero
        gradient, slew = kinematic_penalty(path.k_uniform_per_m, raster_s=path.step_s, **self.limits)
        return gradient, slew, soft_shrink_excess(path.k_per_m, self.k_max_per_m)


def _learned(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device, without waiting for the copy where that can be."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
