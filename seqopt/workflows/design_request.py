"""All that one design run depends on, checked before anything expensive starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Protocol, Scanner, TrajectoryDesign
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.projection import project
from seqopt.learn.recipe import Recipe
from seqopt.sampling.initial import initial_trajectories

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DesignRequest:
    """What ``seqopt design`` was asked for, in SI units."""

    out: Path
    geometry: Geometry
    scanner: Scanner
    protocol: Protocol
    recipe: Recipe
    traj: str = "radial"
    shots: int = 16
    readout_s: float = 4e-3
    dwell_s: float = 4e-6
    images: Path | None = None
    coils: int = 8
    snr: float = 50.0
    seed: int = 0
    device: str = "auto"
    backend: str = "auto"
    resume: bool = False
    overwrite: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    """Notes for the provenance, for example the name of the preset."""

    def __post_init__(self) -> None:
        initial_trajectories[self.traj]
        if not 1 <= self.shots <= 1024:
            raise reject("shots", got=self.shots, expected="1..1024", remedy="16 is usual for a 256 matrix")
        if not 1e-7 <= self.dwell_s <= 1e-3:
            raise reject("dwell", got=f"{self.dwell_s:g} s", expected="0.0000001..0.001 s", remedy="give it in us")
        ratio = self.dwell_s / self.scanner.adc_raster_s
        if abs(ratio - round(ratio)) > 1e-6:
            raise reject(
                "dwell",
                got=f"{self.dwell_s * 1e6:g} us",
                expected=f"a multiple of the ADC raster {self.scanner.adc_raster_s * 1e6:g} us",
                remedy=f"use {round(ratio) * self.scanner.adc_raster_s * 1e6:g} us",
            )
        if not 1e-4 <= self.readout_s <= 0.1:
            raise reject(
                "readout", got=f"{self.readout_s * 1e3:g} ms", expected="0.1..100 ms", remedy="give it in milliseconds"
            )
        samples = self.readout_s / self.dwell_s
        divisor = self.scanner.adc_samples_divisor
        if abs(samples - round(samples)) > 1e-6 or round(samples) % divisor:
            nearest = max(divisor, round(samples / divisor) * divisor)
            raise reject(
                "readout",
                got=f"{self.readout_s * 1e3:g} ms of {samples:g} samples",
                expected=f"a multiple of {divisor} samples",
                remedy=f"use {nearest * self.dwell_s * 1e3:g} ms",
            )
        if self.samples > self.scanner.adc_max_samples:
            raise reject(
                "ADC samples",
                got=self.samples,
                expected=f"at most {self.scanner.adc_max_samples}",
                remedy="shorten the readout or lengthen the dwell",
            )
        if not 1 <= self.coils <= 128:
            raise reject("coils", got=self.coils, expected="1..128", remedy="8 is the default")
        if self.seed < 0:
            raise reject("seed", got=self.seed, expected="0 or more", remedy="0 is the default")
        if self.geometry.matrix[0] < 16:
            raise reject("matrix", got=self.geometry.matrix[0], expected="16 or more to learn on", remedy="use 32")
        if not self.snr > 0:
            raise reject("SNR", got=self.snr, expected="a number above 0", remedy="50 is the default")
        if self.geometry.matrix[0] != self.geometry.matrix[1] or self.geometry.fov_m[0] != self.geometry.fov_m[1]:
            raise SeqoptError("a design needs a square field of view and matrix; give one number for each")

    @property
    def samples(self) -> int:
        """ADC samples a shot."""
        return round(self.readout_s / self.dwell_s)

    @property
    def name(self) -> str:
        """File stem of the design."""
        return f"{self.traj}-{self.shots}"

    def fingerprint(self) -> dict[str, Any]:
        """What a resumed run must have in common with the interrupted one."""
        fields = asdict(replace(self, resume=False, overwrite=False))
        return {key: str(value) for key, value in fields.items() if key not in ("out", "resume", "overwrite", "labels")}

    def initial(self) -> tuple[FloatArray, int]:
        """The initial trajectory (shots, samples, 2) in 1/m and its echo sample; refuses one that cannot be played."""
        k_per_m, echo = initial_trajectories[self.traj](self.geometry, self.shots, self.samples)
        speed = np.linalg.norm(np.diff(k_per_m, axis=1), axis=-1).max() / self.dwell_s
        limit = self.scanner.margin * self.scanner.max_grad_hz_per_m
        if speed > limit:
            shortest = self.readout_s * speed / limit
            raise reject(
                "readout",
                got=f"{self.readout_s * 1e3:g} ms",
                expected=f"at least {np.ceil(shortest * 1e5) / 1e2:g} ms to reach k-max under the gradient limit",
                remedy="lengthen --readout, lower --matrix or enlarge --fov",
            )
        return k_per_m, echo

    def designed(self, k_per_m: FloatArray, echo: int, **provenance: Any) -> TrajectoryDesign:
        """Project a trajectory onto the hardware's limits and make it a design."""
        initial, _ = self.initial()
        playable = project(k_per_m, self.geometry, self.scanner, dwell_s=self.dwell_s, echo_sample=echo)
        if playable.residual > 0.01:
            raise SeqoptError(
                f"the projection did not converge (excess {playable.residual:.2g} after {playable.iterations} "
                "iterations); the trajectory is too wild for these limits, train longer or raise the penalty"
            )
        return TrajectoryDesign(
            name=self.name,
            family=self.traj,
            geometry=self.geometry,
            scanner=self.scanner,
            protocol=self.protocol,
            dwell_s=self.dwell_s,
            adc_start_edge=playable.adc_start_edge,
            echo_sample=echo,
            gradient_hz_per_m=playable.gradient_hz_per_m,
            k_start_per_m=playable.k_start_per_m,
            k_per_m=playable.k_per_m,
            initial_k_per_m=initial,
            provenance={
                **provenance,
                "projection": {
                    "moved_max_per_fov": playable.moved_max_per_fov,
                    "moved_rms_per_fov": playable.moved_rms_per_fov,
                    "residual": playable.residual,
                    "iterations": playable.iterations,
                },
            },
        )


def slowest(design: TrajectoryDesign) -> TrajectoryDesign:
    """The design whose timing no trajectory learned from this one can exceed.

    Its ramps suit the fastest gradient there is and its prephaser and rewinder reach the corner of k-space: a TE or TR
    that fits it will fit what is learned, so a wrong one is refused before the training and not after.
    """
    scanner = design.scanner
    rise_s = 1.2 * scanner.max_grad_hz_per_m / (scanner.margin * scanner.max_slew_hz_per_m_per_s)
    extra = max(0, int(np.ceil(rise_s / scanner.grad_raster_s)) + 1 - design.adc_start_edge)
    length = np.linalg.norm(design.k_start_per_m, axis=-1, keepdims=True)
    reach = 1.1 * float(np.hypot(*design.geometry.k_max_per_m))
    return replace(
        design,
        adc_start_edge=design.adc_start_edge + extra,
        gradient_hz_per_m=np.pad(design.gradient_hz_per_m, ((0, 0), (extra, extra), (0, 0))),
        k_start_per_m=design.k_start_per_m * np.maximum(reach / np.maximum(length, 1e-9), 1.0),
    )
