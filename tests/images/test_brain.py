"""The embedded brain: where its parts lie, how large it is, and its splits."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.images import ImageSet, load_images
from seqopt.images.brain import _template

FOV_M, MATRIX = 0.22, 256


@pytest.fixture(scope="module")
def brain() -> ImageSet:
    return load_images(None, matrix=MATRIX, fov_m=FOV_M, contrasts=True)


def extent_mm(mask: np.ndarray, voxel_m: float) -> float:
    found = np.flatnonzero(mask)
    return float(found[-1] - found[0] + 1) * voxel_m * 1e3


def test_the_brain_has_the_size_of_a_brain_and_lies_in_the_middle(brain):
    inside = brain.images.max(axis=0) > 0.1
    assert brain.voxel_m == pytest.approx(FOV_M / MATRIX)
    assert brain.images.shape[1:] == (MATRIX, MATRIX) and brain.images.dtype == np.float32
    assert 130 < extent_mm(inside.any(axis=0), brain.voxel_m) < 155  # left to right
    assert 165 < extent_mm(inside.any(axis=1), brain.voxel_m) < 195  # front to back
    for axis in (0, 1):
        found = np.flatnonzero(inside.any(axis=axis))
        assert abs(found[[0, -1]].mean() - MATRIX / 2) < 2


def test_slices_run_upwards_with_anterior_at_the_top_of_the_picture(brain):
    lowest, highest = brain.images[0] > 0.1, brain.images[-1] > 0.1
    assert lowest[MATRIX // 2 :].sum() > 1.5 * lowest[: MATRIX // 2].sum()  # the cerebellum is posterior
    assert extent_mm(highest.any(axis=0), brain.voxel_m) < 120  # near the vertex


def test_the_template_is_laid_out_by_its_own_affine():
    from nilearn import datasets

    image = datasets.load_mni152_gm_template(resolution=1)
    right_mm, anterior_mm, superior_mm = 40, 20, 10
    x, y, z = np.round(np.linalg.inv(image.affine) @ [right_mm, anterior_mm, superior_mm, 1])[:3].astype(int)
    stack = _template("GM")
    row, column = stack.shape[1] - 1 - y, stack.shape[2] - 1 - x
    assert stack[z, row, column] == pytest.approx(float(image.dataobj[x, y, z]))
    assert column < stack.shape[2] / 2 and row < stack.shape[1] / 2  # the patient's right is left, anterior is up


def test_the_scale_is_one_and_nothing_is_negative_or_missing(brain):
    assert np.quantile(brain.images, 0.999) == pytest.approx(1.0, abs=0.05)  # of the volume before the gaps went
    assert brain.images.min() >= 0.0 and np.isfinite(brain.images).all()
    assert (brain.images.reshape(len(brain.images), -1).max(axis=1) > 0.3).all()


def test_splits_do_not_overlap_and_hold_several_heights(brain):
    splits = brain.splits
    assert {name: len(splits[name]) for name in splits} == {"train": 65, "validation": 16, "test": 16}
    assert len(np.unique(np.concatenate(list(splits.values())))) == 97 == len(brain.images)
    for name in ("validation", "test"):
        assert np.count_nonzero(np.diff(splits[name]) > 1) == 1  # two blocks


def test_tissue_maps_lie_where_the_tissue_does(brain):
    grey, white = brain.channels["GM"], brain.channels["WM"]
    for tissue in (grey, white):
        assert tissue.shape == brain.images.shape and tissue.min() >= 0.0 and tissue.max() <= 1.0
        assert tissue[brain.images == 0.0].mean() < 0.02
    assert brain.images[white > 0.9].mean() > 1.1 * brain.images[grey > 0.9].mean()  # T1 weighting


def test_a_limit_thins_every_split_evenly():
    few = load_images(None, matrix=64, fov_m=FOV_M, limit=10)
    assert len(few.images) <= 10 and all(len(few.splits[name]) >= 1 for name in few.splits)


def test_the_same_call_gives_the_same_images(brain):
    again = load_images(None, matrix=MATRIX, fov_m=FOV_M)
    np.testing.assert_array_equal(again.images, brain.images)
