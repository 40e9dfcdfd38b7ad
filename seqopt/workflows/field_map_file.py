"""A map of the main field from a NIfTI file, on the pixels of the slices that were scanned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.placement import Placement

FloatArray = npt.NDArray[np.float64]
_BEYOND = 0.75  # voxels of the map outside of its outermost centres, where the nearest is taken
_OFF_GRID = 0.05  # voxels


@dataclass(frozen=True, kw_only=True)
class FieldMapFile:
    """The map as the file has it."""

    name: str
    volume_hz: FloatArray
    """(x, y, slices)."""
    affine_ras_mm: FloatArray | None
    """(4, 4) voxel -> RAS in mm; None where the file states neither sform nor qform."""

    def of_numbers(self, geometry: Geometry, places: list[int], slices: int) -> FloatArray:
        """(len(places), y, x) of a map without affine, whose slices are those of the file that was scanned."""
        wanted = (*geometry.matrix, slices)
        if self.volume_hz.shape != wanted:
            had, due = (" x ".join(map(str, shape)) for shape in (self.volume_hz.shape, wanted))
            raise SeqoptError(
                f"the field map {self.name} has {had} pixels (x, y, slices), the images {due}, and it states no "
                "position; resample it, or write its affine"
            )
        return np.ascontiguousarray(self.volume_hz.transpose(2, 1, 0)[places])

    def at(self, placement: Placement, geometry: Geometry, notes: list[str]) -> FloatArray:
        """(slices, y, x) at the pixels of the placement's slices, linear between the map's voxels.

        Raises `SeqoptError` where the map does not cover them.
        """
        from scipy.ndimage import map_coordinates

        assert self.affine_ras_mm is not None
        inverse = np.linalg.inv(self.affine_ras_mm)
        pixels_mm = _pixels_ras_mm(placement, geometry)
        index = pixels_mm @ inverse[:3, :3].T + inverse[:3, 3]  # (slices, y, x, 3)
        beyond = np.maximum(-index, index - (np.array(self.volume_hz.shape) - 1)).max(-1)
        inside = (beyond <= _BEYOND).mean((1, 2))
        if inside.min() < 1:
            slice_, share = int(inside.argmin()), 100 * float(inside.min())
            x, y, z = placement.positions_m[slice_] * (-1e3, -1e3, 1e3)
            raise SeqoptError(
                f"the field map {self.name} covers {share:.0f} % of the slice at ({x:.1f}, {y:.1f}, {z:.1f}) mm (RAS) "
                "by its affine; give one of this scan's position and field of view, or write it without affine"
            )
        if np.abs(index - index.round()).max() > _OFF_GRID or self.volume_hz.shape[:2] != geometry.matrix:
            note = f"the field map {self.name} was resampled to the slices by its affine"
            notes += [note] if note not in notes else []
        coordinates = np.moveaxis(index, -1, 0)
        return np.asarray(map_coordinates(self.volume_hz, coordinates, order=1, mode="nearest"))


def read_field_map(path: Path) -> FieldMapFile:
    """Read a NIfTI (x, y, slice) in Hz; raises `SeqoptError` for other files, other shapes and NaN."""
    import nibabel

    try:
        image = nibabel.load(path)
        volume = np.asarray(image.dataobj, dtype=np.float64)
        known = bool(image.header["sform_code"] or image.header["qform_code"])
        affine = np.asarray(image.affine, dtype=np.float64) if known else None
    except Exception as error:  # nibabel raises whatever the file makes it stumble upon
        raise SeqoptError(f"the field map {path} cannot be read as NIfTI ({error})") from error
    volume = volume[..., None] if volume.ndim == 2 else volume
    if volume.ndim != 3 or not np.isfinite(volume).all():
        raise SeqoptError(f"the field map {path} has shape {volume.shape} or holds NaN; expected (x, y, slices) in Hz")
    if affine is not None and not (np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-9):
        raise SeqoptError(f"the field map {path} has an affine that is no position in space; correct its sform")
    return FieldMapFile(name=path.name, volume_hz=volume, affine_ras_mm=affine)


def _pixels_ras_mm(placement: Placement, geometry: Geometry) -> FloatArray:
    """(slices, y, x, 3) centres of the pixels; pixel N/2 lies on the slice's centre."""
    across, down = (
        (np.arange(size) - size // 2) * voxel_m for size, voxel_m in zip(geometry.matrix, geometry.voxel_m, strict=True)
    )
    in_plane = down[:, None, None] * placement.phase_dir + across[:, None] * placement.read_dir
    return np.asarray((placement.positions_m[:, None, None] + in_plane) * (-1e3, -1e3, 1e3))
