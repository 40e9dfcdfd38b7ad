"""Piecewise-linear gradients on raster edges, and the k-space that they draw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def moment_matrix(times_s: FloatArray, *, edges: int, raster_s: float) -> FloatArray:
    """Matrix that integrates an edge-sampled piecewise-linear gradient from 0 to each time.

    In: times (n,) seconds within [0, (edges - 1) raster]. Out: (n, edges) seconds; ``matrix @ gradient_hz_per_m``
    is k in 1/m, exactly, since the integral of linear pieces is a quadratic in the time within each piece.
    """
    position = np.asarray(times_s, dtype=float) / raster_s
    piece = np.clip(np.floor(position + 1e-9).astype(int), 0, edges - 2)
    u = position - piece
    matrix = np.zeros((len(position), edges))
    whole = np.arange(edges)[None, :]
    matrix += np.where(whole < piece[:, None], 1.0, 0.0)  # two halves of each finished piece
    matrix[:, 0] -= np.where(piece > 0, 0.5, 0.0)
    rows = np.arange(len(position))
    matrix[rows, piece] += np.where(piece > 0, 0.5, 0.0) + u - 0.5 * u**2
    matrix[rows, piece + 1] += 0.5 * u**2
    return matrix * raster_s


def sample_times(samples: int, *, dwell_s: float, adc_start_s: float) -> FloatArray:
    """Centres (samples,) in seconds of the ADC samples: start + (n + 1/2) dwell."""
    return adc_start_s + (np.arange(samples, dtype=np.float64) + 0.5) * dwell_s


def slew(gradient_hz_per_m: FloatArray, *, raster_s: float) -> FloatArray:
    """(shots, edges, dims) Hz/m -> (shots, edges - 1, dims) Hz/m/s, exact for piecewise-linear waveforms."""
    return np.diff(gradient_hz_per_m, axis=1) / raster_s


def worst_vector(values: FloatArray) -> float:
    """Largest Euclidean norm over the last axis: what an oblique slice can put on one physical axis."""
    return float(np.linalg.norm(values, axis=-1).max())
