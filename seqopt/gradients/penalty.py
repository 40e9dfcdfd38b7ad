"""Soft limits for training (Peng et al., CVPR 2022, eq. 15); the exact projection comes after."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqopt.core import ForbiddenBand, NerveResponse, StimulationModel
from seqopt.gradients.pns import decay, response_kernel
from seqopt.units import GAMMA_HZ_PER_T

_BAND_STEP_HZ = 20.0  # a readout of some milliseconds has no finer spectrum


def soft_shrink_excess(values: Tensor, limit: float) -> Tensor:
    """Mean of what exceeds the limit, as a share of it: vectors (shots, times, 2) -> scalar.

    S(b, c) of the paper is 0 inside [-c, c] and the excess outside; here it acts on the vector's length, since an
    oblique slice can turn the whole vector onto one physical axis.
    """
    length = (values.square().sum(-1) + 1e-12 * limit**2).sqrt()
    return (length / limit - 1.0).clamp_min(0.0).mean()


def kinematic_penalty(
    k_edges_per_m: Tensor, *, raster_s: float, max_grad_hz_per_m: float, max_slew_hz_per_m_per_s: float
) -> tuple[Tensor, Tensor]:
    """Excess of gradient and slew of k sampled on raster edges (shots, edges, 2) -> two scalars."""
    gradient = k_edges_per_m.diff(dim=1) / raster_s
    slew = gradient.diff(dim=1) / raster_s
    return soft_shrink_excess(gradient, max_grad_hz_per_m), soft_shrink_excess(slew, max_slew_hz_per_m_per_s)


def with_ramps(gradient: Tensor, *, raster_s: float, slew_hz_per_m_per_s: float) -> Tensor:
    """Gradient (shots, times, 2) Hz/m of a readout, with the linear ramps that bring it from rest and back to it."""
    ends = torch.cat([gradient[:, :1], gradient[:, -1:]], dim=1).detach()
    rasters = max(1, math.ceil(float(ends.norm(dim=-1).max()) / (slew_hz_per_m_per_s * raster_s)))
    rise = torch.linspace(0.0, 1.0, rasters + 1, dtype=gradient.dtype, device=gradient.device)[None, :-1, None]
    return torch.cat([rise * gradient[:, :1], gradient, rise.flip(1) * gradient[:, -1:]], dim=1)


def soft_stimulation(gradient: Tensor, model: StimulationModel, *, raster_s: float) -> Tensor:
    """What `pns.stimulation` computes, differentiable: (shots, times, 2) Hz/m from rest -> (shots, times) combined.

    x and y of the trajectory lie on the physical axes x and y.
    """
    slew = torch.diff(gradient, dim=1, prepend=torch.zeros_like(gradient[:, :1])) / (raster_s * GAMMA_HZ_PER_T)
    count = slew.shape[1]
    if isinstance(model, NerveResponse):
        kernel = torch.as_tensor(response_kernel(model, raster_s, count), dtype=slew.dtype, device=slew.device)
        axes = _convolved(slew, kernel[:, None])
        return (axes.square().sum(-1) + 1e-12).sqrt()
    total = torch.zeros_like(slew)
    for index in range(3):
        keep = torch.tensor(
            [decay(axis.tau_s[index], raster_s) for axis in model.axes[:2]], dtype=slew.dtype, device=slew.device
        )
        kernel = (1.0 - keep) * keep ** torch.arange(count, dtype=slew.dtype, device=slew.device)[:, None]
        scale = slew.new_tensor(
            [axis.weights[index] * axis.scale / axis.limit_t_per_m_per_s for axis in model.axes[:2]]
        )
        filtered = _convolved(slew.abs() if index == 1 else slew, kernel)
        total = total + scale * filtered.abs()
    return (total.square().sum(-1) + 1e-12).sqrt()


def stimulation_penalty(
    k_edges_per_m: Tensor,
    model: StimulationModel,
    *,
    raster_s: float,
    limit: float,
    max_slew_hz_per_m_per_s: float,
) -> Tensor:
    """Excess of nerve stimulation over a limit, mean and mean of the shots' largest: k (shots, edges, 2) -> scalar.

    Of the readout with its ramps; prephaser and rewinder are kept gentle by ``connection_slew_share``.
    """
    gradient = k_edges_per_m.diff(dim=1) / raster_s
    ramped = with_ramps(gradient, raster_s=raster_s, slew_hz_per_m_per_s=max_slew_hz_per_m_per_s)
    excess = (soft_stimulation(ramped, model, raster_s=raster_s) / limit - 1.0).clamp_min(0.0)
    return excess.mean() + excess.amax(dim=1).mean()


def resonance_penalty(
    k_edges_per_m: Tensor,
    bands: tuple[ForbiddenBand, ...],
    *,
    raster_s: float,
    period_s: float,
    limit_hz_per_m: float,
    max_slew_hz_per_m_per_s: float,
) -> Tensor:
    """Excess of the oscillation inside forbidden bands, of a readout that repeats each ``period_s``: k -> scalar.

    The spectral lines of a repeated readout have the amplitude 2 |G(f)| / period at most, on each axis.
    """
    gradient = k_edges_per_m.diff(dim=1) / raster_s
    ramped = with_ramps(gradient, raster_s=raster_s, slew_hz_per_m_per_s=max_slew_hz_per_m_per_s)
    frequency = torch.cat([_grid(band) for band in bands]).to(ramped)
    angle = -2.0 * math.pi * frequency[:, None] * (torch.arange(ramped.shape[1]).to(ramped) * raster_s)
    parts = [torch.einsum("ft,sta->sfa", wave, ramped) for wave in (angle.cos(), angle.sin())]
    power = parts[0].square() + parts[1].square()
    amplitude = (2.0 * raster_s / period_s) * (power + 1e-12 * power.detach().amax() + 1e-30).sqrt()
    excess = (amplitude / limit_hz_per_m - 1.0).clamp_min(0.0)
    return excess.mean() + excess.amax(dim=(1, 2)).mean()


def _grid(band: ForbiddenBand) -> Tensor:
    count = max(3, math.ceil(band.width_hz / _BAND_STEP_HZ) + 1)
    return torch.linspace(band.low_hz, band.high_hz, count, dtype=torch.float64)


def _convolved(values: Tensor, kernel: Tensor) -> Tensor:
    """Causal convolution along time: (shots, times, axes) with (times, axes)."""
    count = values.shape[1]
    size = 2 * count
    product = torch.fft.rfft(values, n=size, dim=1) * torch.fft.rfft(kernel, n=size, dim=0)
    out: Tensor = torch.fft.irfft(product, n=size, dim=1)[:, :count]
    return out
