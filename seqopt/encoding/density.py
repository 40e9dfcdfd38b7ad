"""Density compensation by Pipe & Menon's fixed point (MRM 1999)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

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
