"""NIfTI, NumPy and folders: geometry from headers, scale, limits, and one clear line for what is wrong."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.images import READERS, load_images

FOV_M, MATRIX = 0.128, 64  # 2 mm pixels


def box() -> np.ndarray:
    """(x, y, z) = 80 x 80 x 12 voxels, RAS; a box of 40 x 30 voxels with a bright right anterior quarter."""
    volume = np.zeros((80, 80, 12), np.float32)
    volume[20:60, 25:55] = 0.5
    volume[40:60, 40:55] = 1.0
    return volume


def write_nifti(path: Path, volume: np.ndarray, voxel_mm: tuple[float, float, float], *, unit: str = "mm") -> Path:
    scale = {"mm": 1.0, "meter": 1e-3}[unit]
    image = nibabel.Nifti1Image(volume, np.diag([*(size * scale for size in voxel_mm), 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def load(path: Path, **options: object):
    return load_images(path, matrix=MATRIX, fov_m=FOV_M, **options)  # type: ignore[arg-type]


def refused(path: Path, saying: str, **options: object) -> None:
    with pytest.raises(SeqoptError) as error:
        load(path, **options)
    assert saying in str(error.value) and "\n" not in str(error.value)
    assert path.name in str(error.value)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mgz"])
def test_a_volume_keeps_its_size_in_millimetres_and_its_orientation(tmp_path, ending):
    path = tmp_path / f"box{ending}"
    if ending == ".mgz":
        nibabel.save(nibabel.MGHImage(box(), np.diag([2.0, 1.0, 3.0, 1.0])), path)
    else:
        write_nifti(path, box(), (2.0, 1.0, 3.0))
    images = load(path).images
    inside = images[0] > 0.25
    assert inside.any(axis=0).sum() == pytest.approx(40, abs=1)  # 40 voxels of 2 mm along x
    assert inside.any(axis=1).sum() == pytest.approx(15, abs=1)  # 30 voxels of 1 mm along y
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    assert abs(rows[[0, -1]].mean() - 32) <= 1 and abs(columns[[0, -1]].mean() - 32) <= 1
    assert images[0][28, 20] == pytest.approx(1.0, abs=0.1)  # right is left, anterior is up
    assert images[0][36, 44] == pytest.approx(0.5, abs=0.1)


def test_orientation_and_unit_come_from_the_header(tmp_path):
    plain = load(write_nifti(tmp_path / "ras.nii", box(), (2.0, 1.0, 3.0))).images
    metres = load(write_nifti(tmp_path / "metres.nii", box(), (2.0, 1.0, 3.0), unit="meter")).images
    np.testing.assert_allclose(metres, plain, atol=1e-5)
    turned = np.ascontiguousarray(box()[::-1].transpose(1, 0, 2))  # stored as anterior, left, superior
    affine = np.array([[0.0, -2.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(turned, affine), tmp_path / "turned.nii")
    np.testing.assert_allclose(load(tmp_path / "turned.nii").images, plain, atol=1e-5)


def test_thin_slices_get_wider_gaps_than_thick_ones(tmp_path):
    thin = load(write_nifti(tmp_path / "thin.nii", box(), (2.0, 1.0, 1.0)))
    thick = load(write_nifti(tmp_path / "thick.nii", box(), (2.0, 1.0, 5.0)))
    assert len(thin.images) == 12 - 2 * 3 and len(thick.images) == 12 - 2 * 1  # 3 mm or one slice, twice


def test_whatever_the_scale_of_the_file_images_come_out_near_one(tmp_path):
    for index, factor in enumerate((1e-9, 1.0, 3e4)):
        path = tmp_path / f"{index}.npy"
        np.save(path, factor * box().transpose(2, 1, 0))
        assert np.quantile(load(path).images, 0.999) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float16, np.float64, np.complex64, bool])
def test_every_kind_of_number_is_taken(tmp_path, kind):
    np.save(tmp_path / "a.npy", (100 * box().transpose(2, 1, 0)).astype(kind))
    images = load(tmp_path / "a.npy").images
    assert images.dtype == (np.complex64 if kind is np.complex64 else np.float32)
    assert np.abs(images).max() < 1.6


def test_arrays_fill_the_field_of_view_unless_they_name_their_pixels(tmp_path):
    stack = box().transpose(2, 1, 0)
    np.save(tmp_path / "plain.npy", stack)
    np.savez(tmp_path / "sized.npz", images=stack, voxel_m=1e-3, other=np.zeros(3))
    filling = (load(tmp_path / "plain.npy").images[0] > 0.25).any(axis=0).sum()
    sized = (load(tmp_path / "sized.npz").images[0] > 0.25).any(axis=0).sum()
    assert filling == pytest.approx(40 * 64 / 80, abs=1) and sized == pytest.approx(20, abs=1)


def test_an_array_on_the_same_grid_is_not_interpolated(tmp_path):
    stack = np.random.default_rng(0).random((9, MATRIX, MATRIX)).astype(np.float32)
    np.save(tmp_path / "a.npy", stack)
    loaded = load(tmp_path / "a.npy")
    level = np.quantile(stack, 0.999)
    np.testing.assert_allclose(loaded.images[0], stack[0] / level, atol=1e-5)


def test_a_folder_is_searched_through_and_split_by_files(tmp_path):
    for index in range(6):
        (tmp_path / "deep").mkdir(exist_ok=True)
        stack = box().transpose(2, 1, 0) * (1 + 0.1 * np.arange(12))[:, None, None]
        np.save(tmp_path / "deep" / f"subject{index}.npy", stack)
    (tmp_path / "notes.txt").write_text("no image")
    images = load(tmp_path)
    assert len(images.images) == 72 and "6 files" in images.source
    few = load(tmp_path, limit=6)
    assert 3 <= len(few.images) <= 6


@pytest.mark.parametrize("files", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("limit", [3, 4, 6])
def test_a_small_limit_never_makes_enough_images_too_few(tmp_path, files, limit):
    for index in range(files):
        np.save(tmp_path / f"{index}.npy", box()[::4, ::4].transpose(2, 1, 0))
    assert 3 <= len(load_images(tmp_path, matrix=16, fov_m=FOV_M, limit=limit).images) <= limit


def test_a_limit_below_one_image_a_split_is_refused():
    with pytest.raises(SeqoptError, match="limit: got 2 images, expected at least 3"):
        load_images(None, matrix=32, fov_m=0.22, limit=2)


def test_a_path_without_images_is_refused(tmp_path):
    refused(tmp_path / "nowhere", "no images at")
    refused(tmp_path, "holds no images; expected files that end in")
    (tmp_path / "a.jpg").write_bytes(b"x")
    refused(tmp_path / "a.jpg", "unknown kind of image file, expected one of .nii")


def test_damaged_and_foreign_nifti_are_refused(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).random((16, 16, 9)), (1, 1, 1))
    path.write_bytes(path.read_bytes()[:900])
    refused(path, "truncated or foreign")
    (tmp_path / "b.nii").write_bytes(b"hello" * 200)
    refused(tmp_path / "b.nii", "truncated or foreign")
    refused(write_nifti(tmp_path / "c.nii", np.ones((16, 16, 9, 3)), (1, 1, 1)), "expected (x, y, z)")
    refused(write_nifti(tmp_path / "d.nii", np.full((16, 16, 9), np.nan), (1, 1, 1)), "NaN or infinity")
    refused(write_nifti(tmp_path / "e.nii", np.zeros((16, 16, 9)), (1, 1, 1)), "only zeros")
    refused(write_nifti(tmp_path / "f.nii", np.ones((16, 16, 9)), (900, 900, 900)), "voxel sizes")


WRONG_ARRAYS = {
    "dims": (np.ones((3, 3, 16, 16)), "expected (n, y, x)"),
    "small": (np.ones((9, 4, 4)), "at least 8 x 8"),
    "scalar": (np.float64(1.0), "expected (n, y, x)"),
    "nan": (np.full((9, 16, 16), np.nan), "NaN or infinity"),
    "zeros": (np.zeros((9, 16, 16)), "only zeros"),
    "words": (np.full((9, 16, 16), "a"), "expected real or complex numbers"),
    "records": (np.zeros((9, 16, 16), dtype=[("a", "f4")]), "expected real or complex numbers"),
    "huge": (np.full((9, 16, 16), 1e300), "scale the images down"),
    "few": (np.ones((4, 16, 16)), "got 4 slices, expected at least 5"),
    "one": (np.ones((16, 16)), "got 1 slice, expected at least 5"),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_an_array_that_is_no_stack_of_images_is_refused(tmp_path, name):
    array, saying = WRONG_ARRAYS[name]
    np.save(tmp_path / f"{name}.npy", array)
    refused(tmp_path / f"{name}.npy", saying)


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("must-not-exist",))


def test_pickled_arrays_are_refused_and_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trap = np.array([Trap()], dtype=object)
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "b.npz", images=trap)
    for name in ("a.npy", "b.npz"):
        refused(tmp_path / name, "pickled Python objects")
    assert not Path("must-not-exist").exists()


def test_damaged_and_foreign_numpy_files_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((9, 16, 16)))
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    refused(path, "truncated or foreign")
    path.write_bytes(whole.replace(b"(9, 16, 16), }         ", b"(9000000, 16000, 1600)}"))
    refused(path, "truncated or foreign")
    path.write_bytes(b"")
    refused(path, "truncated or foreign")
    packed = tmp_path / "b.npz"
    np.savez_compressed(packed, images=np.random.default_rng(0).random((9, 16, 16)))
    broken = bytearray(packed.read_bytes())
    broken[200:4000] = b"\xff" * 3800
    packed.write_bytes(broken)
    refused(packed, "truncated or foreign")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("a.txt", "x")
    refused(tmp_path / "c.npz", "without NumPy arrays")
    np.savez(tmp_path / "d.npz", a=np.ones(3), b=np.ones(3))
    refused(tmp_path / "d.npz", "got arrays a, b, expected one named images")
    for voxel, saying in (
        (1.0, "was it given in mm?"),
        (np.ones(3), "expected one number"),
        ("x", "expected one number"),
    ):
        np.savez(tmp_path / "e.npz", images=np.ones((9, 16, 16)), voxel_m=voxel)
        refused(tmp_path / "e.npz", saying)


def test_a_senseless_grid_is_refused():
    for matrix, fov_m in ((33, 0.22), (0, 0.22), (64, 220.0)):
        with pytest.raises(SeqoptError, match="expected"):
            load_images(None, matrix=matrix, fov_m=fov_m)


def test_every_known_ending_has_a_reader():
    assert list(READERS) == [".nii", ".nii.gz", ".mgz", ".npy", ".npz", ".h5", ".hdf5", ".mrd"]


def test_a_real_brain_of_a_person_can_be_loaded():
    path = Path(os.environ.get("SEQOPT_TEST_DATA", "shared/data")) / "brain_freesurfer" / "norm.mgz"
    if not path.exists():
        pytest.skip("no real volume here; name its folder in SEQOPT_TEST_DATA")
    images = load_images(path, matrix=128, fov_m=0.22)
    inside = images.images.max(axis=0) > 0.1
    voxel_mm = images.voxel_m * 1e3
    assert 120 < inside.any(axis=0).sum() * voxel_mm < 165 < inside.any(axis=1).sum() * voxel_mm < 200
    assert len(images.splits["train"]) > 40
