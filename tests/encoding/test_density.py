"""Density weights are cell areas in (1/FOV)^2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import relative
from scipy.ndimage import gaussian_filter

from seqopt.core import Geometry
from seqopt.encoding.density import analytic, pipe_menon, pipe_menon_torch
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError

GEOMETRY = Geometry(fov_m=(0.20, 0.26), matrix=(32, 40))


def spokes(geometry: Geometry, *, shots: int, samples: int) -> np.ndarray:
    along = (np.arange(samples) - samples // 2) / (samples / 2)
    angle = np.arange(shots) * np.pi / shots
    direction = np.stack([np.cos(angle), np.sin(angle)], -1) * np.array(geometry.k_max_per_m)
    return along[None, :, None] * direction[:, None]


def cartesian(geometry: Geometry) -> np.ndarray:
    axes = [(np.arange(n) - n // 2) / fov for n, fov in zip(geometry.matrix, geometry.fov_m, strict=True)]
    return np.stack(np.meshgrid(*axes), -1)


def test_a_cartesian_grid_has_weights_of_one():
    weights = pipe_menon(cartesian(GEOMETRY), GEOMETRY)
    assert weights.shape == (40, 32)
    assert np.abs(weights[3:-3, 3:-3] - 1.0).max() < 0.02


def test_a_grid_twice_as_dense_has_weights_of_a_quarter():
    wide = Geometry(fov_m=(0.40, 0.52), matrix=(64, 80))
    weights = pipe_menon(cartesian(wide), GEOMETRY)
    assert np.abs(weights[6:-6, 6:-6] - 0.25).max() < 0.01


def test_a_sample_taken_twice_counts_once():
    once = cartesian(GEOMETRY)
    weights = pipe_menon(np.concatenate([once, once]), GEOMETRY).reshape(2, 40, 32)
    assert np.abs(weights.sum(0)[3:-3, 3:-3] - 1.0).max() < 0.02


def test_radial_weights_grow_with_the_distance_from_the_centre():
    """Dense spokes share a ring's area: pi |k| dk / shots for a full spoke, in units of (1/FOV)^2."""
    geometry = Geometry(fov_m=(0.22, 0.22), matrix=(32, 32))
    shots, samples = 64, 64
    k = spokes(geometry, shots=shots, samples=samples)
    weights = pipe_menon(k, geometry, iterations=40)
    radius = np.linalg.norm(k, axis=-1)[0] * geometry.fov_m[0]
    spacing = 32 / samples
    ideal = np.pi * radius * spacing / shots
    middle = (radius > 3) & (radius < 12)  # the rim has neighbours on one side only
    assert np.abs(weights.mean(0)[middle] / ideal[middle] - 1).max() < 0.05
    each = weights[:, middle].mean(1)
    assert np.ptp(each) < 0.1 * each.mean()  # every spoke alike


def test_weights_of_dense_spokes_sum_to_the_covered_area():
    k = spokes(GEOMETRY, shots=128, samples=96)
    area = np.pi * 16 * 20  # ellipse with the semi-axes N / 2, in (1/FOV)^2
    assert abs(pipe_menon(k, GEOMETRY).sum() / area - 1) < 0.12  # the rim gets half a kernel more


def test_the_weighted_adjoint_of_dense_samples_is_the_image():
    """W = 1 per (1/FOV)^2 goes with the unitary A: no scale is left over."""
    k = torch.from_numpy(spokes(GEOMETRY, shots=128, samples=96))
    image = np.zeros(GEOMETRY.shape)
    image[12:26, 10:20] = 1.0
    image = gaussian_filter(image, 2.0)
    weights = torch.from_numpy(pipe_menon(k.numpy(), GEOMETRY))
    a = Nufft(GEOMETRY)
    truth = torch.from_numpy(image).to(torch.complex128)
    samples = a.forward(truth[None, None], k)
    assert relative(a.adjoint(samples * weights, k)[0, 0], truth) < 0.03
    assert relative(a.adjoint(samples, k)[0, 0], truth) > 0.3  # without weights it is not


def test_far_and_shifted_trajectories_are_weighted_alike():
    k = spokes(GEOMETRY, shots=16, samples=64)
    moved = k + np.array([40.0, -30.0]) / np.array(GEOMETRY.fov_m)
    assert np.allclose(pipe_menon(moved, GEOMETRY), pipe_menon(k, GEOMETRY), rtol=1e-6)


def spirals(geometry: Geometry, *, shots: int, samples: int) -> np.ndarray:
    share = np.arange(samples) / samples
    angle = 20 * share + 2 * np.pi * np.arange(shots)[:, None] / shots
    return (share * np.stack([np.cos(angle), np.sin(angle)])).transpose(1, 2, 0) * np.array(geometry.k_max_per_m)


@pytest.mark.parametrize(
    "k",
    [
        spokes(GEOMETRY, shots=16, samples=64),
        spirals(GEOMETRY, shots=5, samples=200),
        cartesian(GEOMETRY),
        np.random.default_rng(0).uniform(-130.0, 130.0, (7, 90, 2)),  # beyond k-max too
        spokes(GEOMETRY, shots=16, samples=64) + 500.0,
    ],
    ids=["spokes", "spirals", "cartesian", "random", "far away"],
)
def test_the_weights_made_on_a_device_are_those_made_on_the_cpu(k):
    ours = pipe_menon_torch(torch.from_numpy(k).float(), GEOMETRY)
    wanted = pipe_menon(k.astype(np.float32).astype(float), GEOMETRY)
    assert ours.shape == wanted.shape
    assert np.abs(ours.numpy() / wanted - 1.0).max() < 1e-4
    assert np.ptp(wanted) > 1e-3


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_weights_of_a_gpu_are_those_of_the_cpu():
    k = spokes(GEOMETRY, shots=16, samples=64)
    ours = pipe_menon_torch(torch.from_numpy(k).cuda(), GEOMETRY)
    assert ours.is_cuda
    assert np.abs(ours.cpu().numpy() / pipe_menon(k, GEOMETRY) - 1.0).max() < 1e-4


def rotated(path: np.ndarray, shots: int, *, turn: float = 2 * np.pi) -> np.ndarray:
    """(shots, samples, 2) in 1/m of one path in 1/FOV, turned evenly."""
    angle = np.arange(shots) * turn / shots
    matrix = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1)
    return np.einsum("sij,nj->sni", matrix, path) / 0.2


def spoke() -> np.ndarray:
    along = (np.arange(128) - 64) / 2
    return np.stack([along, 0 * along], -1)


def spiral(turns: float) -> np.ndarray:
    share = np.linspace(0, 1, 3000)
    return (32 * share * np.exp(2j * np.pi * turns * share)).view(float).reshape(-1, 2)


SQUARE = Geometry(fov_m=(0.2, 0.2), matrix=(64, 64))


@pytest.mark.parametrize(
    "k", [rotated(spoke(), 110, turn=np.pi), rotated(spiral(4), 9), rotated(spiral(33), 1), rotated(spoke()[64:], 220)]
)
def test_analytic_areas_tile_the_disc(k):
    """Of Nyquist-sampled spokes, interleaved and single spirals and spokes from the centre: each ring has its area."""
    areas = analytic(k, SQUARE)
    radius = np.linalg.norm(k, axis=-1) * 0.2
    for inner, outer in ((4, 12), (12, 20), (20, 30)):
        ring = areas[(radius >= inner) & (radius < outer)].sum()
        assert abs(ring / (np.pi * (outer**2 - inner**2)) - 1) < 0.04


def test_beyond_nyquist_the_ramp_is_flat():
    areas = analytic(rotated(spoke(), 20, turn=np.pi), SQUARE)
    radius = np.abs((np.arange(128) - 64) / 2)
    nyquist = 20 / np.pi
    assert np.allclose(areas[:, radius > nyquist + 1][:, 1:-1], 0.5)
    inside = (radius > 1) & (radius < nyquist - 1)
    assert np.allclose(areas[0, inside], 0.5 * radius[inside] * np.pi / 20)


def test_spokes_divide_the_angles_between_them():
    """At 0, 20 and 90 degrees of a half circle they own 55, 45 and 80, and at the centre a disc together."""
    along, angle = (np.arange(128) - 64) / 16, np.radians([0.0, 20.0, 90.0])
    k = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None] / 0.2
    areas = analytic(k, SQUARE)
    assert np.allclose(areas[:, 72], 0.5 / 16 * np.radians([55, 45, 80]))
    assert areas[:, 64].sum() == pytest.approx(np.pi / 4 / 16**2)


def test_spokes_at_uneven_angles_share_the_circle_by_their_neighbours():
    angle = np.radians(111.246) * np.arange(34)
    k = np.stack([spoke()[:, :1] * np.cos(angle), spoke()[:, :1] * np.sin(angle)], -1).transpose(1, 0, 2) / 0.2
    areas = analytic(k, SQUARE)
    inside = np.abs(np.linalg.norm(k, axis=-1) * 0.2 - 4) < 1.1
    assert np.ptp(areas[:, 72]) > 0.1 * areas[:, 72].mean()
    assert abs(areas[inside].sum() / (np.pi * (5.25**2 - 2.75**2)) - 1) < 0.05


def test_analytic_and_fixed_point_weights_agree_where_both_hold():
    k = rotated(spoke(), 110, turn=np.pi)
    radius = np.linalg.norm(k, axis=-1) * 0.2
    inside = (radius > 3) & (radius < 28)
    assert np.median(np.abs(analytic(k, SQUARE) / pipe_menon(k, SQUARE) - 1)[inside]) < 0.05


def test_shots_that_are_no_rotations_of_one_another_are_refused():
    with pytest.raises(SeqoptError, match="rotations of one"):
        analytic(np.random.default_rng(0).uniform(-100, 100, (4, 50, 2)), SQUARE)
    back = np.concatenate([spiral(4)[::40], spiral(4)[::-40]])
    with pytest.raises(SeqoptError, match="outwards"):
        analytic(rotated(back, 4), SQUARE)
