"""A finished sampling design: what the scanner plays and what the reconstruction must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core.calibration import calibration_kinds
from seqopt.core.geometry import Geometry
from seqopt.core.scanner import Scanner
from seqopt.core.segments import MOST_SEGMENTS
from seqopt.errors import SeqoptError, reject

FloatArray = npt.NDArray[np.float64]
LONGEST_TR_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the design is played: a 2-D multi-slice spoiled gradient echo."""

    te_s: float | None = None
    """Echo time from RF centre to the echo sample; None for the shortest."""
    tr_s: float | None = None
    """Repetition time of one slice; None for the shortest."""
    flip_rad: float = 0.2617993877991494  # 15 degrees
    dummy_shots: int = 60
    """Excitations without readout at the start, for the steady state."""
    rf_duration_s: float = 2e-3
    rf_time_bandwidth: float = 4.0
    rf_spoil_increment_rad: float = 2.0420352248333655  # 117 degrees
    spoil_cycles: float = 4.0
    """Dephasing by the spoiler across one slice, in cycles."""
    adc_segments: int = 1
    """Equal parts in which the receiver takes a long readout."""
    calibrate: tuple[str, ...] = ()
    """Calibration scans before the image, of `CALIBRATION_SETS`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "calibrate", calibration_kinds(tuple(self.calibrate)))  # files hold lists
        for name in ("te_s", "tr_s"):
            value = getattr(self, name)
            if value is not None and not 1e-5 <= value <= LONGEST_TR_S:
                raise reject(
                    name.removesuffix("_s").upper(),
                    got=f"{value:g} s",
                    expected=f"0.00001..{LONGEST_TR_S:g} s",
                    remedy="was it given in ms where seconds are due, or the other way round?",
                )
        if not 0.0 < self.flip_rad <= np.pi / 2 + 1e-9:
            raise reject(
                "flip angle",
                got=f"{np.degrees(self.flip_rad):g} degrees",
                expected="0..90",
                remedy="give degrees; readers of Pulseq 1.4 take a larger excitation for a refocusing pulse",
            )
        if not 1 <= self.adc_segments <= MOST_SEGMENTS:
            raise reject(
                "ADC segments", got=self.adc_segments, expected=f"1..{MOST_SEGMENTS}", remedy="1 takes a readout whole"
            )
        if not 0 <= self.dummy_shots <= 10_000:
            raise reject("dummy shots", got=self.dummy_shots, expected="0..10000", remedy="give a whole number")


@dataclass(frozen=True, kw_only=True)
class TrajectoryDesign:
    """A non-Cartesian design: per shot one gradient waveform from 0 to 0 and the k-space at its ADC samples.

    The waveform is piecewise linear between gradient-raster edges; ``k_per_m`` is its exact integral at the sample
    centres ``t = adc_start_edge * raster + (n + 1/2) dwell`` with ``k_start_per_m`` (the prephaser's moment) at t = 0.
    """

    name: str
    """File stem, for example ``radial-16``."""
    family: str
    geometry: Geometry
    scanner: Scanner
    protocol: Protocol
    dwell_s: float
    adc_start_edge: int
    """Gradient-raster edge at which the ADC opens."""
    echo_sample: int
    """Index of the ADC sample at TE: each shot passes k = 0 there, or comes as near to it as its family does."""
    gradient_hz_per_m: FloatArray
    """(shots, edges, 2) x, y gradient on raster edges, zero at both ends."""
    k_start_per_m: FloatArray
    """(shots, 2) k at the first edge."""
    k_per_m: FloatArray
    """(shots, samples, 2) k at the ADC samples."""
    initial_k_per_m: FloatArray
    """(shots, samples, 2) the fixed baseline from which learning started."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able: recipe, seed, versions, residual of the projection, scores, history."""

    def __post_init__(self) -> None:
        for name, dims in (("gradient_hz_per_m", 3), ("k_start_per_m", 2), ("k_per_m", 3), ("initial_k_per_m", 3)):
            array = getattr(self, name)
            if array.ndim != dims or array.shape[-1] != 2:
                raise SeqoptError(
                    f"design {self.name}: {name} has shape {array.shape}, expected {dims} axes ending in 2"
                )
            if not np.isfinite(array).all():
                raise SeqoptError(
                    f"design {self.name}: {name} holds NaN or infinity; the design is damaged, make it anew"
                )
        shots = self.k_per_m.shape[0]
        if self.gradient_hz_per_m.shape[0] != shots or self.k_start_per_m.shape[0] != shots:
            raise SeqoptError(f"design {self.name}: gradient, start and k disagree on the number of shots")
        if self.initial_k_per_m.shape != self.k_per_m.shape:
            raise SeqoptError(f"design {self.name}: the initial trajectory has another shape than the learned one")
        if not 0 <= self.echo_sample < self.samples:
            raise reject("echo sample", got=self.echo_sample, expected=f"0..{self.samples - 1}", remedy="move the echo")
        if np.abs(self.gradient_hz_per_m[:, [0, -1]]).max() > 0.0:
            raise SeqoptError(f"design {self.name}: the waveform must start and end at zero gradient")
        adc_end_s = self.adc_start_edge * self.scanner.grad_raster_s + self.samples * self.dwell_s
        if adc_end_s > self.block_duration_s + 1e-9:
            raise SeqoptError(f"design {self.name}: the ADC ends after the waveform")

    @property
    def shots(self) -> int:
        """Number of shots."""
        return int(self.k_per_m.shape[0])

    @property
    def samples(self) -> int:
        """ADC samples a shot."""
        return int(self.k_per_m.shape[1])

    @property
    def block_duration_s(self) -> float:
        """Duration of the readout waveform, ramps included."""
        rasters: int = self.gradient_hz_per_m.shape[1] - 1
        return rasters * self.scanner.grad_raster_s

    @property
    def echo_time_in_block_s(self) -> float:
        """Time of the echo sample's centre after the waveform's start."""
        return self.adc_start_edge * self.scanner.grad_raster_s + (self.echo_sample + 0.5) * self.dwell_s
