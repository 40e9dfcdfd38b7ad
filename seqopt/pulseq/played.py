"""What a played sequence consists of: RF pulses and readouts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Excitation:
    """One RF pulse as it is played."""

    block: int
    """Number of the block in play order, from 0."""
    start_s: float
    """Start of its shape in the sequence."""
    centre_s: float
    """Its centre in the sequence."""
    end_s: float
    flip_rad: float
    use: str
    """e, r, i, s, p, o, u as in the file; before 1.5 e or r by the flip angle."""
    freq_hz: float
    phase_rad: float
    """At the centre: offset plus the turns that the frequency offset made since the start."""
    gradient_hz_per_m: FloatArray
    """(3,) at the centre."""


def echo_trains(pulses: list[Excitation]) -> list[list[Excitation]]:
    """Each excitation of a list in play order with the refocusing pulses that follow it."""
    trains: list[list[Excitation]] = []
    for pulse in pulses:
        if pulse.use == "e":
            trains.append([pulse])
        elif pulse.use == "r" and trains:
            trains[-1].append(pulse)
    return trains


@dataclass(frozen=True, kw_only=True)
class Readout:
    """One ADC event as it is played. k is counted from the centre of the last excitation."""

    block: int
    """Number of the block in play order, from 0."""
    start_s: float
    """When its ADC opens, in the sequence."""
    dwell_s: float
    samples: int
    labels: dict[str, int]
    freq_hz: float
    phase_rad: float
    """Phase offset of the receiver."""
    excitation: Excitation | None
    """The pulse whose signal it reads."""
    local_moment_per_m: FloatArray = field(repr=False)
    """(samples, 3) moment since its block's start; shared between readouts that play the same block."""
    offset_per_m: FloatArray = field(repr=False)
    """(3,) k at its block's start."""
    signal_phase_rad: float = 0.0
    """Phase that the pulses gave the signal: the excitation's, turned over by each refocusing pulse since."""

    @property
    def is_noise(self) -> bool:
        """Whether it reads noise only: labelled NOISE, or before any excitation."""
        return bool(self.labels.get("NOISE", 0)) or self.excitation is None

    @property
    def times_s(self) -> FloatArray:
        """(samples,) centres of the samples in the sequence: start + (n + 1/2) dwell."""
        return self.start_s + (np.arange(self.samples, dtype=float) + 0.5) * self.dwell_s

    @property
    def k_per_m(self) -> FloatArray:
        """(samples, 3) 1/m."""
        return self.local_moment_per_m + self.offset_per_m

    @cached_property
    def echo_sample(self) -> int:
        """The sample on which |k_xy| is smallest."""
        k = self.local_moment_per_m[:, :2] + self.offset_per_m[:2]
        return int(np.argmin((k * k).sum(axis=1)))
