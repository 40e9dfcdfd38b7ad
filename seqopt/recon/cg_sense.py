"""CG-SENSE in Gram form: no NUFFT inside the iterations."""

from __future__ import annotations

import torch
from torch import Tensor

from seqopt.encoding.gram import sense_gram


def conjugate_gradients(
    right_hand_side: Tensor,
    spectrum: Tensor,
    maps4: Tensor,
    *,
    iterations: int,
    regularisation: float,
    residuals: list[float] | None = None,
    iterates: list[Tensor] | None = None,
) -> Tensor:
    """Solve (sum_c S_c^H A^H W A S_c + regularisation) x = right-hand side by conjugate gradients from zero.

    In: right-hand side (batch, y, x) complex, ``spectrum`` (4, y, x) of a ``GramKernel``, ``maps4`` from
    ``shifted_maps``; ``residuals`` collects the relative residual of each iteration, ``iterates`` its estimate.
    Out: (batch, y, x), differentiable through every iteration. Source: Pruessmann et al., MRM 46:638 (2001).
    """
    estimate = torch.zeros_like(right_hand_side)
    residual = right_hand_side
    direction = residual
    energy = start = _energy(residual)
    for _ in range(iterations):
        image = sense_gram(direction, spectrum, maps4) + regularisation * direction
        step = energy / _inner(direction, image).clamp_min(1e-30)
        estimate = estimate + step * direction
        residual = residual - step * image
        fresh = _energy(residual)
        direction = residual + (fresh / energy.clamp_min(1e-30)) * direction
        energy = fresh
        if iterates is not None:
            iterates.append(estimate)
        if residuals is not None:
            residuals.append(float((energy / start.clamp_min(1e-30)).max().sqrt()))
    return estimate


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """Real inner product of each image, (batch, 1, 1)."""
    return (torch.view_as_real(left) * torch.view_as_real(right)).sum((1, 2, 3))[:, None, None]


def _energy(image: Tensor) -> Tensor:
    return _inner(image, image)
