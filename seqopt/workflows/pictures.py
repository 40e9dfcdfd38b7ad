"""Images to files that everybody opens: NIfTI with the scanner's geometry, and a PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.workflows.store import replacing

AnyArray = npt.NDArray[Any]
_WINDOW_QUANTILE = 0.997
_LEAST_SIDE = 512
SHOWN_AT_MOST = 36
"""Images in one preview; of more, these many at equal distances."""


def write_nifti(path: Path, images: AnyArray, affine_ras_mm: npt.NDArray[np.float64]) -> None:
    """Write images (slices, y, x), of complex ones the magnitude, as NIfTI (x, y, slice) with an affine to RAS mm."""
    real = np.abs(images) if np.iscomplexobj(images) else images
    write_nifti_stream(path, real, (*images.shape[:0:-1], len(images)), affine_ras_mm)


def write_nifti_stream(
    path: Path, images: Iterable[AnyArray], shape: tuple[int, ...], affine_ras_mm: npt.NDArray[np.float64]
) -> None:
    """Write images (y, x), taken one at a time, as float32 NIfTI of ``shape`` (x, y, slice) or (x, y, slice, time).

    Images come slice by slice, then time by time; the affine takes voxels to RAS in mm. The time between volumes is
    not known to MRD and is left without a unit.
    """
    import nibabel

    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_shape(shape)
    header.set_data_dtype(np.float32)
    header.set_xyzt_units("mm")
    header.set_qform(affine_ras_mm, code=1, strip_shears=True)
    header.set_sform(affine_ras_mm, code=1)
    header["pixdim"][4] = 1.0 if len(shape) > 3 else 0.0
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    with replacing(path) as temporary, temporary.open("wb") as stream:
        header.write_to(stream)
        stream.write(b"\0" * (352 - stream.tell()))
        for image in images:
            stream.write(np.ascontiguousarray(image, dtype="<f4").data)


def shown_places(count: int) -> list[int]:
    """Which of ``count`` images a preview shows: all, or `SHOWN_AT_MOST` at equal distances."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, SHOWN_AT_MOST))})


def write_png(path: Path, images: AnyArray, *, top: float | None = None) -> None:
    """Write (n, y, x) magnitudes side by side in grey, [0, 0] upper left, enlarged to at least 512 pixels.

    ``top`` is what white means, nearly the brightest pixel unless given.
    """
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
    white = max(float(np.quantile(magnitude, _WINDOW_QUANTILE)), 1e-30) if top is None else top
    stream = io.BytesIO()
    imsave(stream, np.clip(sheet / white, 0.0, 1.0), cmap="gray", vmin=0.0, vmax=1.0, format="png")
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getvalue())
