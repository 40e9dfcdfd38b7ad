"""The embedded brain as labelled images: tissues to segment, and inserted lesions to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.images.brain import SOURCE, STEP_M, brain_volume
from seqopt.images.labelled import LabelledSet
from seqopt.images.labelled_batches import bias_field
from seqopt.images.resample import Grid

AnyArray = npt.NDArray[Any]
TISSUES = ("background", "CSF", "GM", "WM")
LESIONS = ("no lesion", "lesion")
FLUID_FULL = 0.15  # of the brightest tissue: an average brain's fluid is at least so bright
CONTRAST = 0.12
LESION_RADIUS_M = (2.5e-3, 4.5e-3)
LESION_CHANGE = (0.4, 0.7)
LESION_VARIANTS = 4
WHITE_ENOUGH = 0.9


def labelled_brain(matrix: int, fov_m: float, *, seed: int = 0) -> LabelledSet:
    """Axial slices of the embedded brain, each in its own contrast and bias field, with CSF, GM and WM as labels.

    CSF is what lies within the brain and is neither; the likeliest class labels a pixel. The brightness of each tissue
    varies by up to 12 %, so that no threshold segments it. Everything depends on the seed and the slice's number alone.
    """
    images, maps, level = _brain(matrix, fov_m)
    labels = maps.argmax(1).astype(np.int64)
    varied = [
        _varied(image, tissue[1:], np.random.default_rng([seed, n])) for n, (image, tissue) in _each(images, maps)
    ]
    return _set(np.stack(varied) / level, labels, TISSUES, matrix, fov_m, np.arange(len(images)), SOURCE)


def labelled_lesions(matrix: int, fov_m: float, *, seed: int = 0, variants: int = LESION_VARIANTS) -> LabelledSet:
    """Slices of the embedded brain, each in several variants, half of which have small lesions in their white matter.

    A lesion is a blurred spot of 2.5 to 4.5 mm radius, brighter by 40 to 70 %, as one that enhances on a T1 image after
    contrast agent; an image has one to three or none. Slices without enough white matter are left out. Everything
    depends on the seed, the slice's and the variant's number alone; contrast and bias vary as in `labelled_brain`.
    """
    if variants < 2 or variants % 2:
        raise SeqoptError(f"variants of a slice: got {variants}, expected an even number, half of them with lesions")
    images, maps, level = _brain(matrix, fov_m)
    made, labels, slices = [], [], []
    for number, (image, tissue) in _each(images, maps):
        places = _white_places(tissue[TISSUES.index("WM")], fov_m / matrix)
        for variant in range(variants if len(places) else 0):
            generator = np.random.default_rng([seed, number, variant])
            varied = _varied(image, tissue[1:], generator)
            ill = (variant + number) % 2
            made.append(varied * _lesions(places, image.shape, fov_m / matrix, generator) if ill else varied)
            labels.append(ill)
            slices.append(number)
    source = f"{SOURCE}; lesions inserted"
    return _set(np.stack(made) / level, np.array(labels), LESIONS, matrix, fov_m, np.array(slices), source)


def _brain(matrix: int, fov_m: float) -> tuple[AnyArray, AnyArray, float]:
    """Images (n, y, x), maps (n, classes, y, x) in 0..1 and the 99.9 percentile of the images."""
    volume = brain_volume(Grid(matrix=matrix, fov_m=fov_m), contrasts=True)
    level = float(np.quantile(volume.images, 0.999))
    grey, white = volume.channels["GM"], volume.channels["WM"]
    within = np.minimum(volume.images / (FLUID_FULL * level), 1.0)
    fluid = np.clip(within - grey - white, 0.0, 1.0)
    rest = np.clip(1.0 - grey - white - fluid, 0.0, 1.0)
    return volume.images, np.stack([rest, fluid, grey, white], 1), level


def _each(images: AnyArray, maps: AnyArray) -> enumerate[tuple[AnyArray, AnyArray]]:
    return enumerate(zip(images, maps, strict=True))


def _varied(image: AnyArray, tissues: AnyArray, generator: np.random.Generator) -> AnyArray:
    """A (y, x) image whose ``tissues`` (names, y, x) are each a little brighter or darker, under a bias field."""
    change = generator.uniform(-CONTRAST, CONTRAST, len(tissues))
    return np.asarray(image * (1.0 + np.tensordot(change, tissues, 1)) * bias_field(image.shape, generator))


def _white_places(white: AnyArray, voxel_m: float) -> AnyArray:
    """(m, 2) rows and columns of pixels about which a lesion's disc is white matter."""
    from scipy.ndimage import uniform_filter

    size = 2 * round(LESION_RADIUS_M[0] / voxel_m) + 1
    return np.argwhere(uniform_filter(white, size) > WHITE_ENOUGH)


def _lesions(places: AnyArray, shape: tuple[int, ...], voxel_m: float, generator: np.random.Generator) -> AnyArray:
    """Factors (y, x) of one to three spots at some of the places."""
    rows, columns = np.indices(shape)
    factors = np.ones(shape)
    for _ in range(int(generator.integers(1, 4))):
        row, column = places[generator.integers(len(places))]
        radius, change = generator.uniform(*LESION_RADIUS_M), generator.uniform(*LESION_CHANGE)
        away = np.hypot(rows - row, columns - column) * voxel_m / radius
        spot = 1.0 + change / (1.0 + np.exp(6.0 * (away - 1.0)))  # an edge of a third of the radius
        factors = np.maximum(factors, spot)
    return factors


def _set(
    images: AnyArray,
    labels: AnyArray,
    classes: tuple[str, ...],
    matrix: int,
    fov_m: float,
    slices: AnyArray,
    source: str,
) -> LabelledSet:
    return LabelledSet(
        images=images.astype(np.float32),
        labels=labels.astype(np.int64),
        classes=classes,
        subjects=np.zeros(len(images), np.int64),
        slices=slices.astype(np.int64),
        step_m=STEP_M,
        voxel_m=fov_m / matrix,
        source=source,
        flips=(-1,),
    )
