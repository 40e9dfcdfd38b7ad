"""K-space of a piecewise-linear gradient as a quadratic B-spline: k at a time is a mean of three coefficients.

On n rasters there are n + 2 coefficients c in 1/m: the gradient at edge e is (c[e+1] - c[e]) / raster, k at edge e is
(c[e] + c[e+1]) / 2 (de Boor, A Practical Guide to Splines, chapter IX, on equal knots).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]


class Sampling(NamedTuple):
    """How k at the samples follows from the coefficients: (samples,) first of three, (samples, 3) their weights."""

    first: npt.NDArray[np.int64]
    weights: FloatArray

    def at(self, coefficients: ComplexArray) -> ComplexArray:
        """(shots, coefficients) -> k (shots, samples)."""
        three = np.stack([coefficients[:, self.first + step] for step in range(3)], -1)
        return np.asarray(np.einsum("snw,nw->sn", three, self.weights))

    def adjoint(self, k: ComplexArray, size: int) -> ComplexArray:
        """(shots, samples) -> (shots, coefficients)."""
        out = np.zeros((len(k), size), dtype=complex)
        for step in range(3):
            np.add.at(out.T, self.first + step, (k * self.weights[:, step]).T)
        return out

    def normal_bands(self, size: int) -> FloatArray:
        """(3, size) diagonal and two lower diagonals of the sum of squares of k over the samples."""
        bands = np.zeros((3, size))
        for apart in range(3):
            for step in range(3 - apart):
                np.add.at(bands[apart], self.first + step, self.weights[:, step] * self.weights[:, step + apart])
        return bands


def spline_sampling(times_s: FloatArray, *, rasters: int, raster_s: float) -> Sampling:
    """The weights at times (samples,) within [0, rasters raster]."""
    position = np.asarray(times_s, dtype=float) / raster_s
    piece = np.clip(np.floor(position + 1e-9).astype(np.int64), 0, rasters - 1)
    u = position - piece
    return Sampling(piece, np.stack([(1 - u) ** 2 / 2, 0.5 + u - u**2, u**2 / 2], -1))


def bending_bands(size: int) -> FloatArray:
    """(3, size) diagonal and two lower diagonals of the sum of squared second differences."""
    bands = np.zeros((3, size))
    bands[0, :-2] += 1.0
    bands[0, 1:-1] += 4.0
    bands[0, 2:] += 1.0
    bands[1, :-2] -= 2.0
    bands[1, 1:-1] -= 2.0
    bands[2, :-2] += 1.0
    return bands


def as_plane(vectors: FloatArray) -> ComplexArray:
    """(..., 2) -> x + i y."""
    return np.asarray(vectors[..., 0] + 1j * vectors[..., 1])


def as_vectors(plane: ComplexArray) -> FloatArray:
    """Complex x + i y -> (..., 2)."""
    return np.stack([plane.real, plane.imag], -1)
