"""The Gram form A^H W A as a convolution whose kernel depends on the trajectory alone.

One kernel serves every image and coil, and its derivative in k costs three NUFFTs of the doubled grid however many
images there are (Fessler et al., Toeplitz-based iterative reconstruction, IEEE TSP 2005). The zero-padded FFT of size
2N is split into its even and odd frequencies: four FFTs of size N that fit the processor's cache, several times faster
than one of size 2N.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from seqopt.core import Geometry
from seqopt.encoding.nufft import Nufft


class GramKernel:
    """Makes the spectrum (4, y, x), real, of the kernel of A^H W A; differentiable in k and in the weights."""

    def __init__(
        self,
        geometry: Geometry,
        backend: str = "auto",
        *,
        device: torch.device | str = "cpu",
        tolerance: float = 1e-5,
    ) -> None:
        ny, nx = geometry.shape
        self.nufft = Nufft(geometry, backend, device=device, tolerance=tolerance, shape=(2 * ny, 2 * nx))
        self._scale = 1.0 / math.sqrt(ny * nx)

    def __call__(self, k_per_m: Tensor, weights: Tensor) -> Tensor:
        """K (shots, samples, 2) 1/m and real weights (shots, samples) -> spectrum (4, y, x)."""
        samples = torch.complex(weights, torch.zeros_like(weights))[None, None]
        kernel = self._scale * self.nufft.adjoint(samples, k_per_m)[0, 0]
        # the lag -N never enters the product; without it the kernel is Hermitian and its spectrum real
        kernel = torch.nn.functional.pad(kernel[1:, 1:], (1, 0, 1, 0))
        spectrum = torch.fft.fft2(torch.fft.ifftshift(kernel)).real
        return torch.stack([spectrum[a::2, b::2] for a in (0, 1) for b in (0, 1)])


def half_shifts(shape: tuple[int, int], *, device: torch.device | str = "cpu") -> Tensor:
    """Phases (4, y, x) that turn an FFT of size N into the even or odd half of the zero-padded one of size 2N."""
    y, x = (torch.arange(n, device=device, dtype=torch.float64) / (2 * n) for n in shape)
    phases = [-2 * math.pi * (a * y[:, None] + b * x[None, :]) for a in (0, 1) for b in (0, 1)]
    return torch.polar(torch.ones(4, *shape, dtype=torch.float64, device=device), torch.stack(phases)).to(
        torch.complex64
    )


def shifted_maps(maps: Tensor) -> Tensor:
    """Coil maps (..., coils, y, x) -> (..., coils, 4, y, x), made once for all the products that use them."""
    return maps[..., None, :, :] * half_shifts((maps.shape[-2], maps.shape[-1]), device=maps.device).to(maps.dtype)


def sense_gram(images: Tensor, spectrum: Tensor, maps4: Tensor) -> Tensor:
    """sum_c conj(S_c) A^H W A (S_c x): images (batch, y, x), ``shifted_maps`` (1 or batch, coils, 4, y, x)."""
    product: Tensor = _SenseGram.apply(images, spectrum, maps4)  # type: ignore[no-untyped-call]
    return product


def coil_gram(images: Tensor, spectrum: Tensor, maps4: Tensor) -> Tensor:
    """A^H W A (S_c x) of each coil: images (batch, y, x) -> (batch, coils, y, x)."""
    shifts = half_shifts((images.shape[-2], images.shape[-1]), device=images.device).to(images.dtype)
    product: Tensor = _CoilGram.apply(images, spectrum, maps4, shifts)  # type: ignore[no-untyped-call]
    return product


class _SenseGram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, spectrum: Tensor, maps4: Tensor) -> Tensor:
        transformed = [_transform(image, maps) for image, maps in _each(images, maps4)]
        ctx.save_for_backward(spectrum, maps4, *transformed)
        return _combined(transformed, spectrum, maps4)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        spectrum, maps4, *transformed = ctx.saved_tensors
        slopes = [_transform(grad, maps) for grad, maps in _each(grads[0], maps4)]
        grad_spectrum = _spectrum_gradient(transformed, slopes) if ctx.needs_input_grad[1] else None
        # the operator is Hermitian
        grad_images = _combined(slopes, spectrum, maps4) if ctx.needs_input_grad[0] else None
        return grad_images, grad_spectrum, None


class _CoilGram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, spectrum: Tensor, maps4: Tensor, shifts: Tensor) -> Tensor:
        transformed = [_transform(image, maps) for image, maps in _each(images, maps4)]
        ctx.save_for_backward(spectrum, maps4, shifts, *transformed)
        back = shifts.conj().resolve_conj()
        return 0.25 * torch.stack([(torch.fft.ifft2(one * spectrum) * back).sum(-3) for one in transformed])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        spectrum, maps4, shifts, *transformed = ctx.saved_tensors
        slopes = [torch.fft.fft2(grad[:, None] * shifts) for grad in grads[0]]
        grad_spectrum = _spectrum_gradient(transformed, slopes) if ctx.needs_input_grad[1] else None
        grad_images = _combined(slopes, spectrum, maps4) if ctx.needs_input_grad[0] else None
        return grad_images, grad_spectrum, None, None


def _each(images: Tensor, maps4: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """One image at a time: its intermediates stay small enough for the allocator to reuse them."""
    shared = maps4.expand(len(images), *maps4.shape[1:])
    return zip(images, shared, strict=True)


def _transform(image: Tensor, maps4: Tensor) -> Tensor:
    """(coils, 4, y, x): all frequencies of the zero-padded coil images."""
    transformed: Tensor = torch.fft.fft2(maps4 * image)
    return transformed


def _combined(transformed: list[Tensor], spectrum: Tensor, maps4: Tensor) -> Tensor:
    shared = maps4.expand(len(transformed), *maps4.shape[1:])
    return 0.25 * torch.stack(
        [_combined_one(*pair) for pair in zip((t * spectrum for t in transformed), shared, strict=True)]
    )


def _combined_one(spectra: Tensor, maps4: Tensor) -> Tensor:
    parts = torch.fft.ifft2(spectra)
    total = torch.zeros_like(parts[0])
    for part, coil in zip(parts, maps4.conj(), strict=True):
        total.addcmul_(part, coil)
    return total.sum(0)


def _spectrum_gradient(transformed: list[Tensor], slopes: list[Tensor]) -> Tensor:
    """Re sum conj(F(m x)) F(m g) over images and coils, with the scale of the inverse FFT."""
    total = torch.zeros_like(transformed[0][0])
    for left, right in zip(transformed, slopes, strict=True):
        for one, other in zip(left.conj(), right, strict=True):
            total.addcmul_(one, other)
    return total.real * (0.25 / (total.shape[-1] * total.shape[-2]))
