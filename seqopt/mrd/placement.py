"""Where slices lie in the patient: directions and centres in LPS, and the NIfTI affine made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]


def orthonormal(directions: npt.NDArray[Any]) -> bool:
    """Whether (3, 3) rows are unit vectors at right angles, as single precision keeps them."""
    with np.errstate(all="ignore"):  # what is not finite is not
        return bool(np.allclose(directions @ directions.T, np.eye(3), atol=1e-3))


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Directions and slice centres in the patient system LPS (x to the left, y posterior, z to the head)."""

    read_dir: FloatArray
    """(3,) unit vector along image x."""
    phase_dir: FloatArray
    """(3,) unit vector along image y."""
    slice_dir: FloatArray
    """(3,) unit vector from slice to slice."""
    positions_m: FloatArray
    """(slices, 3) centre of each slice in metres."""

    def __post_init__(self) -> None:
        directions = self.directions
        if directions.shape != (3, 3) or self.positions_m.ndim != 2 or self.positions_m.shape[1] != 3:
            raise SeqoptError("placement: directions need 3 values each and positions (slices, 3)")
        if not np.isfinite(directions).all() or not np.isfinite(self.positions_m).all():
            raise SeqoptError("placement: directions or positions hold NaN or infinity; the file is damaged")
        if not orthonormal(directions):
            raise SeqoptError("placement: read, phase and slice directions are not orthonormal; the file is damaged")

    @property
    def directions(self) -> FloatArray:
        """(3, 3) rows read, phase, slice."""
        return np.stack([self.read_dir, self.phase_dir, self.slice_dir])

    @classmethod
    def axial(cls, geometry: Geometry) -> Placement:
        """Slices of a design: x, y, z of the gradients, symmetric about the isocentre."""
        positions = np.zeros((geometry.slices, 3))
        positions[:, 2] = geometry.slice_positions_m()
        axes = np.eye(3)
        return cls(read_dir=axes[0], phase_dir=axes[1], slice_dir=axes[2], positions_m=positions)

    def affine_ras_mm(self, geometry: Geometry) -> FloatArray:
        """(4, 4) voxel index (x, y, slice) -> RAS in mm, as NIfTI has it.

        Pixel N/2 of each axis lies on the slice's centre (the convention of the encoding operators).
        """
        voxel_x_m, voxel_y_m = geometry.voxel_m
        step_m = (self.positions_m[-1] - self.positions_m[0]) / max(1, len(self.positions_m) - 1)
        if np.linalg.norm(step_m) < 1e-6:  # of a single slice
            step_m = self.slice_dir * geometry.slice_thickness_m
        lps = np.eye(4)
        lps[:3, 0] = self.read_dir * voxel_x_m
        lps[:3, 1] = self.phase_dir * voxel_y_m
        lps[:3, 2] = step_m
        lps[:3, 3] = (
            self.positions_m[0] - lps[:3, 0] * (geometry.matrix[0] // 2) - lps[:3, 1] * (geometry.matrix[1] // 2)
        )
        affine: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
        affine[:3] *= 1e3
        return affine
