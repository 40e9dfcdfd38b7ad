"""What the ODE's network sees of time and of k."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class _Harmonics(nn.Module):
    """Frequencies from slow to fast; ``bandwidth`` opens the fast ones gradually."""

    frequencies: Tensor
    bandwidth: Tensor

    def __init__(self, harmonics: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * torch.arange(1, harmonics + 1, dtype=torch.float32))
        self.register_buffer("bandwidth", torch.tensor(float(harmonics)))

    def open_to(self, share: float) -> None:
        """Let through the slowest ``share`` (0..1) of the harmonics, the last of them partly."""
        self.bandwidth.fill_(max(share, 0.0) * len(self.frequencies))

    def waves(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Gated sines and cosines (..., harmonics) of positions (...)."""
        index = torch.arange(len(self.frequencies), device=position.device, dtype=position.dtype)
        gate = (self.bandwidth - index).clamp(0.0, 1.0)
        phase = position[..., None] * self.frequencies
        return gate * phase.sin(), gate * phase.cos()


class TimeFeatures(_Harmonics):
    """A constant, and sines and cosines of t over the readout."""

    def __init__(self, harmonics: int) -> None:
        super().__init__(harmonics)
        self.size = 1 + 2 * harmonics

    def forward(self, unit_time: Tensor) -> Tensor:
        """Time in [0, 1], shape (...) -> (..., 1 + 2 harmonics)."""
        return torch.cat([torch.ones_like(unit_time)[..., None], *self.waves(unit_time)], -1)


class PositionFeatures(_Harmonics):
    """K itself, and sines and cosines of it along x and y."""

    def __init__(self, harmonics: int) -> None:
        super().__init__(harmonics)
        self.size = 2 + 4 * harmonics

    def forward(self, k: Tensor) -> Tensor:
        """K in units of k-max, shape (..., 2) -> (..., 2 + 4 harmonics)."""
        if not len(self.frequencies):
            return k
        return torch.cat([k, *(wave.flatten(-2) for wave in self.waves(k))], -1)
