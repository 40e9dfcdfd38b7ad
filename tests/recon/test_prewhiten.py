from __future__ import annotations

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.recon.prewhiten import noise_covariance, prewhiten, whitening_matrix


def correlated(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (4, count) with a known mixing matrix."""
    generator = np.random.default_rng(9)
    mixing = generator.standard_normal((4, 4)) + 1j * generator.standard_normal((4, 4)) + 3 * np.eye(4)
    generator = np.random.default_rng(seed)
    white = (generator.standard_normal((4, count)) + 1j * generator.standard_normal((4, count))) / np.sqrt(2)
    return mixing @ white, mixing


def test_the_covariance_is_that_of_the_mixing():
    noise, mixing = correlated(200_000)
    truth = mixing @ mixing.conj().T
    assert np.abs(noise_covariance(noise) - truth).max() < 0.02 * np.abs(truth).max()


def test_whitened_noise_has_unit_variance_and_no_correlation():
    measured, _ = correlated(50_000)
    fresh, _ = correlated(50_000, seed=1)
    whitened = prewhiten(fresh[None, :, None, :], whitening_matrix(noise_covariance(measured)))[0, :, 0]
    assert np.abs(np.cov(whitened) - np.eye(4)).max() < 0.03


def test_a_wider_noise_bandwidth_is_accounted_for():
    """Noise read at a dwell of 2 us has twice the power of imaging noise at 4 us."""
    noise, _ = correlated(1000)
    same = noise_covariance(noise)
    scaled = noise_covariance(noise, noise_dwell_s=2e-6, dwell_s=4e-6)
    assert np.allclose(scaled, same / 2)


def test_each_sample_is_transformed_on_its_own():
    generator = np.random.default_rng(3)
    samples = generator.standard_normal((2, 4, 3, 5)) + 1j * generator.standard_normal((2, 4, 3, 5))
    matrix = generator.standard_normal((4, 4)) + 0j
    assert np.allclose(prewhiten(samples, matrix)[1, :, 2, 3], matrix @ samples[1, :, 2, 3], atol=1e-5)


@pytest.mark.parametrize(
    ("noise", "saying"),
    [
        (np.ones((4, 5)), "got 5 samples for 4 coils"),
        (np.zeros((2, 100)), "nothing but zeros"),
        (np.full((2, 100), np.nan), "NaN"),
    ],
)
def test_unusable_noise_is_refused(noise, saying):
    with pytest.raises(SeqoptError, match=saying):
        noise_covariance(noise)


def test_two_coils_with_one_noise_are_refused():
    noise, _ = correlated(100)
    with pytest.raises(SeqoptError, match="singular"):
        whitening_matrix(noise_covariance(np.stack([noise[0], noise[0]])))
