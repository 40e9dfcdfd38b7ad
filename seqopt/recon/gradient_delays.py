"""Gradient delays from spokes to and fro, and k-space as delayed gradients play it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import CalibrationScan
from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]
_FINER = 16  # raster of the first, coarse estimate
_SHARE = 0.05  # of the largest signal: less does not count


def estimate_delays(scan: CalibrationScan) -> tuple[float, float]:
    """Seconds by which the x and y gradients lag behind the receiver, each from a spoke to and one fro along its axis.

    A lag shifts the two by the same time in opposite directions of k; their projections then differ by a phase that is
    linear in position, whose slope is measured over all coils at once (Peters et al., MRM 50:1, 2003; Block and
    Uecker, ISMRM 2011). Raises `SeqoptError` where the spokes hold no signal.
    """
    if scan.kind != "delays" or scan.samples.shape[2] != 4:
        raise SeqoptError(f"gradient delays: got the calibration scan {scan.kind!r}, expected four spokes of 'delays'")
    spokes = scan.samples.astype(np.complex128)  # (slices, coils, 4, samples)
    x, y = (_lag_samples(spokes[:, :, 2 * axis], spokes[:, :, 2 * axis + 1]) * scan.dwell_s for axis in range(2))
    return x, y


def _lag_samples(forward: npt.NDArray[Any], backward: npt.NDArray[Any]) -> float:
    """(..., n) spokes whose middle sample n // 2 is k = 0 -> the lag of the gradient in samples."""
    samples = forward.shape[-1]
    half = samples // 2
    first = 1 - samples % 2  # with an even number the outermost sample has no opposite one
    ahead, behind = forward[..., first:], backward[..., first:][..., ::-1]
    size = ahead.shape[-1]
    axes = tuple(range(forward.ndim - 1))
    images = [np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(k, axes=-1)), axes=-1) for k in (ahead, behind)]
    product = (images[0] * images[1].conj()).sum(axis=axes)
    if not np.abs(product).max() > 0:
        raise SeqoptError("gradient delays: the calibration spokes hold no signal; scan again")
    coarse = np.fft.fft(product, _FINER * size)
    at = int(np.argmax(np.abs(coarse)))
    per_pixel = 2 * np.pi * (at if at <= _FINER * size // 2 else at - _FINER * size) / (_FINER * size)
    place = np.arange(size) - size // 2
    left = product * np.exp(-1j * per_pixel * place)
    left *= np.exp(-1j * np.angle(left.sum()))
    weight = np.where(np.abs(left) > _SHARE * np.abs(left).max(), np.abs(left), 0.0)
    slope = np.polyfit(place, np.angle(left), 1, w=weight)[0]
    if abs(per_pixel + slope) * size / (4 * np.pi) > half / 4:
        raise SeqoptError("gradient delays: the spokes to and fro do not match each other; scan the calibration again")
    return float((per_pixel + slope) * size / (4 * np.pi))


def delayed_k(k_per_m: FloatArray, delays_s: tuple[float, float], dwell_s: float) -> FloatArray:
    """K (..., samples, 2) where gradients lag by ``delays_s`` (x, y): that of the nominal path so much earlier."""
    from scipy.interpolate import CubicSpline

    sample = np.arange(k_per_m.shape[-2], dtype=float)
    shifted = [
        CubicSpline(sample, k_per_m[..., axis], axis=-1)(sample - delay_s / dwell_s)
        for axis, delay_s in enumerate(delays_s)
    ]
    return np.stack(shifted, axis=-1)
