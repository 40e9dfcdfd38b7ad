"""Reconstructions whose prior is no square: proximal gradient steps on the Gram form, for any encoding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqopt.recon.problem import Problem

Prox = Callable[[Tensor, Tensor], Tensor]
"""(images (batch, y, x), thresholds (batch,)) -> argmin_x 1/2 |x - image|^2 + threshold * prior(x)."""


_MARGIN = 1.05  # of a step size over the curvature that was met


def proximal_gradients(
    problem: Problem, prox: Prox, *, iterations: int, regularisation: float, residuals: list[float] | None = None
) -> Tensor:
    """Minimise 1/2 |W^1/2 (A S x - s)|^2 + t * prior(x), t = regularisation * max |S^H A^H W s|.

    Nesterov's momentum, begun anew whenever it leads astray. A step is as long as the curvature along it allows, which
    costs no extra Gram form: that of the point ahead is a combination of those of two estimates. ``residuals``
    collects the relative change of each iteration. Out: (batch, y, x) complex. Sources: Beck & Teboulle, SIAM J.
    Imaging Sci. 2:183 (2009), with backtracking; the restart: O'Donoghue & Candes, Found. Comput. Math. 15:715 (2015).
    """
    right = problem.right_hand_side
    threshold = regularisation * right.abs().amax((1, 2))
    right_image = problem.gram(right)
    sharpness = max(float(_inner(right, right_image).sum() / _inner(right, right).sum().clamp_min(1e-30)), 1e-30)
    estimate = ahead = right / sharpness
    image = image_ahead = right_image / sharpness
    momentum = 1.0
    for _ in range(iterations):
        while True:
            step = 1.0 / sharpness
            fresh = prox(ahead - step * (image_ahead - right), step * threshold)
            fresh_image = problem.gram(fresh)
            curvature = _curvature(fresh - ahead, fresh_image - image_ahead, fresh)
            if curvature <= sharpness * _MARGIN:
                break
            sharpness = curvature * _MARGIN
        moved = fresh - estimate
        if float(_inner(ahead - fresh, moved).sum()) > 0:
            momentum = 1.0
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        share = (momentum - 1) / following
        ahead, image_ahead = fresh + share * moved, fresh_image + share * (fresh_image - image)
        estimate, image, momentum = fresh, fresh_image, following
        if residuals is not None:
            residuals.append(float(moved.norm() / fresh.norm().clamp_min(1e-30)))
    return estimate


def _curvature(step: Tensor, image: Tensor, fresh: Tensor) -> float:
    """Largest <d, G d> / <d, d> of the batch; zero for steps that drown in rounding."""
    length = _inner(step, step)
    real = length > 1e-8 * _inner(fresh, fresh)
    return float(torch.where(real, _inner(step, image) / length.clamp_min(1e-30), 0.0).max())


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """Real inner product of each image, (batch,)."""
    return (torch.view_as_real(left) * torch.view_as_real(right)).sum((1, 2, 3))


def objective(problem: Problem, prior: Tensor, image: Tensor, threshold: Tensor) -> Tensor:
    """1/2 <x, G x> - Re <x, b> + t * prior of each image, (batch,): the minimised function up to a constant."""
    return _inner(image, 0.5 * problem.gram(image) - problem.right_hand_side) + threshold * prior
