"""Variety for training with labels: flips that labels allow, a bent contrast, a bias field; and a fixed phase."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.images.augment import random_contrast, smooth_phase
from seqopt.images.image_set import IndexArray
from seqopt.images.labelled import LabelledSet

AnyArray = npt.NDArray[Any]
BIAS = 0.3
BIAS_ORDER = 2


def bias_field(shape: tuple[int, ...], generator: np.random.Generator, *, strength: float = BIAS) -> AnyArray:
    """Smooth positive factors (y, x) float32 as receive coils give: exp of a random polynomial of second order.

    Its logarithm lies within ``strength``, half of it at least being used.
    """
    y, x = np.meshgrid(*(np.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    powers = [(i, j) for i in range(BIAS_ORDER + 1) for j in range(BIAS_ORDER + 1) if 1 <= i + j <= BIAS_ORDER]
    weights = generator.standard_normal(len(powers))
    surface = sum((w * y**i * x**j for w, (i, j) in zip(weights, powers, strict=True)), np.zeros(shape))
    swing = generator.uniform(0.5, 1.0) * strength / max(float(np.abs(surface).max()), 1e-9)
    return np.exp(swing * surface).astype(np.float32)


def labelled_batch(
    labelled: LabelledSet, indices: IndexArray, batch: int, generator: np.random.Generator, *, phase: bool = False
) -> tuple[AnyArray, IndexArray]:
    """One batch of images drawn from those of ``indices``, varied, and their labels under the same flips.

    Out: (batch, y, x) float32 or complex64, complex with ``phase`` where real images are given a smooth one; int64
    labels. It depends on the generator alone; no image comes twice unless the batch is larger than the indices.
    """
    if batch < 1 or not len(indices):
        raise SeqoptError(f"batch: got {batch} of {len(indices)} images, expected at least 1 of 1")
    queue = [generator.permutation(indices) for _ in range(-(-batch // len(indices)))]
    pairs = [_varied(labelled, int(index), generator, phase) for index in np.concatenate(queue)[:batch]]
    images, labels = zip(*pairs, strict=True)
    return np.stack(images), np.stack(labels).astype(np.int64)


def _varied(
    labelled: LabelledSet, index: int, generator: np.random.Generator, phase: bool
) -> tuple[AnyArray, IndexArray]:
    image, label = labelled.images[index], labelled.labels[index]
    image = random_contrast(image, generator) * bias_field(image.shape, generator)
    flipped = tuple(axis for axis in labelled.flips if generator.random() < 0.5)
    image = np.flip(image, axis=flipped)
    if phase and not np.iscomplexobj(image):
        image = image * smooth_phase(image.shape, generator)
    kind = np.complex64 if np.iscomplexobj(image) else np.float32
    return image.astype(kind), np.flip(label, axis=flipped) if labelled.is_segmentation else label


def with_phase(labelled: LabelledSet, seed: int) -> LabelledSet:
    """The same set, real images given a smooth phase that depends on the seed and the image's number alone."""
    if np.iscomplexobj(labelled.images):
        return labelled
    shape = labelled.images.shape[1:]
    phases = [smooth_phase(shape, np.random.default_rng([seed, index])) for index in range(len(labelled))]
    return replace(labelled, images=labelled.images * np.stack(phases))
