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

    Transforms along rows whose distance in memory is a power of two are slow, and torch's leave the transformed axis
    contiguous: arrays lie such that every transform finds padded rows and every other operation finds its operands in
    order.
    """

    def __init__(self, spectrum: Tensor, maps: Tensor) -> None:
        """Spectrum (4, y, x) of a ``GramKernel``, coil maps (1 or batch, coils, y, x)."""
        self._spectrum, self._maps = spectrum, maps
        self._workers = min(torch.get_num_threads(), maps.shape[1])
        if maps.is_cuda:
            return
        ny, nx = spectrum.shape[1:]
        halves = shifted_maps(maps)  # (..., 2 halves along y, y, x)
        self._ahead = halves.movedim(-3, -2).contiguous()  # (..., y, half, x)
        self._back = halves.conj().resolve_conj().transpose(-2, -1).contiguous()  # (..., half, x, y)
        self._shift = half_shift(nx).to(maps.dtype)
        self._unshift = self._shift.conj().resolve_conj()
        # real and imaginary part alike, in the order half along x, half along y, y, x
        wide = (0.25 * spectrum).view(2, 2, ny, nx).transpose(0, 1)[..., None].expand(2, 2, ny, nx, 2)
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
        """One coil at a time and in place, so that it stays in the cache."""
        ny, nx = image.shape
        rows = image.new_empty(ny, 2 * nx + _PADDING)[:, : 2 * nx]  # y, then half along y and x
        columns = image.new_empty(nx, 4 * ny + _PADDING)[:, : 4 * ny]  # x, then half along x, half along y and y
        by_rows, by_columns = rows.view(ny, 2, nx), columns.view(nx, 2, 2, ny)
        total = torch.zeros_like(back[0])
        for one, other in zip(ahead, back, strict=True):
            torch.mul(one, image[:, None], out=by_rows)
            along_y = torch.fft.fft(rows, dim=0).view(ny, 2, nx).permute(2, 1, 0)
            by_columns[:, 0] = along_y
            torch.mul(along_y, self._shift[:, None, None], out=by_columns[:, 1])
            spectra = torch.fft.fft(columns, dim=0).T.contiguous().view(2, 2, ny, nx)
            torch.view_as_real(spectra).mul_(self._wide)
            even, odd = torch.fft.ifft(spectra)
            torch.addcmul(even, odd, self._unshift, out=by_rows.transpose(0, 1))
            total.addcmul_(torch.fft.ifft(rows, dim=0).T.contiguous().view(2, nx, ny), other)
        return total.sum(0).T
