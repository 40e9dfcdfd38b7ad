"""Calibration scans: short readouts before the image, from which coil maps, gradient delays and B0 are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError, reject

FloatArray = npt.NDArray[np.float64]

CALIBRATION_SETS = {"maps": 1, "delays": 2, "b0": 3}
"""Kind -> the label SET (MRD: idx.set) of its readouts; those of the image have 0. Also the order of play."""


def calibration_kinds(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, each once, in the order of play; raises for unknown ones."""
    for name in names:
        if name not in CALIBRATION_SETS:
            raise reject(
                "calibration scan", got=repr(name), expected=", ".join(CALIBRATION_SETS), remedy="choose one of them"
            )
    return tuple(name for name in CALIBRATION_SETS if name in names)


@dataclass(frozen=True, kw_only=True)
class CalibrationReadout:
    """One readout of a calibration scan as it is planned."""

    kind: str
    slice: int
    line: int
    """Its number within the scan: of maps and b0 the line, of delays 0 and 1 for x to and fro, 2 and 3 for y."""
    echo: int = 0
    average: int = 0
    later_s: float = 0.0
    """How much later than the scan's first echo its echo is."""
    echo_sample: int
    k_per_m: FloatArray
    """(samples, 2)."""


@dataclass(frozen=True, kw_only=True)
class CalibrationScan:
    """Acquired readouts of one kind, averages averaged."""

    kind: str
    samples: npt.NDArray[np.complex64]
    """(slices, coils, readouts, samples); of delays one slice."""
    k_per_m: FloatArray
    """(readouts, samples, 2) nominal."""
    lines: npt.NDArray[np.int64]
    """(readouts,)."""
    echoes: npt.NDArray[np.int64]
    """(readouts,) 0 or 1."""
    echo_spacing_s: float | None = None
    """Between the two echoes of b0."""
    dwell_s: float

    def __post_init__(self) -> None:
        if self.samples.shape[2:] != self.k_per_m.shape[:2]:
            raise SeqoptError(
                f"calibration {self.kind}: samples {self.samples.shape} and k {self.k_per_m.shape} do not match"
            )
        if not (np.isfinite(self.samples).all() and np.isfinite(self.k_per_m).all()):
            raise SeqoptError(f"calibration {self.kind}: NaN or infinity in its readouts; the file is damaged")
