"""Labelled sets: divisions without leaks, the embedded brain and its lesions, variety that takes the labels along."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.images.labelled import LabelledSet
from seqopt.images.labelled_batches import bias_field, labelled_batch, with_phase
from seqopt.images.labelled_brain import labelled_brain, labelled_lesions

FOV_M, MATRIX = 0.22, 64


def made(owners: list[int], **changes: object) -> LabelledSet:
    """Noise with labels 0 and 1 in every image; slices are counted within each subject."""
    count, owner = len(owners), np.array(owners, np.int64)
    slices = np.concatenate([np.arange((owner == one).sum()) for one in dict.fromkeys(owners)])
    fields = {
        "images": np.random.default_rng(0).random((count, 8, 8)).astype(np.float32),
        "labels": np.tile(np.eye(8, dtype=np.int64), (count, 1, 1)),
        "classes": ("background", "line"),
        "subjects": owner,
        "slices": slices,
        "step_m": 1e-3,
        "voxel_m": 1e-3,
        "source": "made",
    }
    return LabelledSet(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def brain() -> LabelledSet:
    return labelled_brain(MATRIX, FOV_M)


@pytest.fixture(scope="module")
def lesions() -> LabelledSet:
    return labelled_lesions(MATRIX, FOV_M)


@pytest.mark.parametrize("validation", [False, True])
def test_folds_never_share_a_subject_and_judge_every_image_once(validation):
    labelled = made([3] * 5 + [1] * 4 + [7] * 6 + [2] * 3)
    folds = labelled.folds(3, validation=validation)
    for fold in folds:
        parts = [set(labelled.subjects[part].tolist()) for part in (fold.train, fold.validation, fold.test)]
        assert parts[0] and parts[2] and bool(parts[1]) == validation
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
        assert len(fold.train) + len(fold.validation) + len(fold.test) == len(labelled)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(len(labelled)))


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize(("step_m", "apart"), [(1e-3, 4), (5e-3, 2), (None, 2)])
def test_folds_of_one_subject_keep_neighbouring_slices_apart(step_m, apart, validation):
    labelled = made([0] * 120, step_m=step_m)
    folds = labelled.folds(5, validation=validation)
    for fold in folds:
        parts = [part for part in (fold.train, fold.validation, fold.test) if len(part)]
        assert len(parts) == 2 + validation
        for place, one in enumerate(parts):
            for other in parts[place + 1 :]:
                assert np.abs(labelled.slices[one][:, None] - labelled.slices[other][None]).min() >= apart
        assert len(fold.train) >= 0.4 * len(labelled)
        assert (np.diff(fold.test) > 1).sum() == 1  # two blocks: several heights
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(120))


def test_variants_of_a_slice_stay_on_one_side():
    labelled = made([0] * 120, slices=np.repeat(np.arange(40), 3))
    for fold in (*labelled.folds(4), labelled.splits()):
        assert not set(labelled.slices[fold.train].tolist()) & set(labelled.slices[fold.test].tolist())
        assert len(fold.test) % 3 == 0


def test_the_splits_are_those_of_the_plain_images(brain):
    fold = brain.splits()
    assert {name: len(getattr(fold, name)) for name in ("train", "validation", "test")} == {
        "train": 65,
        "validation": 16,
        "test": 16,
    }
    few = brain.splits(limit=5)
    assert len(few.train) == len(few.test) == 5 and set(few.train.tolist()) <= set(fold.train.tolist())


def test_a_subset_keeps_what_belongs_to_its_images(brain):
    some = brain.subset(np.array([3, 9]))
    assert len(some) == 2 and some.slices.tolist() == [3, 9]
    assert np.array_equal(some.images[1], brain.images[9]) and np.array_equal(some.labels[1], brain.labels[9])


def test_a_limited_part_keeps_every_class():
    labels = np.array([0] * 20 + [1] * 3 + [2] * 7 + [1] * 2, np.int64)
    labelled = made([0] * 32, labels=labels, classes=("a", "b", "c"))
    assert [np.bincount(labels[labelled.some(np.arange(32), limit)]).tolist() for limit in (3, 10, 18, 31)] == [
        [1, 1, 1],
        [4, 3, 3],
        [7, 5, 6],
        [19, 5, 7],
    ]
    chosen = labelled.some(np.arange(32), 9)
    assert (np.diff(chosen) > 0).all()
    assert chosen[labels[chosen] == 0].tolist() == [3, 10, 16]  # the middles of three stretches of 20
    assert labelled.some(np.arange(25), 6).max() < 25
    everything = np.arange(5, 30)
    for limit in (None, 25, 40):
        assert np.array_equal(labelled.some(everything, limit), everything)
    with pytest.raises(SeqoptError, match="limit: got 0"):
        labelled.some(everything, 0)


def test_a_limited_part_of_segmented_images_is_evenly_spaced(brain):
    assert brain.some(np.arange(10, 50), 4).tolist() == [15, 25, 35, 45]


def test_limited_parts_of_the_lesions_have_both_classes_in_every_fold(lesions):
    for fold in (*lesions.folds(5, validation=True), lesions.splits(limit=5)):
        for part in (fold.train, fold.validation, fold.test):
            for limit in (2, 4, 7, 8):
                assert np.ptp(np.bincount(lesions.labels[lesions.some(part, limit)], minlength=2)) <= 1


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"labels": np.zeros((4, 8, 7), np.int64)}, r"labels of shape \(4, 8, 7\)"),
        ({"labels": np.zeros((4, 8, 8), np.float32)}, "type float32, expected int64"),
        ({"labels": np.full((4, 8, 8), 2)}, r"labels 2\.\.2, expected 0\.\.1"),
        ({"images": np.full((4, 8, 8), np.nan, np.float32)}, "NaN or infinity"),
        ({"images": np.zeros((4, 8), np.float32)}, r"expected \(n, y, x\)"),
        ({"subjects": np.array([0, 1, 0, 1])}, "must follow one another"),
        ({"slices": np.array([0, 2, 1, 3])}, "must not descend"),
        ({"slices": np.array([0, 2])}, "one subject and one slice number"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, saying):
    with pytest.raises(SeqoptError, match=saying) as error:
        made([0] * 4, **changes)
    assert "\n" not in str(error.value)


def test_impossible_folds_are_refused():
    with pytest.raises(SeqoptError, match="folds: got 5, expected at most 3, one a subject"):
        made([0, 0, 1, 1, 2, 2]).folds(5)
    with pytest.raises(SeqoptError, match="folds: got 1, expected 2 or more"):
        made([0, 1]).folds(1)
    with pytest.raises(SeqoptError, match="folds: got 2, expected 3 or more"):
        made([0, 1, 2]).folds(2, validation=True)
    with pytest.raises(SeqoptError, match="folds: got 5, expected at most 3 for 12 slices"):
        made([0] * 12).folds(5)
    with pytest.raises(SeqoptError, match="expected at least 9 in a volume"):
        made([0] * 4).splits()


def test_a_class_that_never_occurs_in_a_part_is_refused():
    labels = np.zeros((6, 8, 8), np.int64)
    labels[:2, 4] = 1
    with pytest.raises(SeqoptError, match="fold 1 of 3: class 'line' never occurs in train"):
        made([0, 0, 1, 1, 2, 2], labels=labels).folds(3)
    with pytest.raises(SeqoptError, match="class 'line' never occurs"):
        made([0] * 60, labels=np.zeros(60, np.int64)).splits()


def test_the_labels_of_the_brain_lie_where_the_tissues_do(brain):
    assert brain.classes == ("background", "CSF", "GM", "WM") and brain.is_segmentation
    fluid, grey, white = (brain.images[brain.labels == number].mean() for number in (1, 2, 3))
    assert fluid < 0.8 * grey < 0.8 * white  # T1 weighting
    assert brain.images[brain.labels == 0].mean() < 0.02
    shares = np.bincount(brain.labels.ravel())[1:] / (brain.labels > 0).sum()
    assert shares == pytest.approx([0.09, 0.57, 0.34], abs=0.04)
    assert np.quantile(brain.images, 0.999) == pytest.approx(1.0, abs=0.35)


def test_a_threshold_does_not_segment_the_brain(brain):
    """The best two thresholds of all leave many pixels wrong, since contrast and bias vary."""
    inside = brain.labels > 1
    values, white = brain.images[inside], brain.labels[inside] == 3
    wrong = min(float(((values > level) != white).mean()) for level in np.linspace(0.3, 1.2, 40))
    assert 0.1 < wrong < 0.5


def test_half_of_the_images_have_lesions_and_only_there_they_differ_from_their_slice(lesions):
    assert lesions.classes == ("no lesion", "lesion") and not lesions.is_segmentation
    assert np.bincount(lesions.labels).tolist() == [len(lesions) // 2] * 2
    for slice_number in np.unique(lesions.slices):
        assert sorted(lesions.labels[lesions.slices == slice_number].tolist()) == [0, 0, 1, 1]
    fold = lesions.splits()
    for part in (fold.train, fold.validation, fold.test):
        assert lesions.labels[part].mean() == 0.5
    largest = lesions.images.max(axis=(1, 2))
    assert np.median(largest[lesions.labels == 1]) > 1.2 * np.median(largest[lesions.labels == 0])


def test_lesions_are_small_bright_and_in_white_matter():
    from seqopt.images.labelled_brain import _lesions

    factors = _lesions(np.array([[32, 20]]), (64, 64), 1e-3, np.random.default_rng(0))
    assert np.unravel_index(factors.argmax(), factors.shape) == (32, 20)
    assert 1.35 < factors.max() < 1.7 and factors.min() == pytest.approx(1.0, abs=1e-6)
    across_mm = (factors[32] > 1 + (factors.max() - 1) / 2).sum()
    assert 4 <= across_mm <= 10


@pytest.mark.parametrize("make", [labelled_brain, labelled_lesions])
def test_the_seed_decides(make):
    first, same, other = (make(32, FOV_M, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.images, same.images) and np.array_equal(first.labels, same.labels)
    assert not np.array_equal(first.images, other.images)


def test_an_odd_number_of_variants_is_refused():
    with pytest.raises(SeqoptError, match="variants of a slice: got 3"):
        labelled_lesions(MATRIX, FOV_M, variants=3)


def test_labels_turn_with_their_images():
    labels = np.zeros((6, 8, 8), np.int64)
    labels[:, 2, 1], labels[:, 5, 6] = 1, 1
    labelled = made([0] * 6, images=labels.astype(np.float32) + 0.1, labels=labels, flips=(-2, -1))
    images, turned = labelled_batch(labelled, np.arange(6), 40, np.random.default_rng(0))
    assert images.dtype == np.float32 and turned.dtype == np.int64 and images.shape == (40, 8, 8)
    assert np.array_equal(images > 0.5 * images.max(axis=(1, 2), keepdims=True), turned == 1)
    assert {tuple(np.argwhere(one)[0]) for one in turned} == {(2, 1), (2, 6)}
    unturned = labelled_batch(made([0] * 6, labels=labels), np.arange(6), 40, np.random.default_rng(0))[1]
    assert (unturned == labels[0]).all()


def test_a_batch_is_of_the_generator_alone_and_of_the_images_named(lesions):
    part = lesions.splits().test
    first, same = (labelled_batch(lesions, part, 6, np.random.default_rng([4, 2])) for _ in range(2))
    assert np.array_equal(first[0], same[0]) and np.array_equal(first[1], same[1]) and first[1].shape == (6,)
    marked = made([0] * 8, labels=np.arange(8) % 2)
    assert set(labelled_batch(marked, np.array([1, 3]), 9, np.random.default_rng(0))[1].tolist()) == {1}
    with pytest.raises(SeqoptError, match="batch: got 0"):
        labelled_batch(marked, np.array([1]), 0, np.random.default_rng(0))


def test_the_bias_field_is_smooth_positive_and_bounded():
    for seed in range(5):
        field = bias_field((40, 60), np.random.default_rng(seed), strength=0.3)
        assert field.shape == (40, 60) and 0.15 <= np.abs(np.log(field)).max() <= 0.3 + 1e-6
        assert np.abs(np.diff(field, axis=0)).max() < 0.05 and np.abs(np.diff(field, axis=1)).max() < 0.05


def test_a_phase_leaves_the_magnitude_and_comes_of_the_seed(brain):
    first, same, other = (with_phase(brain, seed) for seed in (1, 1, 2))
    assert first.images.dtype == np.complex64 and np.array_equal(first.images, same.images)
    assert np.allclose(np.abs(first.images), brain.images, atol=1e-5)
    assert not np.allclose(first.images, other.images)
    assert with_phase(first, 5) is first
    assert labelled_batch(brain, np.arange(4), 2, np.random.default_rng(0), phase=True)[0].dtype == np.complex64
