"""Density compensation: Pipe & Menon's fixed point (MRM 1999), and the cell areas of radial and spiral shots."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from seqopt.core import Geometry
from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]
_ALIKE = 1.5  # 1/FOV by which radii of shots may differ: delayed gradients
_CELLS_PER_INVERSE_FOV = 2  # grid on which densities are compared


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


def analytic(k_per_m: FloatArray, geometry: Geometry) -> FloatArray:
    """Cell areas (shots, samples) in (1/FOV)^2 of shots that are rotations of one another: radial and spiral.

    An area is |k| dk_r times the angle to the next crossing of that radius (for spokes the ramp |k|), but a shot is
    never given more than 1/FOV on its sides: beyond Nyquist's radius the ramp is flat, as k-space between the shots
    was not sampled. Raises `SeqoptError` for other shots. Source: Hoge, Kwan, Pike, MRM 38:117 (1997).
    """
    position = k_per_m * np.array(geometry.fov_m)  # 1/FOV
    radius = np.linalg.norm(position, axis=-1)
    if np.ptp(radius, axis=0).max() > _ALIKE:
        raise SeqoptError("analytic density is for radial and spiral shots, rotations of one; use pipe-menon")
    profile = radius.mean(0)
    outwards = np.gradient(profile)
    turn = int(np.argmin(profile))
    if not ((outwards[turn + 2 :] > -1e-3).all() and (outwards[: max(turn - 1, 0)] < 1e-3).all()):
        raise SeqoptError("analytic density is for shots that lead outwards from the centre; use pipe-menon")
    halves = 2 if 0 < turn < len(profile) - 1 and profile[0] > _ALIKE else 1
    path = np.linalg.norm(np.gradient(position, axis=1), axis=-1)
    step = np.maximum(np.abs(np.gradient(np.where(np.arange(len(profile)) < turn, -profile, profile))), 1e-12)
    beside = radius * step * (_angles(position[:, -1] - position[:, turn], halves)[:, None]) / np.maximum(path, 1e-12)
    at_centre = radius < step / 2  # a disc of radius step / 2 belongs to all shots together
    least = np.pi / 4 * step / len(position)
    return np.asarray(path * np.clip(np.where(at_centre, least, beside), 1e-12, 1.0))


def _angles(towards: FloatArray, halves: int) -> FloatArray:
    """The angle (shots,) that belongs to each shot: half of the way to its neighbours on either side."""
    period = 2 * np.pi / halves
    angle = np.arctan2(towards[:, 1], towards[:, 0]) % period
    order = np.argsort(angle, kind="stable")
    gaps = np.diff(np.append(angle[order], angle[order[0]] + period))
    shares = np.empty(len(angle))
    shares[order] = (gaps + np.roll(gaps, 1)) / 2
    return shares


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
