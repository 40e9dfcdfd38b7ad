"""The main field's offset during a readout, as a sum of few terms each of which is a Fourier transform.

exp(-2 pi i f t) = sum_l b_l(t) c_l(f), so that the encoding is sum_l b_l(t) A c_l(f(r)): with as many terms as needed
the error is below any limit (Sutton, Noll, Fessler, IEEE TMI 22:178, 2003; Fessler et al., IEEE TSP 53:3393, 2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

ERROR_LIMIT = 1e-3
"""Relative error of the phases up to which terms are added."""
LARGEST_ERROR = 0.03
"""Above, the image would be wrong: an error instead of an image."""
_BINS = 256
_FINER = 8


@dataclass(frozen=True)
class FieldTerms:
    """The terms of one field map and one readout."""

    in_time: Tensor
    """(terms, samples) complex64: b_l(t)."""
    in_space: Tensor
    """(terms, y, x) complex64: c_l(f(r))."""
    error: float
    """Relative error of exp(-2 pi i f t) over the samples and pixels."""


def field_phase(field_hz: FloatArray, time_s: FloatArray | float) -> ComplexArray:
    """exp(-2 pi i f t) of fields in Hz and times in s that broadcast, positive where spins precess faster.

    The sign is that of the encoding, exp(-2 pi i k r): a field that grows with position is a gradient.
    """
    return np.asarray(np.exp(-2j * np.pi * field_hz * time_s))


def field_terms(field_map_hz: FloatArray, times_s: FloatArray, *, most: int) -> FieldTerms:
    """As few terms as keep the relative error below ``ERROR_LIMIT``, at most ``most``: the singular vectors.

    In: field map (y, x) in Hz, positive where spins precess faster; times (samples,) from where the image's phase
    shall hold. Raises `SeqoptError` where ``most`` terms leave more than ``LARGEST_ERROR``.
    """
    centres, share = _histogram(field_map_hz)
    phases = field_phase(centres, times_s[:, None])  # (samples, bins)
    left, _, _ = np.linalg.svd(phases * np.sqrt(share), full_matrices=False)
    in_frequency = left.conj().T @ phases  # the best weights of these vectors for any frequency
    energy = np.cumsum((np.abs(in_frequency) ** 2 * share).sum(1)) / len(times_s)
    errors = np.sqrt(np.maximum(0.0, 1.0 - energy[:most]))
    terms = int(np.argmax(errors < ERROR_LIMIT)) + 1 if (errors < ERROR_LIMIT).any() else len(errors)
    _refuse_large(float(errors[terms - 1]), terms, field_map_hz)
    return FieldTerms(
        torch.from_numpy(left[:, :terms].T.astype(np.complex64)),
        torch.from_numpy(_at(field_map_hz, left[:, :terms], times_s).astype(np.complex64)),
        float(errors[terms - 1]),
    )


@dataclass(frozen=True)
class GramTerms:
    """A^H W A with a field = sum_l conj(c_l) T_l c_l, each T_l the Gram form of samples weighted by a_l(t)."""

    in_time: Tensor
    """(terms, samples) real float32: a_l(t)."""
    in_space: Tensor
    """(terms, y, x) complex64: exp(-2 pi i f t_l)."""
    error: float


def gram_terms(field_map_hz: FloatArray, times_s: FloatArray, *, most: int) -> GramTerms:
    """Least-squares interpolation of exp(2 pi i (f - f') t) between ``terms`` times, for all pairs of pixels.

    The differences are as often positive as negative, hence real interpolators and real spectra: the Gram form of
    one term is that of ``GramKernel``, and there are as many kernels as terms instead of their square (Fessler et al.,
    2005, section III.C). The differences span twice the field's range, hence up to twice ``most`` terms.
    """
    centres, share = _histogram(field_map_hz)
    apart, often = _differences(centres, share)
    for terms in range(1, 2 * most + 1):
        nodes = np.linspace(times_s.min(), times_s.max(), terms) if terms > 1 else np.array([times_s.mean()])
        in_time, error = _interpolators(apart, often, times_s, nodes)
        if error < ERROR_LIMIT:
            break
    _refuse_large(error, terms, field_map_hz)
    in_space = field_phase(field_map_hz, nodes[:, None, None])
    return GramTerms(
        torch.from_numpy(in_time.astype(np.float32)), torch.from_numpy(in_space.astype(np.complex64)), error
    )


def _interpolators(
    apart: FloatArray, often: FloatArray, times_s: FloatArray, nodes: FloatArray
) -> tuple[FloatArray, float]:
    """(terms, samples) real and the relative error they leave."""
    root = np.sqrt(often)
    basis = (
        np.cos(2 * np.pi * apart[:, None] * nodes) * root[:, None],
        np.sin(2 * np.pi * apart[:, None] * nodes) * root[:, None],
    )
    wanted = (
        np.cos(2 * np.pi * apart[:, None] * times_s) * root[:, None],
        np.sin(2 * np.pi * apart[:, None] * times_s) * root[:, None],
    )
    left, right = np.concatenate(basis), np.concatenate(wanted)
    found: FloatArray = np.linalg.lstsq(left, right, rcond=1e-9)[0]
    return found, float(np.linalg.norm(left @ found - right) / np.linalg.norm(right))


def _histogram(field_map_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Frequencies (bins,) in Hz and the share (bins,) of the pixels at each."""
    if not np.isfinite(field_map_hz).all():
        raise SeqoptError("the field map holds NaN or infinity; mask it, zeros leave a pixel as it is")
    low, high = float(field_map_hz.min()), float(field_map_hz.max())
    if high - low < 1e-3:
        return np.array([(low + high) / 2]), np.ones(1)
    counts, edges = np.histogram(field_map_hz, bins=_BINS, range=(low, high))
    # a rare frequency counts a little, too: a small region of it would otherwise be lost
    share = counts / counts.sum() + 0.05 / _BINS
    return (edges[1:] + edges[:-1]) / 2, share / share.sum()


def _differences(centres: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Differences of frequency (2 bins - 1,) and how often each occurs."""
    step = centres[1] - centres[0] if len(centres) > 1 else 0.0
    often = np.correlate(share, share, mode="full")
    return (np.arange(len(often)) - len(centres) + 1) * step, often


def _at(field_map_hz: FloatArray, in_time: ComplexArray, times_s: FloatArray) -> ComplexArray:
    """Weights (terms, y, x) of each pixel's frequency, by a cubic through a fine grid of frequencies."""
    from scipy.interpolate import CubicSpline

    low, high = float(field_map_hz.min()), float(field_map_hz.max())
    cycles = max(high - low, 1e-3) * float(np.ptp(times_s))
    grid = np.linspace(low - 1e-3, high + 1e-3, _FINER * (8 + int(np.ceil(cycles)) * 8))
    weights = in_time.conj().T @ field_phase(grid, times_s[:, None])
    return np.asarray(CubicSpline(grid, weights, axis=1)(field_map_hz))


def _refuse_large(error: float, terms: int, field_map_hz: FloatArray) -> None:
    if error > LARGEST_ERROR:
        raise SeqoptError(
            f"off-resonance from {field_map_hz.min():.0f} to {field_map_hz.max():.0f} Hz: {terms} segments leave an "
            f"error of {100 * error:.0f} % in the phase; raise segments"
        )
