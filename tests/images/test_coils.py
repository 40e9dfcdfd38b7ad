"""Simulated coil maps: normalised, smooth, distinct, and one for each patient where a generator is given."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.images import simulated_coil_maps

GEOMETRY = Geometry(fov_m=(0.22, 0.22), matrix=(96, 96))


@pytest.mark.parametrize("coils", [1, 2, 4, 8, 16, 32])
def test_root_sum_of_squares_is_one_everywhere(coils):
    maps = simulated_coil_maps(coils, GEOMETRY)
    assert maps.shape == (coils, 96, 96) and maps.dtype == np.complex64
    np.testing.assert_allclose(np.linalg.norm(maps, axis=0), 1.0, atol=2e-6)


def test_maps_are_y_by_x_for_an_oblong_field_of_view():
    oblong = Geometry(fov_m=(0.2, 0.1), matrix=(64, 32))
    assert simulated_coil_maps(3, oblong).shape == (3, 32, 64)


@pytest.mark.parametrize("seed", [None, 3])
def test_maps_are_smooth_hardly_anything_lies_beyond_6_cycles_a_field_of_view(seed):
    generator = None if seed is None else np.random.default_rng(seed)
    maps = simulated_coil_maps(8, GEOMETRY, generator=generator)
    window = np.hanning(96)  # the maps do not repeat at the border, a transform takes them to
    energy = np.abs(np.fft.fftshift(np.fft.fft2(maps * window[:, None] * window), axes=(1, 2))) ** 2
    centre = slice(48 - 6, 48 + 7)
    beyond = 1 - energy[:, centre, centre].sum(axis=(1, 2)) / energy.sum(axis=(1, 2))
    assert beyond.max() < 1e-4
    steps = [np.abs(np.diff(maps, axis=axis)).max() for axis in (1, 2)]
    assert max(steps) < 0.2


def test_coils_see_different_places_with_different_phases():
    maps = simulated_coil_maps(8, GEOMETRY).reshape(8, -1).astype(complex)
    maps /= np.linalg.norm(maps, axis=1, keepdims=True)
    overlap = np.abs(maps.conj() @ maps.T) - np.eye(8)
    assert overlap.max() < 0.9
    assert np.linalg.cond(maps @ maps.conj().T) < 1e3
    peaks = np.abs(maps).argmax(axis=1)
    assert len(set(peaks)) == 8


def test_maps_of_one_generator_state_are_the_same_and_of_another_patient_differ():
    first, again, other = (
        simulated_coil_maps(4, GEOMETRY, generator=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05


@pytest.mark.parametrize("coils", [0, -1, 129])
def test_a_senseless_number_of_coils_is_refused(coils):
    with pytest.raises(SeqoptError, match=f"coils: got {coils}, expected 1..128"):
        simulated_coil_maps(coils, GEOMETRY)
