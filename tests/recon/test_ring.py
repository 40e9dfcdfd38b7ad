"""RING against signals summed point by point along spokes that were shifted."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.mrd.scan import read_scan
from seqopt.recon.ring import ring_shift, shifted_spokes
from seqopt.workflows.example import write_example

FOV_M = (0.2, 0.25)


def spokes(shots: int = 16, samples: int = 128, *, golden: bool = False) -> np.ndarray:
    angle = np.radians(111.246) * np.arange(shots) if golden else np.arange(shots) * np.pi / shots
    along = (np.arange(samples) - samples // 2) / 2
    return np.stack([along * np.cos(angle)[:, None], along * np.sin(angle)[:, None]], -1) / np.array(FOV_M)


def signal(k: np.ndarray, *, coils: int = 4, noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    place = rng.uniform(-0.35, 0.35, (60, 2)) * np.array(FOV_M)
    turns = place / np.array(FOV_M) @ rng.normal(size=(2, coils)) * 2
    weight = rng.uniform(0.5, 1.5, 60) * np.exp(1j * (rng.normal(size=(coils, 1)) + turns.T))
    clean = np.einsum("snp,cp->csn", np.exp(-2j * np.pi * k @ place.T), weight)
    return clean + noise * (rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape))


def played(k: np.ndarray, shift: np.ndarray) -> np.ndarray:
    ends = (k[:, -1] - k[:, 0]) * np.array(FOV_M)
    direction = ends / np.linalg.norm(ends, axis=-1, keepdims=True)
    return k + (direction @ shift)[:, None] / np.array(FOV_M)


@pytest.mark.parametrize("golden", [False, True])
@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (-0.3, 0.0, -0.55), (0.8, -0.25, 0.1), (-1.2, 0.15, -0.9)])
def test_the_three_parameters_of_the_shift_are_found(shift, golden):
    matrix = np.array([[shift[0], shift[1]], [shift[1], shift[2]]])
    k = spokes(golden=golden)
    assert np.abs(ring_shift(signal(played(k, matrix)), k, FOV_M).shift - matrix).max() < 0.02


def test_noise_moves_the_estimate_little():
    matrix = np.array([[-0.3, 0.05], [0.05, -0.55]])
    k = spokes(48)
    assert np.abs(ring_shift(signal(played(k, matrix), noise=1.0), k, FOV_M).shift - matrix).max() < 0.05


@pytest.mark.parametrize("coils", [2, 4])
def test_a_tenth_of_a_sample_is_found_and_nothing_where_nothing_is(coils):
    k = spokes(48, golden=True)
    small = np.diag([0.1, 0.06])
    for noise in (0.0, 0.5):
        assert ring_shift(signal(played(k, small), coils=coils, noise=noise), k, FOV_M).is_found(0.05)
        assert not ring_shift(signal(k, coils=coils, noise=noise), k, FOV_M).is_found(0.05)


def test_what_chance_says_is_not_found():
    """One coil leaves curves on which two spokes agree; noise alone agrees anywhere."""
    k = spokes(32, golden=True)
    rng = np.random.default_rng(0)
    alone = [signal(k, coils=1) + 0.2 * complex_noise(rng, (1, *k.shape[:2])) for _ in range(6)]
    noise = [complex_noise(rng, (6, *k.shape[:2])) for _ in range(6)]
    found = [ring_shift(samples, k, FOV_M) for samples in (*alone, *noise)]
    assert sum(np.abs(one.shift).max() >= 0.05 for one in found) >= 4
    assert not any(one.is_found(0.05) for one in found)


def complex_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=(*shape, 2)) @ [1, 1j]


def test_the_standard_error_is_that_of_many_scans():
    k = spokes(32, golden=True)
    rng = np.random.default_rng(1)
    clean = signal(k)
    found = [ring_shift(clean + 3.0 * complex_noise(rng, clean.shape), k, FOV_M) for _ in range(12)]
    spread = np.std([one.shift[[0, 1], [0, 1]] for one in found])
    said = np.sqrt(np.mean([one.error[[0, 1], [0, 1]] ** 2 for one in found]))
    assert 0.7 * spread < said < 2 * spread


def test_a_delay_in_vivo_is_found(tmp_path):
    pytest.importorskip("mrbabel_data")
    write_example("invivo", tmp_path / "scan.mrd")
    data = read_scan(tmp_path / "scan.mrd").kspace
    k, fov_m = data.k_per_m[:48], data.geometry.fov_m
    known = 0.1 * np.eye(2)
    found = [
        ring_shift(data.samples[0, :, :48], shifted_spokes(k, shift, fov_m), fov_m) for shift in (0 * known, -known)
    ]
    assert found[1].is_found(0.05)
    assert np.allclose(found[1].shift - found[0].shift, known, atol=0.01)


def test_the_corrected_spokes_are_those_that_were_played():
    matrix = np.array([[-0.3, 0.1], [0.1, -0.55]])
    k = spokes(golden=True)
    assert np.allclose(shifted_spokes(k, matrix, FOV_M), played(k, matrix), atol=1e-9)


def test_other_trajectories_are_refused():
    along = np.linspace(0, 1, 128)[:, None] * 60
    spiral = np.stack([along * np.cos(along), along * np.sin(along)], -1)[:, 0][None].repeat(8, 0)
    for k in (spiral, spokes(3), spokes()[:, 64:], spokes() + np.array([20.0, 0.0])):
        with pytest.raises(SeqoptError, match="RING needs"):
            ring_shift(np.ones((1, *k.shape[:2]), complex), k, FOV_M)
