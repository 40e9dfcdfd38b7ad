"""CG-SENSE in Gram form: no NUFFT inside the iterations."""

from __future__ import annotations

import torch
from torch import Tensor

from seqopt.encoding.gram import sense_gram

DEFAULT_ITERATIONS = 12
DEFAULT_REGULARISATION = 0.01


def conjugate_gradients(
    right_hand_side: Tensor,
    spectrum: Tensor,
    shifted: Tensor,
    *,
    iterations: int,
    regularisation: float | Tensor,
    start: Tensor | None = None,
    residuals: list[float] | None = None,
    iterates: list[Tensor] | None = None,
) -> Tensor:
    """Solve (sum_c S_c^H A^H W A S_c + regularisation) x = right-hand side by conjugate gradients.

    In: right-hand side (batch, y, x) complex, ``spectrum`` (4, y, x) of a ``GramKernel``, ``shifted`` from
    ``shifted_maps``; ``start`` (batch, y, x), else zero; ``residuals`` collects the relative residual of each
    iteration, ``iterates`` its estimate. A prior z of weight l, l |x - z|^2, enters as right-hand side + l z and
    regularisation + l.
    Out: (batch, y, x), differentiable through every iteration. Source: Pruessmann et al., MRM 46:638 (2001).
    """
    estimate, residual = torch.zeros_like(right_hand_side), right_hand_side
    whole = _energy(residual)
    if start is not None:
        estimate = start
        residual = residual - sense_gram(start, spectrum, shifted) - regularisation * start
    direction, energy = residual, _energy(residual)
    for _ in range(iterations):
        image = sense_gram(direction, spectrum, shifted) + regularisation * direction
        step = energy / _inner(direction, image).clamp_min(1e-30)
        estimate = estimate + step * direction
        residual = residual - step * image
        fresh = _energy(residual)
        direction = residual + (fresh / energy.clamp_min(1e-30)) * direction
        energy = fresh
        if iterates is not None:
            iterates.append(estimate)
        if residuals is not None:
            residuals.append(float((energy / whole.clamp_min(1e-30)).max().sqrt()))
    return estimate


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """Real inner product of each image, (batch, 1, 1)."""
    return (torch.view_as_real(left) * torch.view_as_real(right)).sum((1, 2, 3))[:, None, None]


def _energy(image: Tensor) -> Tensor:
    return _inner(image, image)
