"""Acquired samples with all that a reconstruction must know of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core.geometry import Geometry
from seqopt.errors import SeqoptError

ComplexArray = npt.NDArray[np.complex64]


@dataclass(frozen=True, kw_only=True)
class KspaceData:
    """Samples of one scan, sorted by slice and shot."""

    samples: ComplexArray
    """(slices, coils, shots, samples)."""
    k_per_m: npt.NDArray[np.float64]
    """(shots, samples, 2), or (slices, shots, samples, 2) where slices differ."""
    geometry: Geometry
    dwell_s: float
    noise: ComplexArray | None = None
    """(coils, n) samples of a noise-only readout."""
    noise_dwell_s: float | None = None
    """1 / its noise-equivalent bandwidth."""
    weights: npt.NDArray[np.float64] | None = None
    """(shots, samples) density compensation that came with the data."""
    averages: npt.NDArray[np.int64] | None = None
    """(slices, shots) of how many readouts each shot is the mean; None where each is one."""
    design_signature: str | None = None
    """MD5 of the .seq that was played, where the file names it."""

    def __post_init__(self) -> None:
        if self.samples.ndim != 4:
            raise SeqoptError(f"samples have shape {self.samples.shape}, expected (slices, coils, shots, samples)")
        if self.k_per_m.shape[-3:] != (*self.samples.shape[2:], 2):
            raise SeqoptError(
                f"trajectory of shape {self.k_per_m.shape} does not match samples of shape {self.samples.shape}"
            )
        if self.averages is not None and self.averages.shape != (self.samples.shape[0], self.samples.shape[2]):
            raise SeqoptError(f"averages have shape {self.averages.shape}, expected (slices, shots) of the samples")
        if not np.isfinite(self.samples).all():
            raise SeqoptError("the acquired samples hold NaN or infinity; the file is damaged or was scaled wrongly")
        if not np.isfinite(self.k_per_m).all():
            raise SeqoptError("the trajectory holds NaN or infinity; give the design with --design")

    def averages_of(self, slice_: int) -> npt.NDArray[np.int64]:
        """(shots,) of how many readouts each shot of the slice is the mean."""
        return np.ones(self.samples.shape[2], np.int64) if self.averages is None else self.averages[slice_]
