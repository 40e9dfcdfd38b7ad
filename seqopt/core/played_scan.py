"""What a sequence plays, readout by readout, as a reconstruction needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PlayedScan:
    """Every ADC event of a sequence in play order."""

    name: str
    samples: IntArray
    """(readouts,)."""
    noise: npt.NDArray[np.bool_]
    """(readouts,) noise alone."""
    image: npt.NDArray[np.bool_]
    """(readouts,) serves the image: no noise, navigator or reference scan."""
    counters: Mapping[str, IntArray]
    """MRD counter -> (readouts,), as the labels have it."""
    moments_per_m: tuple[FloatArray, ...]
    """For each readout (samples, 2), shared between readouts that play alike."""
    offsets_per_m: FloatArray
    """(readouts, 2) k where the moments are 0."""
    signatures: frozenset[str] = frozenset()
    """MD5 of the file, and the one that it states."""

    def __post_init__(self) -> None:
        counts = {len(self.samples), len(self.noise), len(self.image), len(self.moments_per_m), len(self.offsets_per_m)}
        if len(counts | {len(values) for values in self.counters.values()}) != 1:
            raise SeqoptError(f"{self.name}: readouts of a played scan differ in number")

    def k_per_m(self, readout: int) -> FloatArray:
        """(samples, 2)."""
        return np.asarray(self.moments_per_m[readout] + self.offsets_per_m[readout])
