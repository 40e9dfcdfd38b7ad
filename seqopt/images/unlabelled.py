"""Images of subjects without labels, to cross-validate reconstructions on: each file is a subject."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seqopt.images.labelled import LabelledSet
from seqopt.images.resample import Grid
from seqopt.images.sources import read_volumes
from seqopt.images.volume_index import level_and_filled

CLASS = "image"
"""Of every image: nothing is known of them."""


def load_unlabelled(path: Path, *, matrix: int, fov_m: float, subjects: int | None = None) -> LabelledSet:
    """Slices of the volumes of a file or folder on a square grid of ``matrix`` pixels over ``fov_m`` metres.

    At most so many ``subjects`` are taken, evenly; slices that show nothing are left out, the rest of each volume is
    scaled to a 99.9 percentile of 1. Raises `SeqoptError` for what is missing, damaged or foreign.
    """
    volumes = read_volumes(path, Grid(matrix=matrix, fov_m=fov_m), most=subjects)
    images, owners, slices = [], [], []
    for number, volume in enumerate(volumes):
        level, filled = level_and_filled(volume)
        images.append(volume.images[filled] / np.float32(level))
        slices.append(np.flatnonzero(filled))
        owners.append(np.full(len(slices[-1]), number))
    whole = np.concatenate(images)
    steps_m = [volume.step_m for volume in volumes if volume.step_m is not None]
    return LabelledSet(
        images=whole,
        labels=np.zeros(len(whole), np.int64),
        classes=(CLASS,),
        subjects=np.concatenate(owners).astype(np.int64),
        slices=np.concatenate(slices).astype(np.int64),
        step_m=max(steps_m) if len(steps_m) == len(volumes) else None,
        voxel_m=fov_m / matrix,
        source=f"{path.name}: {len(volumes)} file{'s' if len(volumes) > 1 else ''}",
    )
