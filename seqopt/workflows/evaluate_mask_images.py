"""The images of one fold: trained on, chosen on, and judged on without having been seen."""

from __future__ import annotations

from dataclasses import dataclass

from seqopt.images.image_set import IndexArray
from seqopt.images.labelled import Fold, LabelledSet
from seqopt.workflows.mask_images import MaskImages, divided, part_of
from seqopt.workflows.mask_request import MaskRequest


@dataclass(frozen=True, kw_only=True)
class FoldImages:
    """The images of a fold, and whose the judged ones are."""

    images: MaskImages
    subjects: IndexArray
    """(test images,)"""


def folds_of(request: MaskRequest, labelled: LabelledSet, count: int) -> tuple[Fold, ...]:
    """The divisions of cross-validation; swaps have to prove themselves on images of their own."""
    return labelled.folds(count, validation=request.swaps)


def fold_images(request: MaskRequest, labelled: LabelledSet, fold: Fold) -> FoldImages:
    """The images of one fold, at most as many of each part as the recipe takes, evenly spaced."""
    judged = part_of(request, labelled, fold, "test")
    return FoldImages(images=divided(request, labelled, fold), subjects=labelled.subjects[judged])
