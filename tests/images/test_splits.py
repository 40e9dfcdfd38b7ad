"""Splits: no image twice, gaps between neighbours, whole files where there are many."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.images import ImageSet
from seqopt.images.splits import block_splits, slices_needed, volume_splits

NAMES = ("train", "validation", "test")


def least_distance(splits: dict[str, np.ndarray]) -> int:
    """Smallest distance in slices between images of different splits."""
    owner = {int(index): name for name in NAMES for index in splits[name]}
    indices = sorted(owner)
    pairs = itertools.pairwise(indices)
    return min(after - before for before, after in pairs if owner[before] != owner[after])


@pytest.mark.parametrize("count", [5, 9, 20, 60, 121, 400])
def test_slices_of_unknown_distance_keep_a_slice_apart(count):
    splits = block_splits(count)
    every = np.concatenate([splits[name] for name in NAMES])
    assert len(np.unique(every)) == len(every) and every.min() >= 0 and every.max() < count
    assert least_distance(splits) >= 2
    assert all(len(splits[name]) for name in NAMES)
    assert len(splits["train"]) >= len(splits["test"])


@pytest.mark.parametrize(("step_m", "apart"), [(1e-3, 4), (0.7e-3, 6), (2e-3, 3), (5e-3, 2)])
def test_splits_of_a_volume_are_at_least_3_mm_apart(step_m, apart):
    splits = block_splits(150, step_m=step_m)
    assert least_distance(splits) == apart
    assert (apart - 1) * step_m >= 3e-3 - 1e-9  # the unused slices between


def test_the_121_brain_slices_become_65_16_16():
    assert [len(block_splits(121, step_m=1e-3)[name]) for name in NAMES] == [65, 16, 16]


def test_five_files_are_split_by_whole_files():
    counts = [4, 3, 5, 2, 6]
    splits = volume_splits(counts, [None] * 5)
    file_of = np.repeat(np.arange(5), counts)
    owners = [set(file_of[splits[name]]) for name in NAMES]
    assert not owners[0] & owners[1] and not owners[0] & owners[2] and not owners[1] & owners[2]
    assert sum(len(splits[name]) for name in NAMES) == sum(counts)


def test_two_tall_files_are_cut_into_blocks_each():
    splits = volume_splits([40, 30], [2e-3, 2e-3])
    for name in NAMES:
        assert (splits[name] < 40).any() and (splits[name] >= 40).any()


def test_too_few_slices_are_refused_with_the_number_needed():
    for step_m in (None, 1e-3):
        needed = slices_needed(step_m)
        block_splits(needed, step_m=step_m)
        with pytest.raises(SeqoptError, match=f"expected at least {needed} "):
            block_splits(needed - 1, step_m=step_m)


def test_an_image_set_refuses_overlapping_or_empty_splits_and_unknown_names():
    images = np.ones((4, 8, 8), np.float32)

    def made(**splits: list[int]) -> ImageSet:
        indices = {name: np.array(numbers, dtype=np.int64) for name, numbers in splits.items()}
        return ImageSet(images=images, voxel_m=1e-3, source="test", splits=indices)

    fine = made(train=[0, 1], validation=[2], test=[3])
    assert fine.select("train", 1).shape == (1,)
    with pytest.raises(SeqoptError, match="two splits"):
        made(train=[0, 1], validation=[1], test=[3])
    with pytest.raises(SeqoptError, match="'test' is empty"):
        made(train=[0, 1], validation=[2], test=[])
    with pytest.raises(SeqoptError, match="known: train, validation, test"):
        fine.select("exam")
    with pytest.raises(SeqoptError, match="at least 1"):
        fine.select("train", 0)
