"""The proximal map of wavelet sparsity, with random shifts in place of a redundant transform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

ComplexArray = npt.NDArray[np.complexfloating]
_WAVELET = "db4"
_LEVELS = 4


class WaveletShrinkage:
    """argmin_x 1/2 |x - image|^2 + t |W x|_1 over the wavelet details, the image shifted at random in each call.

    Sources: Lustig et al., MRM 58:1182 (2007); random shifts: Figueiredo & Nowak, IEEE TIP 12:906 (2003).
    """

    def __init__(self, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)

    def __call__(self, images: Tensor, threshold: Tensor) -> Tensor:
        """Images (batch, y, x) complex, thresholds (batch,)."""
        shift = [int(self._generator.integers(2**_LEVELS)) for _ in range(2)]
        shifted = np.roll(images.cpu().numpy(), shift, (1, 2))
        shrunk = shrink(shifted, threshold.cpu().numpy())
        return torch.from_numpy(np.roll(shrunk, [-one for one in shift], (1, 2))).to(images)


def shrink(images: ComplexArray, threshold: npt.NDArray[np.floating]) -> ComplexArray:
    """Soft-threshold the details of an orthogonal periodic wavelet transform; images (batch, y, x), one each."""
    import pywt  # type: ignore[import-untyped]

    rest = [(-size) % 2**_LEVELS for size in images.shape[1:]]  # only then the transform is orthogonal
    padded = np.pad(images, ((0, 0), (0, rest[0]), (0, rest[1]))) if any(rest) else images
    levels = min(_LEVELS, pywt.dwt_max_level(min(padded.shape[1:]), _WAVELET))  # no filter longer than the image
    coefficients = pywt.wavedec2(padded, _WAVELET, mode="periodization", level=levels, axes=(1, 2))
    level = threshold[:, None, None]
    details = [tuple(_soft(part, level) for part in parts) for parts in coefficients[1:]]
    shrunk = pywt.waverec2([coefficients[0], *details], _WAVELET, mode="periodization", axes=(1, 2))
    return np.asarray(shrunk[:, : images.shape[1], : images.shape[2]])


def _soft(values: ComplexArray, threshold: npt.NDArray[np.floating]) -> ComplexArray:
    magnitude = np.abs(values)
    return np.asarray(values * np.maximum(0, 1 - threshold / np.maximum(magnitude, 1e-30)))
