"""From any source grid to the one square grid of the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry

FloatArray = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]
LANCZOS_LOBES = 3


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The square target grid: pixel i lies at (i - matrix / 2) voxel_m, as the discrete Fourier transform has it."""

    matrix: int
    fov_m: float

    def __post_init__(self) -> None:
        Geometry(fov_m=(self.fov_m, self.fov_m), matrix=(self.matrix, self.matrix))  # the checks of every geometry

    @property
    def voxel_m(self) -> float:
        """Pixel size in metres."""
        return self.fov_m / self.matrix

    def positions_m(self) -> FloatArray:
        """Pixel centres (matrix,) in metres."""
        return np.asarray((np.arange(self.matrix) - self.matrix / 2) * self.voxel_m, dtype=np.float64)


def resample(
    images: AnyArray,
    *,
    step_m: tuple[float, float],
    grid: Grid,
    centre: tuple[float, float] | None = None,
    nonnegative: bool | None = None,
) -> AnyArray:
    """Interpolate (n, y, x) images with a Lanczos kernel, low-passed where the target grid is coarser.

    In: pixel steps (y, x) in metres; ``centre`` (y, x) is the source index that comes to the grid's centre, by default
    n / 2; ``nonnegative`` whether the whole volume has no negative values, where these are some of its slices. Out:
    (n, matrix, matrix), float32 or complex64, zero outside the source. Images without negative values stay so.
    Source: Duchon, J. Appl. Meteorol. 18 (1979) 1016.
    """
    rows, columns = images.shape[-2:]
    centre = centre or (rows / 2, columns / 2)
    kind = np.complex64 if np.iscomplexobj(images) else np.float32
    along_y = _lanczos_matrix(rows, step_m[0], centre[0], grid).astype(np.float32)
    along_x = _lanczos_matrix(columns, step_m[1], centre[1], grid).astype(np.float32)
    result = along_y @ images.astype(kind) @ along_x.T
    if kind is np.float32 and (float(images.min()) >= 0.0 if nonnegative is None else nonnegative):
        np.maximum(result, 0.0, out=result)  # the kernel's lobes undershoot at edges
    return np.asarray(result, dtype=kind)


def _lanczos_matrix(size: int, step_m: float, centre: float, grid: Grid) -> FloatArray:
    stretch = max(1.0, grid.voxel_m / step_m)
    wanted = grid.positions_m() / step_m + centre  # (matrix,) in source pixels
    reach = int(np.ceil(LANCZOS_LOBES * stretch)) + 1
    beyond = max(reach, int(np.ceil(max(-wanted[0], wanted[-1] - size + 1))) + reach)
    distance = (wanted[:, None] - np.arange(-beyond, size + beyond)) / stretch
    weights = np.where(np.abs(distance) < LANCZOS_LOBES, np.sinc(distance) * np.sinc(distance / LANCZOS_LOBES), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)  # with the empty surroundings, so that edges are not lifted
    return np.asarray(weights[:, beyond : beyond + size])


def kspace_to_grid(
    kspace: npt.NDArray[np.complexfloating[Any, Any]], *, fov_m: tuple[float, float], grid: Grid
) -> AnyArray:
    """Transform centred Cartesian k-space (..., y, x) straight to the grid's pixels.

    k-space beyond the grid's resolution is cropped, missing k-space counts as zero, and the field of view ``fov_m``
    (y, x) in metres is kept: pixels outside it are 0. Out: (..., matrix, matrix) complex64, unitary up to the crop.
    """
    along_y = _fourier_matrix(kspace.shape[-2], fov_m[0], grid)
    along_x = _fourier_matrix(kspace.shape[-1], fov_m[1], grid)
    return np.asarray(along_y @ kspace.astype(np.complex64) @ along_x.T, dtype=np.complex64)


def _fourier_matrix(size: int, fov_m: float, grid: Grid) -> AnyArray:
    k_per_m = (np.arange(size) - size // 2) / fov_m
    at_m = grid.positions_m()
    inside_band = np.abs(k_per_m) <= 0.5 / grid.voxel_m
    inside_fov = (at_m >= -0.5 * fov_m - 1e-9) & (at_m < 0.5 * fov_m - 1e-9)
    waves = np.exp(2j * np.pi * at_m[:, None] * k_per_m[None, :]) / np.sqrt(size)
    return np.asarray(waves * inside_band * inside_fov[:, None], dtype=np.complex64)
