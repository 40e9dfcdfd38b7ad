"""The noise of an image against what linear algebra says of it."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.recon.noise_map import NoiseLevel, noise_level, noise_map, outermost_samples


def level(*sigma):
    return NoiseLevel(sigma=np.array(sigma), source="told")


def unitary(samples):
    return np.fft.fft2(samples, norm="ortho").sum(0)


def test_a_unitary_transform_keeps_the_noise_of_its_samples():
    """Coils of 0.3 and 0.4 add to 0.5; half the power lies in phase with the image."""
    samples = np.zeros((2, 64, 64), np.complex64)
    image = unitary(samples) + 10j
    found = noise_map(lambda noisy: unitary(noisy) + 10j, samples, image, level(0.3, 0.4))
    assert np.median(found) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert found.std() < 0.06 * found.mean()


def test_noise_that_a_reconstruction_amplifies_in_one_place_is_seen_there():
    gain = np.ones((64, 64))
    gain[:, 32:] = 3.0
    samples = np.zeros((1, 64, 64), np.complex64)
    found = noise_map(lambda noisy: gain * unitary(noisy), samples, unitary(samples), level(1.0))
    assert found[:, 44:].mean() / found[:, :20].mean() == pytest.approx(3.0, rel=0.05)


def test_the_noise_of_a_magnitude_image_counts_whole():
    """Root sum of squares far above the noise has the noise of the component along the signal."""
    samples = np.full((1, 64, 64), 50.0, np.complex64)
    found = noise_map(lambda noisy: np.abs(noisy[0]), samples, np.abs(samples[0]), level(1.0))
    assert np.median(found) == pytest.approx(1 / np.sqrt(2), rel=0.03)


def test_noise_out_of_phase_with_the_image_does_not_count():
    phase = np.exp(0.7j)
    samples, image = np.zeros((1, 64, 64), np.complex64), np.full((64, 64), 10 * phase)
    for turned, expected in ((phase, 1 / np.sqrt(2)), (1j * phase, 0.0)):
        found = noise_map(lambda noisy, by=turned: image + noisy[0].real * by, samples, image, level(1.0))
        assert np.median(found) == pytest.approx(expected, rel=0.03, abs=1e-6)


def test_equal_seeds_give_equal_maps():
    samples = np.ones((1, 16, 16), np.complex64)
    maps = [noise_map(unitary, samples, unitary(samples), level(1.0), seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_the_noise_readout_is_preferred_and_named():
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(2, 4000, 2)) @ [1, 1j] * np.array([[0.5], [2.0]])
    samples = np.zeros((2, 3, 8), np.complex64)
    known = noise_level(samples, samples, noise, whitened=False)
    assert known.sigma == pytest.approx([0.5 * np.sqrt(2), 2 * np.sqrt(2)], rel=0.03)
    assert "noise readout" in known.source
    assert noise_level(samples, samples, noise, whitened=True).sigma.tolist() == [1.0, 1.0]
    offset = noise_level(samples, samples, noise + 5.0, whitened=False)
    assert offset.sigma == pytest.approx(known.sigma)  # what all samples share is no noise
    without = noise_level(samples + 1, noise / 2, None, whitened=False, averages=np.array([1, 4, 1]))
    assert without.sigma == pytest.approx(known.sigma / 2)
    assert "outermost" in without.source
    assert (without.relative == 1).all()  # they were averaged already


def test_averages_lessen_the_noise_and_nothing_has_none():
    """Of three readouts the second is the mean of four, and the third was never acquired."""
    noise = np.random.default_rng(0).normal(size=(1, 4000, 2)) @ [1, 1j]
    samples = np.ones((1, 3, 64), np.complex64)
    samples[:, 2], samples[:, :, :8] = 0, 0
    for whitened in (True, False):
        known = noise_level(samples, samples, noise, whitened=whitened, averages=np.array([1, 4, 1]))
        relative = np.array([1.0, 0.5, 0.0])[:, None] * (np.arange(64) >= 8)
        assert np.allclose(known.relative, relative)
        found = noise_map(lambda noisy: noisy[0], samples, samples[0], known)
        assert not found[:, :3].any()
    told = NoiseLevel(sigma=np.ones(1), source="told", relative=np.kron([[0.0, 1.0], [0.5, 2.0]], np.ones((32, 32))))
    found = noise_map(lambda noisy: noisy[0], np.zeros((1, 64, 64), np.complex64), np.zeros((64, 64)), told)
    assert [found[24, 40] / found[40, 40], found[40, 24] / found[40, 40]] == pytest.approx([0.5, 0.25], rel=0.15)
    assert found[16, 16] == 0


def test_noise_read_at_another_bandwidth_is_scaled_to_the_images():
    noise = np.random.default_rng(0).normal(size=(1, 4000, 2)) @ [1, 1j]
    samples = np.ones((1, 3, 8), np.complex64)
    same = noise_level(samples, samples, noise, whitened=False).sigma
    scaled = noise_level(samples, samples, noise, whitened=False, noise_dwell_s=2e-6, dwell_s=8e-6).sigma
    assert scaled == pytest.approx(same / 2)


def test_the_outermost_samples_are_those_farthest_from_the_centre():
    k_per_m = np.stack([np.linspace(-100, 100, 201), np.zeros(201)], -1)[None]
    samples = np.abs(k_per_m[None, :, :, 0]).astype(np.complex64)
    outermost = outermost_samples(samples, k_per_m)
    assert outermost.shape == (1, 8)
    assert outermost.real.min() >= 97


def test_levels_for_another_number_of_coils_are_refused():
    samples = np.zeros((2, 8, 8), np.complex64)
    with pytest.raises(SeqoptError, match="for 2 coils"):
        noise_map(unitary, samples, unitary(samples), level(1.0))
