"""How strong the noise of an image is at each pixel: measured by reconstructing noise, whatever the method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

ComplexArray = npt.NDArray[np.complex64]
FloatArray = npt.NDArray[np.float64]
REPLICAS = 4
_POOL = 9  # pixels a side over which replicas are pooled: 4 x 81 draws know a standard deviation to about 4 %
_EDGE = 0.97  # share of the largest |k| beyond which samples count as noise where nothing better is known


@dataclass(frozen=True, kw_only=True)
class NoiseLevel:
    """Standard deviation of the complex noise of a sample, E|n|^2 = sigma^2, and where it is known from."""

    sigma: FloatArray
    """(coils,)."""
    source: str
    relative: FloatArray | None = None
    """Factor of it for each sample, of a shape that fits (readouts, samples): 0 where nothing was acquired."""


def noise_level(
    samples: npt.NDArray[Any],
    outermost: npt.NDArray[Any],
    noise: npt.NDArray[Any] | None,
    *,
    whitened: bool,
    noise_dwell_s: float | None = None,
    dwell_s: float | None = None,
    averages: npt.NDArray[np.int64] | None = None,
) -> NoiseLevel:
    """From the noise readout (coils, n); without one, from the ``outermost`` samples of k-space (coils, n).

    ``samples`` (coils, readouts, samples) are zero where nothing was acquired. Whitened coils have sigma 1 by
    construction, others that of the noise readout at their own bandwidth; ``averages`` (readouts,) lessen both. What
    lies outermost was averaged as it is, and holds some signal too, so that the SNR from it is a lower bound.
    """
    acquired = np.asarray(samples.any(0), np.float64)
    relative = acquired if averages is None else acquired / np.sqrt(averages)[:, None]
    if whitened:
        source = "the noise readout, by which the coils were whitened"
        return NoiseLevel(sigma=np.ones(len(samples)), source=source, relative=relative)
    if noise is not None and len(noise) == len(samples) and noise.any():
        narrower = noise_dwell_s / dwell_s if noise_dwell_s and dwell_s else 1.0
        return NoiseLevel(sigma=_deviation(noise) * np.sqrt(narrower), source="the noise readout", relative=relative)
    return NoiseLevel(
        sigma=_deviation(outermost),
        source="the outermost samples of k-space, for lack of a noise readout (they hold some signal: a lower bound)",
        relative=acquired,
    )


def _deviation(values: npt.NDArray[Any]) -> FloatArray:
    flat = values.reshape(len(values), -1)
    return np.asarray(np.sqrt((np.abs(flat - flat.mean(1, keepdims=True)) ** 2).mean(1)))


def outermost_samples(samples: ComplexArray, k_per_m: FloatArray) -> ComplexArray:
    """Samples (coils, n) of (coils, shots, samples) that lie farthest out, k (shots, samples, 2)."""
    radius = np.linalg.norm(k_per_m, axis=-1)
    return np.ascontiguousarray(samples[:, radius >= _EDGE * radius.max()])


def noise_map(
    reconstruct: Callable[[ComplexArray], npt.NDArray[Any]],
    samples: ComplexArray,
    image: npt.NDArray[Any],
    level: NoiseLevel,
    *,
    seed: int = 0,
    replicas: int = REPLICAS,
) -> FloatArray:
    """Standard deviation (y, x) of the magnitude of ``image`` by pseudo-replicas, in the image's own unit.

    ``reconstruct`` takes samples (coils, ...) to an image (y, x), real or complex, as it took ``samples`` to ``image``;
    it is called ``replicas`` times. Of complex images the noise in phase with the image counts.
    Source: Robson et al., MRM 60:895 (2008).
    """
    if level.sigma.shape != samples.shape[:1]:
        raise SeqoptError(f"noise map: got {level.sigma.shape} noise levels for {samples.shape[0]} coils")
    from scipy.ndimage import uniform_filter

    generator = np.random.default_rng(seed)
    phase = np.exp(-1j * np.angle(image)) if np.iscomplexobj(image) else 1.0
    relative = 1.0 if level.relative is None else level.relative
    scale = level.sigma.reshape(-1, *[1] * (samples.ndim - 1)) * relative / np.sqrt(2)
    total = np.zeros(image.shape)
    for _ in range(replicas):
        draw = generator.standard_normal((2, *samples.shape))
        noisy = samples + (scale * (draw[0] + 1j * draw[1])).astype(np.complex64)
        total += np.real((reconstruct(noisy) - image) * phase) ** 2
    return np.asarray(np.sqrt(np.maximum(uniform_filter(total / replicas, _POOL), 0.0)))
