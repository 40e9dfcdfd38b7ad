"""Where images come from: the embedded brain, a file, or a folder of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.images import brain
from seqopt.images.files import read_array, read_nifti
from seqopt.images.hdf5 import read_hdf5
from seqopt.images.image_set import SPLITS, ImageSet, IndexArray, Volume, evenly
from seqopt.images.resample import Grid
from seqopt.images.splits import FILES_ENOUGH, volume_splits
from seqopt.registry import Registry

Reader = Callable[[Path, Grid], Volume]
READERS: Registry[Reader] = Registry("image ending")
for _ending in (".nii", ".nii.gz", ".mgz"):
    READERS.register(_ending)(read_nifti)
for _ending in (".npy", ".npz"):
    READERS.register(_ending)(read_array)
for _ending in (".h5", ".hdf5", ".mrd"):
    READERS.register(_ending)(read_hdf5)


def load_images(
    path: Path | None, *, matrix: int, fov_m: float, limit: int | None = None, contrasts: bool = False
) -> ImageSet:
    """Load images onto a square grid of ``matrix`` pixels over ``fov_m`` metres and split them without leaks.

    ``path`` is a file or a folder (searched through) of NIfTI, MGZ, .npy, .npz, fastMRI or MRD-image files; None takes
    the embedded brain, with 'GM' and 'WM' maps if ``contrasts``. At most ``limit`` images are kept, evenly spaced
    within each split. Out: an `ImageSet`, each volume scaled to a 99.9 percentile of 1. Raises `SeqoptError` for what
    is missing, damaged, foreign or too little.
    """
    grid = Grid(matrix=matrix, fov_m=fov_m)
    if limit is not None and limit < len(SPLITS):
        raise SeqoptError(f"limit: got {limit} images, expected at least 3, one a split; raise it or leave it out")
    if path is None:
        volumes, source = [_scaled(brain.brain_volume(grid, contrasts=contrasts))], brain.SOURCE
    else:
        files = find_files(path)
        volumes, source = [], f"{path.name}: {len(files)} file{'s' if len(files) > 1 else ''}"
        for file in files:
            volume = _scaled(READERS[_ending_of(file)](file, grid))
            if limit is not None and len(files) >= max(FILES_ENOUGH, limit // 2):  # split by files: keep memory at bay
                kept = evenly(np.arange(len(volume.images)), max(1, limit // len(files)))
                volume = replace(volume, images=volume.images[kept])
            volumes.append(volume)
    try:
        splits = volume_splits([len(volume.images) for volume in volumes], [volume.step_m for volume in volumes])
    except SeqoptError as error:
        raise SeqoptError(f"{path}: {error}") from None
    return _join(volumes, _thinned(splits, limit), source, grid)


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


def _scaled(volume: Volume) -> Volume:
    level = float(np.quantile(np.abs(volume.images), 0.999))
    if level == 0.0:
        raise SeqoptError(f"{volume.name}: nothing lies within the field of view; check its voxel size and --fov")
    filled = np.abs(volume.images).max(axis=(1, 2)) > 1e-3 * level
    return replace(
        volume,
        images=volume.images[filled] / level,
        channels={name: maps[filled] for name, maps in volume.channels.items()},
    )


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
