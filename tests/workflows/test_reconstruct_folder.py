"""What lies in the folder of a reconstruction: files that agree on places, tell settings apart, and are of one run."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian

from seqopt.errors import SeqoptError
from seqopt.mrd.images import read_images
from seqopt.mrd.series import Block
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.reconstruct_cartesian import OfLines

Items = list[ismrmrd.Acquisition]
OBLIQUE = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])


def scan_of(path: Path, slices: int = 1, **options) -> Path:
    images = np.stack([phantom() * (1 + number) for number in range(slices)])
    return write_cartesian(path, images[:, None] * ring_maps(4), **options)


def contrasts(items: Items) -> Items:
    """The same lines at two echo times."""
    later = copy.deepcopy(items)
    for item in later:
        item.idx.contrast = 1
    return items + later


def dicom_files(folder: Path) -> list:
    pydicom = pytest.importorskip("pydicom")
    return [pydicom.dcmread(path) for path in sorted((folder / "dicom").iterdir())]


def turned(positions_mm: np.ndarray):
    """Sets directions, and the position of each slice."""

    def change(items: Items) -> None:
        for item in items:
            item.read_dir[:], item.phase_dir[:], item.slice_dir[:] = OBLIQUE
            item.position[:] = positions_mm[item.idx.slice]

    return change


def test_slices_that_the_file_puts_at_one_place_are_spread_alike_in_every_format(tmp_path):
    """Files of converters state directions and leave every position at 0; 6 mm is the slices' thickness."""
    scan = scan_of(tmp_path / "scan.mrd", 3, change=turned(np.zeros((3, 3))))
    out = tmp_path / "out"
    summary = reconstruct(scan, out, method="zero-filled", formats=("mrd", "nifti", "dicom"), cross_check=False)
    wanted = np.array([[0, 0, -6.0], [0, 0, 0], [0, 0, 6.0]])
    _, placement = read_images(out / "image.mrd")
    assert np.allclose(1e3 * placement.positions_m, wanted)
    affine = nibabel.load(out / "image.nii").affine
    for number, file in enumerate(dicom_files(out)):
        centre = np.array(file.ImagePositionPatient, float) + 16 * 300 / 32 * (OBLIQUE[0] + OBLIQUE[1])
        assert np.allclose(centre, wanted[number], atol=1e-3)
        assert np.allclose((affine @ [16, 16, number, 1])[:3], wanted[number] * [-1, -1, 1], atol=1e-3)
        assert float(file.SpacingBetweenSlices) == pytest.approx(6.0)
    assert sum("puts slices 0, 1, 2 at one place" in note for note in summary.notes) == 1


def test_planes_through_one_point_and_single_slices_stay_where_they_are(tmp_path):
    def three_planes(items: Items) -> None:
        for item in items:
            item.read_dir[:], item.phase_dir[:], item.slice_dir[:] = np.roll(np.eye(3), item.idx.slice, axis=0)
            item.position[:] = (1, 2, 3)

    scan = scan_of(tmp_path / "scan.mrd", 3, change=three_planes)
    summary = reconstruct(scan, tmp_path / "out", method="zero-filled", formats=("mrd",), cross_check=False)
    with ismrmrd.Dataset(str(tmp_path / "out" / "image.mrd"), "dataset", mode="r") as dataset:
        heads = [dataset.read_image("image_0", number) for number in range(3)]
    assert np.allclose([list(head.position) for head in heads], (1, 2, 3))
    assert not any("at one place" in note for note in summary.notes)


def test_dicom_of_other_settings_is_another_series_of_the_same_study(tmp_path):
    scan, quick = scan_of(tmp_path / "scan.mrd"), {"method": "tv", "iterations": 2, "formats": ("dicom",)}
    for name, changes in {
        "a": {"regularisation": 0.002, "cross_check": False},
        "again": {"regularisation": 0.002},
        "more": {"regularisation": 0.05, "cross_check": False},
        "other": {"regularisation": 0.002, "calibration": 16, "cross_check": False},
    }.items():
        reconstruct(scan, tmp_path / name, **quick | changes)
    found = {name: dicom_files(tmp_path / name)[0] for name in ("a", "again", "more", "other")}
    series = {name: file.SeriesInstanceUID for name, file in found.items()}
    assert series["a"] == series["again"]
    assert found["a"].SOPInstanceUID == found["again"].SOPInstanceUID
    assert len(set(series.values())) == 3
    assert len({file.SOPInstanceUID for file in found.values()}) == 3
    assert len({file.StudyInstanceUID for file in found.values()}) == 1


def test_files_of_an_earlier_run_go_and_those_of_others_stay(tmp_path):
    two = scan_of(tmp_path / "two.mrd", change=contrasts)
    one, out = scan_of(tmp_path / "one.mrd"), tmp_path / "out"
    plain = {"method": "zero-filled", "cross_check": False}
    reconstruct(two, out, formats=("nifti", "mrd", "dicom", "bart", "server"), quality=True, **plain)
    assert {"image_contrast0.nii", "image_contrast1.nii", "qc.html", "bart", "dicom"} <= names(out)
    for name in ("notes.txt", "image_mine.nii", "bart/image_0_0_0_0_0/image.cfl", "dicom/DICOMDIR"):
        (out / name).write_text("of the user")
    reconstruct(one, out, formats=("nifti",), **plain)
    assert names(out) == {"image.nii", "recon.json", "notes.txt", "image_mine.nii", "bart", "dicom"}
    assert [path.name for path in (out / "dicom").iterdir()] == ["DICOMDIR"]
    left = [path for path in (out / "bart").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["image.cfl"]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_record_cannot_name_files_outside_of_its_folder(tmp_path):
    (tmp_path / "precious.nii").write_text("not of this folder")
    (tmp_path / "out").mkdir()
    listed = ["../precious.nii", str(tmp_path / "precious.nii"), 3, "gone.nii", "."]
    (tmp_path / "out" / "recon.json").write_text(json.dumps({"files": listed}))
    reconstruct(scan_of(tmp_path / "scan.mrd"), tmp_path / "out", method="zero-filled", cross_check=False)
    assert (tmp_path / "precious.nii").exists()


def test_a_run_that_fails_leaves_no_half_of_a_bart_folder(tmp_path, monkeypatch):
    """The second contrast fails after the first has left its data for BART."""
    scan, out = scan_of(tmp_path / "scan.mrd", change=contrasts), tmp_path / "out" / "deep"
    options = {"method": "cg-sense", "formats": ("nifti", "bart"), "cross_check": False}
    made = OfLines.make

    def fails_late(self: OfLines, block: Block, **looks: object) -> object:
        images = made(self, block, **looks)
        if block.key.contrast == 1:
            assert list(tmp_path.glob("out/**/ksp.cfl"))
            raise SeqoptError("the disk is full")
        return images

    def fail() -> None:
        with monkeypatch.context() as patch, pytest.raises(SeqoptError, match="the disk is full"):
            patch.setattr(OfLines, "make", fails_late)
            reconstruct(scan, out, **options)

    fail()
    assert not (tmp_path / "out").exists()
    reconstruct(scan, out, **options)
    before = {path: path.read_bytes() for path in (out / "bart").rglob("*") if path.is_file()}
    assert {path.name for path in before} >= {"recon.sh", "ksp.cfl", "ksp.hdr", "maps.cfl", "scale"}
    fail()
    assert {path: path.read_bytes() for path in (out / "bart").rglob("*") if path.is_file()} == before
    reconstruct(scan_of(tmp_path / "one.mrd"), out, **options)
    assert names(out / "bart") == {"recon.sh", "image_0_0_0_0_0"}
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
