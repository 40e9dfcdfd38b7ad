"""The four laws of a linear operator: values, adjointness, derivative in the data, derivative in k."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from seqopt.core import Geometry


def direct_dft_matrix(k_per_m: np.ndarray, geometry: Geometry, shape: tuple[int, int] | None = None) -> np.ndarray:
    """(points, pixels) in double precision, from the definition alone: exp(-2 pi i k r) / sqrt(pixels)."""
    ny, nx = shape or geometry.shape
    x = (np.arange(nx) - nx // 2) * geometry.voxel_m[0]
    y = (np.arange(ny) - ny // 2) * geometry.voxel_m[1]
    k = k_per_m.reshape(-1, 2)
    phase = k[:, 0, None, None] * x[None, None, :] + k[:, 1, None, None] * y[None, :, None]
    scale = np.sqrt(geometry.matrix[0] * geometry.matrix[1])
    return np.exp(-2j * np.pi * phase).reshape(len(k), -1) / scale


def relative(result: Tensor | np.ndarray, truth: Tensor | np.ndarray) -> float:
    result, truth = np.asarray(result.detach() if isinstance(result, Tensor) else result), np.asarray(truth)
    assert result.shape == truth.shape, (result.shape, truth.shape)
    return float(np.linalg.norm(result - truth) / np.linalg.norm(truth))


def complex_normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.complex(
        torch.randn(shape, generator=generator, dtype=torch.float64),
        torch.randn(shape, generator=generator, dtype=torch.float64),
    )


def assert_adjoint(
    forward: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, *, tolerance: float
) -> None:
    """<A x, y> = <x, A^H y>."""
    left = torch.vdot(y.flatten(), forward(x).flatten())
    right = torch.vdot(adjoint(y).flatten(), x.flatten())
    assert abs(left - right) < tolerance * x.norm() * y.norm(), (left, right)


def assert_derivative(loss: Callable[[Tensor], Tensor], at: Tensor, *, step: float, tolerance: float) -> None:
    """Autograd's directional derivative against central finite differences, in several random directions."""
    variable = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(variable), variable)
    assert gradient is not None and bool(torch.isfinite(torch.view_as_real(gradient + 0j)).all())
    for seed in range(3):
        if at.is_complex():
            direction = complex_normal(*at.shape, seed=seed).to(at.dtype)
        else:
            direction = complex_normal(*at.shape, seed=seed).real.to(at.dtype)
        with torch.no_grad():
            numeric = (loss(at + step * direction) - loss(at - step * direction)) / (2 * step)
        analytic = (gradient.conj() * direction).real.sum()
        size = gradient.norm() * direction.norm() / at.numel() ** 0.5
        assert abs(numeric - analytic) < tolerance * size, (numeric, analytic, size)
