"""MRD image series with geometry and meta attributes, written and read through ismrmrd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import GROUP, reserve
from seqopt.mrd.files import check_is_hdf5
from seqopt.mrd.image_head import ImageHead, heads_of, series_of
from seqopt.mrd.placement import Placement

AnyArray = npt.NDArray[Any]
SERIES = "image_0"
_HEAD_BYTES = 4096  # header and attributes of one image, generously


def write_images(
    path: Path,
    images: AnyArray,
    geometry: Geometry,
    placement: Placement,
    *,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Write one series of images (slices, y, x) in memory; else as `write_image_series`."""
    expected = (len(placement.positions_m), *geometry.shape)
    if images.shape != expected:
        raise SeqoptError(f"images of shape {images.shape}, expected {expected} (slices, y, x)")
    write_image_series(
        path, images, heads_of(placement), geometry, meta=meta, pixel_bytes=8 if np.iscomplexobj(images) else 4
    )


def write_image_series(
    path: Path,
    images: Iterable[AnyArray],
    heads: Sequence[ImageHead],
    geometry: Geometry,
    *,
    meta: Mapping[str, Any] | None = None,
    window: tuple[float, float] | None = None,
    pixel_bytes: int = 8,
) -> None:
    """Write images (y, x), one a head, real as float32 magnitude or complex as complex64; call within ``replacing``.

    Each contrast, set and phase makes a group ``image_0``, ``image_1``, ... that holds its repetitions and slices in
    the order given. ``meta`` is added to each image's attributes, for example the reconstruction and the .seq's MD5;
    ``window`` is centre and width for viewers; ``pixel_bytes`` is how large pixels become, 4 or 8. Images are taken
    one at a time, so that they may come from disk.
    """
    reserve(path, len(heads) * (pixel_bytes * geometry.matrix[0] * geometry.matrix[1] + _HEAD_BYTES))
    numbers = {key: number for number, key in enumerate(series_of(heads))}
    counts = dict.fromkeys(numbers, 0)
    more = dict(meta or {})
    if window is not None:
        more |= {"WindowCenter": f"{window[0]:.6g}", "WindowWidth": f"{window[1]:.6g}"}
    with ismrmrd.Dataset(str(path), GROUP, mode="w") as dataset:
        for head, pixels in zip(heads, images, strict=True):
            if pixels.shape != geometry.shape:
                raise SeqoptError(f"an image of shape {pixels.shape}, expected {geometry.shape} (y, x)")
            counts[head.series] += 1
            image = _image(pixels, head, geometry, more)
            image.image_index = counts[head.series]
            image.image_series_index = numbers[head.series]
            dataset.append_image(f"image_{numbers[head.series]}", image)


def _image(pixels: AnyArray, head: ImageHead, geometry: Geometry, meta: Mapping[str, Any]) -> ismrmrd.Image:
    complex_data = np.iscomplexobj(pixels)
    array = np.ascontiguousarray(pixels, dtype=np.complex64 if complex_data else np.float32)
    image = ismrmrd.Image.from_array(array)
    image.image_type = ismrmrd.IMTYPE_COMPLEX if complex_data else ismrmrd.IMTYPE_MAGNITUDE
    image.field_of_view[:] = [1e3 * size for size in (*geometry.fov_m, geometry.slice_thickness_m)]
    image.position[:] = 1e3 * head.position_m
    image.read_dir[:] = head.read_dir
    image.phase_dir[:] = head.phase_dir
    image.slice_dir[:] = head.slice_dir
    for counter in ("slice", "repetition", "contrast", "set", "phase"):
        setattr(image, counter, getattr(head, counter))
    image.acquisition_time_stamp = head.time_stamp
    attributes = {
        "DataRole": "Image",
        "ImageRowDir": [f"{value:.9g}" for value in head.read_dir],
        "ImageColumnDir": [f"{value:.9g}" for value in head.phase_dir],
        "ImageSliceNormDir": [f"{value:.9g}" for value in head.slice_dir],
        **{name: str(value) for name, value in meta.items()},
    }
    image.meta = ismrmrd.Meta(attributes)
    return image


def read_images(path: Path, series: str = SERIES) -> tuple[AnyArray, Placement]:
    """Images (n, y, x) of one series and where each lies, as `write_images` wrote them."""
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
