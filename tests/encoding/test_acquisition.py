"""The acquisition inside training against explicit transforms of noisy samples."""

from __future__ import annotations

import numpy as np
import torch
from laws import complex_normal, relative

from seqopt.core import Geometry
from seqopt.encoding.acquisition import Acquisition
from seqopt.encoding.nufft import Nufft

GEOMETRY = Geometry(fov_m=(0.20, 0.26), matrix=(12, 16))
MAPS = complex_normal(3, *GEOMETRY.shape, seed=1).to(torch.complex64)
IMAGES = complex_normal(2, *GEOMETRY.shape, seed=2).to(torch.complex64)


def trajectory() -> torch.Tensor:
    k = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 30, 2)) * np.array(GEOMETRY.k_max_per_m)
    return torch.from_numpy(k)


def acquisition(sigma: float) -> Acquisition:
    return Acquisition(GEOMETRY, MAPS.numpy(), noise_sigma=sigma, tolerance=1e-6)


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_measurement_is_the_weighted_adjoint_of_noisy_samples():
    k, encode, a = trajectory(), acquisition(0.3), Nufft(GEOMETRY, tolerance=1e-6)
    weights = encode.weights(k)
    noise = 0.3 * torch.randn(2, 3, 4, 30, dtype=torch.complex64, generator=generator())
    samples = a.forward(MAPS * IMAGES[:, None], k) + noise
    coil_images = a.adjoint(samples * weights, k)
    measurement = encode.measure(IMAGES, k, weights, generator())
    assert relative(measurement.coil_images(), coil_images) < 1e-4
    assert relative(measurement.combined(), (MAPS.conj() * coil_images).sum(1).resolve_conj()) < 1e-4


def test_the_noise_has_the_standard_deviation_that_was_asked_for():
    """On the Cartesian grid with unit weights A^H is unitary: image noise equals sample noise."""
    axes = [(np.arange(n) - n // 2) / fov for n, fov in zip(GEOMETRY.matrix, GEOMETRY.fov_m, strict=True)]
    k = torch.from_numpy(np.stack(np.meshgrid(*axes), -1))
    nothing = torch.zeros(40, *GEOMETRY.shape, dtype=torch.complex64)
    measured = acquisition(0.3).measure(nothing, k, torch.ones(16, 12), generator()).coil_images()
    assert abs(measured.abs().square().mean().sqrt() / 0.3 - 1) < 0.02


def test_the_same_generator_gives_the_same_noise_and_another_does_not():
    k, encode = trajectory(), acquisition(0.3)
    weights = encode.weights(k)
    first, same, other = (encode.measure(IMAGES, k, weights, generator(seed)).noise for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_signal_has_a_derivative_in_k_and_the_weights_have_none():
    k, encode = trajectory().requires_grad_(), acquisition(0.0)
    weights = encode.weights(k)
    assert not weights.requires_grad
    encode.measure(IMAGES, k, weights, generator()).combined().abs().sum().backward()
    assert k.grad is not None
    assert k.grad.abs().max() > 0


def test_a_spectrum_at_hand_saves_the_kernel_and_changes_nothing():
    k, encode = trajectory(), acquisition(0.0)
    weights = encode.weights(k)
    kept = encode.kernel(k, weights)
    fresh = encode.measure(IMAGES, k, weights, generator()).combined()
    assert torch.equal(encode.measure(IMAGES, k, weights, generator(), spectrum=kept).combined(), fresh)


def test_a_part_of_a_batch_meets_the_noise_that_it_meets_in_the_whole():
    k, encode = trajectory(), acquisition(0.3)
    weights = encode.weights(k)
    whole = encode.measure(IMAGES, k, weights, generator()).combined()
    parts = [
        encode.measure(IMAGES[own], k, weights, generator(), among=(own, 2)).combined()
        for own in (slice(0, 1), slice(1, 2))
    ]
    assert relative(torch.cat(parts), whole) < 1e-6
    assert relative(encode.measure(IMAGES[1:], k, weights, generator()).combined(), whole[1:]) > 1e-3
