"""Wavelet-sparse reconstruction by FISTA, with random shifts in place of a redundant transform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqopt.encoding.cartesian import CartesianMeasurement

ComplexArray = npt.NDArray[np.complexfloating]
_WAVELET = "db4"
_LEVELS = 4


def fista(
    measurement: CartesianMeasurement, *, iterations: int, regularisation: float, generator: np.random.Generator
) -> Tensor:
    """Minimise 1/2 |A S x - s|^2 + t |W x|_1 of the wavelet details, t = regularisation * max |S^H A^H s|.

    Out: (batch, y, x) complex. The encoding has norm 1, hence steps of 1. Sources: Beck & Teboulle, SIAM J. Imaging
    Sci. 2:183 (2009); Lustig et al., MRM 58:1182 (2007); random shifts: Figueiredo & Nowak, IEEE TIP 12:906 (2003).
    """
    right_hand_side = measurement.combined()
    threshold = (regularisation * right_hand_side.abs().amax((1, 2))).cpu().numpy()
    estimate, ahead, momentum = right_hand_side, right_hand_side, 1.0
    for _ in range(iterations):
        step = ahead - measurement.gram(ahead) + right_hand_side
        shift = (int(generator.integers(2**_LEVELS)), int(generator.integers(2**_LEVELS)))
        shrunk = shrink(np.roll(step.cpu().numpy(), shift, (1, 2)), threshold)
        fresh = torch.from_numpy(np.roll(shrunk, (-shift[0], -shift[1]), (1, 2))).to(step)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = fresh + (momentum - 1) / following * (fresh - estimate)
        estimate, momentum = fresh, following
    return estimate


def shrink(images: ComplexArray, threshold: npt.NDArray[np.floating]) -> ComplexArray:
    """Soft-threshold the details of an orthogonal periodic wavelet transform; images (batch, y, x), one each."""
    import pywt  # type: ignore[import-untyped]

    rest = [(-size) % 2**_LEVELS for size in images.shape[1:]]  # only then the transform is orthogonal
    padded = np.pad(images, ((0, 0), (0, rest[0]), (0, rest[1])))
    levels = min(_LEVELS, pywt.dwt_max_level(min(padded.shape[1:]), _WAVELET))  # no filter longer than the image
    coefficients = pywt.wavedec2(padded, _WAVELET, mode="periodization", level=levels, axes=(1, 2))
    level = threshold[:, None, None]
    details = [tuple(_soft(part, level) for part in parts) for parts in coefficients[1:]]
    shrunk = pywt.waverec2([coefficients[0], *details], _WAVELET, mode="periodization", axes=(1, 2))
    return np.asarray(shrunk[:, : images.shape[1], : images.shape[2]])


def _soft(values: ComplexArray, threshold: npt.NDArray[np.floating]) -> ComplexArray:
    magnitude = np.abs(values)
    return np.asarray(values * np.maximum(0, 1 - threshold / np.maximum(magnitude, 1e-30)))
