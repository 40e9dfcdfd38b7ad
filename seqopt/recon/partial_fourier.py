"""Partial Fourier: what k-space lacks on one side, by the smooth phase that its symmetric centre tells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqopt.encoding.cartesian import centred_fft2, centred_ifft2
from seqopt.errors import SeqoptError

Span = tuple[int, int]
"""First sample along one axis, and the one after the last; sample N/2 is k = 0."""
ITERATIONS = 15
ENOUGH = 0.95
"""Share of the extent above which zeros do no harm that the phase could mend."""
LEAST = 4
"""Samples on either side of k = 0 that tell a phase."""


def span_of(mask: npt.NDArray[np.bool_]) -> Span:
    """From the first to the last line that was acquired, of (lines,)."""
    lines = np.flatnonzero(mask)
    return int(lines[0]), int(lines[-1]) + 1


def share_of(span: Span, size: int) -> float:
    """Share of the extent to which one side reaches, and both were meant to, that a span covers."""
    below, above = _sides(span, size)
    farther = max(below, above)
    return (below + above) / (2 * farther) if farther else 1.0  # the centre alone lacks no side


def symmetric(span: Span, size: int) -> int:
    """Samples on either side of k = 0 that both sides have."""
    return min(_sides(span, size))


def pocs(images: Tensor, rows: Span, columns: Span, *, iterations: int = ITERATIONS) -> Tensor:
    """Images (batch, y, x) complex whose k-space outside of ``rows`` and ``columns`` is what a smooth phase implies.

    By turns the image is made real but for the phase of the symmetric centre, and its samples within the spans are
    made again what they were. For images whose coils were combined by maps: a phase is one for all coils. What neither
    side reaches stays what the image's method made of it. Raises `SeqoptError` where the centre is too narrow for a
    phase. Source: Haacke et al., J. Magn. Reson. 92:126 (1991); the projection onto the phase's own real line, which is
    convex, by Cuppen & van Est, Magn. Reson. Imaging 5:526 (1987).
    """
    shape = images.shape[-2:]
    for size, span in zip(shape, (rows, columns), strict=True):
        if symmetric(span, size) < LEAST:
            raise SeqoptError(
                f"pocs needs {LEAST} or more samples on either side of the centre of k-space, the data hold "
                f"{symmetric(span, size)}; use partial_fourier = 'zero'"
            )
    within, reach, central = (
        _outer(*(make(span, size) for size, span in zip(shape, (rows, columns), strict=True)), like=images)
        for make in (_within, _reach, _window)
    )
    known = centred_fft2(images)
    phase = torch.sgn(centred_ifft2(known * central))
    lacking = (reach > 0) & (within == 0)
    estimate = images
    for _ in range(iterations):
        implied = centred_fft2((estimate * phase.conj()).real * phase)
        estimate = centred_ifft2(torch.where(lacking, implied, known))
    return estimate


def _sides(span: Span, size: int) -> Span:
    """Samples below and above k = 0; of an even size the outermost has no opposite one and does not count."""
    return min(size // 2 - span[0], size // 2 - 1), min(span[1] - 1 - size // 2, size // 2 - 1)


def _within(span: Span, size: int) -> npt.NDArray[np.float64]:
    place = np.arange(size)
    return ((place >= span[0]) & (place < span[1])).astype(float)


def _reach(span: Span, size: int) -> npt.NDArray[np.float64]:
    """As far as either side reaches."""
    below, above = _sides(span, size)
    reached = np.abs(np.arange(size) - size // 2) <= max(below, above)
    return np.asarray(np.maximum(reached.astype(float), _within(span, size)))


def _window(span: Span, size: int) -> npt.NDArray[np.float64]:
    """Hann's over the symmetric centre; 1 along an axis that lacks nothing."""
    if share_of(span, size) >= ENOUGH:
        return np.ones(size)
    apart = np.abs(np.arange(size) - size // 2) / (symmetric(span, size) + 1)
    return np.where(apart < 1, 0.5 + 0.5 * np.cos(np.pi * np.minimum(apart, 1)), 0.0)


def _outer(rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64], *, like: Tensor) -> Tensor:
    return torch.from_numpy(np.outer(rows, columns)).to(like.real)
