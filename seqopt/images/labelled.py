"""Images with labels, and how they are divided so that no anatomy is learned from and judged at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError, reject
from seqopt.images.image_set import SPLITS, IndexArray, evenly
from seqopt.images.splits import BLOCK_M, GAP_M, volume_splits

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class LabelledSet:
    """Images and what is known about them; of one subject there may be many slices, of one slice many variants."""

    images: AnyArray
    """(n, y, x) float32 or complex64; the 99.9 percentile of each volume's magnitude is about 1."""
    labels: IndexArray
    """Class numbers: of each pixel (n, y, x) for segmentation, of each image (n,) for classification."""
    classes: tuple[str, ...]
    """Names of the classes; of segmentation the first is the background."""
    subjects: IndexArray
    """(n,) whose image it is; the images of a subject follow one another."""
    slices: IndexArray
    """(n,) place of the image along its subject, in steps, ascending."""
    step_m: float | None = None
    """Distance of neighbouring slices in metres, where known; the largest when subjects differ."""
    voxel_m: float
    """Pixel size in metres, along x and y."""
    source: str
    """Where the images come from, for reports and provenance."""
    flips: tuple[int, ...] = ()
    """Axes (-2 is y, -1 is x) along which an image may be turned over without making its labels wrong."""

    def __post_init__(self) -> None:
        count = len(self.images)
        if self.images.ndim != 3 or not count or self.images.dtype not in (np.float32, np.complex64):
            raise SeqoptError(
                f"{self.source}: images of shape {self.images.shape} and type {self.images.dtype}, "
                "expected (n, y, x) float32 or complex64"
            )
        if self.labels.shape not in (self.images.shape, (count,)) or self.labels.dtype != np.int64:
            raise SeqoptError(
                f"{self.source}: labels of shape {self.labels.shape} and type {self.labels.dtype}, "
                f"expected int64 of {self.images.shape} or ({count},)"
            )
        if not np.isfinite(self.images).all():
            raise SeqoptError(f"{self.source}: the images hold NaN or infinity; mend or leave out the damaged ones")
        if not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise SeqoptError(
                f"{self.source}: labels {self.labels.min()}..{self.labels.max()}, expected 0..{len(self.classes) - 1}"
            )
        if self.subjects.shape != (count,) or self.slices.shape != (count,):
            raise SeqoptError(f"{self.source}: expected one subject and one slice number for each of {count} images")
        self._check_order()

    def _check_order(self) -> None:
        starts = np.flatnonzero(np.diff(self.subjects)) + 1
        if len(starts) + 1 != len(np.unique(self.subjects)):
            raise SeqoptError(f"{self.source}: the images of a subject must follow one another; sort them by subject")
        if any((np.diff(part) < 0).any() for part in np.split(self.slices, starts)):
            raise SeqoptError(f"{self.source}: slice numbers must not descend within a subject; sort them")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_segmentation(self) -> bool:
        """Whether each pixel has a class, and not each image."""
        return self.labels.ndim == 3

    def subset(self, indices: IndexArray) -> LabelledSet:
        """The images of these ascending numbers."""
        chosen = {name: getattr(self, name)[indices] for name in ("images", "labels", "subjects", "slices")}
        return replace(self, **chosen)

    def some(self, indices: IndexArray, limit: int | None) -> IndexArray:
        """At most ``limit`` of (n,) ascending image numbers, ascending and evenly spaced.

        Where each image has a class the classes take turns until the limit is reached, so that none is lost.
        """
        if self.is_segmentation or limit is None or not 0 < limit < len(indices):
            return evenly(indices, limit)
        of_class = [indices[self.labels[indices] == number] for number in range(len(self.classes))]
        turns = [(turn, number) for number, own in enumerate(of_class) for turn in range(len(own))]
        taken = np.bincount([number for _, number in sorted(turns)[:limit]], minlength=len(of_class))
        chosen = [evenly(own, int(count)) for own, count in zip(of_class, taken, strict=True) if count]
        return np.sort(np.concatenate(chosen))

    def splits(self, limit: int | None = None) -> Fold:
        """One division into training, validation and test, by whole subjects where there are enough, else by blocks.

        It is that of `load_images`. At most ``limit`` images are kept of each. Raises when there are too few.
        """
        counts = [len(self._places(subject)) for subject in np.unique(self.subjects)]
        found = volume_splits(counts, [self.step_m] * len(counts))
        place_of = self._slice_of_image()
        parts = {name: self.some(np.flatnonzero(np.isin(place_of, found[name])), limit) for name in SPLITS}
        return self._checked(Fold(**parts), "splits")

    def folds(self, count: int, *, validation: bool = False) -> tuple[Fold, ...]:
        """The divisions of ``count``-fold cross-validation: every image is in the test part of one, or in a gap.

        Many subjects are divided by subject, one subject by contiguous blocks of slices, two a fold where they are at
        least 8 mm long; training slices nearer than 3 mm or next to a held-out one are left out. With ``validation``
        the next fold's test part is held out of training for it. Raises when there are fewer subjects or slices than
        folds need, or when a class is missing in a part.
        """
        least = 3 if validation else 2
        if count < least:
            raise reject("folds", got=count, expected=f"{least} or more", remedy="5 are usual")
        owner, many = self._owner(count), len(np.unique(self.subjects)) > 1
        made = []
        for number in range(count):
            test = owner == number
            judged = test | (owner == (number + 1) % count) if validation else test
            learned = ~judged if many else ~judged & ~self._beside(judged)
            checks = judged & ~test if many else judged & ~test & ~self._beside(test)
            fold = Fold(*(np.flatnonzero(part) for part in (learned, checks, test)))
            made.append(self._checked(fold, f"fold {number + 1} of {count}", validation=validation))
        return tuple(made)

    def _owner(self, count: int) -> IndexArray:
        """(n,) the fold that judges each image."""
        subjects = np.unique(self.subjects)
        if len(subjects) > 1:
            if len(subjects) < count:
                raise reject(
                    "folds", got=count, expected=f"at most {len(subjects)}, one a subject", remedy="take fewer"
                )
            return np.asarray(np.searchsorted(subjects, self.subjects) % count, dtype=np.int64)
        places = self._places(subjects[0])
        blocks = 2 * count if len(places) >= 2 * count * (self._steps(BLOCK_M) + 1) else count
        if len(places) < blocks * (self._steps(GAP_M) + 1):
            most = len(places) // (self._steps(GAP_M) + 1)
            raise reject("folds", got=count, expected=f"at most {most} for {len(places)} slices", remedy="take fewer")
        return np.asarray((self._slice_of_image() * blocks // len(places)) % count, dtype=np.int64)

    def _steps(self, length_m: float) -> int:
        return 1 if self.step_m is None else max(1, math.ceil(length_m / self.step_m - 1e-9))

    def _beside(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(n,) whether an image's slice lies within the gap of a chosen one."""
        away = np.abs(self.slices[:, None] - np.unique(self.slices[chosen])[None, :])
        return np.asarray(away.min(axis=1, initial=np.iinfo(np.int64).max) <= self._steps(GAP_M))

    def _places(self, subject: int) -> IndexArray:
        return np.unique(self.slices[self.subjects == subject])

    def _slice_of_image(self) -> IndexArray:
        """(n,) running number of the slice each image shows, subjects laid end to end: variants share one."""
        new = (np.diff(self.subjects) != 0) | (np.diff(self.slices) != 0)
        return np.concatenate([[0], np.cumsum(new)])

    def _checked(self, fold: Fold, name: str, *, validation: bool = True) -> Fold:
        for part in SPLITS if validation else ("train", "test"):
            indices = getattr(fold, part)
            if not len(indices):
                raise SeqoptError(f"{self.source}, {name}: no images for {part}; give more images, or take fewer folds")
            missing = set(range(len(self.classes))) - set(np.unique(self.labels[indices]).tolist())
            if missing and part != "validation":
                raise SeqoptError(
                    f"{self.source}, {name}: class {self.classes[min(missing)]!r} never occurs in {part}; "
                    "give more images, or leave out the class"
                )
        return fold


@dataclass(frozen=True)
class Fold:
    """Image numbers of one division."""

    train: IndexArray
    validation: IndexArray
    """Empty where none was asked for."""
    test: IndexArray
