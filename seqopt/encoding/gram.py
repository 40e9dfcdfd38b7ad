"""The Gram form A^H W A as a convolution whose kernel depends on the trajectory alone.

One kernel serves every image and coil, and its derivative in k costs three NUFFTs of the doubled grid however many
images there are (Fessler et al., Toeplitz-based iterative reconstruction, IEEE TSP 2005). The zero-padded FFT of size
2N is split into its even and odd frequencies, so that no zero is transformed and arrays fit the processor's cache: two
transforms along y, whose strides are slow, then four along x, which are contiguous and fast.
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


def half_shift(size: int, *, device: torch.device | str = "cpu") -> Tensor:
    """Phases (size,) that turn an FFT of size N into the odd half of the zero-padded one of size 2N."""
    phase = -math.pi * torch.arange(size, device=device, dtype=torch.float64) / size
    return torch.polar(torch.ones_like(phase), phase).to(torch.complex64)


def shifted_maps(maps: Tensor) -> Tensor:
    """Coil maps (..., coils, y, x) -> (..., coils, 2, y, x): for the even and the odd frequencies along y.

    Made once for all the products that use them.
    """
    return torch.stack([maps, maps * half_shift(maps.shape[-2], device=maps.device).to(maps.dtype)[:, None]], -3)


def sense_gram(images: Tensor, spectrum: Tensor, shifted: Tensor) -> Tensor:
    """sum_c conj(S_c) A^H W A (S_c x): images (batch, y, x), ``shifted_maps`` (1 or batch, coils, 2, y, x)."""
    differentiable = torch.is_grad_enabled() and (images.requires_grad or spectrum.requires_grad)
    if not (differentiable or images.is_cuda):  # a GPU has no use for small pieces
        return torch.stack([_coil_by_coil(image, spectrum, maps) for image, maps in _each(images, shifted)])
    product: Tensor = _SenseGram.apply(images, spectrum, shifted)  # type: ignore[no-untyped-call]
    return product


def coil_gram(images: Tensor, spectrum: Tensor, shifted: Tensor) -> Tensor:
    """A^H W A (S_c x) of each coil: images (batch, y, x) -> (batch, coils, y, x)."""
    product: Tensor = _CoilGram.apply(images, spectrum, shifted)  # type: ignore[no-untyped-call]
    return product


class _SenseGram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, spectrum: Tensor, shifted: Tensor) -> Tensor:
        transformed = [_transform(image, maps) for image, maps in _each(images, shifted)]
        ctx.save_for_backward(spectrum, shifted, *transformed)
        return _combined(transformed, spectrum, shifted)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        spectrum, shifted, *transformed = ctx.saved_tensors
        slopes = [_transform(grad, maps) for grad, maps in _each(grads[0], shifted)]
        grad_spectrum = _spectrum_gradient(transformed, slopes) if ctx.needs_input_grad[1] else None
        # the operator is Hermitian
        grad_images = _combined(slopes, spectrum, shifted) if ctx.needs_input_grad[0] else None
        return grad_images, grad_spectrum, None


class _CoilGram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, spectrum: Tensor, shifted: Tensor) -> Tensor:
        transformed = [_transform(image, maps) for image, maps in _each(images, shifted)]
        ctx.save_for_backward(spectrum, shifted, *transformed)
        back = shifted_maps(torch.ones_like(images[:1])).conj().resolve_conj()
        return 0.25 * torch.stack([(_halves(one * spectrum) * back).sum(-3) for one in transformed])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        spectrum, shifted, *transformed = ctx.saved_tensors
        slopes = [_both_halves(torch.fft.fft(shifted_maps(grad), dim=-2)) for grad in grads[0]]
        grad_spectrum = _spectrum_gradient(transformed, slopes) if ctx.needs_input_grad[1] else None
        # the operator is Hermitian
        grad_images = _combined(slopes, spectrum, shifted) if ctx.needs_input_grad[0] else None
        return grad_images, grad_spectrum, None


def _coil_by_coil(image: Tensor, spectrum: Tensor, shifted: Tensor) -> Tensor:
    """The product without what a derivative needs: one coil at a time and in place, so that it stays in the cache."""
    *_, ny, nx = shifted.shape
    shift = half_shift(nx, device=image.device).to(shifted.dtype)
    back = shift.conj().resolve_conj()
    halves = shifted.new_empty(2, 2, ny, nx)
    total = shifted.new_zeros(2, ny, nx)
    for maps in shifted:
        halves[:, 0] = torch.fft.fft(maps * image, dim=-2)
        torch.mul(halves[:, 0], shift, out=halves[:, 1])
        even, odd = torch.fft.ifft(torch.fft.fft(halves).mul_(spectrum.view(2, 2, ny, nx))).unbind(1)
        total.addcmul_(torch.fft.ifft(even.addcmul_(odd, back), dim=-2), maps.conj())
    return total.sum(0).mul_(0.25)


def _each(images: Tensor, shifted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """One image at a time: its intermediates stay small enough for the allocator to reuse them."""
    shared = shifted.expand(len(images), *shifted.shape[1:])
    return zip(images, shared, strict=True)


def _transform(image: Tensor, shifted: Tensor) -> Tensor:
    """(coils, 4, y, x): all frequencies of the zero-padded coil images, even and odd along y, then along x."""
    return _both_halves(torch.fft.fft(shifted * image, dim=-2))


def _both_halves(along_y: Tensor) -> Tensor:
    """(coils, 2, y, x) transformed along y -> (coils, 4, y, x), transformed along x too."""
    coils, _, ny, nx = along_y.shape
    padded = along_y.new_empty(coils, 2, 2, ny, nx)
    padded[:, :, 0] = along_y
    torch.mul(along_y, half_shift(nx, device=along_y.device).to(along_y.dtype), out=padded[:, :, 1])
    both: Tensor = torch.fft.fft(padded)
    return both.view(coils, 4, ny, nx)


def _halves(spectra: Tensor) -> Tensor:
    """The way back, (coils, 4, y, x) -> (coils, 2, y, x): what is left is to undo the shift along y, and to add."""
    coils, _, ny, nx = spectra.shape
    even, odd = torch.fft.ifft(spectra.view(coils, 2, 2, ny, nx)).unbind(2)
    shift = half_shift(nx, device=spectra.device).to(spectra.dtype).conj()
    halves: Tensor = torch.fft.ifft(torch.addcmul(even, odd, shift), dim=-2)
    return halves


def _combined(transformed: list[Tensor], spectrum: Tensor, shifted: Tensor) -> Tensor:
    shared = shifted.expand(len(transformed), *shifted.shape[1:])
    return 0.25 * torch.stack([_combined_one(t * spectrum, maps) for t, maps in zip(transformed, shared, strict=True)])


def _combined_one(spectra: Tensor, shifted: Tensor) -> Tensor:
    parts = _halves(spectra)
    total = torch.zeros_like(parts[0])
    for part, coil in zip(parts, shifted.conj(), strict=True):
        total.addcmul_(part, coil)
    return total.sum(0)


def _spectrum_gradient(transformed: list[Tensor], slopes: list[Tensor]) -> Tensor:
    """Re sum conj(F(m x)) F(m g) over images and coils, with the scale of the inverse FFT."""
    total = torch.zeros_like(transformed[0][0])
    for left, right in zip(transformed, slopes, strict=True):
        for one, other in zip(left.conj(), right, strict=True):
            total.addcmul_(one, other)
    return total.real * (0.25 / (total.shape[-1] * total.shape[-2]))
