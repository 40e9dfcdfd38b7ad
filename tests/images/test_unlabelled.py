"""Images without labels for cross-validation: files are subjects, one file is divided by its slices."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.images.labelled import LabelledSet
from seqopt.images.unlabelled import load_unlabelled


def load(path: Path, **options: int) -> LabelledSet:
    return load_unlabelled(path, matrix=32, fov_m=0.032, **options)


def head(path: Path, scale: float, slices: int = 6) -> None:
    """(x, y, z) a block that grows along z, beside an empty slice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = np.zeros((28, 30, slices + 1), np.float32)
    for place in range(slices):
        volume[4:20, 3 : 20 + place, place] = scale
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.0, 1.0, 3.0, 1.0])), path)


def test_each_file_is_a_subject_of_the_same_brightness_and_folds_keep_it_together(tmp_path):
    for number in range(4):
        head(tmp_path / f"s{number}.nii.gz", 10.0**number)
    found = load(tmp_path)
    assert np.bincount(found.subjects).tolist() == [6] * 4
    assert found.slices.tolist() == [*range(6)] * 4 and found.step_m == pytest.approx(3e-3)
    assert np.abs(found.images).max((1, 2)) == pytest.approx(1.0, abs=0.05)
    assert found.classes == ("image",) and not found.labels.any()
    for fold in found.folds(4, validation=True):
        parts = [set(found.subjects[one].tolist()) for one in (fold.train, fold.validation, fold.test)]
        assert [len(part) for part in parts] == [2, 1, 1] and len(set.union(*parts)) == 4
    assert len(set(load(tmp_path, subjects=2).subjects.tolist())) == 2
    with pytest.raises(SeqoptError, match="folds: got 5, expected at most 4, one a subject"):
        found.folds(5)


def test_one_file_is_divided_by_blocks_of_slices(tmp_path):
    head(tmp_path / "only.nii.gz", 1.0, slices=24)
    found = load(tmp_path / "only.nii.gz")
    for fold in found.folds(3):
        assert np.abs(found.slices[fold.train][:, None] - found.slices[fold.test][None]).min() >= 2


def test_what_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(SeqoptError, match="no images at") as error:
        load(tmp_path / "nowhere")
    assert "\n" not in str(error.value)
