"""CG-SENSE: conjugate gradients on A^H W A, which for trajectories has no NUFFT inside."""

from __future__ import annotations

from collections.abc import Callable

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
    ``shifted_maps``; the rest as in ``solve``. Source: Pruessmann et al., MRM 46:638 (2001).
    """
    return solve(
        lambda image: sense_gram(image, spectrum, shifted),
        right_hand_side,
        iterations=iterations,
        regularisation=regularisation,
        start=start,
        residuals=residuals,
        iterates=iterates,
    )


def solve(
    gram: Callable[[Tensor], Tensor],
    right_hand_side: Tensor,
    *,
    iterations: int,
    regularisation: float | Tensor,
    start: Tensor | None = None,
    residuals: list[float] | None = None,
    iterates: list[Tensor] | None = None,
) -> Tensor:
    """Solve (gram + regularisation) x = right-hand side for each image by conjugate gradients.

    In: ``gram`` a positive operator on (batch, y, x); ``start`` (batch, y, x), else zero; ``residuals`` collects the
    relative residual of each iteration, ``iterates`` its estimate. A prior z of weight l, l |x - z|^2, enters as
    right-hand side + l z and regularisation + l.
    Out: (batch, y, x), differentiable through every iteration; an image that has converged stands still.
    """
    estimate, residual = torch.zeros_like(right_hand_side), right_hand_side
    whole = _energy(residual)
    enough = 1e-3 * torch.finfo(whole.dtype).eps * whole.detach()  # beyond, the way back would follow rounding
    if start is not None:
        estimate = start
        residual = residual - gram(start) - regularisation * start
    direction, energy = residual, _energy(residual)
    for _ in range(iterations):
        moving = energy > enough
        image = gram(direction) + regularisation * direction
        step = _ratio(energy, _inner(direction, image), moving)
        estimate = estimate + step * direction
        residual = residual - step * image
        fresh = _energy(residual)
        direction = residual + _ratio(fresh, energy, moving) * direction
        energy = fresh
        if iterates is not None:
            iterates.append(estimate)
        if residuals is not None:
            residuals.append(float((energy / whole.clamp_min(1e-30)).max().sqrt()))
    return estimate


def _ratio(above: Tensor, below: Tensor, moving: Tensor) -> Tensor:
    """The quotient where an image still moves, zero elsewhere, with a finite derivative in both cases."""
    return torch.where(moving, above / torch.where(moving, below, 1.0), 0.0)


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """Real inner product of each image, (batch, 1, 1)."""
    return (torch.view_as_real(left) * torch.view_as_real(right)).sum((1, 2, 3))[:, None, None]


def _energy(image: Tensor) -> Tensor:
    return _inner(image, image)
