"""Trajectories as the learning loop sees them: modules that give k at the ADC samples and on a uniform time grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqopt.core import Geometry, Scanner
from seqopt.registry import Registry
from seqopt.sampling.residual import ResidualOde, hermite_matrices
from seqopt.sampling.segments import SegmentsOde

FloatArray = npt.NDArray[np.float64]

START_SHARE = 0.3
"""Size of the random waves from which learning starts, in gaps between neighbouring readouts: with less it takes far
longer to leave a straight spoke, with more it destroys what a dense spiral samples well."""


@dataclass(frozen=True)
class Path:
    """One evaluation of a trajectory."""

    k_per_m: Tensor
    """(shots, samples, 2) at the ADC samples."""
    k_uniform_per_m: Tensor
    """(shots, times, 2) on a uniform grid, for the kinematic penalty."""
    step_s: float
    """Step of that grid."""


class FixedTrajectory(nn.Module):
    """Any trajectory, held fixed."""

    k: Tensor

    def __init__(self, k_per_m: FloatArray, *, dwell_s: float) -> None:
        super().__init__()
        self.register_buffer("k", torch.tensor(k_per_m, dtype=torch.float32))
        self.dwell_s = dwell_s

    def forward(self) -> Path:
        """The same path each time."""
        return Path(self.k, self.k, self.dwell_s)

    def open_to(self, share: float) -> None:
        """Nothing to open."""


class ResidualTrajectory(nn.Module):
    """Initial trajectory plus the residual ODE's deviation, the pinned part of the echo where it was."""

    base_samples: Tensor
    base_edges: Tensor
    pinned: Tensor

    def __init__(
        self,
        base_k_per_m: FloatArray,
        geometry: Geometry,
        scanner: Scanner,
        *,
        dwell_s: float,
        echo_sample: int,
        pinned: FloatArray,
        harmonics: int = 24,
        k_harmonics: int = 0,
        reach_share: float = 0.5,
        tau_s: float = 1e-3,
        node_s: float = 40e-6,
        adjoint: bool = False,
        steps_per_node: int = 1,
        co_moving: bool = False,
        start_share: float = START_SHARE,
    ) -> None:
        """Base (shots, samples, 2) 1/m; ``reach_share`` of k-max bounds the ODE's deviation along and across a shot.

        ``start_share`` is the size of the waves at the start, 0 to begin exactly at the base.

        ``pinned`` (shots, 2, 2) projects onto what must stay at the echo; the shift that keeps it comes on top.
        """
        super().__init__()
        samples = base_k_per_m.shape[1]
        readout_s = samples * dwell_s
        nodes = max(int(np.ceil(readout_s / node_s)), 8) + 1
        sample_times: FloatArray = np.asarray((np.arange(samples) + 0.5) * dwell_s, dtype=float)
        edges = int(readout_s / scanner.grad_raster_s + 1e-9) + 1
        edge_times: FloatArray = np.asarray(np.arange(edges) * scanner.grad_raster_s, dtype=float)
        k_max = min(geometry.k_max_per_m)
        self.ode = ResidualOde(
            _resample(base_k_per_m, sample_times, np.linspace(0.0, readout_s, nodes)),
            readout_s=readout_s,
            k_max_per_m=k_max,
            reach_per_m=reach_share * k_max,
            tau_s=tau_s,
            harmonics=min(harmonics, nodes // 3),
            k_harmonics=k_harmonics,
            adjoint=adjoint,
            steps_per_node=steps_per_node,
            co_moving=co_moving,
        )
        self.echo_sample, self.step_s = echo_sample, scanner.grad_raster_s
        self.register_buffer("base_samples", _float32(base_k_per_m))
        self.register_buffer("pinned", _float32(pinned))
        self.register_buffer("base_edges", _float32(_resample(base_k_per_m, sample_times, edge_times)))
        for name, times in (("samples", sample_times), ("edges", edge_times)):
            values, slopes = hermite_matrices(times, nodes=nodes, duration_s=readout_s)
            self.register_buffer(f"{name}_from_values", _float32(values))
            self.register_buffer(f"{name}_from_slopes", _float32(slopes))
        self._wave(start_share * _gap_per_m(base_k_per_m, k_max))

    @torch.no_grad()
    def _wave(self, rms_per_m: float) -> None:
        """Scale what is random at the start so that k deviates by so much, root mean square."""
        for _ in range(6):  # tanh bends it
            size = (self().k_per_m - self.base_samples).square().sum(-1).mean().sqrt()
            self.ode.out.weight.mul_(rms_per_m / size.clamp_min(1e-9))

    def forward(self) -> Path:
        """Solve the ODE and evaluate it."""
        values, slopes = self.ode()
        samples = self._curve("samples", values, slopes)
        edges = self._curve("edges", values, slopes)
        k = self.base_samples + samples
        shift = _echo_shift(k, self.base_samples, self.pinned, self.echo_sample)
        return Path(k - shift, self.base_edges + edges - shift, self.step_s)

    def open_to(self, share: float) -> None:
        """Coarse to fine: let the slowest share of the harmonics in time, and in k, through."""
        self.ode.features.open_to(share)
        self.ode.position.open_to(share)

    def _curve(self, name: str, values: Tensor, slopes: Tensor) -> Tensor:
        from_values, from_slopes = getattr(self, f"{name}_from_values"), getattr(self, f"{name}_from_slopes")
        return torch.einsum("tn,snd->std", from_values, values) + torch.einsum("tn,snd->std", from_slopes, slopes)


class SegmentsTrajectory(nn.Module):
    """The paper's form; its echo stays since it is a control point."""

    base_samples: Tensor
    pinned: Tensor

    def __init__(
        self,
        base_k_per_m: FloatArray,
        geometry: Geometry,
        scanner: Scanner,
        *,
        dwell_s: float,
        echo_sample: int,
        pinned: FloatArray,
    ) -> None:
        """Base (shots, samples, 2) 1/m; the network's speed is bounded by the scanner's largest gradient.

        ``pinned`` (shots, 2, 2) projects onto what must stay at the echo.
        """
        super().__init__()
        self.dwell_s, self.echo_sample = dwell_s, echo_sample
        self.ode = SegmentsOde(
            base_k_per_m,
            readout_s=base_k_per_m.shape[1] * dwell_s,
            k_max_per_m=min(geometry.k_max_per_m),
            max_speed_per_m_per_s=scanner.max_grad_hz_per_m,
        )
        self.register_buffer("base_samples", _float32(base_k_per_m))
        self.register_buffer("pinned", _float32(pinned))

    def forward(self) -> Path:
        """Solve all segments; what is pinned of the echo stays also where it is not a control point."""
        k = self.ode()
        k = k - _echo_shift(k, self.base_samples, self.pinned, self.echo_sample)
        return Path(k, k, self.dwell_s)

    def open_to(self, share: float) -> None:
        """Nothing to open."""


forms: Registry[type[ResidualTrajectory] | type[SegmentsTrajectory]] = Registry("ODE form")
forms.register("residual")(ResidualTrajectory)
forms.register("segments")(SegmentsTrajectory)


def _echo_shift(k_per_m: Tensor, base_k_per_m: Tensor, pinned: Tensor, echo_sample: int) -> Tensor:
    """(shots, 1, 2): how far the pinned part of k at the echo has left its place."""
    moved = k_per_m[:, echo_sample] - base_k_per_m[:, echo_sample]
    return torch.einsum("sij,sj->si", pinned, moved)[:, None]


def _gap_per_m(k_per_m: FloatArray, k_max_per_m: float) -> float:
    """Area of k-space over the length of all readouts: the distance of parallel lines of that length."""
    length = float(np.linalg.norm(np.diff(k_per_m, axis=1), axis=-1).sum())
    return float(np.pi * k_max_per_m**2 / max(length, k_max_per_m))


def _float32(array: FloatArray) -> Tensor:
    return torch.tensor(array, dtype=torch.float32)


def _resample(k_per_m: FloatArray, from_s: FloatArray, to_s: FloatArray) -> FloatArray:
    """(shots, samples, 2) at other times; the half sample beyond the first and last is extrapolated."""
    position = (to_s - from_s[0]) / (from_s[1] - from_s[0])
    left = np.clip(np.floor(position).astype(int), 0, len(from_s) - 2)
    u = (position - left)[None, :, None]
    return np.asarray((1 - u) * k_per_m[:, left] + u * k_per_m[:, left + 1], dtype=float)
