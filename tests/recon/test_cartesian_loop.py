"""Reconstructions inside the choice of lines against dense linear algebra and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import assert_derivative, complex_normal, relative

from seqopt.encoding.cartesian import CartesianAcquisition, CartesianMeasurement
from seqopt.errors import SeqoptError
from seqopt.recon.cartesian_loop import CartesianCgSense, ZeroFilled, cartesian_in_loop

SHAPE = (8, 6)
IMAGES = complex_normal(2, *SHAPE, seed=1)
MAPS = complex_normal(3, *SHAPE, seed=2)
MAPS = MAPS / MAPS.abs().square().sum(0).sqrt()
MASK = torch.tensor([0, 1, 0, 1, 1, 1, 0, 1], dtype=torch.float64)


def measurement(weights: torch.Tensor, maps: torch.Tensor | None = MAPS, sigma: float = 0.1) -> CartesianMeasurement:
    return CartesianAcquisition(maps, noise_sigma=sigma).measure(IMAGES, weights, torch.Generator().manual_seed(3))


def test_zero_filled_is_the_magnitude_of_the_combined_image_and_exact_with_every_line():
    some = measurement(MASK)
    assert relative(ZeroFilled()(some), some.combined().abs()) < 1e-8
    assert relative(ZeroFilled()(measurement(torch.ones(8, dtype=torch.float64), sigma=0.0)), IMAGES.abs()) < 1e-8


def test_without_maps_zero_filled_is_the_root_sum_of_squares_of_the_coils():
    """As `seqopt recon` combines them: numpy's FFT of each coil."""
    some = measurement(MASK, sigma=0.0)
    coils = IMAGES[:, None] * MAPS
    samples = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(coils, axes=-2), axis=-2), axes=-2) * MASK.numpy()[:, None]
    images = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(samples, axes=-2), axis=-2), axes=-2)
    expected = np.sqrt((np.abs(images) ** 2).sum(1))
    assert relative(ZeroFilled(by_maps=False)(some), expected) < 1e-8
    assert relative(ZeroFilled()(some), expected) > 0.01
    everything = measurement(torch.ones(8, dtype=torch.float64), sigma=0.0)
    assert relative(ZeroFilled(by_maps=False)(everything), IMAGES.abs()) < 1e-8


def test_cg_sense_solves_the_normal_equations():
    """The operator as a dense matrix, inverted by numpy."""
    some, pixels = measurement(MASK), IMAGES[0].numel()
    basis = torch.eye(pixels, dtype=torch.complex128).reshape(pixels, *SHAPE)
    matrix = CartesianMeasurement(torch.empty(0), MASK, MAPS[None]).gram(basis).reshape(pixels, pixels).T.numpy()
    right = some.combined().reshape(2, -1).numpy()
    expected = np.linalg.solve(matrix + 0.05 * np.eye(pixels), right.T).T.reshape(IMAGES.shape)
    assert relative(CartesianCgSense(40, 0.05)(some), np.abs(expected)) < 1e-4
    assert relative(ZeroFilled()(some), np.abs(expected)) > 0.1


@pytest.mark.parametrize(
    "recon",
    [ZeroFilled(), ZeroFilled(by_maps=False), CartesianCgSense(5, 0.05)],
    ids=["zero-filled", "without maps", "cg-sense"],
)
@pytest.mark.parametrize("weights", [MASK, 0.2 + 0.6 * MASK], ids=["mask", "between"])
def test_the_derivative_in_the_weights_is_that_of_finite_differences(recon, weights):
    """At the mask as well: there the derivative in a line that is not acquired decides."""
    goal = IMAGES.abs()
    assert_derivative(lambda w: (recon(measurement(w)) - goal).square().sum(), weights, step=1e-6, tolerance=1e-5)


def test_with_one_coil_cg_sense_is_zero_filled_shrunk_and_ranks_lines_alike():
    """It converges in one iteration; the ones after it must not turn rounding errors into derivatives."""
    gradients = []
    for recon, factor in ((ZeroFilled(), 1.0), (CartesianCgSense(6, 0.05), 1.05)):
        weights = MASK.float().requires_grad_()
        images = IMAGES.to(torch.complex64)
        some = CartesianAcquisition().measure(images, weights, torch.Generator())
        estimate = recon(some) * factor
        gradients.append(torch.autograd.grad((estimate - images.abs()).square().sum(), weights)[0][MASK == 0])
    assert relative(gradients[1], gradients[0]) < 1e-3


def test_an_empty_image_stays_empty_and_has_a_derivative():
    weights = MASK.clone().requires_grad_()
    nothing = CartesianAcquisition(MAPS).measure(torch.zeros_like(IMAGES), weights, torch.Generator())
    for name in cartesian_in_loop:
        estimate = cartesian_in_loop[name].of_recipe(iterations=4, regularisation=0.01, channels=0)(nothing)
        assert estimate.max() < 1e-4
        assert bool(torch.isfinite(torch.autograd.grad(estimate.sum(), weights)[0]).all())


@pytest.mark.parametrize(("numbers", "text"), [((0, 0.1), "iterations"), ((3, 0.0), "regularisation")])
def test_impossible_settings_are_refused(numbers, text):
    with pytest.raises(SeqoptError, match=text):
        CartesianCgSense(*numbers)
