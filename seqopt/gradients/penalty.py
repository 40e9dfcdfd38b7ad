"""Soft limits for training (papers.md A, eq. 15); the exact projection comes after."""

from __future__ import annotations

from torch import Tensor


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
