"""The gradient loop: sampling and reconstruction trained jointly (Peng et al., CVPR 2022, eq. 15)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqopt.core import Scanner
from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.gradients.penalty import kinematic_penalty, soft_shrink_excess
from seqopt.learn.losses import image_loss
from seqopt.learn.recipe import Recipe
from seqopt.sampling.trajectory import Path

OUTSIDE = 100.0
"""Weight of k beyond k-max, from the first step: there the image's grid cannot tell what the scanner would see."""

BatchOf = Callable[[int], Tensor]
"""Step index -> complex images (batch, y, x): a function of the step alone, so that a resumed run sees the same."""


@dataclass(frozen=True)
class Step:
    """What one step measured."""

    index: int
    loss: float
    gradient_excess: float
    slew_excess: float


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
    ) -> None:
        self.sampling, self.recon, self.acquisition = sampling, recon, acquisition
        self.batch_of, self.recipe, self.total, self.seed = batch_of, recipe, steps, seed
        self.limits = {
            "max_grad_hz_per_m": scanner.margin * scanner.max_grad_hz_per_m,
            "max_slew_hz_per_m_per_s": scanner.margin * scanner.max_slew_hz_per_m_per_s,
        }
        self.k_max_per_m = min(acquisition.geometry.k_max_per_m)
        self.moves = any(parameter.requires_grad for parameter in sampling.parameters())
        groups = [
            (list(sampling.parameters()), recipe.rate_trajectory),
            (list(recon.parameters()), recipe.rate_network),
        ]
        self.rates = [rate for parameters, rate in groups if parameters]
        self.optimiser = torch.optim.Adam([{"params": parameters} for parameters, _ in groups if parameters])
        self.done = 0
        self.weights: Tensor | None = None
        self.spectrum: Tensor | None = None  # of a trajectory that does not move

    def steps(self) -> Iterator[Step]:
        """Train from where it stands to the end."""
        while self.done < self.total:
            index = self.done
            self._schedule(index / self.total)
            images = self.batch_of(index)
            path: Path = self.sampling()
            measurement = self.acquisition.measure(
                images, path.k_per_m, self._weights(index, path), self._noise(index), spectrum=self._spectrum(path)
            )
            fidelity = image_loss(self.recon(measurement), images.abs(), self.recipe.loss)
            gradient, slew, outside = self._penalties(path)
            warm = index < self.recipe.warmup_share * self.total
            loss = fidelity + (0.0 if warm else self.recipe.penalty) * (gradient + slew) + OUTSIDE * outside
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            self.done += 1
            step = Step(index, float(fidelity.detach()), float(gradient.detach()), float(slew.detach()))
            if not math.isfinite(step.loss):
                raise SeqoptError(
                    f"learning diverged at step {index}: the loss is {step.loss}; lower the rate or rerun"
                )
            yield step

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
        return torch.Generator().manual_seed(self.seed * 1_000_003 + index)

    def _penalties(self, path: Path) -> tuple[Tensor, Tensor, Tensor]:
        if not self.moves:
            zero = path.k_per_m.new_zeros(())
            return zero, zero, zero
        gradient, slew = kinematic_penalty(path.k_uniform_per_m, raster_s=path.step_s, **self.limits)
        return gradient, slew, soft_shrink_excess(path.k_per_m, self.k_max_per_m)
