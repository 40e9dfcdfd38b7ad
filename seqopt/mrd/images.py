"""MRD image series with geometry and meta attributes, written and read through ismrmrd."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import GROUP, reserve
from seqopt.mrd.files import check_is_hdf5
from seqopt.mrd.placement import Placement

SERIES = "image_0"


def write_images(
    path: Path,
    images: npt.NDArray[Any],
    geometry: Geometry,
    placement: Placement,
    *,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Write images (slices, y, x), real as float32 magnitude or complex as complex64; call it within ``replacing``.

    ``meta`` is added to each image's attributes, for example the reconstruction and the .seq's MD5.
    """
    if images.shape != (len(placement.positions_m), *geometry.shape):
        raise SeqoptError(
            f"images of shape {images.shape}, expected {(len(placement.positions_m), *geometry.shape)} (slices, y, x)"
        )
    reserve(path, images.nbytes + 4096 * len(images))
    with ismrmrd.Dataset(str(path), GROUP, mode="w") as dataset:
        for index, image in enumerate(images):
            dataset.append_image(SERIES, _image(image, index, geometry, placement, meta or {}))


def _image(
    pixels: npt.NDArray[Any], index: int, geometry: Geometry, placement: Placement, meta: Mapping[str, Any]
) -> ismrmrd.Image:
    complex_data = np.iscomplexobj(pixels)
    array = np.ascontiguousarray(pixels, dtype=np.complex64 if complex_data else np.float32)
    image = ismrmrd.Image.from_array(array)
    image.image_type = ismrmrd.IMTYPE_COMPLEX if complex_data else ismrmrd.IMTYPE_MAGNITUDE
    image.field_of_view[:] = [1e3 * size for size in (*geometry.fov_m, geometry.slice_thickness_m)]
    image.position[:] = 1e3 * placement.positions_m[index]
    image.read_dir[:] = placement.read_dir
    image.phase_dir[:] = placement.phase_dir
    image.slice_dir[:] = placement.slice_dir
    image.slice = index
    image.image_index = index + 1
    image.image_series_index = 0
    attributes = {
        "DataRole": "Image",
        "ImageRowDir": [f"{value:.9g}" for value in placement.read_dir],
        "ImageColumnDir": [f"{value:.9g}" for value in placement.phase_dir],
        "ImageSliceNormDir": [f"{value:.9g}" for value in placement.slice_dir],
        **{name: str(value) for name, value in meta.items()},
    }
    image.meta = ismrmrd.Meta(attributes)
    return image


def read_images(path: Path, series: str = SERIES) -> tuple[npt.NDArray[Any], Placement]:
    """Images (slices, y, x) and their placement, as `write_images` wrote them."""
    check_is_hdf5(path)
    try:
        with ismrmrd.Dataset(str(path), GROUP, mode="r") as dataset:
            items = [dataset.read_image(series, index) for index in range(dataset.number_of_images(series))]
    except Exception as error:  # a damaged file may fail anywhere below h5py, numpy or ctypes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SeqoptError(f"{path} cannot be read as an MRD image series ({reason}); is it truncated?") from error
    first = items[0]
    placement = Placement(
        read_dir=np.array(first.read_dir, dtype=float),
        phase_dir=np.array(first.phase_dir, dtype=float),
        slice_dir=np.array(first.slice_dir, dtype=float),
        positions_m=1e-3 * np.array([list(item.position) for item in items], dtype=float),
    )
    return np.stack([item.data[0, 0] for item in items]), placement
