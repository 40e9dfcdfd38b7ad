"""A field map of a file at the pixels of slices: against a field that is linear in the patient's space."""

from __future__ import annotations

import numpy as np
import pytest
from oriented import CENTRE_M, GEOMETRY, placed, point_mm

from seqopt.errors import SeqoptError
from seqopt.workflows.field_map_file import FieldMapFile

RAS = np.array([-1.0, -1.0, 1.0])


def linear_hz(ras_mm: np.ndarray) -> np.ndarray:
    return ras_mm @ [0.3, -0.7, 1.1] + 5.0


def map_of(affine: np.ndarray, shape: tuple[int, int, int]) -> FieldMapFile:
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    volume_hz = linear_hz(index @ affine[:3, :3].T + affine[:3, 3])
    return FieldMapFile(name="map.nii", volume_hz=volume_hz, affine_ras_mm=affine)


@pytest.mark.parametrize("name", ["axial", "oblique", "double oblique sagittal", "left-handed"])
def test_a_linear_field_is_found_at_every_pixel(name):
    """On a coarse map about the slices, whose axes are the patient's."""
    placement, shape, notes = placed(name), (14, 16, 22), []
    affine = np.diag([25.0, -20.0, 15.0, 1.0])
    affine[:3, 3] = 1e3 * CENTRE_M * RAS - affine[:3, :3] @ (np.array(shape) - 1) / 2
    found = map_of(affine, shape).at(placement, GEOMETRY, notes)
    for x, y, slice_ in ((0, 0, 0), (23, 9, 3), (7, 2, 1), (12, 5, 2)):
        assert found[slice_, y, x] == pytest.approx(linear_hz(point_mm(placement, x, y, slice_) * RAS))
    assert notes == ["the field map map.nii was resampled to the slices by its affine"]


def test_a_map_on_the_images_own_grid_is_taken_as_it_is_and_one_between_is_said():
    placement, notes = placed("oblique"), []
    own = map_of(placement.affine_ras_mm(GEOMETRY), (*GEOMETRY.matrix, 4))
    assert np.allclose(own.at(placement, GEOMETRY, notes), own.volume_hz.T)
    assert notes == []
    between = placement.affine_ras_mm(GEOMETRY) @ [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    map_of(between, (*GEOMETRY.matrix, 4)).at(placement, GEOMETRY, notes)
    assert notes == ["the field map map.nii was resampled to the slices by its affine"]


@pytest.mark.parametrize("voxels", [1, -1])
def test_a_map_that_ends_a_voxel_short_of_the_slices_is_refused_with_the_place(voxels):
    placement = placed("axial")
    affine = placement.affine_ras_mm(GEOMETRY)
    affine[:3, 3] += voxels * affine[:3, 2]
    x, y, z = 1e3 * placement.positions_m[0 if voxels > 0 else 3] * RAS
    with pytest.raises(SeqoptError, match=rf"covers 0 % of the slice at \({x:.1f}, {y:.1f}, {z:.1f}\) mm \(RAS\)"):
        map_of(affine, (*GEOMETRY.matrix, 4)).at(placement, GEOMETRY, [])


def test_a_map_without_affine_is_taken_by_the_numbers_of_its_slices():
    volume_hz = np.random.default_rng(0).normal(size=(*GEOMETRY.matrix, 4))
    plain = FieldMapFile(name="map.nii", volume_hz=volume_hz, affine_ras_mm=None)
    assert np.array_equal(plain.of_numbers(GEOMETRY, [2, 3], 4), [volume_hz[..., 2].T, volume_hz[..., 3].T])
    with pytest.raises(SeqoptError, match=r"24 x 10 x 4 pixels .* the images 24 x 10 x 5"):
        plain.of_numbers(GEOMETRY, [0], 5)
