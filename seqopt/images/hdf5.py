"""HDF5 sources: fastMRI k-space or reconstructions, and MRD image series."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.images.files import checked, first_line
from seqopt.images.image_set import Volume
from seqopt.images.resample import Grid, kspace_to_grid, resample

AnyArray = npt.NDArray[Any]
RECONSTRUCTIONS = ("reconstruction_esc", "reconstruction_rss")


def read_hdf5(path: Path, grid: Grid) -> Volume:
    """Images of one HDF5 file, whose contents tell whether it is fastMRI's or MRD's."""
    return _read(path, grid, None, None)


def read_hdf5_slices(path: Path, grid: Grid, numbers: Sequence[int], nonnegative: bool) -> AnyArray:
    """Some slices (n, y, x) as they are in the whole volume; of fastMRI's files only these are read.

    ``nonnegative`` says whether the whole volume has no negative values.
    """
    return np.asarray(_read(path, grid, list(numbers), nonnegative).images)


def slices_in_memory(path: Path) -> tuple[int, int]:
    """How many images a file holds and the bytes of one pixel in memory, from its shapes; (0, 0) if it cannot be read.

    Reading it says what is wrong.
    """
    try:
        with h5py.File(path, "r") as file:
            if "kspace" in file:
                kspace = file["kspace"]
                return len(kspace), 4 if kspace.ndim == 4 else 8
            arrays = [file[name] for name in RECONSTRUCTIONS if name in file]
            groups = [group for group in file.values() if isinstance(group, h5py.Group)]
            arrays += [series["data"] for group in groups for name, series in group.items() if name == "image_0"]
            return (len(arrays[0]), 8) if arrays else (0, 0)
    except Exception:  # h5py raises a dozen kinds for damaged files
        return 0, 0


def _read(path: Path, grid: Grid, only: list[int] | None, nonnegative: bool | None) -> Volume:
    try:
        with h5py.File(path, "r") as file:
            if "kspace" in file:
                return _fastmri_kspace(file, path, grid, only)
            if any(name in file for name in RECONSTRUCTIONS):
                return _fastmri_images(file, path, grid, only, nonnegative)
            groups = [group for group in file.values() if isinstance(group, h5py.Group)]
            for group in groups:
                series = [name for name in sorted(group) if name.startswith("image_") and "data" in group[name]]
                if series:
                    volume = _mrd_images(group[series[0]], path, grid)
                    return volume if only is None else replace(volume, images=volume.images[only])
            if any("data" in group and "xml" in group for group in groups):
                raise SeqoptError(f"{path} holds raw MRD data and no images; reconstruct it first")
            names = ", ".join(itertools.islice(file, 5)) or "nothing"
    except SeqoptError:
        raise
    except Exception as error:  # h5py raises a dozen kinds for damaged files and groups in the place of arrays
        raise SeqoptError(f"{path} cannot be read as HDF5 ({first_line(error)}); it is truncated or foreign") from error
    raise SeqoptError(
        f"{path}: holds {names}, expected fastMRI's kspace or an MRD series image_0; is it another format?"
    )


def _fastmri_kspace(file: h5py.File, path: Path, grid: Grid, only: list[int] | None) -> Volume:
    """(slices, [coils,] y, x) k-space: complex images of one coil, root-sum-of-squares of several."""
    kspace = file["kspace"]
    if not isinstance(kspace, h5py.Dataset) or kspace.ndim not in (3, 4) or kspace.dtype.kind != "c":
        got = f"{kspace.dtype} of shape {kspace.shape}" if isinstance(kspace, h5py.Dataset) else "a group"
        raise SeqoptError(f"{path}: kspace is {got}, expected complex (slices, coils, y, x) or (slices, y, x)")
    if min(kspace.shape) < 1 or min(kspace.shape[-2:]) < 8:
        raise SeqoptError(f"{path}: kspace has shape {kspace.shape}, expected at least 8 x 8 points")
    if "mask" in file:
        raise SeqoptError(f"{path} is undersampled (it holds a mask), expected whole k-space; give the training files")
    fov_m = _encoded_fov_m(file, path, kspace.shape[-2:], grid)
    slices = []
    for index in range(len(kspace)) if only is None else only:
        image = kspace_to_grid(checked(kspace[index], path), fov_m=fov_m, grid=grid)
        slices.append(np.linalg.norm(image, axis=0).astype(np.float32) if kspace.ndim == 4 else image)
    return Volume(name=path.name, images=np.stack(slices), step_m=None)


def _encoded_fov_m(file: h5py.File, path: Path, shape: tuple[int, int], grid: Grid) -> tuple[float, float]:
    """Field of view (y, x) of the k-space array: from the header, else from fastMRI's square pixels."""
    space = _header_space(file, path, "encodedSpace")
    if space is not None:
        (read, phase), (read_points, _) = space
        # fastMRI keeps the readout along y, though a header calls it x
        return (phase, read) if read_points == shape[1] and read_points != shape[0] else (read, phase)
    shown = next((file[name].shape[-2:] for name in RECONSTRUCTIONS if name in file), (min(shape), min(shape)))
    voxel_m = grid.fov_m / max(shown)
    return shape[0] * voxel_m, shape[1] * voxel_m


def _header_space(file: h5py.File, path: Path, name: str) -> tuple[tuple[float, float], tuple[int, int]] | None:
    if "ismrmrd_header" not in file:
        return None
    text = file["ismrmrd_header"][()]
    try:
        root = ElementTree.fromstring(text)
        space = root.find(f".//{{*}}{name}")
        if space is None:
            return None
        fov = [float(space.findtext(f"{{*}}fieldOfView_mm/{{*}}{axis}", "nan")) * 1e-3 for axis in "xy"]
        points = [int(space.findtext(f"{{*}}matrixSize/{{*}}{axis}", "0")) for axis in "xy"]
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise SeqoptError(f"{path}: its ismrmrd_header is damaged ({first_line(error)}); mend or remove it") from error
    if not all(5e-3 <= value <= 2.0 for value in fov):
        raise SeqoptError(f"{path}: its header gives a field of view of {fov} m, expected 0.005..2; mend the header")
    return (fov[0], fov[1]), (points[0], points[1])


def _fastmri_images(
    file: h5py.File, path: Path, grid: Grid, only: list[int] | None, nonnegative: bool | None
) -> Volume:
    dataset = next(file[name] for name in RECONSTRUCTIONS if name in file)
    if dataset.ndim != 3 or min(dataset.shape[-2:]) < 8:
        raise SeqoptError(f"{path}: the reconstruction has shape {dataset.shape}, expected (slices, y, x)")
    images = checked(dataset[()] if only is None else np.stack([dataset[index] for index in only]), path)
    space = _header_space(file, path, "reconSpace")
    voxel_m = grid.fov_m / max(images.shape[1:])
    step_m = (voxel_m, voxel_m) if space is None else (space[0][0] / images.shape[1], space[0][1] / images.shape[2])
    return Volume(name=path.name, images=resample(images, step_m=step_m, grid=grid, nonnegative=nonnegative))


def _mrd_images(series: h5py.Group, path: Path, grid: Grid) -> Volume:
    """MRD images (n, channels, z, y, x), complex pairs or numbers; the field of view in mm from the first header."""
    array = series["data"][()]
    if array.dtype.names == ("real", "imag"):
        array = array["real"] + 1j * array["imag"]
    if array.ndim != 5 or min(array.shape[-2:]) < 8:
        raise SeqoptError(f"{path}: image_0/data has shape {array.shape}, expected (n, channels, z, y, x)")
    array = checked(array, path)
    array = np.linalg.norm(array, axis=1) if array.shape[1] > 1 else array[:, 0]
    images = array.reshape(-1, *array.shape[-2:])
    fov_m = np.asarray(series["header"]["field_of_view"][0], dtype=float)[:2] * 1e-3
    if not (fov_m > 0).all():
        fov_m = np.asarray(images.shape[:0:-1]) * grid.fov_m / max(images.shape[1:])
    step_m = (float(fov_m[1]) / images.shape[1], float(fov_m[0]) / images.shape[2])
    return Volume(name=path.name, images=resample(images, step_m=step_m, grid=grid))
