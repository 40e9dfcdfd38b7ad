"""Images to files that everybody opens: NIfTI with the scanner's geometry, and a PNG."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.workflows.store import replacing

AnyArray = npt.NDArray[Any]
_WINDOW_QUANTILE = 0.997
_LEAST_SIDE = 512


def write_nifti(path: Path, images: AnyArray, affine_ras_mm: npt.NDArray[np.float64]) -> None:
    """Write magnitude images (slices, y, x) as NIfTI (x, y, slice) with the affine voxel -> RAS in mm."""
    import nibabel

    volume = np.ascontiguousarray(np.abs(images).astype(np.float32).transpose(2, 1, 0))
    nifti = nibabel.Nifti1Image(volume, affine_ras_mm)
    nifti.header.set_xyzt_units("mm")
    nifti.set_sform(affine_ras_mm, code=1)
    nifti.set_qform(affine_ras_mm, code=1, strip_shears=True)
    with replacing(path) as temporary:
        temporary.write_bytes(nifti.to_bytes())


def write_png(path: Path, images: AnyArray) -> None:
    """Write (slices, y, x) magnitudes side by side in grey, [0, 0] upper left, enlarged to at least 512 pixels."""
    from matplotlib.image import imsave

    magnitude = np.abs(images)
    columns = math.ceil(math.sqrt(len(magnitude)))
    rows = math.ceil(len(magnitude) / columns)
    y, x = magnitude.shape[1:]
    sheet = np.zeros((rows * y, columns * x))
    for index, image in enumerate(magnitude):
        row, column = divmod(index, columns)
        sheet[row * y : (row + 1) * y, column * x : (column + 1) * x] = image
    zoom = max(1, math.ceil(_LEAST_SIDE / max(sheet.shape)))
    sheet = sheet.repeat(zoom, 0).repeat(zoom, 1)
    top = max(float(np.quantile(magnitude, _WINDOW_QUANTILE)), 1e-30)
    stream = io.BytesIO()
    imsave(stream, np.clip(sheet / top, 0.0, 1.0), cmap="gray", vmin=0.0, vmax=1.0, format="png")
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getvalue())
