"""Image files without k-space: NIfTI, FreeSurfer MGZ and NumPy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.images.image_set import Volume
from seqopt.images.resample import Grid, resample

AnyArray = npt.NDArray[Any]
UNIT_M = {"meter": 1.0, "mm": 1e-3, "micron": 1e-6, "unknown": 1e-3}
LARGEST = 1e15
LEAST_AREA = 0.1  # of the fullest slice, for a slice of a volume to count


def read_nifti(path: Path, grid: Grid) -> Volume:
    """Axial slices of one NIfTI or MGZ volume, its contents centred; voxel sizes and orientation from its header.

    Slices with hardly any object at both ends are left out. Raises for a file that is damaged or not one volume.
    """
    stored, sizes_m = nifti_slices(path)
    slices = checked(stored, path)
    mask = object_mask(slices)
    area = mask.sum(axis=(1, 2))
    full = np.flatnonzero(area >= LEAST_AREA * area.max())
    first, last = int(full[0]), int(full[-1]) + 1
    images = resample(slices[first:last], step_m=sizes_m[1:], grid=grid, centre=middle_of(mask[first:last]))
    return Volume(name=path.name, images=images, step_m=sizes_m[0])


def nifti_slices(path: Path, *, channel: int | None = None) -> tuple[AnyArray, tuple[float, float, float]]:
    """Axial slices (z, y, x) of a NIfTI or MGZ volume as stored, and their voxel sizes (z, y, x) in metres.

    x runs to the patient's left and y to posterior; ``channel`` picks one of several volumes in the file. Raises
    `SeqoptError` for a file that is damaged or not one volume.
    """
    import nibabel

    try:
        image = nibabel.load(path)
        header_unit = image.header.get_xyzt_units()[0] if hasattr(image.header, "get_xyzt_units") else "mm"
        image = nibabel.as_closest_canonical(image)
        array = np.asarray(image.dataobj)
        sizes_m = np.asarray(image.header.get_zooms()[:3], dtype=float) * UNIT_M.get(header_unit, 1e-3)
    except Exception as error:  # nibabel raises a dozen kinds for damaged files
        raise SeqoptError(
            f"{path} cannot be read as NIfTI ({first_line(error)}); it is truncated or foreign"
        ) from error
    if array.ndim == 4 and (array.shape[3] == 1 or channel is not None):
        if not 0 <= (channel or 0) < array.shape[3]:
            raise SeqoptError(f"{path}: got contrast {channel}, expected 0..{array.shape[3] - 1}; the file has no more")
        array = array[..., channel or 0]
    if array.ndim != 3:
        raise SeqoptError(f"{path}: got a volume of shape {array.shape}, expected (x, y, z); give one volume a file")
    if not (np.isfinite(sizes_m).all() and (sizes_m > 1e-5).all() and (sizes_m < 0.1).all()):
        raise SeqoptError(f"{path}: voxel sizes of {sizes_m} m in the header, expected 0.00001..0.1; mend the header")
    slices = array.transpose(2, 1, 0)[:, ::-1, ::-1]  # right, anterior -> left, posterior
    return slices, (float(sizes_m[2]), float(sizes_m[1]), float(sizes_m[0]))


def object_mask(slices: AnyArray) -> npt.NDArray[np.bool_]:
    """(z, y, x) where a volume holds something."""
    return np.asarray(np.abs(slices) > 0.1 * np.quantile(np.abs(slices), 0.999))


def middle_of(mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Row and column in the middle of what is true in (z, y, x)."""
    middle = [float(np.flatnonzero(mask.any(axis=axes))[[0, -1]].mean()) for axes in ((0, 2), (0, 1))]
    return middle[0], middle[1]


def read_array(path: Path, grid: Grid) -> Volume:
    """Images (n, y, x) or (y, x) of a .npy or .npz file, real or complex; never unpickles.

    A .npz holds one array, or one named ``images``, and may name its pixel size in ``voxel_m``. Without it, the longer
    side is taken to be the field of view.
    """
    array, voxel_m = _load(path)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or min(array.shape[1:]) < 8 or len(array) < 1:
        raise SeqoptError(f"{path}: got shape {array.shape}, expected (n, y, x) or (y, x) of at least 8 x 8 pixels")
    step_m = voxel_m or grid.fov_m / max(array.shape[1:])
    return Volume(name=path.name, images=resample(checked(array, path), step_m=(step_m, step_m), grid=grid))


def _load(path: Path) -> tuple[AnyArray, float | None]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, None
        with loaded:
            names = [name for name in loaded.files if name != "voxel_m"]
            if "images" not in names and len(names) != 1:
                raise SeqoptError(f"{path}: got arrays {', '.join(names) or 'none'}, expected one named images")
            voxel_m = _one_number(loaded["voxel_m"], path) if "voxel_m" in loaded.files else None
            array = loaded["images" if "images" in names else names[0]]
    except SeqoptError:
        raise
    except Exception as error:  # NumPy, zlib, zipfile and tokenize raise a dozen kinds for damaged files
        if "pickle" in str(error):
            raise SeqoptError(
                f"{path}: holds pickled Python objects or no array at all, expected plain numbers; "
                "save it anew with numpy.save(..., allow_pickle=False)"
            ) from error
        raise SeqoptError(
            f"{path} cannot be read as a NumPy file ({first_line(error)}); it is truncated or foreign"
        ) from error
    if not isinstance(array, np.ndarray):
        raise SeqoptError(f"{path} is a zip file without NumPy arrays, expected one named images; save it with savez")
    if voxel_m is not None and not 1e-5 <= voxel_m <= 0.1:
        raise SeqoptError(f"{path}: voxel_m={voxel_m:g} is outside 0.00001..0.1 m; was it given in mm?")
    return array, voxel_m


def _one_number(value: AnyArray, path: Path) -> float:
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise SeqoptError(f"{path}: voxel_m is {value.tolist()!r}, expected one number in metres; pixels are square")
    return float(value.item())


def checked(array: AnyArray, path: Path) -> AnyArray:
    """The array itself, if it holds finite numbers that are not all zero and whose squares float32 can hold."""
    if array.dtype.kind not in "biufc":
        raise SeqoptError(f"{path}: got values of type {array.dtype}, expected real or complex numbers")
    if not np.isfinite(array).all():
        raise SeqoptError(f"{path} holds NaN or infinity; mend or leave out the damaged images")
    if not array.any():
        raise SeqoptError(f"{path} holds only zeros; leave it out")
    if array.dtype.kind in "fc" and float(np.abs(array).max()) > LARGEST:
        raise SeqoptError(f"{path} holds values beyond {LARGEST:g}; scale the images down, any scale will do")
    return array


def first_line(error: BaseException) -> str:
    """First line of another library's message, for a one-line error."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
