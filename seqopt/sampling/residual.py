"""The residual neural ODE: a bounded, continuous deviation from an initial trajectory (our default form)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint

from seqopt.sampling.features import PositionFeatures, TimeFeatures

FloatArray = npt.NDArray[np.float64]


class ResidualOde(nn.Module):
    """k(t) = k_0(t) + d(t) - d(t_echo) with d' = speed f_theta(shot, t, k) - d / tau, d(0) learned.

    f_theta lies in [-1, 1]^2, so that |d| stays below speed tau per axis: bounded, continuous, and trainable where
    integrating a bounded acceleration is not. d is counted along and across the path, in a frame that is fixed for each
    shot or, for ``co_moving`` curves, turns with the path: what one shot learns then serves all. The solution is a
    cubic Hermite curve through the solver's nodes (value and derivative are both known there), evaluated on
    gradient-raster edges and at the ADC samples.
    Source of the model: Peng et al., CVPR 2022, eq. 1 and 3; residual form, frame and pinned echo are ours.
    """

    base: Tensor
    node_times: Tensor
    turning: Tensor

    def __init__(
        self,
        base_at_nodes_per_m: FloatArray,
        *,
        readout_s: float,
        k_max_per_m: float,
        reach_per_m: float,
        tau_s: float,
        harmonics: int = 24,
        k_harmonics: int = 0,
        hidden: int = 64,
        adjoint: bool = False,
        steps_per_node: int = 1,
        co_moving: bool = False,
    ) -> None:
        """Base trajectory (shots, nodes, 2) 1/m at equally spaced nodes over the readout; ``reach`` bounds |d|.

        The midpoint rule takes ``steps_per_node`` steps from node to node; what is kept of the ``adjoint`` method's
        solution does not grow with them.
        """
        super().__init__()
        shots, nodes, _ = base_at_nodes_per_m.shape
        angle = _frame_angles(base_at_nodes_per_m, co_moving=co_moving)
        base = np.concatenate([base_at_nodes_per_m / k_max_per_m, angle[..., None]], -1)
        self.register_buffer("base", torch.tensor(base, dtype=torch.float32))  # kx, ky, angle of the frame
        turning = np.gradient(angle, axis=1) * (nodes - 1)  # rad per readout
        self.register_buffer("turning", torch.tensor(turning, dtype=torch.float32))
        self.register_buffer("node_times", torch.linspace(0.0, 1.0, nodes))
        self.readout_s, self.k_max_per_m = readout_s, k_max_per_m
        self.tau = tau_s / readout_s  # in units of the readout
        self.reach = reach_per_m / k_max_per_m
        self.adjoint, self.steps_per_node = adjoint, steps_per_node
        self.features = TimeFeatures(harmonics)
        self.start = nn.Parameter(torch.zeros(shots, 2))
        # every shot mixes the time features in its own way, then all share one network
        self.mix = nn.Parameter(0.3 * torch.randn(shots, self.features.size, hidden) / self.features.size**0.5)
        self.shared = nn.Parameter(0.3 * torch.randn(self.features.size, hidden) / self.features.size**0.5)
        self.position = PositionFeatures(k_harmonics)
        self.from_state = nn.Linear(self.position.size, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 2)
        nn.init.zeros_(self.out.bias)

    def derivative(self, unit_time: Tensor, deviation: Tensor) -> Tensor:
        """D' in units of k-max per readout and in the frame: times in [0, 1] (...), deviations (..., shots, 2)."""
        return self._field(self._mixed(unit_time), self._base(unit_time), deviation)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Deviation and its derivative at the nodes: (shots, nodes, 2) in 1/m and in 1/m/s."""
        if self.adjoint:
            step = 1.0 / ((len(self.node_times) - 1) * self.steps_per_node)
            path: Tensor = odeint_adjoint(
                _Field(self),
                self.start,
                self.node_times,
                method="midpoint",
                options={"step_size": step},
                adjoint_params=tuple(self.parameters()),
            )
        else:
            path = self._midpoint()
        slopes = self.derivative(self.node_times, path).transpose(0, 1)
        path, angle, scale = path.transpose(0, 1), self.base[..., 2], self.k_max_per_m
        across = torch.stack([-path[..., 1], path[..., 0]], -1)  # (R d)' = R (d' + turning x d)
        slopes = slopes + self.turning[..., None] * across
        return _turned(path, angle) * scale, _turned(slopes, angle) * (scale / self.readout_s)

    def _mixed(self, unit_time: Tensor) -> Tensor:
        """What the network's first layer sees of time, (..., shots, hidden)."""
        features: Tensor = self.features(unit_time)
        return torch.einsum("...f,sfh->...sh", features, self.mix) + (features @ self.shared)[..., None, :]

    def _base(self, unit_time: Tensor) -> Tensor:
        """(..., shots, 3) kx, ky and the frame's angle."""
        position = unit_time * (self.base.shape[1] - 1)
        left = position.floor().long().clamp(0, self.base.shape[1] - 2)
        u = (position - left)[..., None, None]
        base = self.base.transpose(0, 1)
        return (1 - u) * base[left] + u * base[left + 1]

    def _field(self, mixed: Tensor, base: Tensor, deviation: Tensor) -> Tensor:
        k = base[..., :2] + _turned(deviation, base[..., 2])
        first = torch.tanh(mixed + self.from_state(self.position(k)))
        wanted = torch.tanh(self.out(torch.tanh(self.hidden(first)) + first))
        slope: Tensor = (self.reach * wanted - deviation) / self.tau
        return slope

    def _midpoint(self) -> Tensor:
        """The nodes' deviations by the midpoint rule; all that depends on time alone is computed at once before.

        No number leaves the device on the way, as a general solver's time does.
        """
        steps = (len(self.node_times) - 1) * self.steps_per_node
        times = torch.linspace(0.0, 1.0, 2 * steps + 1, device=self.node_times.device)
        mixed, base = self._mixed(times).unbind(0), self._base(times).unbind(0)
        deviation: Tensor = self.start
        nodes = [deviation]
        for left in range(0, 2 * steps, 2):
            halfway = deviation + (0.5 / steps) * self._field(mixed[left], base[left], deviation)
            deviation = deviation + (1.0 / steps) * self._field(mixed[left + 1], base[left + 1], halfway)
            if (left // 2 + 1) % self.steps_per_node == 0:
                nodes.append(deviation)
        return torch.stack(nodes)


class _Field(nn.Module):
    """The right-hand side as the adjoint method wants it."""

    def __init__(self, ode: ResidualOde) -> None:
        super().__init__()
        self._ode = [ode]  # hidden from the module tree: its parameters are passed on explicitly

    def forward(self, unit_time: Tensor, deviation: Tensor) -> Tensor:
        return self._ode[0].derivative(unit_time, deviation)


def _turned(vectors: Tensor, angle_rad: Tensor) -> Tensor:
    """Vectors (..., 2) of a frame at an angle (...) -> in x and y."""
    cosine, sine = angle_rad.cos(), angle_rad.sin()
    x, y = vectors.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1)


def _frame_angles(base_per_m: FloatArray, *, co_moving: bool) -> FloatArray:
    """(shots, nodes) direction of each shot's longest extent, or ``co_moving`` that of its velocity, in rad."""
    if co_moving:
        velocity = np.gradient(base_per_m, axis=1)
        return np.asarray(np.unwrap(np.arctan2(velocity[..., 1], velocity[..., 0]), axis=1))
    centred = base_per_m - base_per_m.mean(1, keepdims=True)
    direction = np.linalg.svd(centred, full_matrices=False)[2][:, 0]
    sense = np.sign(((base_per_m[:, -1] - base_per_m[:, 0]) * direction).sum(-1, keepdims=True))
    direction = direction * np.where(sense == 0, 1.0, sense)
    angle = np.arctan2(direction[:, 1], direction[:, 0])
    return np.repeat(angle[:, None], base_per_m.shape[1], axis=1)


def hermite_matrices(times_s: FloatArray, *, nodes: int, duration_s: float) -> tuple[FloatArray, FloatArray]:
    """Matrices (times, nodes) that turn node values and node slopes into the cubic Hermite curve at any times."""
    step = duration_s / (nodes - 1)
    position = np.clip(np.asarray(times_s) / step, 0.0, nodes - 1.0)
    left = np.minimum(position.astype(int), nodes - 2)
    u = position - left
    rows = np.arange(len(position))
    values, slopes = np.zeros((len(position), nodes)), np.zeros((len(position), nodes))
    values[rows, left] = 2 * u**3 - 3 * u**2 + 1
    values[rows, left + 1] = -2 * u**3 + 3 * u**2
    slopes[rows, left] = (u**3 - 2 * u**2 + u) * step
    slopes[rows, left + 1] = (u**3 - u**2) * step
    return values, slopes
