"""A finished Cartesian design: which phase-encoding lines a scan acquires, and in which order they matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core.cartesian_protocol import CartesianProtocol
from seqopt.core.design import Protocol
from seqopt.core.geometry import Geometry
from seqopt.core.scanner import Scanner
from seqopt.errors import SeqoptError, reject

IntArray = npt.NDArray[np.int64]


def central_lines(lines: int, count: int) -> IntArray:
    """(count,) the central lines of ``lines``, ascending; an even number has one more below k = 0."""
    if not 0 <= count <= lines:
        raise reject("central lines", got=count, expected=f"0..{lines}", remedy="give fewer")
    first = lines // 2 - count // 2
    return np.arange(first, first + count)


@dataclass(frozen=True, kw_only=True)
class MaskDesign:
    """Phase-encoding lines in nested order, the most valuable first, and how many of them are acquired.

    Line l of N lies at ky = (l - N/2) / FOV; line N/2 is k = 0.
    """

    name: str
    """File stem, for example ``igs-16``."""
    family: str
    """How the lines were chosen: ``igs`` or the name of a baseline."""
    geometry: Geometry
    scanner: Scanner
    protocol: Protocol
    order: IntArray
    """(n,) line numbers, each once, n at least the shots: the first m of them are the mask of m lines, for every m."""
    shots: int
    """Lines that are acquired."""
    calibration: int = 0
    """So many central lines are acquired in any case, for coil maps; they lead the order."""
    dwell_s: float = 8e-6
    """Of the readout without oversampling."""
    oversampling: int = 2
    """Samples along the readout over the matrix."""
    play: CartesianProtocol = field(default_factory=CartesianProtocol)
    """Sequence and order in which the lines are played."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able: recipe, target and its curve over the lines, swaps, scores, history."""

    def __post_init__(self) -> None:
        if "delays" in self.protocol.calibrate:
            raise SeqoptError("calibration 'delays' corrects trajectories; a Cartesian mask needs none, leave it out")
        lines = self.geometry.matrix[1]
        order = np.asarray(self.order)
        if order.ndim != 1 or not np.issubdtype(order.dtype, np.integer) or len(np.unique(order)) != len(order):
            raise SeqoptError(f"mask {self.name}: the order must be a list of whole numbers, each line once")
        if len(order) and not 0 <= order.min() <= order.max() < lines:
            raise SeqoptError(
                f"mask {self.name}: the order names lines {order.min()}..{order.max()}, expected 0..{lines - 1}"
            )
        if not 1 <= self.shots <= len(order):
            raise reject("lines of the mask", got=self.shots, expected=f"1..{len(order)}", remedy="ask for fewer lines")
        if not 0 <= self.calibration <= self.shots:
            raise reject(
                "calibration lines",
                got=self.calibration,
                expected=f"0..{self.shots}",
                remedy="give fewer, or more lines",
            )
        if self.oversampling not in (1, 2, 4):
            raise reject("oversampling", got=self.oversampling, expected="1, 2 or 4", remedy="2 is usual")
        if self.calibration and set(order[: self.calibration].tolist()) != set(self.calibration_lines.tolist()):
            raise SeqoptError(f"mask {self.name}: the {self.calibration} central lines do not lead the order")

    @property
    def calibration_lines(self) -> IntArray:
        """(calibration,) the central lines, ascending."""
        return central_lines(self.geometry.matrix[1], self.calibration)

    @property
    def lines(self) -> IntArray:
        """(shots,) acquired lines, ascending."""
        return np.sort(self.order[: self.shots])

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(matrix y,) true where a line is acquired."""
        mask = np.zeros(self.geometry.matrix[1], dtype=bool)
        mask[self.order[: self.shots]] = True
        return mask

    @property
    def acceleration(self) -> float:
        """Lines of the matrix over lines acquired."""
        return self.geometry.matrix[1] / self.shots
