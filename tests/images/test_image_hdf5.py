"""fastMRI-layout HDF5 and MRD image files, written here: pixels where they belong, and refusals in one line."""

from __future__ import annotations

from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.images import load_images, simulated_coil_maps

FOV_M, MATRIX, SLICES = 0.22, 32, 9


def object_images(rows: int, columns: int) -> np.ndarray:
    """(slices, y, x) of a box off the centre, inside the central 32 x 32 pixels of a larger grid."""
    images = np.zeros((SLICES, rows, columns))
    y, x = rows // 2, columns // 2
    images[:, y - 12 : y + 4, x - 6 : x + 10] = np.linspace(0.5, 1.0, 16)
    images *= np.linspace(0.8, 1.0, SLICES)[:, None, None]
    return images


def to_kspace(images: np.ndarray) -> np.ndarray:
    shifted = np.fft.ifftshift(images, axes=(-2, -1))
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(-2, -1)).astype(np.complex64)


def header(points: tuple[int, int], fov_mm: tuple[float, float]) -> str:
    space = (
        "<{0}><matrixSize><x>{1}</x><y>{2}</y></matrixSize><fieldOfView_mm><x>{3}</x><y>{4}</y></fieldOfView_mm></{0}>"
    )
    inner = space.format("encodedSpace", *points, *fov_mm) + space.format("reconSpace", MATRIX, MATRIX, 220.0, 220.0)
    return f'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>{inner}</encoding></ismrmrdHeader>'


def write(path: Path, **datasets: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            if data is None:
                file.create_group(name)
            else:
                file[name.replace("__", "/")] = data
    return path


def load(path: Path):
    return load_images(path, matrix=MATRIX, fov_m=FOV_M)


def refused(path: Path, saying: str) -> None:
    with pytest.raises(SeqoptError) as error:
        load(path)
    assert saying in str(error.value) and "\n" not in str(error.value)
    assert path.name in str(error.value)


def same_pictures(loaded, rows: int, columns: int) -> None:
    """The first and last image equal the centre of the object, up to the scale of the volume."""
    y, x = rows // 2 - MATRIX // 2, columns // 2 - MATRIX // 2
    wanted = object_images(rows, columns)[:, y : y + MATRIX, x : x + MATRIX]
    for index in (0, -1):
        got = np.abs(loaded.images[index])
        np.testing.assert_allclose(got / got.max(), wanted[index] / wanted[index].max(), atol=2e-4)
    assert np.abs(loaded.images).max() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("rows", "columns"), [(64, 40), (64, 37), (32, 32)])
def test_single_coil_kspace_comes_out_complex_and_cropped_to_the_field_of_view(tmp_path, rows, columns):
    kspace = to_kspace(object_images(rows, columns) * np.exp(0.7j))
    shown = np.zeros((SLICES, MATRIX, MATRIX), np.float32)
    loaded = load(write(tmp_path / "a.h5", kspace=kspace, reconstruction_rss=shown))
    assert loaded.images.dtype == np.complex64
    same_pictures(loaded, rows, columns)
    inside = np.abs(loaded.images) > 0.3
    np.testing.assert_allclose(np.angle(loaded.images[inside]), 0.7, atol=1e-3)


def test_many_coils_are_combined_by_root_sum_of_squares(tmp_path):
    maps = simulated_coil_maps(4, Geometry(fov_m=(0.22, 0.44), matrix=(40, 64)))
    kspace = to_kspace(object_images(64, 40)[:, None] * maps)
    loaded = load(write(tmp_path / "a.h5", kspace=kspace, ismrmrd_header=header((64, 40), (440.0, 275.0))))
    assert loaded.images.dtype == np.float32
    same_pictures(loaded, 64, 40)


def test_the_header_tells_the_field_of_view_whichever_way_the_readout_lies(tmp_path):
    kspace = to_kspace(object_images(64, 40))
    for index, (points, fov_mm) in enumerate((((64, 40), (440.0, 275.0)), ((40, 64), (275.0, 440.0)))):
        loaded = load(write(tmp_path / f"{index}.h5", kspace=kspace, ismrmrd_header=header(points, fov_mm)))
        same_pictures(loaded, 64, 40)


def test_a_finer_acquisition_is_low_passed_and_keeps_its_place(tmp_path):
    kspace = to_kspace(object_images(64, 64).repeat(2, axis=1).repeat(2, axis=2))  # 128 x 128 over twice the FOV
    loaded = load(write(tmp_path / "a.h5", kspace=kspace, ismrmrd_header=header((128, 128), (440.0, 440.0))))
    got = np.abs(loaded.images[0]) > 0.3
    wanted = object_images(32, 32)[0] > 0.2
    assert np.count_nonzero(got != wanted) <= 16 + 16 + 4  # half a pixel at two edges at most


def test_reconstructions_alone_will_do(tmp_path):
    path = write(tmp_path / "a.hdf5", reconstruction_rss=object_images(32, 32).astype(np.float32))
    same_pictures(load(path), 32, 32)
    oblong = write(tmp_path / "b.h5", reconstruction_esc=object_images(32, 20))
    assert load(oblong).images.shape[1:] == (MATRIX, MATRIX)


def test_files_of_varying_size_make_one_set(tmp_path):
    shown = np.zeros((SLICES, MATRIX, MATRIX), np.float32)
    for index, columns in enumerate((36, 37, 40, 48, 50)):
        write(tmp_path / f"{index}.h5", kspace=to_kspace(object_images(64, columns)), reconstruction_rss=shown)
    loaded = load(tmp_path)
    assert loaded.images.shape == (5 * SLICES, MATRIX, MATRIX)
    assert [len(loaded.splits[name]) for name in ("train", "validation", "test")] == [27, 9, 9]


@pytest.mark.parametrize("kind", [np.float32, np.complex64])
def test_an_mrd_image_series_is_read_with_its_field_of_view(tmp_path, kind):
    path = tmp_path / "scan.mrd"
    with ismrmrd.Dataset(str(path), "dataset", mode="w") as dataset:
        for image in object_images(64, 32)[:, 16:48]:
            made = ismrmrd.Image.from_array(image.astype(kind), transpose=False)
            made.field_of_view = (220.0, 220.0, 5.0)
            dataset.append_image("image_0", made)
    loaded = load(path)
    assert loaded.images.dtype == kind
    same_pictures(loaded, 32, 32)


GOOD = {"kspace": to_kspace(object_images(32, 32))}
WRONG = {
    "dims": ({"kspace": np.ones((16, 16), np.complex64)}, "expected complex (slices, coils, y, x) or (slices, y, x)"),
    "real": ({"kspace": np.ones((9, 16, 16))}, "expected complex"),
    "group": ({"kspace": None}, "kspace is a group"),
    "small": ({"kspace": np.ones((9, 4, 4), np.complex64)}, "at least 8 x 8"),
    "none": ({"kspace": np.ones((0, 16, 16), np.complex64)}, "at least 8 x 8"),
    "nan": ({"kspace": np.full((9, 16, 16), np.nan + 0j)}, "NaN or infinity"),
    "zeros": ({"kspace": np.zeros((9, 16, 16), np.complex64)}, "only zeros"),
    "mask": ({**GOOD, "mask": np.ones(32)}, "undersampled"),
    "xml": ({**GOOD, "ismrmrd_header": "<a><b>"}, "ismrmrd_header is damaged"),
    "xml_group": ({**GOOD, "ismrmrd_header": None}, "truncated or foreign"),
    "fov": ({**GOOD, "ismrmrd_header": header((32, 32), (0.22, 0.22))}, "field of view of"),
    "recon_dims": ({"reconstruction_rss": np.ones((16, 16))}, "expected (slices, y, x)"),
    "recon_group": ({"reconstruction_rss": None}, "truncated or foreign"),
    "recon_nan": ({"reconstruction_rss": np.full((9, 16, 16), np.inf)}, "NaN or infinity"),
    "raw": ({"dataset__data": np.ones(3), "dataset__xml": "x"}, "raw MRD data and no images"),
    "series": ({"dataset__image_0__data": np.ones((9, 16, 16))}, "expected (n, channels, z, y, x)"),
    "series_header": ({"dataset__image_0__data": np.ones((9, 1, 1, 16, 16))}, "truncated or foreign"),
    "foreign": ({"weights": np.ones(3)}, "holds weights, expected fastMRI's kspace"),
    "few": ({"kspace": GOOD["kspace"][:3]}, "got 3 slices, expected at least 5"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_not_what_it_should_be_is_refused(tmp_path, name):
    datasets, saying = WRONG[name]
    refused(write(tmp_path / f"{name}.h5", **datasets), saying)


def test_truncated_and_foreign_files_are_refused(tmp_path):
    path = write(tmp_path / "a.h5", **GOOD)
    path.write_bytes(path.read_bytes()[:3000])
    refused(path, "truncated or foreign")
    for content in (b"", b"not hdf5 at all" * 50):
        path.write_bytes(content)
        refused(path, "truncated or foreign")
