"""Acquired lines of Cartesian k-space with all that a reconstruction must know of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core.geometry import Geometry
from seqopt.core.kspace import ComplexArray
from seqopt.errors import SeqoptError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class CartesianData:
    """Lines of one scan by slice and line number, without readout oversampling.

    Line l of N lies at ky = (l - N/2) / FOV, sample n of M at kx = (n - M/2) / FOV.
    """

    samples: ComplexArray
    """(slices, coils, lines, matrix x)."""
    lines: IntArray
    """(lines,) numbers of the lines that any slice has, ascending."""
    acquired: npt.NDArray[np.bool_]
    """(slices, lines) false where a slice lacks a line that another has; its samples are zero there."""
    geometry: Geometry
    dwell_s: float
    """Of the samples without oversampling."""
    calibration: ComplexArray
    """(slices, coils, calibration lines, matrix x) from which maps and kernels are made; may be empty."""
    calibration_lines: IntArray
    """(calibration lines,) their numbers, ascending."""
    noise: ComplexArray | None = None
    """(coils, n) samples of a noise-only readout."""
    noise_dwell_s: float | None = None
    """1 / its noise-equivalent bandwidth."""
    averages: IntArray | None = None
    """(slices, lines) of how many readouts each line is the mean; None where each is one."""
    design_signature: str | None = None
    """MD5 of the .seq that was played, where the file names it."""
    columns: tuple[int, int] | None = None
    """First sample along kx that was acquired and the one after the last, of an asymmetric echo; None for all."""

    def __post_init__(self) -> None:
        if self.samples.ndim != 4 or self.calibration.ndim != 4:
            raise SeqoptError(f"samples have shape {self.samples.shape}, expected (slices, coils, lines, x)")
        slices, coils, count, x = self.samples.shape
        if x != self.geometry.matrix[0]:
            raise SeqoptError(f"lines have {x} samples, expected {self.geometry.matrix[0]} (matrix x)")
        if self.acquired.shape != (slices, count):
            raise SeqoptError(f"acquired has shape {self.acquired.shape}, expected {(slices, count)} (slices, lines)")
        if self.averages is not None and self.averages.shape != (slices, count):
            raise SeqoptError(f"averages have shape {self.averages.shape}, expected {(slices, count)} (slices, lines)")
        if not self.acquired.any(1).all():
            raise SeqoptError("a slice has no line at all; leave it out")
        wanted = (slices, coils, len(self.calibration_lines), x)
        if self.calibration.shape != wanted:
            raise SeqoptError(f"calibration has shape {self.calibration.shape}, expected {wanted}")
        for what, numbers, expected in (
            ("lines", self.lines, count),
            ("calibration lines", self.calibration_lines, len(self.calibration_lines)),
        ):
            self._check_numbers(what, numbers, expected)
        if self.columns is not None and not 0 <= self.columns[0] <= x // 2 < self.columns[1] <= x:
            raise SeqoptError(f"columns: got {self.columns}, expected a span of 0..{x} about the centre {x // 2}")
        if not (np.isfinite(self.samples).all() and np.isfinite(self.calibration).all()):
            raise SeqoptError("the acquired samples hold NaN or infinity; the file is damaged or was scaled wrongly")

    def _check_numbers(self, what: str, numbers: IntArray, count: int) -> None:
        size = self.geometry.matrix[1]
        if numbers.shape != (count,) or (np.diff(numbers) <= 0).any():
            raise SeqoptError(f"{what}: got numbers of shape {numbers.shape}, expected {count}, ascending, each once")
        if count and not 0 <= numbers[0] <= numbers[-1] < size:
            raise SeqoptError(f"{what}: got {numbers[0]}..{numbers[-1]}, expected 0..{size - 1} (matrix y)")

    def mask(self, slice_: int) -> npt.NDArray[np.bool_]:
        """(matrix y,) true where the slice has a line."""
        mask = np.zeros(self.geometry.matrix[1], dtype=bool)
        mask[self.lines[self.acquired[slice_]]] = True
        return mask

    def averages_of(self, slice_: int) -> IntArray:
        """(matrix y,) of how many readouts each line of the slice is the mean, 1 where there is none."""
        averages = np.ones(self.geometry.matrix[1], np.int64)
        if self.averages is not None:
            averages[self.lines] = np.maximum(self.averages[slice_], 1)
        return averages

    def grid(self, slice_: int) -> ComplexArray:
        """(coils, matrix y, matrix x) samples of a slice on the full grid, zero where nothing was acquired."""
        grid = np.zeros((self.samples.shape[1], *self.geometry.shape), np.complex64)
        grid[:, self.lines] = self.samples[slice_] * self.acquired[slice_][:, None]
        return grid


LEAST_CALIBRATION = 6
"""Central lines without which no coil map can be estimated: the kernel of ESPIRiT."""


def central_run(numbers: IntArray, size: int) -> IntArray:
    """Those of the ascending line numbers that reach the centre, ``size`` // 2, without a gap."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return next((run for run in runs if size // 2 in run), numbers[:0])
