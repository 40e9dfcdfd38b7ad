"""Image series and NIfTI keep the geometry; read back by ismrmrd, h5py and nibabel."""

from __future__ import annotations

import h5py
import ismrmrd
import numpy as np
import pytest

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.images import read_images, write_images
from seqopt.mrd.placement import Placement
from seqopt.workflows.pictures import write_nifti, write_png


@pytest.fixture
def geometry():
    return Geometry(fov_m=(0.2, 0.1), matrix=(16, 10), slices=3, slice_thickness_m=0.004, slice_gap_m=0.001)


@pytest.fixture
def oblique(geometry):
    """Directions from two rotations, slices 5 mm apart along the slice direction."""
    a, b = 0.4, -0.7
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    read, phase, normal = (first @ second).T
    centre = np.array([0.01, -0.02, 0.03])
    positions = np.stack([centre + step * normal for step in (-0.005, 0.0, 0.005)])
    return Placement(read_dir=read, phase_dir=phase, slice_dir=normal, positions_m=positions)


@pytest.fixture
def images():
    return np.random.default_rng(2).random((3, 10, 16)).astype(np.float32)


def test_images_come_back_with_geometry_and_meta(images, geometry, oblique, tmp_path):
    path = tmp_path / "images.mrd"
    write_images(path, images, geometry, oblique, meta={"seq_signature": "abc"})
    back, placement = read_images(path)
    assert np.array_equal(back, images)
    assert np.allclose(placement.positions_m, oblique.positions_m, atol=1e-7)
    with ismrmrd.Dataset(str(path), "dataset", mode="r") as dataset:
        image = dataset.read_image("image_0", 2)
    assert image.matrix_size == (16, 10, 1)
    assert list(image.field_of_view) == pytest.approx([200.0, 100.0, 4.0])
    assert image.slice == 2
    assert image.image_type == ismrmrd.IMTYPE_MAGNITUDE
    assert image.meta["seq_signature"] == "abc"
    assert [float(value) for value in image.meta["ImageRowDir"]] == pytest.approx(oblique.read_dir.tolist())
    with h5py.File(path, "r") as file:
        assert np.array_equal(file["dataset/image_0/data"][:, 0, 0], images)
        assert np.allclose(file["dataset/image_0/header"]["position"], 1e3 * oblique.positions_m)


def test_complex_images_stay_complex(images, geometry, oblique, tmp_path):
    write_images(tmp_path / "c.mrd", images * np.complex64(1j), geometry, oblique)
    assert np.array_equal(read_images(tmp_path / "c.mrd")[0], images * np.complex64(1j))


def test_images_of_another_shape_are_refused(images, geometry, oblique, tmp_path):
    with pytest.raises(SeqoptError, match="expected \\(3, 10, 16\\)"):
        write_images(tmp_path / "x.mrd", images.transpose(0, 2, 1), geometry, oblique)


def test_a_truncated_series_is_refused(images, geometry, oblique, tmp_path):
    path = tmp_path / "images.mrd"
    write_images(path, images, geometry, oblique)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SeqoptError, match="cannot be read as an MRD image series"):
        read_images(path)


def test_nifti_places_each_voxel_where_the_directions_say(images, geometry, oblique, tmp_path):
    import nibabel

    write_nifti(tmp_path / "image.nii", images, oblique.affine_ras_mm(geometry))
    nifti = nibabel.load(tmp_path / "image.nii")
    assert nifti.shape == (16, 10, 3)
    assert np.allclose(nifti.header.get_zooms(), (12.5, 10.0, 5.0))
    assert np.allclose(nifti.get_sform(), nifti.get_qform(), atol=1e-4)
    volume = nifti.get_fdata()
    ras_of_lps = np.array([-1, -1, 1])
    for x, y, slice_ in ((0, 0, 0), (8, 5, 1), (15, 2, 2), (3, 9, 0)):
        lps_m = oblique.positions_m[slice_] + (x - 8) * 0.0125 * oblique.read_dir + (y - 5) * 0.01 * oblique.phase_dir
        assert np.allclose(nifti.affine @ [x, y, slice_, 1], [*(ras_of_lps * lps_m * 1e3), 1], atol=1e-4)
        assert volume[x, y, slice_] == images[slice_, y, x]


def test_axial_slices_point_left_posterior_superior(geometry):
    """Columns of the affine: x to the left, y to posterior, slices to the head."""
    affine = Placement.axial(geometry).affine_ras_mm(geometry)
    assert np.allclose(affine[:3, :3], np.diag([-12.5, -10.0, 5.0]))
    assert np.allclose(affine @ [8, 5, 1, 1], [0, 0, 0, 1])


def test_directions_that_are_not_orthonormal_are_refused():
    axes = np.eye(3)
    with pytest.raises(SeqoptError, match="not orthonormal"):
        Placement(read_dir=axes[0], phase_dir=axes[0], slice_dir=axes[2], positions_m=np.zeros((1, 3)))


def test_the_png_shows_the_first_pixel_upper_left(tmp_path):
    from matplotlib.image import imread

    image = np.zeros((1, 64, 32), np.float32)
    image[0, 0, 0] = image[0, 1, 0] = image[0, 0, 1] = image[0, 1, 1] = image[0, 10:30, 5:9] = 1.0
    write_png(tmp_path / "p.png", image)
    grey = imread(tmp_path / "p.png")[..., 0]
    assert grey.shape == (512, 256)
    assert grey[0, 0] == 1.0
    assert grey[-1, -1] == grey[0, -1] == grey[-1, 0] == 0.0
    assert grey[15 * 8, 6 * 8] == 1.0
