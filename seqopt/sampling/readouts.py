"""What an initial trajectory is made for, what it is, and the refusals that all families share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Scanner
from seqopt.errors import SeqoptError, reject

FloatArray = npt.NDArray[np.float64]
GOLDEN_RATIO = (1.0 + np.sqrt(5.0)) / 2.0


@dataclass(frozen=True, kw_only=True)
class Readouts:
    """What an initial trajectory is made for."""

    geometry: Geometry
    scanner: Scanner
    shots: int
    samples: int
    """ADC samples a shot."""
    dwell_s: float
    golden: bool = False
    """Angles by the golden ratio, where the family has an angle."""

    @property
    def readout_s(self) -> float:
        """Time that the ADC is open."""
        return self.samples * self.dwell_s

    @property
    def k_max_per_m(self) -> float:
        """Radius that rotated shots may fill."""
        return min(self.geometry.k_max_per_m)

    @property
    def max_grad_hz_per_m(self) -> float:
        """Largest gradient that a design may use, as a vector."""
        return self.scanner.margin * self.scanner.max_grad_hz_per_m

    @property
    def max_slew_hz_per_m_per_s(self) -> float:
        """Largest slew rate that a design may use, as a vector."""
        return self.scanner.margin * self.scanner.max_slew_hz_per_m_per_s

    def angles_rad(self, period_rad: float) -> FloatArray:
        """(shots,) angles that fill a period, equal steps or the golden ratio's (111.246 degrees for half a turn)."""
        step = period_rad / (GOLDEN_RATIO if self.golden else self.shots)
        return np.asarray(np.arange(self.shots) * step, dtype=float)

    def refuse_golden(self, family: str) -> None:
        """For the families whose shots are parallel."""
        if self.golden:
            raise reject(
                "golden angle",
                got=f"the family {family}",
                expected="a family with an angle, for example radial, spiral or propeller",
                remedy="leave out --golden",
            )

    def refuse_more_shots_than(self, most: int, why: str) -> None:
        """One shot more would measure nothing new."""
        if self.shots > most:
            raise reject("shots", got=self.shots, expected=f"1..{most}, {why}", remedy=f"use --shots {max(most, 1)}")

    def refuse_shorter_than(self, needed_s: float, aim: str) -> None:
        """Name the shortest readout that does, in whole numbers of samples that the ADC can take."""
        if self.readout_s >= needed_s * (1 - 1e-9):
            return
        quantum = self.scanner.adc_samples_divisor * self.dwell_s
        shortest = np.ceil(needed_s / quantum - 1e-6) * quantum
        raise reject(
            "readout",
            got=f"{self.readout_s * 1e3:g} ms",
            expected=f"at least {shortest * 1e3:.7g} ms {aim} under the limits of scanner {self.scanner.name}",
            remedy="lengthen --readout, lower --matrix or enlarge --fov",
        )


@dataclass(frozen=True, kw_only=True)
class InitialPath:
    """A trajectory from which learning starts, and what of it learning may not move."""

    k_per_m: FloatArray
    """(shots, samples, 2) at the ADC sample centres."""
    echo_sample: int
    pinned: FloatArray
    """(shots, 2, 2) projector onto what must stay at the echo sample."""
    co_moving: bool = False
    """Whether what is learned turns with the path, as for curves that wind about the centre."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the provenance shall say of its origin."""

    def __post_init__(self) -> None:
        shots, samples, dims = self.k_per_m.shape
        if dims != 2 or self.pinned.shape != (shots, 2, 2) or not 0 <= self.echo_sample < samples:
            raise SeqoptError(
                f"initial trajectory: k {self.k_per_m.shape}, pinned {self.pinned.shape} and echo {self.echo_sample} "
                "do not fit, expected (shots, samples, 2), (shots, 2, 2) and a sample; make it anew"
            )


def pinned_at_echo(echo_k_per_m: FloatArray, readout: FloatArray, *, within_per_m: float = 1e-6) -> FloatArray:
    """(shots, 2, 2): both axes of a shot that passes k = 0 at the echo, of others the readout direction alone.

    In: k at the echo (shots, 2), 1/m, and the direction in which each shot passes it (shots, 2), of any length.
    """
    unit = readout / np.maximum(np.linalg.norm(readout, axis=-1, keepdims=True), 1e-30)
    through = np.linalg.norm(echo_k_per_m, axis=-1) <= within_per_m
    return np.where(through[:, None, None], np.eye(2), unit[:, :, None] * unit[:, None, :])


def rotated(k_per_m: FloatArray, angles_rad: FloatArray) -> FloatArray:
    """One path (samples, 2) turned by each angle: (shots, samples, 2)."""
    cosine, sine = np.cos(angles_rad), np.sin(angles_rad)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)  # (shots, 2, 2)
    return np.asarray(np.einsum("sij,nj->sni", turn, k_per_m))


def through_the_centre(k_per_m: FloatArray, echo_sample: int, *, co_moving: bool = False) -> InitialPath:
    """A path all of whose shots pass k = 0 at the echo sample."""
    pinned = np.broadcast_to(np.eye(2), (len(k_per_m), 2, 2)).copy()
    return InitialPath(k_per_m=k_per_m, echo_sample=echo_sample, pinned=pinned, co_moving=co_moving)
