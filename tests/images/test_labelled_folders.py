"""Folders of image and label volumes in their published layouts, written small; real ones where they are."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.images.labelled import LabelledSet
from seqopt.images.labelled_folders import load_labelled
from seqopt.images.labelled_volumes import LabelledVolume, labelled_set
from seqopt.images.resample import Grid

SHARED = Path(__file__).parents[3] / "shared" / "data"
MATRIX, FOV_M = 32, 0.032


def save(path: Path, volume: np.ndarray, voxel_mm: tuple[float, float, float] = (1.0, 1.0, 3.0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([*voxel_mm, 1.0])), path)


def body(scale: float = 100.0, values: tuple[int, ...] = (1, 2), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(x, y, z) RAS: a block of 20 x 24 voxels in 6 slices, in it one labelled bar a value in slices 1 to 4."""
    image, labels = np.zeros((28, 30, 6), np.float32), np.zeros((28, 30, 6), np.uint8)
    image[4:24, 3:27] = 0.3 + 0.02 * np.random.default_rng(seed).random((20, 24, 6))
    for place, value in enumerate(values):
        bar = np.s_[6 + 5 * place : 9 + 5 * place, 8:20, 1:5]
        image[bar], labels[bar] = 0.6 + 0.2 * place, value
    return scale * image, labels


def load(folder: Path, **options: object) -> LabelledSet:
    return load_labelled(folder, matrix=MATRIX, fov_m=FOV_M, **options)  # type: ignore[arg-type]


def decathlon(folder: Path, subjects: int = 3) -> Path:
    for number in range(subjects):
        image, labels = body(10.0 ** (2 * number), seed=number)
        save(folder / "imagesTr" / f"case_{number}.nii.gz", image)
        save(folder / "labelsTr" / f"case_{number}.nii.gz", labels)
        (folder / "imagesTr" / f"._case_{number}.nii.gz").write_bytes(b"junk of another system")
    about = {"labels": {"0": "background", "1": "head", "2": "tail"}, "modality": {"0": "MRI"}}
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


def test_the_decathlon_layout_is_read_with_its_class_names(tmp_path):
    found = load(decathlon(tmp_path))
    assert found.classes == ("background", "head", "tail")
    assert found.images.shape == (12, MATRIX, MATRIX) and found.step_m == pytest.approx(3e-3)
    assert found.subjects.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.slices.tolist() == [1, 2, 3, 4] * 3
    for number, level in ((1, 0.6 / 0.8), (2, 1.0)):  # whatever the file's scale
        for subject in range(3):
            chosen = (found.labels == number) & (found.subjects == subject)[:, None, None]
            assert np.median(found.images[chosen]) == pytest.approx(level, rel=0.1)


def test_labels_land_on_what_they_name_and_keep_their_size(tmp_path):
    found = load(decathlon(tmp_path, 2), layout="decathlon")
    assert (found.labels == 1).sum(axis=(1, 2)) == pytest.approx([36] * 8, abs=1)  # 3 x 12 pixels of 1 mm
    columns = [np.argwhere(found.labels[0] == number)[:, 1].mean() for number in (1, 2)]
    assert columns[0] > columns[1]  # x runs to the patient's left, the arrays to the right


def test_acdc_frames_of_a_patient_are_one_subject(tmp_path):
    for patient in (1, 2):
        for frame in (1, 12):
            image, labels = body(values=(1, 2, 3), seed=frame)
            stem = tmp_path / "training" / f"patient{patient:03}" / f"patient{patient:03}_frame{frame:02}"
            save(stem.with_name(f"{stem.name}.nii.gz"), image, (1.0, 1.0, 10.0))
            save(stem.with_name(f"{stem.name}_gt.nii.gz"), labels, (1.0, 1.0, 10.0))
        save(stem.with_name(f"patient{patient:03}_4d.nii.gz"), np.zeros((28, 30, 6, 2), np.float32))
    found = load(tmp_path)
    assert found.classes == ("background", "right ventricle", "myocardium", "left ventricle")
    assert found.subjects.tolist() == [0] * 8 + [1] * 8
    assert found.slices.tolist() == [1, 1, 2, 2, 3, 3, 4, 4] * 2
    assert found.step_m == pytest.approx(10e-3)


def test_brats_gives_the_contrast_that_was_asked_for(tmp_path):
    for subject in ("BraTS_001", "BraTS_002"):
        image, labels = body(values=(1, 2, 4))
        for place, contrast in enumerate(("flair", "t1", "t1ce", "t2")):
            save(tmp_path / subject / f"{subject}_{contrast}.nii.gz", image ** (1 + place))
        save(tmp_path / subject / f"{subject}_seg.nii.gz", labels)
    flair, t2 = load(tmp_path), load(tmp_path, contrast="T2")
    assert flair.classes == ("background", "necrotic core", "oedema", "enhancing tumour")
    assert set(np.unique(flair.labels)) == {0, 1, 2, 3} and np.array_equal(flair.labels, t2.labels)
    ratio = [np.median(one.images[one.labels == 1]) for one in (flair, t2)]
    assert ratio[1] == pytest.approx(ratio[0] ** 4, rel=0.1)
    with pytest.raises(SeqoptError, match="contrast: got pd, expected flair or t1"):
        load(tmp_path, contrast="pd")


def brats_since_2023(folder: Path, *studies: str) -> Path:
    for study in studies:
        image, labels = body(values=(1, 2, 3))
        for place, contrast in enumerate(("t2f", "t1n", "t1c", "t2w")):
            save(folder / study / f"{study}-{contrast}.nii.gz", image ** (1 + place))
        save(folder / study / f"{study}-seg.nii.gz", labels)
        (folder / study / f"._{study}-seg.nii.gz").write_bytes(b"junk of another system")
    return folder


def test_brats_since_2023_keeps_the_times_of_a_patient_together_and_knows_the_old_names(tmp_path):
    studies = ("BraTS-GLI-00000-000", "BraTS-GLI-00000-001", "BraTS-GLI-00002-000")
    found = load(brats_since_2023(tmp_path, *studies))
    assert found.classes == ("background", "necrotic core", "oedema", "enhancing tumour")
    assert np.bincount(found.subjects).tolist() == [8, 4] and set(np.unique(found.labels)) == {0, 1, 2, 3}
    by_name = {name: load(tmp_path, contrast=name).images for name in ("t2f", "FLAIR", "t1c", "t1ce", "t2w")}
    assert np.array_equal(by_name["t2f"], found.images) and np.array_equal(by_name["FLAIR"], found.images)
    assert np.array_equal(by_name["t1c"], by_name["t1ce"])
    ratio = [np.median(by_name[name][found.labels == 1]) for name in ("t2f", "t1c", "t2w")]
    assert ratio == pytest.approx([0.6, 0.6**3, 0.6**4], rel=0.15)
    with pytest.raises(SeqoptError, match="contrast: got pd, expected t2f or t1n"):
        load(tmp_path, contrast="pd")


def nnunet(folder: Path, *cases: str, named: str = "channel_names") -> Path:
    for number, case in enumerate(cases):
        image, labels = body(seed=number)
        for channel in (0, 1):
            save(folder / "imagesTr" / f"{case}_{channel:04}.nii.gz", image ** (1 + channel))
        save(folder / "labelsTr" / f"{case}.nii.gz", labels)
    about = {
        named: {"0": "T2", "1": "ADC"},
        "labels": {"background": 0, "head": 1, "tail": 2},
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize("named", ["channel_names", "modality"])
def test_nnunet_gives_the_channel_that_was_asked_for(tmp_path, named):
    first = load(nnunet(tmp_path, "prostate_00", "prostate_01", named=named))
    assert first.classes == ("background", "head", "tail") and first.subjects.tolist() == [0] * 4 + [1] * 4
    second = load(tmp_path, contrast="adc")
    ratio = [np.median(one.images[one.labels == 1]) for one in (first, second)]
    assert ratio[1] == pytest.approx(ratio[0] ** 2, rel=0.1)
    assert np.array_equal(load(tmp_path, contrast="T2").images, first.images)
    with pytest.raises(SeqoptError, match="contrast: got flair, expected t2 or adc"):
        load(tmp_path, contrast="flair")
    (tmp_path / "imagesTr" / "prostate_01_0000.nii.gz").unlink()
    with pytest.raises(SeqoptError, match=r"prostate_01_0000\.nii\.gz is missing"):
        load(tmp_path)


def test_frames_of_a_patient_are_one_subject_under_the_names_of_nnunet_too(tmp_path):
    found = load(nnunet(tmp_path, "patient001_frame01", "patient001_frame12", "patient002_frame01"))
    assert np.bincount(found.subjects).tolist() == [8, 4]


def test_folders_of_images_and_labels_pair_by_name_and_name_their_values(tmp_path):
    image, labels = body(values=(3, 9))
    for name in ("a", "b"):
        save(tmp_path / "images" / f"{name}.nii", image)
        save(tmp_path / "labels" / f"{name}.nii", labels)
    found = load(tmp_path)
    assert found.classes == ("background", "label 3", "label 9") and found.flips == ()
    assert len(load(tmp_path, subjects=1)) == len(found) // 2
    assert len(load(tmp_path, empty=True)) == 12 > len(found)


def test_freesurfer_structures_become_three_tissues(tmp_path):
    image, labels = body(values=(1, 2, 3))
    stored = np.array([0, 4, 11105, 41], np.int32)[labels]
    stored[14, 25, 2] = 999  # a structure that is none of these
    for name, volume in (("norm.mgz", image), ("aparc.a2009s+aseg.mgz", stored)):
        nibabel.save(nibabel.MGHImage(volume, np.diag([1.0, 1.0, 1.0, 1.0])), tmp_path / name)
    found = load(tmp_path)
    assert found.classes == ("background", "CSF", "GM", "WM") and set(np.unique(found.labels)) == {0, 1, 2, 3}


def freesurfer_brain(place: Path, seed: int, **segmentations: tuple[int, int, int, int]) -> None:
    """``norm.mgz`` and label files, by name without ``aseg.mgz``, whose bars have these values."""
    image, labels = body(values=(1, 2, 3), seed=seed)
    place.mkdir(parents=True)
    nibabel.save(nibabel.MGHImage(image, np.eye(4)), place / "norm.mgz")
    for name, values in segmentations.items():
        nibabel.save(nibabel.MGHImage(np.array(values, np.int32)[labels], np.eye(4)), place / f"{name}aseg.mgz")


def test_a_freesurfer_brain_counts_once_however_often_it_was_segmented(tmp_path):
    several = {"": (0, 4, 3, 41), "aparc+": (0, 0, 1005, 0), "aparc.a2009s+": (0, 0, 11105, 0)}
    for number, name in enumerate(("site_a/anna", "site_b/anna", "bert")):
        freesurfer_brain(tmp_path / name / "mri", number, **several)
        (tmp_path / name / "mri" / "._aseg.mgz").write_bytes(b"junk of another system")
    freesurfer_brain(tmp_path / "carl" / "mri", 3, **{"aparc+": (0, 4, 2005, 2)})
    found = load(tmp_path)
    assert np.bincount(found.subjects).tolist() == [len(found) // 4] * 4
    per_brain = found.slices.reshape(4, -1)
    assert all(len(set(one.tolist())) == len(one) for one in per_brain)  # no slice twice
    for image_labels in found.labels:
        assert set(np.unique(image_labels)) == {0, 1, 2, 3}  # of aseg.mgz, cortex included, where it is there
    fold = found.folds(4)[0]
    assert len(set(found.subjects[fold.train].tolist())) == 3 and len(set(found.subjects[fold.test].tolist())) == 1


@pytest.mark.parametrize("inside", [".", "mri"])
def test_one_freesurfer_brain_may_be_given_by_any_of_its_folders(tmp_path, inside):
    freesurfer_brain(tmp_path / "anna" / "mri", 0, **{"": (0, 4, 42, 2)})
    found = load(tmp_path / "anna" / inside)
    assert set(found.subjects.tolist()) == {0} and set(np.unique(found.labels)) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "named", [{"background": 0, "tail": 2, "head": 1}, {"0": "background", "2": "tail", "1": "head"}]
)
def test_classes_are_named_by_number_or_numbered_by_name(tmp_path, named):
    folder = decathlon(tmp_path, 2)
    (folder / "dataset.json").write_text(json.dumps({"labels": named}))
    found = load(folder)
    assert found.classes == ("background", "tail", "head")
    head, tail = (found.images[found.labels == found.classes.index(name)] for name in ("head", "tail"))
    assert np.median(head) < 0.9 * np.median(tail)  # the bar of value 1 is darker than that of 2


@pytest.mark.parametrize(
    "about",
    [
        {"labels": ["background", "head", "tail"]},
        {"labels": {"background": 0, "whole": [1, 2]}},
        {"labels": {"background": 0, "head": 1, "tail": 1}},
        {"labels": {"head": "one"}},
        {"labels": {"head": True}},
        {"labels": {"1": None}},
        {"labels": None},
        ["head", "tail"],
    ],
)
def test_classes_given_otherwise_are_refused_in_one_line_that_names_the_file(tmp_path, about):
    file = decathlon(tmp_path, 1) / "dataset.json"
    file.write_text(json.dumps(about))
    with pytest.raises(SeqoptError, match='"labels" must pair each number with one name') as error:
        load(tmp_path)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_a_contrast_is_refused_where_none_can_be_chosen(tmp_path):
    image, labels = body(values=(1, 2, 3))
    for layout, stem, ending in (("acdc", "patient001_frame01", "_gt"), ("pairs", "a", "")):
        save(tmp_path / layout / ("images" if layout == "pairs" else "") / f"{stem}.nii.gz", image)
        save(tmp_path / layout / ("labels" if layout == "pairs" else "") / f"{stem}{ending}.nii.gz", labels)
    freesurfer_brain(tmp_path / "freesurfer" / "anna" / "mri", 0, **{"": (0, 4, 3, 2)})
    for layout in ("acdc", "pairs", "freesurfer"):
        assert len(load(tmp_path / layout)) > 0
        with pytest.raises(SeqoptError, match=f"contrast: got T1, expected none in the layout {layout}") as error:
            load(tmp_path / layout, contrast="T1")
        assert "\n" not in str(error.value)
    with pytest.raises(SeqoptError, match="contrast: got T1, expected mri"):
        load(decathlon(tmp_path / "decathlon", 1), contrast="T1")
    assert len(load(tmp_path / "decathlon", contrast="mri")) > 0


def test_thick_slices_are_taken_as_they_were_acquired():
    image, labels = (one.transpose(2, 1, 0) for one in body())
    volume = LabelledVolume(
        name="v", subject="s", images=image, labels=labels.astype(np.int64), sizes_m=(1e-3, 5e-3, 1e-3)
    ).across_thick_slices()
    assert volume.images.shape == (30, 6, 28) and volume.sizes_m == (5e-3, 1e-3, 1e-3)
    assert np.array_equal(volume.labels[9], labels[:, 9])


def test_pairs_that_do_not_match_are_refused(tmp_path):
    def refused(folder: Path, saying: str) -> None:
        with pytest.raises(SeqoptError, match=saying) as error:
            load(folder)
        assert "\n" not in str(error.value)

    image, labels = body()
    refused(tmp_path / "nowhere", "no folder")
    refused(tmp_path, "holds no pairs of images and labels, expected one of the layouts nnunet, decathlon, acdc, brats")
    save(tmp_path / "labels" / "a.nii", labels)
    (tmp_path / "images").mkdir()
    refused(tmp_path, "has no image")
    save(tmp_path / "images" / "a.nii", image[:, :, :5])
    refused(tmp_path, "labels of shape .* do not match images")
    save(tmp_path / "images" / "a.nii", image, (2.0, 2.0, 3.0))
    refused(tmp_path, "do not match the image's")
    save(tmp_path / "images" / "a.nii", image)
    save(tmp_path / "labels" / "a.nii", labels + np.float32(0.5))
    refused(tmp_path, "not whole numbers")
    save(tmp_path / "labels" / "a.nii", 0 * labels)
    refused(tmp_path, "no slice shows a labelled structure")
    folder = decathlon(tmp_path / "other")
    save(folder / "labelsTr" / "case_1.nii.gz", 5 * labels)
    refused(folder, "label 5 is none of 0, 1, 2")
    (folder / "dataset.json").write_text("{")
    refused(folder, "cannot be read as JSON")


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data are not here")
def test_real_hippocampi_have_one_scale_and_divide_by_subject():
    found = load_labelled(SHARED / "hippocampus", matrix=64, fov_m=0.064, subjects=6)
    assert found.classes == ("background", "label 1", "label 2") and len(np.unique(found.subjects)) == 6
    levels = [np.median(found.images[(found.labels > 0) & (found.subjects == one)[:, None, None]]) for one in range(6)]
    assert max(levels) < 4 * min(levels)  # files differ by 1e4
    for fold in found.folds(3):
        assert not set(found.subjects[fold.train]) & set(found.subjects[fold.test])


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data are not here")
def test_a_real_heart_divides_by_slice_whatever_the_phase():
    with np.load(SHARED / "heart_short_axis" / "cine_sax_lv.npz", allow_pickle=False) as stored:
        frames = np.arange(120, 320, 8)
        places = np.unique(stored["slice_location"], return_inverse=True)[1]
        side_m = float(stored["pixel_mm"]) * 1e-3
        volume = LabelledVolume(
            name="cine",
            subject="pig",
            images=stored["image"][frames].astype(np.float32),
            labels=stored["label"][frames].astype(np.int64),
            sizes_m=(6e-3, side_m, side_m),
            slices=places[frames],
        )
    found = labelled_set([volume], ("background", "myocardium", "cavity"), Grid(matrix=64, fov_m=0.21), source="heart")
    assert set(np.unique(found.labels)) == {0, 1, 2} and len(found) == len(frames)
    for fold in found.folds(3):
        assert not set(found.slices[fold.train]) & set(found.slices[fold.test])
