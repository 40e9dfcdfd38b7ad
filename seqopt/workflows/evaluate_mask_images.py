"""The images of one fold: trained on, chosen on, and judged on without having been seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqopt.errors import SeqoptError
from seqopt.images import noise_sigma
from seqopt.images.image_set import SPLITS, IndexArray, evenly
from seqopt.images.labelled import Fold, LabelledSet
from seqopt.images.labelled_batches import labelled_batch, with_phase
from seqopt.images.labelled_brain import labelled_brain, labelled_lesions
from seqopt.images.labelled_folders import load_labelled
from seqopt.learn.line_scores import Examples
from seqopt.workflows.mask_images import MaskImages
from seqopt.workflows.mask_request import MaskRequest


@dataclass(frozen=True, kw_only=True)
class FoldImages:
    """The images of a fold, and whose the judged ones are."""

    images: MaskImages
    subjects: IndexArray
    """(test images,)"""


def labelled_images(request: MaskRequest) -> LabelledSet:
    """The labelled set of a request: the embedded brain, with lesions to classify, or a labelled folder.

    Reconstruction takes one too, for its subjects, and leaves its labels alone. Raises `SeqoptError` for a folder where
    each image is to have one class.
    """
    matrix, fov_m = request.geometry.matrix[0], request.geometry.fov_m[0]
    if request.images is None:
        make = labelled_lesions if request.task == "classification" else labelled_brain
        return make(matrix, fov_m, seed=request.seed)
    if request.task == "classification":
        raise SeqoptError(
            f"{request.images}: folders hold labels of pixels, classification needs one of each image; "
            "leave out --images to classify the embedded brain with lesions"
        )
    return load_labelled(
        request.images, matrix=matrix, fov_m=fov_m, contrast=request.contrast, subjects=request.recipe.subjects
    )


def folds_of(request: MaskRequest, labelled: LabelledSet, count: int) -> tuple[Fold, ...]:
    """The divisions of cross-validation; swaps have to prove themselves on images of their own."""
    return labelled.folds(count, validation=request.swaps)


def fold_images(request: MaskRequest, labelled: LabelledSet, fold: Fold) -> FoldImages:
    """The images of one fold, at most as many of each part as the recipe takes, evenly spaced."""
    recipe, with_labels = request.recipe, request.task != "reconstruction"
    limits = dict(zip(SPLITS, (recipe.selection_images, recipe.validation_images, recipe.test_images), strict=True))
    chosen = {name: evenly(getattr(fold, name), limits[name]) for name in SPLITS}

    def draw(batch: int, generator: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        images, labels = labelled_batch(labelled, fold.train, batch, generator, phase=True)
        return torch.from_numpy(images), torch.from_numpy(labels) if with_labels else None

    images = MaskImages(
        source=labelled.source,
        classes=labelled.classes if with_labels else (),
        noise_sigma=noise_sigma(request.snr, labelled.images),
        parts=_parts(labelled, chosen, request.seed, with_labels=with_labels),
        counts={name: len(getattr(fold, name)) for name in SPLITS},
        draw=draw,
    )
    return FoldImages(images=images, subjects=labelled.subjects[chosen["test"]])


def _parts(
    labelled: LabelledSet, chosen: Mapping[str, IndexArray], seed: int, *, with_labels: bool
) -> dict[str, Examples]:
    """Complex images with a phase of their own; without swaps there are none for validation."""
    parts = {}
    for number, (name, indices) in enumerate(chosen.items()):
        if not len(indices):
            parts[name] = Examples(torch.zeros((0, *labelled.images.shape[1:]), dtype=torch.complex64))
            continue
        part = with_phase(labelled.subset(indices), 3 * seed + number)
        labels = torch.from_numpy(part.labels) if with_labels else None
        parts[name] = Examples(torch.from_numpy(part.images.astype(np.complex64)), labels)
    return parts
