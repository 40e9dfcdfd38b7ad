"""Coil maps from the centre of the data themselves: a small regularised calibration image, then Walsh or ESPIRiT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.errors import SeqoptError, reject
from seqopt.registry import Registry

ComplexArray = npt.NDArray[np.complex64]
FloatArray = npt.NDArray[np.float64]
Calibration = npt.NDArray[np.complex128]

map_methods: Registry[Callable[[Calibration, tuple[int, int]], ComplexArray]] = Registry("coil map method")

_REGULARISATION = 1e-3  # of the largest eigenvalue that a fully covered centre would have
_COARSE_GRID = 64
_WALSH_BLOCK = 5  # pixels of the coarse grid over which the coils' covariance is averaged


def estimate_maps(
    samples: npt.NDArray[Any],
    k_per_m: FloatArray,
    geometry: Geometry,
    *,
    method: str = "walsh",
    calibration: int = 24,
) -> ComplexArray:
    """Receive sensitivities (coils, y, x) complex64, relative to one virtual coil, with sum |S|^2 = 1.

    In: samples (coils, shots, samples), k (shots, samples, 2) in 1/m; ``calibration`` the side of the k-space centre
    in 1/FOV. Raises `SeqoptError` when the centre holds too few samples. Sources: Walsh et al., MRM 43:682 (2000);
    Uecker et al., MRM 71:990 (2014).
    """
    estimate = map_methods[method]
    size = min(calibration, *geometry.matrix)
    if size < 6:
        raise reject("calibration", got=calibration, expected="6 or more (1/FOV)", remedy="24 is usual")
    return estimate(calibration_kspace(samples, k_per_m, geometry, size=size - size % 2), geometry.shape)


def calibration_kspace(samples: npt.NDArray[Any], k_per_m: FloatArray, geometry: Geometry, *, size: int) -> Calibration:
    """Cartesian k-space centre (coils, size, size), spacing 1/FOV, that explains the samples with least energy.

    Solves (A^H A + mu) x = A^H s on a size x size image; A is so small that its normal matrix is formed, from its
    Toeplitz kernel, and factorised.
    """
    position = k_per_m.reshape(-1, 2) * np.array(geometry.fov_m)  # (points, 2) x, y in 1/FOV
    inside = (np.abs(position) <= size / 2).all(1)
    if inside.sum() < size:
        raise SeqoptError(
            f"coil maps: only {int(inside.sum())} samples lie within {size}/FOV of the k-space centre; "
            "raise calibration, or use the method adjoint"
        )
    position = position[inside]
    data = samples.reshape(samples.shape[0], -1)[:, inside].astype(np.complex128)
    weights = _local_weights(position)
    index = np.arange(size) - size // 2
    differences = np.arange(-size + 1, size)
    phase_x, phase_y = (np.exp(2j * np.pi / size * position[:, axis, None] * index) for axis in (0, 1))
    kernel_x, kernel_y = (np.exp(2j * np.pi / size * position[:, axis, None] * differences) for axis in (0, 1))
    kernel = (kernel_y * weights[:, None]).T @ kernel_x  # (dy, dx)
    apart = index[:, None] - index[None, :] + size - 1
    normal = kernel[apart[:, None, :, None], apart[None, :, None, :]].reshape(size**2, size**2)
    right = np.stack([((phase_y * (weights * coil)[:, None]).T @ phase_x).ravel() for coil in data], 1)
    normal[np.diag_indices(size**2)] += _REGULARISATION * size**2
    image = np.linalg.solve(normal, right).T.reshape(-1, size, size)
    return np.asarray(_centred_fft(image))


def _local_weights(position: FloatArray) -> FloatArray:
    """Samples share each (1/FOV)^2 cell's unit weight (points,), so that dense spots do not dominate."""
    cell = np.floor(position).astype(np.int64)
    _, inverse, counts = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    weights: FloatArray = 1.0 / counts[inverse.reshape(-1)]
    return weights


def _centred_fft(images: Calibration) -> Calibration:
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=axes), axes=axes), axes=axes)


def centred_ifft(kspace: Calibration) -> Calibration:
    """Images (..., y, x) of k-space with k = 0 and r = 0 in the middle, 1 / N of each axis included."""
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), axes=axes), axes=axes)


def _padded(kspace: Calibration, shape: tuple[int, int]) -> Calibration:
    """K-space (coils, n, n) with zeros about it, up to a coarse grid no finer than ``shape`` (y, x)."""
    size = kspace.shape[-1]
    coarse = [min(max(_COARSE_GRID, size), n) for n in shape]
    before = [n // 2 - size // 2 for n in coarse]
    return np.pad(kspace, [(0, 0), *((at, n - size - at) for at, n in zip(before, coarse, strict=True))])


@map_methods.register("walsh")
def walsh(kspace: Calibration, shape: tuple[int, int]) -> ComplexArray:
    """Largest eigenvector of the coils' local covariance on a coarse grid, interpolated to ``shape`` (y, x)."""
    from scipy.ndimage import uniform_filter

    taper = np.hanning(kspace.shape[-1] + 2)[1:-1]
    images = centred_ifft(_padded(kspace * taper[:, None] * taper, shape))
    coils, *coarse = images.shape
    covariance = np.einsum("cyx,dyx->yxcd", images, images.conj()).reshape(*coarse, -1)
    covariance = _smoothed(covariance, lambda part: uniform_filter(part, (_WALSH_BLOCK, _WALSH_BLOCK, 1)))
    _, vectors = np.linalg.eigh(covariance.reshape(*coarse, coils, coils))
    maps = np.moveaxis(vectors[..., -1], -1, 0)
    return _unit(interpolated(_rotated(maps, images), shape))


def _smoothed(array: Calibration, smooth: Callable[[FloatArray], FloatArray]) -> Calibration:
    return np.asarray(smooth(array.real) + 1j * smooth(array.imag))


def _rotated(maps: Calibration, images: Calibration) -> Calibration:
    """Phase relative to the virtual coil that sees most of the object: eigenvectors have a free phase."""
    flat = images.reshape(len(images), -1)
    _, vectors = np.linalg.eigh(flat @ flat.conj().T)
    reference = np.einsum("c,cyx->yx", vectors[:, -1].conj(), maps)
    return np.asarray(maps * np.exp(-1j * np.angle(reference)))


def interpolated(maps: Calibration, shape: tuple[int, int]) -> Calibration:
    """Linear between pixel centres (index - N/2) / N of the field of view."""
    for axis, size in ((1, shape[0]), (2, shape[1])):
        old = maps.shape[axis]
        place = np.clip((np.arange(size) - size // 2) / size * old + old // 2, 0, old - 1)
        low = np.minimum(place.astype(int), old - 2)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(3)])
        maps = np.take(maps, low, axis) * (1 - share) + np.take(maps, low + 1, axis) * share
    return maps


def _unit(maps: npt.NDArray[Any]) -> ComplexArray:
    norm = np.sqrt((np.abs(maps) ** 2).sum(0, keepdims=True))
    return np.asarray(maps / np.maximum(norm, 1e-12), dtype=np.complex64)


@map_methods.register("espirit")
def espirit(kspace: Calibration, shape: tuple[int, int]) -> ComplexArray:
    """ESPIRiT by sigpy on a coarse grid, one set of maps, not cropped; interpolated to ``shape`` (y, x)."""
    import sigpy.mri as mr

    padded = _padded(kspace, shape)
    options = {"calib_width": kspace.shape[-1], "thresh": 0.02, "kernel_width": 6, "crop": 0, "show_pbar": False}
    maps = np.asarray(mr.app.EspiritCalib(padded.astype(np.complex64), **options).run(), dtype=np.complex128)
    return _unit(interpolated(_rotated(maps, centred_ifft(padded)), shape))
