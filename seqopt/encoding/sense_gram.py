"""The Gram form through coils for many products without derivatives: what can be made beforehand is.

Coils share the processor's threads, which need not wait for each other after each small operation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from seqopt.encoding.gram import half_shift, sense_gram, shifted_maps

_PADDING = 16  # complex numbers


@contextlib.contextmanager
def threads_for_coils() -> Iterator[None]:
    """Within, torch's own operations take one thread: its others would spin while the coils' threads want to work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class SenseGram:
    """Images (batch, y, x) -> sum_c conj(S_c) A^H W A (S_c x), as `sense_gram` of the same spectrum and maps.

    Transforms along columns whose rows lie a power of two apart are slow, and torch's leave the transformed axis
    contiguous: arrays lie such that every transform finds whole or padded rows and every other operation finds its
    operands in order.
    """

    def __init__(self, spectrum: Tensor, maps: Tensor) -> None:
        """Spectrum (4, y, x) of a ``GramKernel``, coil maps (1 or batch, coils, y, x)."""
        self._spectrum, self._maps = spectrum, maps
        self._workers = min(torch.get_num_threads(), maps.shape[1])
        if maps.is_cuda:
            return
        ny, nx = spectrum.shape[1:]
        halves = shifted_maps(maps).transpose(-2, -1)  # (..., 2 halves along y, x, y)
        self._ahead, self._back = halves.contiguous(), halves.conj().resolve_conj().contiguous()
        shift = half_shift(nx).to(maps.dtype)
        self._shifts = torch.stack([torch.ones_like(shift), shift], 1)[..., None]  # x, half along x, 1
        self._unshift = shift.conj().resolve_conj()
        # real and imaginary part alike, in the order half along y, half along x, y, x; with the scale of the transforms
        scale = 0.25 / (nx * ny)
        wide = (scale * spectrum).view(2, 2, ny, nx)[..., None].expand(2, 2, ny, nx, 2)
        self._wide = wide.to(maps.real.dtype).contiguous()
        self._pool = ThreadPoolExecutor(self._workers, initializer=torch.set_num_threads, initargs=(1,))

    def __call__(self, images: Tensor) -> Tensor:
        """One product."""
        if images.is_cuda:
            return sense_gram(images, self._spectrum, shifted_maps(self._maps))
        shared = (array.expand(len(images), *array.shape[1:]) for array in (self._ahead, self._back))
        return torch.stack([self._of_image(*one) for one in zip(images, *shared, strict=True)])

    def _of_image(self, image: Tensor, ahead: Tensor, back: Tensor) -> Tensor:
        if self._workers == 1:
            return self._of_coils(image, ahead, back)
        threads = torch.get_num_threads()
        parts = zip(ahead.chunk(self._workers), back.chunk(self._workers), strict=True)
        waiting = [self._pool.submit(self._of_coils, image, *part) for part in parts]
        total: Tensor = sum((one.result() for one in waiting[1:]), waiting[0].result())
        torch.set_num_threads(threads)  # what a worker sets for itself, threads made later would take over
        return total

    def _of_coils(self, image: Tensor, ahead: Tensor, back: Tensor) -> Tensor:
        """One coil and one half along y at a time and in place, so that they stay in the cache."""
        ny, nx = image.shape
        rows = image.new_empty(ny, nx + _PADDING)[:, :nx]
        columns = image.new_empty(nx, 2 * ny + _PADDING)[:, : 2 * ny]
        turned = image.T.contiguous()
        seen = torch.empty_like(turned)
        total = torch.zeros_like(back[0])
        for half, sum_ in enumerate(total):
            for one, other in zip(ahead[:, half], back[:, half], strict=True):
                along_y = torch.fft.fft(torch.mul(one, turned, out=seen))
                torch.mul(along_y[:, None], self._shifts, out=columns.view(nx, 2, ny))
                spectra = torch.fft.fft(columns, dim=0).T.contiguous().view(2, ny, nx)
                torch.view_as_real(spectra).mul_(self._wide[half])
                even, odd = torch.fft.ifft(spectra, norm="forward")
                torch.addcmul(even, odd, self._unshift, out=rows)
                sum_.addcmul_(torch.fft.ifft(rows, dim=0, norm="forward").T.contiguous(), other)
        return total.sum(0).T
