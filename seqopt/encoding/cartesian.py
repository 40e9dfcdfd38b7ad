"""The Cartesian acquisition inside learning: images seen through coils, weighted phase-encoding lines and noise.

The weight of a sample depends on its line alone. The transform along the readout x then cancels in A^H W A, exactly,
and noise that is white in kx is white in x: both are worked with along ky only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fft

from seqopt.errors import SeqoptError, reject


def centred_fft2(images: Tensor) -> Tensor:
    """Images (..., y, x) -> samples (..., ky, kx): unitary, pixel and sample N/2 at the origin, even sizes."""
    _refuse_odd(images)
    samples: Tensor = fft.fftshift(fft.fft2(fft.ifftshift(images, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))
    return samples


def centred_ifft2(samples: Tensor) -> Tensor:
    """The inverse, and adjoint, of ``centred_fft2``: (..., ky, kx) -> (..., y, x)."""
    _refuse_odd(samples)
    images: Tensor = fft.fftshift(fft.ifft2(fft.ifftshift(samples, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))
    return images


@dataclass(frozen=True)
class CartesianMeasurement:
    """What a reconstruction may use of one batch; the lines that are not acquired hide behind the weights."""

    _samples: Tensor
    """(batch, coils, ky, x) of every line, ky = 0 first and y = 0 first: a circular convolution needs no centring."""
    weights: Tensor
    """(lines,) real, line N/2 at ky = 0: 1 where a line is acquired, 0 where not."""
    maps: Tensor | None = None
    """(1 or batch, coils, y, x) complex; None for one coil that sees everything alike."""

    def coil_images(self) -> Tensor:
        """A^H W (A S x + n) of each coil, (batch, coils, y, x)."""
        return _weighted_ifft(self._samples, self.weights)

    def combined(self) -> Tensor:
        """S^H A^H W (A S x + n), the right-hand side of CG-SENSE, (batch, y, x)."""
        return _combine(self.coil_images(), self.maps)

    def gram(self, images: Tensor) -> Tensor:
        """S^H A^H W A S of any images (batch, y, x), the operator of CG-SENSE."""
        return _combine(_weighted_ifft(_fft(_through(images, self.maps)), self.weights), self.maps)


class CartesianAcquisition:
    """Coils and noise, for images of any even number of lines."""

    def __init__(
        self,
        maps: Tensor | npt.NDArray[np.complex64] | None = None,
        *,
        noise_sigma: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Maps (coils, y, x), (batch, coils, y, x) or None; ``noise_sigma`` of each complex k-space sample."""
        if not 0.0 <= noise_sigma < float("inf"):
            raise reject("noise sigma", got=noise_sigma, expected="0 or more", remedy="0 leaves the noise out")
        self.noise_sigma, self.device = noise_sigma, torch.device(device)
        self.maps = None if maps is None else self._batched(torch.as_tensor(maps))

    def encode(self, images: Tensor, generator: torch.Generator, maps: Tensor | None = None) -> Tensor:
        """The noisy samples of every line, which do not depend on the weights: for ``measurement``, again and again.

        In: complex images (batch, y, x); ``maps`` of these images in place of the acquisition's. The generator may lie
        on the acquisition's device, where the noise is then made, or on the CPU.
        """
        _refuse_odd(images)
        coil_images = _through(images.to(self.device), self._maps_of(images, maps))
        samples = _fft(coil_images)
        if self.noise_sigma == 0.0:
            return samples
        noise = torch.randn(samples.shape, dtype=samples.dtype, generator=generator, device=generator.device)
        return samples + self.noise_sigma * noise.to(self.device)

    def measurement(self, samples: Tensor, weights: Tensor, maps: Tensor | None = None) -> CartesianMeasurement:
        """Samples of ``encode`` under weights (lines,), differentiable in the weights."""
        if weights.ndim != 1 or weights.is_complex() or len(weights) != samples.shape[-2]:
            raise SeqoptError(
                f"line weights: got {weights.dtype} of shape {tuple(weights.shape)}, expected {samples.shape[-2]} real "
                "numbers, one a row of the image"
            )
        return CartesianMeasurement(samples, weights, self._maps_of(samples, maps))

    def measure(
        self, images: Tensor, weights: Tensor, generator: torch.Generator, maps: Tensor | None = None
    ) -> CartesianMeasurement:
        """Encode complex images (batch, y, x) under weights (lines,)."""
        return self.measurement(self.encode(images, generator, maps), weights, maps)

    def _maps_of(self, images: Tensor, maps: Tensor | None) -> Tensor | None:
        found = self.maps if maps is None else self._batched(maps)
        if found is not None and (found.shape[-2:] != images.shape[-2:] or len(found) not in (1, len(images))):
            raise SeqoptError(
                f"coil maps of shape {tuple(found.shape)} do not fit {len(images)} images of {images.shape[-2]} x "
                f"{images.shape[-1]} pixels; give (coils, y, x) or (batch, coils, y, x)"
            )
        return found

    def _batched(self, maps: Tensor) -> Tensor:
        if maps.ndim not in (3, 4):
            raise SeqoptError(
                f"coil maps: got shape {tuple(maps.shape)}, expected (coils, y, x) or (batch, coils, y, x)"
            )
        return (maps if maps.ndim == 4 else maps[None]).to(self.device)


def _fft(images: Tensor) -> Tensor:
    samples: Tensor = fft.fft(images, dim=-2, norm="ortho")
    return samples


def _weighted_ifft(samples: Tensor, weights: Tensor) -> Tensor:
    """Samples with ky = 0 first, weights with ky = 0 in the middle."""
    images: Tensor = fft.ifft(samples * fft.ifftshift(weights)[:, None], dim=-2, norm="ortho")
    return images


def _through(images: Tensor, maps: Tensor | None) -> Tensor:
    return images[:, None] if maps is None else images[:, None] * maps


def _combine(coil_images: Tensor, maps: Tensor | None) -> Tensor:
    return coil_images[:, 0] if maps is None else (coil_images * maps.conj()).sum(1)


def _refuse_odd(images: Tensor) -> None:
    for axis, size in zip("yx", images.shape[-2:], strict=True):
        if size % 2:
            raise reject(f"pixels along {axis}", got=size, expected="an even number", remedy=f"use {size + 1}")
