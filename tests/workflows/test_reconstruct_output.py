"""An oblique scan with two repetitions, from raw data to files: each says where the brain lies."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from designs import radial_design
from exported import export
from oriented import ORIENTATIONS

from seqopt.mrd.images import read_images
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.simulate import simulate

POSITIONS_MM = np.array([[12.0, -30.0, 41.0], [9.0, -27.0, 46.0]])


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    """Two slices, two repetitions, turned in the patient; the second repetition is twice as bright."""
    root = tmp_path_factory.mktemp("oblique")
    folder = export(radial_design(slices=2, shots=16, samples=96, matrix=32), root / "design")
    simulate(folder, root / "scan.mrd", coils=3)
    directions = ORIENTATIONS["oblique"]
    with h5py.File(root / "scan.mrd", "r+") as file:
        rows = file["dataset/data"][()]
        for name, direction in zip(("read_dir", "phase_dir", "slice_dir"), directions, strict=True):
            rows["head"][name] = direction
        rows["head"]["position"] = POSITIONS_MM[rows["head"]["idx"]["slice"]]
        again = rows[[not head["flags"] & (1 << 18) for head in rows["head"]]].copy()  # bit 19: noise
        again["head"]["idx"]["repetition"] = 1
        for row in again:
            row["data"] = 2 * row["data"]
        table = file["dataset/data"]
        table.resize((len(rows) + len(again),))
        table[: len(rows)], table[len(rows) :] = rows, again
    return root / "scan.mrd"


def test_an_oblique_scan_of_two_repetitions_becomes_files_that_agree_on_its_place(scan, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    formats = ("mrd", "nifti", "dicom")
    summary = reconstruct(scan, tmp_path, method="adjoint", formats=formats, cross_check=False)
    assert (summary.slices, summary.volumes, summary.matrix) == (2, 2, (32, 32))
    nifti = nibabel.load(tmp_path / "image.nii")
    assert nifti.shape == (32, 32, 2, 2)
    values = nifti.get_fdata()
    assert np.allclose(values[..., 1], 2 * values[..., 0], rtol=1e-3, atol=1e-3 * values.max())
    read, phase, _ = map(np.asarray, ORIENTATIONS["oblique"])
    voxel_mm = 220.0 / 32
    images, placement = read_images(tmp_path / "image.mrd")
    assert np.allclose(1e3 * placement.positions_m, POSITIONS_MM[[0, 1, 0, 1]], atol=1e-4)
    files = [pydicom.dcmread(path) for path in sorted((tmp_path / "dicom").iterdir())]
    for x, y, slice_, repetition in ((0, 0, 0, 0), (16, 16, 1, 0), (31, 5, 1, 1)):
        lps_mm = POSITIONS_MM[slice_] + (x - 16) * voxel_mm * read + (y - 16) * voxel_mm * phase
        assert np.allclose(nifti.affine @ [x, y, slice_, 1], [*(lps_mm * [-1, -1, 1]), 1], atol=1e-3)
        assert values[x, y, slice_, repetition] == images[2 * repetition + slice_, y, x]
        file = files[2 * repetition + slice_]
        corner = np.array(file.ImagePositionPatient, float)
        assert np.allclose(corner + voxel_mm * (x * read + y * phase), lps_mm, atol=1e-3)
        stored = file.pixel_array[y, x] * float(file.RescaleSlope)
        assert stored == pytest.approx(images[2 * repetition + slice_, y, x], abs=float(values.max()) / 65535)
    assert json.loads((tmp_path / "recon.json").read_text())["images"] == 4


def test_the_quality_page_of_an_aborted_scan_counts_what_is_missing(scan, tmp_path):
    aborted = tmp_path / "aborted.mrd"
    aborted.write_bytes(scan.read_bytes())
    with h5py.File(aborted, "r+") as file:
        file["dataset/data"].resize((1 + 32 - 6,))  # noise, then 2 slices x 16 shots but for the last 6
    design = scan.parent / "design"
    reconstruct(aborted, tmp_path / "out", design_path=design, cross_check=False, quality=True)
    page = (tmp_path / "out" / "qc.html").read_text()
    assert "26 of 32 planned readouts of the first series were found" in page
    assert page.count("data:image/png;base64,") == 4  # sampling, SNR, coil maps, residual
    assert "the noise readout, by which the coils were whitened" in page
    assert "the scan is incomplete" in page
