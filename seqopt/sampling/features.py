"""What the ODE's network sees of time and of k."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TimeFeatures(nn.Module):
    """Sines and cosines of t over the readout, from slow to fast; ``bandwidth`` opens the fast ones gradually."""

    frequencies: Tensor
    bandwidth: Tensor

    def __init__(self, harmonics: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * torch.arange(1, harmonics + 1, dtype=torch.float32))
        self.register_buffer("bandwidth", torch.tensor(float(harmonics)))
        self.size = 1 + 2 * harmonics

    def open_to(self, share: float) -> None:
        """Let through the slowest ``share`` (0..1) of the harmonics, the last of them partly."""
        self.bandwidth.fill_(max(share, 0.0) * len(self.frequencies))

    def forward(self, unit_time: Tensor) -> Tensor:
        """Time in [0, 1], shape (...) -> (..., 1 + 2 harmonics)."""
        index = torch.arange(len(self.frequencies), device=unit_time.device, dtype=unit_time.dtype)
        gate = (self.bandwidth - index).clamp(0.0, 1.0)
        phase = unit_time[..., None] * self.frequencies
        return torch.cat([torch.ones_like(unit_time)[..., None], gate * phase.sin(), gate * phase.cos()], -1)


class PositionFeatures(nn.Module):
    """K itself, and sines and cosines of it from coarse to fine along x and y; opened as those of time are."""

    frequencies: Tensor
    bandwidth: Tensor

    def __init__(self, harmonics: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * torch.arange(1, harmonics + 1, dtype=torch.float32))
        self.register_buffer("bandwidth", torch.tensor(float(harmonics)))
        self.size = 2 + 4 * harmonics

    def open_to(self, share: float) -> None:
        """Let through the coarsest ``share`` (0..1) of the harmonics, the last of them partly."""
        self.bandwidth.fill_(max(share, 0.0) * len(self.frequencies))

    def forward(self, k: Tensor) -> Tensor:
        """K in units of k-max, shape (..., 2) -> (..., 2 + 4 harmonics)."""
        if not len(self.frequencies):
            return k
        index = torch.arange(len(self.frequencies), device=k.device, dtype=k.dtype)
        gate = (self.bandwidth - index).clamp(0.0, 1.0)
        phase = k[..., None] * self.frequencies  # (..., 2, harmonics)
        return torch.cat([k, (gate * phase.sin()).flatten(-2), (gate * phase.cos()).flatten(-2)], -1)
