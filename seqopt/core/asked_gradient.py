"""What the gradients are asked to play about one readout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AskedGradient:
    """Corners of the waveform from well before the excitation to the readout's end, and what k counts from."""

    times_s: FloatArray
    """(n,) of the corners, not decreasing."""
    gradient_hz_per_m: FloatArray
    """(n, 3) x, y, z at the corners; linear between them, zero outside."""
    raster_s: float
    """On which the corners lie, or half-way between."""
    from_s: float
    """When k is 0: the centre of the excitation."""
    turned_s: tuple[float, ...] = ()
    """Centres of the refocusing pulses since, which negate k."""
    adc_start_s: float
    dwell_s: float
    k_per_m: FloatArray
    """(samples, 2) where the gradients play what they are asked; of a readout in segments those of the first."""

    def __post_init__(self) -> None:
        if self.gradient_hz_per_m.shape != (len(self.times_s), 3) or self.k_per_m.shape[1:] != (2,):
            raise SeqoptError(
                f"asked gradient: got {len(self.times_s)} times, corners {self.gradient_hz_per_m.shape} and k "
                f"{self.k_per_m.shape}, expected (n,), (n, 3) and (samples, 2)"
            )

    def sample_times_s(self, samples: int) -> FloatArray:
        """(samples,) centres of the samples."""
        return self.adc_start_s + (np.arange(samples, dtype=float) + 0.5) * self.dwell_s
