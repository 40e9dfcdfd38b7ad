"""What the ODE's network sees of time."""

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
