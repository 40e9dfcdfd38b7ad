"""RING against signals summed point by point along spokes that were shifted."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.recon.ring import ring_shift, shifted_spokes

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
    assert np.abs(ring_shift(signal(played(k, matrix)), k, FOV_M) - matrix).max() < 0.02


def test_noise_moves_the_estimate_little():
    matrix = np.array([[-0.3, 0.05], [0.05, -0.55]])
    k = spokes(48)
    assert np.abs(ring_shift(signal(played(k, matrix), noise=1.0), k, FOV_M) - matrix).max() < 0.05


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
