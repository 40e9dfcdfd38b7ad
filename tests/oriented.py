"""Slices in every orientation, with points whose place in the patient is known."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from seqopt.core import Geometry
from seqopt.mrd.placement import Placement

X, Y, Z = np.eye(3)
ORIENTATIONS = {  # read, phase, slice in LPS: x to the left, y posterior, z to the head
    "axial": (X, Y, Z),
    "sagittal": (Y, -Z, -X),
    "coronal": (X, -Z, Y),
    "axial, read and phase swapped": (Y, -X, Z),
    "axial, read reversed": (-X, Y, -Z),
    "axial, slices downwards": (X, -Y, -Z),
    "left-handed": (X, Y, -Z),
    "oblique": tuple(Rotation.from_euler("zyx", (23, -31, 47), degrees=True).as_matrix().T),
    "double oblique sagittal": tuple(
        (Rotation.from_euler("xyz", (12, -17, 5), degrees=True).as_matrix() @ np.stack([Y, -Z, -X], 1)).T
    ),
}
GEOMETRY = Geometry(fov_m=(0.24, 0.15), matrix=(24, 10), slices=4, slice_thickness_m=0.004, slice_gap_m=0.002)
CENTRE_M = np.array([0.011, -0.023, 0.037])


def placed(name: str, *, slices: int = 4, step_m: float = 0.006) -> Placement:
    read, phase, normal = ORIENTATIONS[name]
    steps = step_m * (np.arange(slices) - (slices - 1) / 2)
    return Placement(
        read_dir=read, phase_dir=phase, slice_dir=normal, positions_m=CENTRE_M + steps[:, None] * np.asarray(normal)
    )


def point_mm(placement: Placement, x: int, y: int, slice_: int, geometry: Geometry = GEOMETRY) -> np.ndarray:
    """LPS of a pixel's centre: pixel N/2 lies on the slice's centre."""
    along_x, along_y = (geometry.fov_m[axis] / geometry.matrix[axis] for axis in (0, 1))
    return 1e3 * (
        placement.positions_m[slice_]
        + (x - geometry.matrix[0] / 2) * along_x * placement.read_dir
        + (y - geometry.matrix[1] / 2) * along_y * placement.phase_dir
    )


def marked(slices: int = 4, geometry: Geometry = GEOMETRY) -> np.ndarray:
    """Images (slices, y, x) in which every pixel has its own value."""
    return np.arange(slices * geometry.matrix[0] * geometry.matrix[1], dtype=np.float32).reshape(
        slices, *geometry.shape
    )
