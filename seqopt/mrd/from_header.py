"""Geometry and placement as an MRD file states them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ismrmrd
import numpy as np

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile
from seqopt.mrd.placement import Placement


def read_geometry(raw: RawFile, path: Path, *, slices: int) -> Geometry:
    """The image to reconstruct: matrix and field of view of the header's reconstruction space."""
    encoding = raw.encoding
    space = encoding.reconSpace
    thickness_m = 1e-3 * space.fieldOfView_mm.z / max(1, space.matrixSize.z)
    try:
        return Geometry(
            fov_m=(1e-3 * space.fieldOfView_mm.x, 1e-3 * space.fieldOfView_mm.y),
            matrix=(int(space.matrixSize.x), int(space.matrixSize.y)),
            slices=slices,
            slice_thickness_m=thickness_m,
        )
    except SeqoptError as error:
        raise SeqoptError(f"{path}, header: {error}") from error


def read_placement(firsts: Sequence[ismrmrd.Acquisition], geometry: Geometry, notes: list[str]) -> Placement:
    """Placement from the first readout of each slice; a design's own where the file has none."""
    read_dir, phase_dir, slice_dir = (
        np.array(getattr(firsts[0], name), dtype=float) for name in ("read_dir", "phase_dir", "slice_dir")
    )
    positions_m = 1e-3 * np.array([list(item.position) for item in firsts], dtype=float)
    if not (read_dir.any() and phase_dir.any() and slice_dir.any()):
        notes.append("the file states no directions; axial slices about the isocentre were assumed")
        return Placement.axial(geometry)
    return Placement(read_dir=read_dir, phase_dir=phase_dir, slice_dir=slice_dir, positions_m=positions_m)
