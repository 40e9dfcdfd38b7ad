"""The least-squares problem |W^1/2 (A S x - s)|^2 that every iterative reconstruction solves, in its Gram form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from seqopt.core import Geometry
from seqopt.encoding.cartesian import CartesianMeasurement
from seqopt.encoding.gram import GramKernel
from seqopt.encoding.nufft import Nufft
from seqopt.encoding.off_resonance import field_terms, gram_terms
from seqopt.encoding.sense_gram import SenseGram, threads_for_coils
from seqopt.errors import SeqoptError

DEFAULT_SEGMENTS = 8


@dataclass(frozen=True)
class Problem:
    """``gram`` x = ``right_hand_side`` is the normal equation."""

    gram: Callable[[Tensor], Tensor]
    """S^H A^H W A S of images (batch, y, x)."""
    right_hand_side: Tensor
    """S^H A^H W s, (batch, y, x) complex."""
    threads: Callable[[], AbstractContextManager[None]] = nullcontext
    """Within, operations on images leave the processor to ``gram``."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """The main field's offset while a readout lasts."""

    map_hz: Tensor
    """(y, x), positive where spins precess faster."""
    times_s: Tensor
    """(samples,) from the time at which the image's phase shall hold."""
    segments: int = DEFAULT_SEGMENTS


def trajectory_problem(
    samples: Tensor,
    k_per_m: Tensor,
    weights: Tensor,
    maps: Tensor,
    geometry: Geometry,
    *,
    field: Field | None = None,
) -> Problem:
    """Of samples (batch, coils, shots, samples) at k (shots, samples, 2) 1/m, weights (shots, samples).

    Maps (coils, y, x) or (batch, coils, y, x). With a ``field``, off-resonance is part of the encoding. Raises
    `SeqoptError` for a field of another size than the image or the readout.
    """
    maps = maps if maps.ndim == 4 else maps[None]
    # a fine grid of 1.25: the plans of one reconstruction are used once, and their memory is what takes the time
    backend = "auto" if samples.is_cuda else "finufft-small-grid"
    nufft = Nufft(geometry, backend, device=samples.device)
    kernel = GramKernel(geometry, backend, device=samples.device)
    if field is None:
        coil_images = nufft.adjoint(samples * weights, k_per_m)
        grams = [SenseGram(kernel(k_per_m, weights), maps)]
    else:
        coil_images = off_resonant_adjoint(nufft, samples * weights, k_per_m, field)
        terms = gram_terms(*_arrays(field, samples, geometry), most=field.segments)
        grams = [
            SenseGram(kernel(k_per_m, weights * in_time), maps * in_space)
            for in_time, in_space in zip(terms.in_time, terms.in_space, strict=True)
        ]
    combined = (coil_images * maps.conj()).sum(1)
    return Problem(lambda images: _total(gram(images) for gram in grams), combined, threads_for_coils)


def _total(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts
    for part in rest:
        first = first + part
    return first


def off_resonant_adjoint(nufft: Nufft, samples: Tensor, k_per_m: Tensor, field: Field) -> Tensor:
    """sum_l conj(c_l) A^H conj(b_l) s: coil images (batch, coils, y, x)."""
    terms = field_terms(*_arrays(field, samples, nufft.geometry), most=field.segments)
    return _total(
        space.conj() * nufft.adjoint(samples * time.conj(), k_per_m)
        for time, space in zip(terms.in_time, terms.in_space, strict=True)
    )


def cartesian_problem(measurement: CartesianMeasurement) -> Problem:
    """Of Cartesian lines."""
    return Problem(measurement.gram, measurement.combined())


def _arrays(
    field: Field, samples: Tensor, geometry: Geometry
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    if tuple(field.map_hz.shape) != geometry.shape:
        y, x = field.map_hz.shape[-2:]
        raise SeqoptError(
            f"the field map has {x} x {y} pixels, the image {geometry.matrix[0]} x {geometry.matrix[1]}; "
            "resample the map to the image's grid"
        )
    if len(field.times_s) != samples.shape[-1]:
        raise SeqoptError(f"{len(field.times_s)} times for readouts of {samples.shape[-1]} samples")
    return (
        np.asarray(field.map_hz.cpu().numpy(), dtype=np.float64),
        np.asarray(field.times_s.cpu().numpy(), dtype=np.float64),
    )
