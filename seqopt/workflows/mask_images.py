"""The images a mask is chosen and judged on: by task from the embedded brain or a folder, divided once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqopt.errors import SeqoptError
from seqopt.images import evaluation_images, load_images, noise_sigma, sample_of, training_batches
from seqopt.images.image_set import SPLITS, IndexArray
from seqopt.images.labelled import Fold, LabelledSet
from seqopt.images.labelled_batches import labelled_batch, with_phase
from seqopt.images.labelled_brain import labelled_brain, labelled_lesions
from seqopt.images.labelled_folders import holds_labels, load_labelled
from seqopt.images.unlabelled import load_unlabelled
from seqopt.learn.line_scores import Examples
from seqopt.workflows.mask_request import MaskRequest

Draw = Callable[[int, np.random.Generator], tuple[Tensor, Tensor | None]]
"""Batch, generator -> varied training images (batch, y, x) complex or magnitude, and their labels."""


@dataclass(frozen=True, kw_only=True)
class MaskImages:
    """Training, validation and test images that share no anatomy."""

    source: str
    classes: tuple[str, ...]
    """Empty without labels."""
    noise_sigma: float
    """Of each complex sample of each coil, by the request's SNR."""
    parts: Mapping[str, Examples]
    """By split: complex images (n, y, x), and class numbers where the task has them."""
    counts: Mapping[str, int]
    """Images of each split, whether chosen or not."""
    draw: Draw


def load_mask_images(request: MaskRequest) -> MaskImages:
    """What the request asks for, at most as many of each split as its recipe takes.

    Raises `SeqoptError` for images without the labels that the task needs.
    """
    if request.task == "reconstruction" and request.images is not None and not holds_labels(request.images):
        return _unlabelled(request)
    labelled = labelled_images(request)
    return divided(request, labelled, labelled.splits())


def _limits(request: MaskRequest) -> dict[str, int]:
    recipe = request.recipe
    return dict(zip(SPLITS, (recipe.selection_images, recipe.validation_images, recipe.test_images), strict=True))


def labelled_images(request: MaskRequest) -> LabelledSet:
    """The labelled set of a request: the embedded brain, with lesions to classify, or a labelled folder.

    Reconstruction takes one too, for its subjects, and leaves its labels alone; it also takes images without labels.
    Raises `SeqoptError` for a folder where each image is to have one class.
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
    options = {"matrix": matrix, "fov_m": fov_m, "subjects": request.recipe.subjects}
    if request.task == "reconstruction" and not holds_labels(request.images):
        return load_unlabelled(request.images, **options)  # type: ignore[arg-type]
    return load_labelled(request.images, contrast=request.contrast, **options)  # type: ignore[arg-type]


def part_of(request: MaskRequest, labelled: LabelledSet, fold: Fold, split: str) -> IndexArray:
    """Image numbers of a part of the fold, at most as many as the recipe takes, evenly spaced and of every class."""
    return labelled.some(getattr(fold, split), _limits(request)[split])


def divided(request: MaskRequest, labelled: LabelledSet, fold: Fold) -> MaskImages:
    """The images of one fold, complex with a phase of their own; the part for validation may be empty."""
    with_labels = request.task != "reconstruction"
    parts = {}
    for number, name in enumerate(SPLITS):
        indices = part_of(request, labelled, fold, name)
        if not len(indices):
            parts[name] = Examples(torch.zeros((0, *labelled.images.shape[1:]), dtype=torch.complex64))
            continue
        part = with_phase(labelled.subset(indices), 3 * request.seed + number)
        labels = torch.from_numpy(part.labels) if with_labels else None
        parts[name] = Examples(torch.from_numpy(part.images.astype(np.complex64)), labels)

    def draw(batch: int, generator: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        images, labels = labelled_batch(labelled, fold.train, batch, generator, phase=True)
        return torch.from_numpy(images), torch.from_numpy(labels) if with_labels else None

    return MaskImages(
        source=labelled.source,
        classes=labelled.classes if with_labels else (),
        noise_sigma=noise_sigma(request.snr, labelled.images[fold.train]),
        parts=parts,
        counts={name: len(getattr(fold, name)) for name in SPLITS},
        draw=draw,
    )


def _unlabelled(request: MaskRequest) -> MaskImages:
    matrix, fov_m = request.geometry.matrix[0], request.geometry.fov_m[0]
    found, limits = load_images(request.images, matrix=matrix, fov_m=fov_m), _limits(request)
    parts = {
        name: Examples(torch.from_numpy(evaluation_images(found, name, seed=request.seed, limit=limits[name])))
        for name in SPLITS
    }

    def draw(batch: int, generator: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        return torch.from_numpy(next(training_batches(found, batch, generator))), None

    return MaskImages(
        source=found.source,
        classes=(),
        noise_sigma=noise_sigma(request.snr, sample_of(found.images)),
        parts=parts,
        counts={name: len(found.splits[name]) for name in SPLITS},
        draw=draw,
    )
