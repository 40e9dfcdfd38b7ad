"""Density compensation by Pipe & Menon's fixed point (MRM 1999)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from seqopt.core import Geometry

FloatArray = npt.NDArray[np.float64]


def pipe_menon(k_per_m: FloatArray, geometry: Geometry, *, iterations: int = 20, width: float = 1.0) -> FloatArray:
    """Weights by which the samples' density becomes one per (1/FOV)^2, wherever samples lie.

    In: k (shots, samples, 2) in 1/m; ``width`` half-support of the gridding kernel in 1/FOV. Out: (shots, samples),
    cell areas in (1/FOV)^2, so that A^H W A is about the identity inside densely covered k-space.
    Source: Pipe & Menon, MRM 41:179 (1999), w <- w / (C w) with C the kernel's autocorrelation on the samples.
    """
    spread = _gridding_matrix(k_per_m, geometry, width=width)  # (points, cells), rows of unit sum
    weights = np.ones(spread.shape[0])
    gather = spread.T.tocsr()
    for _ in range(iterations):
        weights /= np.maximum(spread @ (gather @ weights), 1e-12) * _CELLS_PER_INVERSE_FOV**2
    return weights.reshape(k_per_m.shape[:2])


_CELLS_PER_INVERSE_FOV = 2  # grid on which densities are compared


def _gridding_matrix(k_per_m: FloatArray, geometry: Geometry, *, width: float) -> sparse.csr_matrix:
    position = k_per_m.reshape(-1, 2) * np.array(geometry.fov_m) * _CELLS_PER_INVERSE_FOV
    reach = width * _CELLS_PER_INVERSE_FOV
    lowest = np.ceil(position - reach).astype(np.int64)
    taps = np.arange(int(2 * reach) + 1)
    cell = lowest[:, :, None] + taps  # (points, 2, taps)
    value = np.maximum(0.0, 1.0 - np.abs(cell - position[:, :, None]) / reach)  # triangle
    value /= value.sum(-1, keepdims=True)
    cell -= cell.min(axis=(0, 2))[None, :, None]
    columns = int(cell[:, 0].max()) + 1
    index = cell[:, 1, :, None] * columns + cell[:, 0, None, :]
    weight = value[:, 1, :, None] * value[:, 0, None, :]
    points = len(position)
    per_point = index.shape[1] * index.shape[2]
    rows = np.arange(0, points * per_point + 1, per_point)
    cells = int(cell[:, 1].max() + 1) * columns
    return sparse.csr_matrix((weight.ravel(), index.ravel(), rows), shape=(points, cells))


def pipe_menon_torch(k_per_m: Tensor, geometry: Geometry, *, iterations: int = 20, width: float = 1.0) -> Tensor:
    """``pipe_menon`` on the tensor's own device, without a look at the values: (shots, samples) in double precision.

    The grid has a fixed size and is periodic, so that the device is not waited for: the same weights as long as the
    trajectory extends over at most twice the width of the geometry's k-space.
    """
    position = k_per_m.detach().double().reshape(-1, 2)
    position = torch.stack(
        [position[:, axis] * (fov_m * _CELLS_PER_INVERSE_FOV) for axis, fov_m in enumerate(geometry.fov_m)], 1
    )
    reach = width * _CELLS_PER_INVERSE_FOV
    lowest = (position - reach).ceil()
    cell = lowest[:, :, None] + torch.arange(int(2 * reach) + 1, device=position.device)  # (points, 2, taps)
    value = (1.0 - (cell - position[:, :, None]).abs() / reach).clamp_min(0.0)
    value = value / value.sum(-1, keepdim=True)
    columns, rows = (2 * _CELLS_PER_INVERSE_FOV * n + 2 * cell.shape[-1] for n in geometry.matrix)
    x, y = cell[:, 0].remainder(columns).long(), cell[:, 1].remainder(rows).long()
    index = (y[:, :, None] * columns + x[:, None, :]).flatten(1)
    share = (value[:, 1, :, None] * value[:, 0, None, :]).flatten(1)
    weights = share.new_ones(len(position))
    for _ in range(iterations):
        grid = share.new_zeros(rows * columns).index_add(0, index.flatten(), (share * weights[:, None]).flatten())
        density = (share * grid[index]).sum(1)
        weights = weights / (density.clamp_min(1e-12) * _CELLS_PER_INVERSE_FOV**2)
    return weights.reshape(k_per_m.shape[:2])
