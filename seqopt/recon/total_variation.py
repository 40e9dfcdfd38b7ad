"""The proximal map of the isotropic total variation of complex images, by its dual."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 3
"""Dual steps an outer iteration; the dual is kept from one to the next, so that few suffice."""


class TotalVariation:
    """argmin_x 1/2 |x - image|^2 + t TV(x), warm-started from call to call.

    TV(x) = sum of sqrt(|dx|^2 + |dy|^2) over pixels, differences forward, none across the edge. Source: Beck &
    Teboulle, IEEE TIP 18:2419 (2009), the fast projected gradient on Chambolle's dual.
    """

    def __init__(self, steps: int = STEPS) -> None:
        self.steps = steps
        self._dual: Tensor | None = None

    def __call__(self, images: Tensor, threshold: Tensor) -> Tensor:
        """Images (batch, y, x) complex, thresholds (batch,)."""
        level = threshold[:, None, None]
        if float(threshold.max()) == 0.0:
            return images
        dual = self._dual if self._dual is not None else images.new_zeros(2, *images.shape)
        ahead, momentum = dual, 1.0
        for _ in range(self.steps):
            # 8 bounds the square of the difference's norm
            slope = differences(images - level * adjoint_differences(ahead)) / (8 * level.clamp_min(1e-30))
            fresh = _projected(ahead + slope)
            following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead = torch.lerp(dual, fresh, 1 + (momentum - 1) / following)
            dual, momentum = fresh, following
        self._dual = dual
        return images - level * adjoint_differences(dual)


def differences(images: Tensor) -> Tensor:
    """Forward differences (2, batch, y, x), along y and x, zero at the far edge."""
    result = images.new_zeros(2, *images.shape)
    torch.sub(images[:, 1:], images[:, :-1], out=result[0, :, :-1])
    torch.sub(images[..., 1:], images[..., :-1], out=result[1, ..., :-1])
    return result


def adjoint_differences(dual: Tensor) -> Tensor:
    """The adjoint of ``differences``, (batch, y, x)."""
    along_y, along_x = dual
    result = torch.zeros_like(along_y)
    result[:, :-1] -= along_y[:, :-1]
    result[:, 1:] += along_y[:, :-1]
    result[..., :-1] -= along_x[..., :-1]
    result[..., 1:] += along_x[..., :-1]
    return result


def total_variation(images: Tensor) -> Tensor:
    """TV of each image, (batch,)."""
    return differences(images).abs().square().sum(0).sqrt().sum((1, 2))


def _projected(dual: Tensor) -> Tensor:
    """No pixel's pair longer than 1."""
    length = torch.view_as_real(dual).square().sum((0, -1)).sqrt_().clamp_min_(1.0)
    return dual / length
