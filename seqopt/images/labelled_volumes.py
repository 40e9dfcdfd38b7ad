"""Volumes with labels, brought to the grid and joined to a `LabelledSet`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.images.files import middle_of, object_mask
from seqopt.images.image_set import IndexArray, Volume
from seqopt.images.labelled import LabelledSet
from seqopt.images.resample import Grid, resample
from seqopt.images.volume_index import level_and_filled

AnyArray = npt.NDArray[Any]
THICK = 1.5  # times the other sides of a voxel: then slices were acquired across it


@dataclass(frozen=True, kw_only=True)
class LabelledVolume:
    """One volume and the class of each of its voxels, as stored."""

    name: str
    subject: str
    """Whose it is; several volumes may be one subject's."""
    images: AnyArray
    """(z, y, x), any scale."""
    labels: IndexArray
    """(z, y, x) class numbers, 0 the background."""
    sizes_m: tuple[float, float, float]
    """Sides (z, y, x) of a voxel in metres."""
    slices: IndexArray | None = None
    """(z,) places along the subject in steps, where they are not simply counted."""

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or self.images.shape != self.labels.shape:
            raise SeqoptError(
                f"{self.name}: labels of shape {self.labels.shape} do not match images of shape {self.images.shape}"
            )
        if self.slices is not None and self.slices.shape != self.images.shape[:1]:
            raise SeqoptError(f"{self.name}: {len(self.slices)} slice numbers for {len(self.images)} slices")

    def across_thick_slices(self) -> LabelledVolume:
        """The same volume with its longest voxel side as slice axis, where one is much longer than the others."""
        order = np.argsort(self.sizes_m)
        axis = int(order[-1])
        if axis == 0 or self.sizes_m[axis] < THICK * self.sizes_m[order[-2]]:
            return self
        others = [place for place in range(3) if place != axis]
        return LabelledVolume(
            name=self.name,
            subject=self.subject,
            images=np.moveaxis(self.images, axis, 0),
            labels=np.moveaxis(self.labels, axis, 0),
            sizes_m=(self.sizes_m[axis], self.sizes_m[others[0]], self.sizes_m[others[1]]),
        )


def labelled_set(
    volumes: Sequence[LabelledVolume],
    classes: Sequence[str],
    grid: Grid,
    *,
    source: str,
    flips: tuple[int, ...] = (),
    empty: bool = False,
    centred: bool = False,
) -> LabelledSet:
    """The slices of all volumes that show a labelled structure, or with ``empty`` anything, on the grid.

    The middle of a volume comes to the grid's, so that all contrasts lie alike; ``centred`` takes the middle of what it
    holds. Each volume is scaled to a 99.9 percentile of 1. Slices of one subject's volumes that lie at the same place
    stay together. Raises `SeqoptError` where no slice is left.
    """
    parts = [_on_grid(volume, grid, empty, centred) for volume in volumes]
    names = sorted({volume.subject for volume in volumes})
    subjects = np.concatenate(
        [np.full(len(part[0]), names.index(one.subject)) for one, part in zip(volumes, parts, strict=True)]
    )
    images, labels, slices = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not len(images):
        raise SeqoptError(f"{source}: no slice shows a labelled structure; check the labels and the field of view")
    order = np.lexsort((slices, subjects))
    return LabelledSet(
        images=images[order],
        labels=labels[order],
        classes=tuple(classes),
        subjects=subjects[order].astype(np.int64),
        slices=slices[order],
        step_m=round(max(volume.sizes_m[0] for volume in volumes), 9),  # headers hold single precision
        voxel_m=grid.voxel_m,
        source=source,
        flips=flips,
    )


def _on_grid(volume: LabelledVolume, grid: Grid, empty: bool, centred: bool) -> tuple[AnyArray, IndexArray, IndexArray]:
    """Images, labels and places of the slices of a volume that count."""
    step_m, mask = volume.sizes_m[1:], object_mask(volume.images)
    wanted = np.flatnonzero(mask.any(axis=(1, 2)) if empty else volume.labels.any(axis=(1, 2)))
    size = (grid.matrix, grid.matrix)
    if not len(wanted):
        return np.zeros((0, *size), np.float32), np.zeros((0, *size), np.int64), np.zeros(0, np.int64)
    centre = middle_of(mask) if centred else None
    images = resample(volume.images[wanted], step_m=step_m, grid=grid, centre=centre)
    shares = np.zeros((int(volume.labels.max()) + 1, *images.shape), np.float32)
    for number in np.unique(volume.labels[wanted]):
        of_class = (volume.labels[wanted] == number).astype(np.float32)
        shares[number] = resample(of_class, step_m=step_m, grid=grid, centre=centre)
    shares[0] = 1.0 - shares[1:].sum(0)  # what lies beyond the volume is background too
    labels = shares.argmax(0)
    level, filled = level_and_filled(Volume(name=volume.name, images=images))
    kept = filled if empty else filled & labels.any(axis=(1, 2))
    places = np.arange(len(volume.images)) if volume.slices is None else volume.slices
    return images[kept] / np.float32(level), labels[kept], places[wanted][kept].astype(np.int64)
