"""The neural ODE in segments, as the paper has it (Peng et al., CVPR 2022)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]


class SegmentsOde(nn.Module):
    """dk/dt = v_0(t) + speed f_theta(k, t) from control points of the initial trajectory, one solve for all segments.

    Each shot is cut into ``segments``; the first sample of each is its control point and stays (eq. 3). Nothing makes
    one segment's end meet the next control point: ``joint_gap`` measures it, the projection mends it. Dormand-Prince 5
    with the adjoint method (eq. 8-14). The initial trajectory's own velocity v_0 is added: learning starts there.
    """

    control: Tensor
    velocity: Tensor
    control_time: Tensor

    def __init__(
        self,
        base_k_per_m: FloatArray,
        *,
        readout_s: float,
        k_max_per_m: float,
        max_speed_per_m_per_s: float,
        segments: int = 100,
        hidden: int = 64,
        method: str = "dopri5",
        adjoint: bool = True,
    ) -> None:
        """Base trajectory (shots, samples, 2) 1/m at the ADC samples."""
        super().__init__()
        shots, samples, _ = base_k_per_m.shape
        if samples % segments:
            raise SeqoptError(
                f"samples a shot: got {samples}, expected a multiple of {segments} for the form 'segments'; "
                f"use {samples // segments * segments or segments} samples or the form 'residual'"
            )
        self.length = samples // segments
        self.shape = (shots, samples, 2)
        scaled = torch.tensor(base_k_per_m / k_max_per_m, dtype=torch.float32)
        self.register_buffer("control", scaled[:, :: self.length].reshape(-1, 2).clone())
        step = torch.diff(scaled, dim=1, append=2 * scaled[:, -1:] - scaled[:, -2:-1])[:, :: self.length]
        self.register_buffer("velocity", step.reshape(-1, 2) * samples)  # k-max per readout
        times = torch.arange(segments, dtype=torch.float32) / segments
        self.register_buffer("control_time", times.repeat(shots)[:, None])
        self.k_max_per_m = k_max_per_m
        self.speed = max_speed_per_m_per_s * readout_s / k_max_per_m
        self.method, self.adjoint = method, adjoint
        self.network = nn.Sequential(
            nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 2), nn.Tanh()
        )
        last = self.network[4]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.bias)

    def forward(self) -> Tensor:
        """K (shots, samples, 2) in 1/m."""
        return self._solve(self.length)[..., : self.length, :].reshape(self.shape) * self.k_max_per_m

    def joint_gap_per_m(self) -> float:
        """Largest distance between a segment's end, carried on to the next control point's time, and that point."""
        with torch.no_grad():
            ends = self._solve(self.length + 1)[..., self.length, :].reshape(self.shape[0], -1, 2)
            following = self.control.reshape(self.shape[0], -1, 2)
            return float((ends[:, :-1] - following[:, 1:]).norm(dim=-1).max()) * self.k_max_per_m

    def _solve(self, points: int) -> Tensor:
        """(shots * segments, points, 2) in k-max."""
        times = torch.arange(points, dtype=torch.float32, device=self.control.device) / self.shape[1]
        field = _Field(self.network, self.velocity, self.control_time, self.speed)
        options: dict[str, Any] = {"method": self.method, "rtol": 1e-4, "atol": 1e-5}
        solve = odeint_adjoint if self.adjoint else odeint
        solution: Tensor = solve(field, self.control, times, **options)
        return solution.transpose(0, 1)


class _Field(nn.Module):
    def __init__(self, network: nn.Module, velocity: Tensor, start: Tensor, speed: float) -> None:
        super().__init__()
        self.network, self.velocity, self.start, self.speed = network, velocity, start, speed

    def forward(self, time: Tensor, k: Tensor) -> Tensor:
        seen = torch.cat([k, self.start + time], -1)
        return self.velocity + self.speed * self.network(seen)  # type: ignore[no-any-return]
