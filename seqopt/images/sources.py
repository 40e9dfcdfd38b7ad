"""Where images come from: the embedded brain, a file, or a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.images import brain
from seqopt.images.files import read_array, read_nifti
from seqopt.images.hdf5 import read_hdf5, read_hdf5_slices, slices_in_memory
from seqopt.images.image_set import SPLITS, AnyArray, ImageSet, IndexArray, Volume, evenly
from seqopt.images.resample import Grid
from seqopt.images.splits import FILES_ENOUGH, volume_splits
from seqopt.images.stream import StreamedImages
from seqopt.images.volume_index import FileRecord, index_files, level_and_filled
from seqopt.registry import Registry

Reader = Callable[[Path, Grid], Volume]
READERS: Registry[Reader] = Registry("image ending")
for _ending in (".nii", ".nii.gz", ".mgz"):
    READERS.register(_ending)(read_nifti)
for _ending in (".npy", ".npz"):
    READERS.register(_ending)(read_array)
for _ending in (".h5", ".hdf5", ".mrd"):
    READERS.register(_ending)(read_hdf5)


MEMORY_LIMIT_BYTES = 2**31
"""A number and not a share of the free memory: what a seed gives must not depend on the machine."""


def load_images(
    path: Path | None,
    *,
    matrix: int,
    fov_m: float,
    limit: int | None = None,
    contrasts: bool = False,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    index_folder: Path | None = None,
) -> ImageSet:
    """Load images onto a square grid of ``matrix`` pixels over ``fov_m`` metres and split them without leaks.

    ``path`` is a file or a folder (searched through) of NIfTI, MGZ, .npy, .npz, fastMRI or MRD-image files; None takes
    the embedded brain, with 'GM' and 'WM' maps if ``contrasts``. At most ``limit`` images are kept, evenly spaced
    within each split. Files that would take more than ``memory_limit_bytes`` stay on disk and are streamed: the same
    images and splits, after one look through every file, whose findings ``index_folder`` keeps for the next time. Out:
    an `ImageSet`, each volume scaled to a 99.9 percentile of 1. Raises `SeqoptError` for what is missing, damaged,
    foreign or too little.
    """
    grid = Grid(matrix=matrix, fov_m=fov_m)
    if limit is not None and limit < len(SPLITS):
        raise SeqoptError(f"limit: got {limit} images, expected at least 3, one a split; raise it or leave it out")
    if path is None:
        volumes, source = [_scaled(brain.brain_volume(grid, contrasts=contrasts))], brain.SOURCE
        return _join(volumes, _split(volumes, path, limit), source, grid)
    files = find_files(path)
    source = f"{path.name}: {len(files)} file{'s' if len(files) > 1 else ''}"
    most = max(1, limit // len(files)) if limit is not None and len(files) >= max(FILES_ENOUGH, limit // 2) else None
    if _bytes_in_memory(files, grid, most) > memory_limit_bytes:
        records = index_files(files, grid, _read, folder=index_folder)
        return _stream(records, path, limit, most, source, grid, memory_limit_bytes)
    volumes = []
    for file in files:
        volume = _scaled(_read(file, grid))
        if most is not None:  # split by files: keep memory at bay
            volume = replace(volume, images=volume.images[evenly(np.arange(len(volume.images)), most)])
        volumes.append(volume)
    return _join(volumes, _split(volumes, path, limit), source, grid)


def read_volumes(path: Path, grid: Grid, *, most: int | None = None) -> list[Volume]:
    """The volumes of a file or folder, of at most ``most`` files, evenly: on the grid, as bright as they are stored."""
    files = find_files(path)
    return [_read(files[number], grid) for number in evenly(np.arange(len(files)), most)]


def find_files(path: Path) -> list[Path]:
    """Image files at ``path``, a file or a folder, sorted by name; raises when there are none."""
    known = ", ".join(READERS)
    if not path.exists():
        raise SeqoptError(f"no images at {path}; give a file or a folder, or leave it out for the embedded brain")
    if path.is_file():
        if not _ending_of(path):
            raise SeqoptError(f"{path}: unknown kind of image file, expected one of {known}; convert it first")
        return [path]
    files = sorted(
        file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".") and _ending_of(file)
    )
    if not files:
        raise SeqoptError(f"{path} holds no images; expected files that end in {known}")
    return files


def _ending_of(path: Path) -> str:
    name = path.name.lower()
    return max((ending for ending in READERS if name.endswith(ending)), key=len, default="")


def _read(path: Path, grid: Grid) -> Volume:
    return READERS[_ending_of(path)](path, grid)


def _read_slices(path: Path, grid: Grid, numbers: Sequence[int], nonnegative: bool) -> AnyArray:
    if _is_whole(path):
        return np.asarray(_read(path, grid).images[list(numbers)])
    return read_hdf5_slices(path, grid, numbers, nonnegative)


def _is_whole(path: Path) -> bool:
    """Whether one slice of the file costs as much as all."""
    return READERS[_ending_of(path)] is not read_hdf5


def _bytes_in_memory(files: Sequence[Path], grid: Grid, most: int | None) -> int:
    """About what all images would take: by shape in HDF5, else by the file's own size."""
    total = 0
    for file in files:
        if _is_whole(file):
            total += file.stat().st_size
        else:
            count, pixel_bytes = slices_in_memory(file)
            total += (count if most is None else min(count, most)) * grid.matrix**2 * pixel_bytes
    return total


def _scaled(volume: Volume) -> Volume:
    level, filled = level_and_filled(volume)
    return replace(
        volume,
        images=volume.images[filled] / level,
        channels={name: maps[filled] for name, maps in volume.channels.items()},
    )


def _split(volumes: Sequence[Volume], path: Path | None, limit: int | None) -> dict[str, IndexArray]:
    return _splits([len(volume.images) for volume in volumes], [volume.step_m for volume in volumes], path, limit)


def _splits(
    counts: Sequence[int], steps_m: Sequence[float | None], path: Path | None, limit: int | None
) -> dict[str, IndexArray]:
    try:
        return _thinned(volume_splits(counts, steps_m), limit)
    except SeqoptError as error:
        raise SeqoptError(f"{path}: {error}") from None


def _thinned(splits: dict[str, IndexArray], limit: int | None) -> dict[str, IndexArray]:
    total = sum(len(indices) for indices in splits.values())
    if limit is None or total <= limit:
        return splits
    held_out = {name: max(1, limit * len(splits[name]) // total) for name in SPLITS[1:]}
    wanted = {"train": limit - sum(held_out.values()), **held_out}
    return {name: evenly(splits[name], wanted[name]) for name in SPLITS}


def _join(volumes: list[Volume], splits: dict[str, IndexArray], source: str, grid: Grid) -> ImageSet:
    """One image set of the images that belong to a split; those of the gaps are dropped."""
    used = np.sort(np.concatenate([splits[name] for name in SPLITS]))
    return ImageSet(
        images=np.concatenate([volume.images for volume in volumes])[used],
        voxel_m=grid.voxel_m,
        source=source,
        splits={name: np.searchsorted(used, splits[name]) for name in SPLITS},
        channels={name: np.concatenate([v.channels[name] for v in volumes])[used] for name in volumes[0].channels},
    )


def _stream(
    records: Sequence[FileRecord],
    path: Path,
    limit: int | None,
    most: int | None,
    source: str,
    grid: Grid,
    memory_limit_bytes: int,
) -> ImageSet:
    """The image set that ``_join`` would make, its images left on disk."""
    kept = [evenly(np.array(record.kept), most) for record in records]
    splits = _splits([len(numbers) for numbers in kept], [record.step_m for record in records], path, limit)
    used = np.sort(np.concatenate([splits[name] for name in SPLITS]))
    places = np.concatenate([np.full(len(numbers), place) for place, numbers in enumerate(kept)])
    images = StreamedImages(
        records,
        np.stack([places, np.concatenate(kept)], 1)[used],
        grid,
        _read_slices,
        whole=_is_whole,
        memory_limit_bytes=memory_limit_bytes,
    )
    return ImageSet(
        images=images,
        voxel_m=grid.voxel_m,
        source=f"{source}, streamed",
        splits={name: np.searchsorted(used, splits[name]) for name in SPLITS},
    )
