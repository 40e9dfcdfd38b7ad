"""Images in every format, read back by other libraries: nibabel, pydicom, ismrmrd, matplotlib."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import pytest
from oriented import CENTRE_M, GEOMETRY, ORIENTATIONS, marked, placed, point_mm

from seqopt.errors import SeqoptError
from seqopt.mrd.image_head import heads_of
from seqopt.mrd.placement import Placement
from seqopt.mrd.recon_config import ReconConfig
from seqopt.mrd.scan_parameters import ScanParameters
from seqopt.workflows.image_store import ImageStore
from seqopt.workflows.reconstruct_output import ReconSummary, Source, require_formats, write_reconstruction

PARAMETERS = ScanParameters(
    tr_ms=(12.5,), te_ms=(3.0, 7.0), flip_deg=(15.0,), field_t=2.89, frequency_hz=123.2e6, patient_position="HFS"
)


def written(store: ImageStore, out: Path, formats=("mrd", "nifti", "png")) -> ReconSummary:
    scan = out.parent / "scan.mrd"
    scan.write_bytes(b"raw data")
    source = Source(scan_path=scan, design_name=None, seq_signature="abc", geometry=GEOMETRY, parameters=PARAMETERS)
    summary = ReconSummary(
        config=ReconConfig(),
        slices=4,
        matrix=GEOMETRY.matrix,
        coils=2,
        shots=8,
        samples=24,
        whitened=True,
        cross_check=None,
        notes=(),
    )
    return write_reconstruction(store, summary, source, {}, out=out, formats=formats)


def output(name: str, out: Path, **options) -> tuple[Placement, ReconSummary]:
    placement = placed(name)
    with ImageStore(out) as store:
        store.add(marked(), heads_of(placement))
        return placement, written(store, out, **options)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_known_point_of_the_patient_lies_where_nifti_and_dicom_say(name, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    placement, summary = output(name, tmp_path / "out", formats=("nifti", "dicom"))
    nifti = nibabel.load(tmp_path / "out" / "image.nii")
    volume, values = nifti.get_fdata(), marked()
    assert np.allclose(nifti.header.get_zooms(), (10.0, 15.0, 6.0), atol=1e-5)
    assert nifti.header.get_xyzt_units()[0] == "mm"
    assert np.allclose(nifti.get_sform(), nifti.get_qform(), atol=1e-4)  # rotations, reflections, no shear
    files = [pydicom.dcmread(path) for path in sorted((tmp_path / "out" / "dicom").iterdir())]
    assert len(files) == 4
    for x, y, slice_ in ((0, 0, 0), (23, 9, 3), (7, 2, 1), (12, 5, 2)):
        lps_mm = point_mm(placement, x, y, slice_)
        ras_mm = lps_mm * [-1, -1, 1]
        place = np.linalg.solve(nifti.affine, [*ras_mm, 1])[:3]
        assert np.allclose(place, (x, y, slice_), atol=1e-4)
        assert volume[x, y, slice_] == values[slice_, y, x]
        column, row = _dicom_place(files[slice_], lps_mm)
        assert np.allclose((column, row), (x, y), atol=1e-5)
        stored = files[slice_].pixel_array[y, x] * float(files[slice_].RescaleSlope)
        assert stored == pytest.approx(values[slice_, y, x], abs=0.51 * float(values.max()) / 65535)
    centre, width = float(files[0].WindowCenter), float(files[0].WindowWidth)
    assert centre - width / 2 == pytest.approx(0, abs=1e-6)
    assert 0.95 * values.max() < centre + width / 2 <= values.max()
    assert np.array_equal(summary.images, values)


def _dicom_place(file, lps_mm) -> tuple[float, float]:
    """Column and row of a point by the equation of DICOM PS3.3 C.7.6.2.1.1, solved for the indices."""
    row_direction, column_direction = np.reshape(file.ImageOrientationPatient, (2, 3)).astype(float)
    between_rows, between_columns = map(float, file.PixelSpacing)
    step = np.stack([row_direction * between_columns, column_direction * between_rows], 1)
    found, apart, *_ = np.linalg.lstsq(step, lps_mm - np.array(file.ImagePositionPatient, float), rcond=None)
    assert apart.size == 0 or apart[0] < 1e-8  # the point lies in this slice's plane
    return tuple(found)


def test_a_single_slice_is_as_thick_as_its_geometry_says(tmp_path):
    with ImageStore(tmp_path / "out") as store:
        store.add(marked(1), heads_of(placed("oblique", slices=1)))
        written(store, tmp_path / "out", formats=("nifti",))
    affine = nibabel.load(tmp_path / "out" / "image.nii").affine
    assert np.linalg.norm(affine[:3, 2]) == pytest.approx(1e3 * GEOMETRY.slice_thickness_m, rel=1e-5)


def test_repetitions_become_the_fourth_axis_and_contrasts_files_of_their_own(tmp_path):
    placement, out = placed("oblique"), tmp_path / "out"
    with ImageStore(out) as store:
        for repetition in range(3):
            for contrast in (1, 0):
                for slice_ in (2, 3, 0, 1):  # in no order, one at a time
                    if (repetition, contrast, slice_) == (2, 1, 3):
                        continue  # the scan was aborted
                    one = Placement(
                        read_dir=placement.read_dir,
                        phase_dir=placement.phase_dir,
                        slice_dir=placement.slice_dir,
                        positions_m=placement.positions_m[slice_ : slice_ + 1],
                    )
                    value = 1000 * repetition + 100 * contrast + slice_
                    image = np.full((1, *GEOMETRY.shape), value, np.complex64) * 1j
                    store.add(image, heads_of(one, [slice_], repetition=repetition, contrast=contrast))
        summary = written(store, out)
    assert sorted(path.name for path in out.iterdir()) == [
        "image.mrd",
        "image.png",
        "image_contrast0.nii",
        "image_contrast1.nii",
        "recon.json",
    ]
    for contrast in (0, 1):
        nifti = nibabel.load(out / f"image_contrast{contrast}.nii")
        assert nifti.shape == (24, 10, 4, 3)
        corner = nifti.get_fdata()[0, 0]
        wanted = np.add.outer(np.arange(4), 1000 * np.arange(3)) + 100.0 * contrast
        if contrast:
            wanted[3, 2] = 0.0
        assert np.array_equal(corner, wanted)
        lps = point_mm(placement, 1, 2, 3)
        assert np.allclose((nifti.affine @ [1, 2, 3, 1])[:3], lps * [-1, -1, 1], atol=1e-3)
    assert summary.images.shape == (4, 10, 24)
    with ismrmrd.Dataset(str(out / "image.mrd"), "dataset", mode="r") as dataset:
        assert [dataset.number_of_images(f"image_{contrast}") for contrast in (0, 1)] == [12, 11]
        image = dataset.read_image("image_1", 5)
    assert (image.contrast, image.repetition, image.slice) == (1, 1, 1)
    assert (image.image_index, image.image_series_index) == (6, 1)
    assert list(image.position) == pytest.approx((1e3 * placement.positions_m[1]).tolist(), rel=1e-5)
    assert float(image.meta["WindowWidth"]) > 0
    assert image.data[0, 0, 0, 0] == 1101


def test_planes_that_are_not_parallel_become_files_of_their_own(tmp_path):
    out = tmp_path / "out"
    with ImageStore(out) as store:
        for plane, name in enumerate(("axial", "coronal", "sagittal")):
            store.add(marked(2), heads_of(placed(name, slices=2), [2 * plane, 2 * plane + 1]))
        written(store, out, ("nifti",))
    for plane, name in enumerate(("axial", "coronal", "sagittal")):
        nifti = nibabel.load(out / f"image_stack{plane}.nii")
        lps = point_mm(placed(name, slices=2), 4, 3, 1)
        assert np.allclose((nifti.affine @ [4, 3, 1, 1])[:3], lps * [-1, -1, 1], atol=1e-4)


def test_dicom_names_nobody_and_no_day_and_is_the_same_each_time(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    output("oblique", tmp_path / "a", formats=("dicom",))
    (tmp_path / "b" / "dicom").mkdir(parents=True)
    (tmp_path / "b" / "dicom" / "IM_0009.dcm").write_bytes(b"of an earlier run")
    placement, _ = output("oblique", tmp_path / "b", formats=("dicom",))
    files = sorted(path.name for path in (tmp_path / "a" / "dicom").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b" / "dicom").iterdir())
    uids = set()
    for name in files:
        assert (tmp_path / "a" / "dicom" / name).read_bytes() == (tmp_path / "b" / "dicom" / name).read_bytes()
        dataset = pydicom.dcmread(tmp_path / "a" / "dicom" / name)
        uids.add(dataset.SOPInstanceUID)
        assert not [element for element in dataset if element.VR in ("PN", "DA", "TM", "DT") and str(element.value)], (
            "a name, a date or a time"
        )
        assert dataset.PatientID == "" and dataset.PatientIdentityRemoved == "YES"
        assert all(uid.is_valid for uid in (dataset.SOPInstanceUID, dataset.StudyInstanceUID))
        assert (dataset.RepetitionTime, dataset.EchoTime, dataset.FlipAngle) == (12.5, 3.0, 15.0)
        assert (dataset.MagneticFieldStrength, dataset.ImagingFrequency) == (2.89, 123.2)  # T and MHz
        place_mm = np.array(dataset.ImagePositionPatient, float) @ placement.slice_dir
        assert float(dataset.SliceLocation) == pytest.approx(place_mm, abs=1e-6)
        assert dataset.PatientPosition == "HFS"
        assert (dataset.SliceThickness, dataset.SpacingBetweenSlices) == (4, 6)
    assert len(uids) == 4
    series = {pydicom.dcmread(path).SeriesInstanceUID for path in (tmp_path / "a" / "dicom").iterdir()}
    assert len(series) == 1


def test_images_of_another_size_are_refused(tmp_path):
    with pytest.raises(SeqoptError, match=r"expected \(4, 10, 24\)"), ImageStore(tmp_path / "out" / "deep") as store:
        store.add(marked(), heads_of(placed("axial")))
        store.add(marked()[:, :8], heads_of(placed("axial")))
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_lists_the_known_ones():
    with pytest.raises(SeqoptError, match="known: mrd, nifti, png, dicom, bart, server"):
        require_formats(["jpeg"])


def test_a_preview_of_many_slices_stays_small(tmp_path):
    from matplotlib.image import imread

    out = tmp_path / "out"
    positions = CENTRE_M + np.arange(300)[:, None] * np.array([0, 0, 0.002])
    axes = np.eye(3)
    many = Placement(read_dir=axes[0], phase_dir=axes[1], slice_dir=axes[2], positions_m=positions)
    with ImageStore(out) as store:
        store.add(np.broadcast_to(np.arange(300.0)[:, None, None], (300, *GEOMETRY.shape)), heads_of(many))
        written(store, out, ("png", "nifti"))
    picture = imread(out / "image.png")
    assert max(picture.shape) <= 1024
    assert picture[0, 0, 0] == 0.0
    assert picture[-1, -1, 0] == 1.0  # the last slice is among them
    assert json.loads((out / "recon.json").read_text())["images"] == 300


def test_the_store_keeps_little_of_each_image_in_memory(tmp_path):
    """100 images of 256 x 256 are 25 MiB; 4096 pixels of each, for the grey scale, are 1.6 MiB."""
    placement = placed("axial", slices=1)
    image = np.ones((1, 256, 256), np.float32)
    with ImageStore(tmp_path / "out") as store:
        tracemalloc.start()
        for number in range(100):
            store.add(image + number, heads_of(placement, [number]))
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept < 3 << 20
        assert store.image(57)[3, 4] == 58.0
