"""Geometry and placement as an MRD file states them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, MaskDesign, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile
from seqopt.mrd.placement import Placement, orthonormal

_USUAL_THICKNESS_M = 0.005
_ROOM = 1.005  # share of the encoded field of view within which another pixel fits
_WIDER = 1.05  # an encoded field of view over the image's that matters


def read_geometry(raw: RawFile, path: Path, notes: list[str], *, slices: int) -> Geometry:
    """The image to reconstruct: matrix and field of view of the header's reconstruction space, its matrix made even."""
    space, encoded = raw.encoding.reconSpace, raw.encoding.encodedSpace
    thickness_m = 1e-3 * space.fieldOfView_mm.z / max(1, space.matrixSize.z)
    if not thickness_m > 0:
        thickness_m = _USUAL_THICKNESS_M
        notes.append(f"the header states no slice thickness; {1e3 * thickness_m:g} mm was assumed")
    matrix, fov_mm = space.matrixSize, space.fieldOfView_mm
    x, x_mm = _even(int(matrix.x), fov_mm.x, encoded.fieldOfView_mm.x)
    y, y_mm = _even(int(matrix.y), fov_mm.y, encoded.fieldOfView_mm.y)
    if (x, y) != (matrix.x, matrix.y):
        notes.append(f"the header's matrix {matrix.x} x {matrix.y} is odd; {x} x {y} pixels are reconstructed")
    try:
        return Geometry(
            fov_m=(1e-3 * x_mm, 1e-3 * y_mm),
            matrix=(x, y),
            slices=slices,
            slice_thickness_m=thickness_m,
        )
    except SeqoptError as error:
        raise SeqoptError(f"{path}, header: {error}") from error


def _even(pixels: int, fov_mm: float, encoded_mm: float) -> tuple[int, float]:
    """Pixels and field of view with one pixel more where their number is odd; smaller pixels where there is no room."""
    if pixels % 2 == 0 or pixels < 0:
        return pixels, fov_mm
    wider_mm = fov_mm * (pixels + 1) / pixels
    return pixels + 1, wider_mm if wider_mm <= _ROOM * encoded_mm else fov_mm


def encoded_geometry(raw: RawFile, image: Geometry, k_per_m: npt.NDArray[np.float64], notes: list[str]) -> Geometry:
    """What is to be reconstructed for the image, in whose voxels: more where readouts are oversampled.

    By the header's encoded field of view, along whichever axis it states it, for readouts point anywhere; no wider
    than the samples along a readout (..., samples, 2) tell apart, nor than twice. What lies beyond the image's field
    of view is signal too, and would be streaks in it.
    """
    space, fov_m = raw.encoding.encodedSpace.fieldOfView_mm, np.array(image.fov_m)
    stated = float((1e-3 * np.array([space.x, space.y]) / fov_m).max())
    if k_per_m.shape[-2] < 2:
        return image
    step_per_fov = float((np.linalg.norm(np.diff(k_per_m, axis=-2), axis=-1) * fov_m.max()).max())
    wider = min(stated, 2.0, 1.01 / max(step_per_fov, 0.01))
    if wider < _WIDER:
        return image
    x, y = (2 * round(wider * count / 2) for count in image.matrix)
    width_m, height_m = image.voxel_m
    notes.append(
        f"readouts are oversampled: {x} x {y} pixels are reconstructed, the {image.matrix[0]} x "
        f"{image.matrix[1]} in the middle are kept"
    )
    return replace(image, matrix=(x, y), fov_m=(x * width_m, y * height_m))


def size_notes(raw: RawFile, design: TrajectoryDesign | MaskDesign) -> list[str]:
    """A note where the header's image is not of the design's size: another design, or a converter that guessed."""
    space, geometry = raw.encoding.reconSpace, design.geometry
    matrix, fov_mm = space.matrixSize, space.fieldOfView_mm
    stated = (int(matrix.x), int(matrix.y), float(fov_mm.x), float(fov_mm.y))
    planned = (*geometry.matrix, 1e3 * geometry.fov_m[0], 1e3 * geometry.fov_m[1])
    if np.allclose(stated, planned, rtol=5e-3, atol=0):
        return []
    said, due = ("{} x {} pixels of {:.4g} x {:.4g} mm".format(*one) for one in (stated, planned))
    return [f"the header says {said}, the design {design.name} {due}, which were taken: is it the one that was played?"]


def read_placement(firsts: Sequence[ismrmrd.Acquisition], geometry: Geometry, notes: list[str]) -> Placement:
    """Placement from the first readout of each slice; a design's own where the file has none."""
    read_dir, phase_dir, slice_dir = (
        np.array(getattr(firsts[0], name), dtype=float) for name in ("read_dir", "phase_dir", "slice_dir")
    )
    positions_m = 1e-3 * np.array([list(item.position) for item in firsts], dtype=float)
    if not orthonormal(np.stack([read_dir, phase_dir, slice_dir])):
        none = not (read_dir.any() and phase_dir.any() and slice_dir.any())
        what = "the file states no directions" if none else "the file's directions are not orthonormal"
        notes.append(f"{what}; axial slices about the isocentre were assumed")
        return Placement.axial(geometry)
    return Placement(read_dir=read_dir, phase_dir=phase_dir, slice_dir=slice_dir, positions_m=positions_m)
