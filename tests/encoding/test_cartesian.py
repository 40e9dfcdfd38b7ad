"""Masked Cartesian encoding against direct sums in both dimensions, and its derivative in the line weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import assert_adjoint, assert_derivative, complex_normal, direct_dft_matrix, relative

from seqopt.core import Geometry
from seqopt.encoding.cartesian import CartesianAcquisition, centred_fft2, centred_ifft2
from seqopt.errors import SeqoptError

GEOMETRY = Geometry(fov_m=(0.20, 0.26), matrix=(10, 12))
SHAPE = GEOMETRY.shape  # (12, 10): lines and columns differ, so that an axis mix-up shows
IMAGES = complex_normal(2, *SHAPE, seed=1)
MAPS = complex_normal(3, *SHAPE, seed=2)
OWN_MAPS = complex_normal(2, 3, *SHAPE, seed=3)
WEIGHTS = torch.rand(12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def dft() -> np.ndarray:
    """(ky kx, y x) by the definition, ky and kx ascending, k = 0 at N / 2."""
    kx, ky = ((np.arange(n) - n // 2) / fov for n, fov in zip(GEOMETRY.matrix, GEOMETRY.fov_m, strict=True))
    return direct_dft_matrix(np.stack(np.meshgrid(kx, ky), -1), GEOMETRY)


def by_direct_sums(images: np.ndarray, maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A^H W A S x of each coil, with both axes transformed."""
    matrix, coils = dft(), maps * images[:, None]
    samples = coils.reshape(-1, matrix.shape[1]) @ matrix.T * np.repeat(weights, SHAPE[1])
    return (samples @ matrix.conj()).reshape(coils.shape)


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_centred_transform_is_the_definition_and_its_inverse_the_adjoint():
    expected = (IMAGES.reshape(2, -1).numpy() @ dft().T).reshape(IMAGES.shape)
    assert relative(centred_fft2(IMAGES), expected) < 1e-12
    assert relative(centred_ifft2(centred_fft2(IMAGES)), IMAGES) < 1e-12
    assert_adjoint(centred_fft2, centred_ifft2, IMAGES, complex_normal(2, *SHAPE, seed=6), tolerance=1e-12)


@pytest.mark.parametrize("maps", [MAPS, OWN_MAPS, None], ids=["shared maps", "maps of each image", "one coil"])
def test_a_measurement_is_the_weighted_adjoint_of_the_samples_of_both_axes(maps):
    measurement = CartesianAcquisition(maps).measure(IMAGES, WEIGHTS, generator())
    whole = torch.ones(1, 1, *SHAPE, dtype=torch.complex128) if maps is None else maps.reshape(-1, 3, *SHAPE)
    expected = by_direct_sums(IMAGES.numpy(), whole.numpy(), WEIGHTS.numpy())
    assert relative(measurement.coil_images(), expected) < 1e-12
    combined = (whole.numpy().conj() * expected).sum(1)
    assert relative(measurement.combined(), combined) < 1e-12
    assert relative(measurement.gram(IMAGES), combined) < 1e-12


def test_the_gram_operator_is_its_own_adjoint():
    gram = CartesianAcquisition(MAPS).measure(IMAGES, WEIGHTS, generator()).gram
    assert_adjoint(gram, gram, IMAGES, complex_normal(2, *SHAPE, seed=6), tolerance=1e-11)


def test_maps_of_a_call_stand_in_for_those_of_the_acquisition():
    given = CartesianAcquisition(MAPS).measure(IMAGES, WEIGHTS, generator(), OWN_MAPS)
    own = CartesianAcquisition(OWN_MAPS).measure(IMAGES, WEIGHTS, generator())
    assert torch.equal(given.combined(), own.combined())


def test_a_line_that_is_not_acquired_leaves_no_trace_in_the_image():
    weights = torch.ones(12, dtype=torch.float64)
    weights[7] = 0.0
    image = CartesianAcquisition(noise_sigma=0.1).measure(IMAGES, weights, generator()).combined()
    samples = image.reshape(2, -1).numpy() @ dft().T
    lines = np.abs(samples.reshape(2, *SHAPE)).max((0, 2))
    assert lines[7] < 1e-12
    assert np.delete(lines, 7).min() > 1e-3


def test_the_derivative_in_the_weights_is_that_of_finite_differences_noise_included():
    acquisition = CartesianAcquisition(MAPS, noise_sigma=0.3)
    samples, goal = acquisition.encode(IMAGES, generator()), complex_normal(2, *SHAPE, seed=7)

    def loss(weights: torch.Tensor) -> torch.Tensor:
        measurement = acquisition.measurement(samples, weights)
        return (measurement.combined() - goal).abs().square().sum() + measurement.gram(goal).abs().sum()

    assert_derivative(loss, WEIGHTS, step=1e-6, tolerance=1e-6)


def test_the_noise_has_the_standard_deviation_that_was_asked_for():
    """With every line A^H is unitary: image noise equals sample noise, in real and imaginary part alike."""
    nothing = torch.zeros(80, *SHAPE, dtype=torch.complex64)
    noise = CartesianAcquisition(noise_sigma=0.3).measure(nothing, torch.ones(12), generator()).combined()
    assert abs(noise.abs().square().mean().sqrt() / 0.3 - 1) < 0.03
    assert abs(noise.real.square().mean().sqrt() / 0.3 - 0.5**0.5) < 0.03
    spectrum = centred_fft2(noise).abs().square().mean((0, 2)).sqrt()
    assert abs(spectrum / 0.3 - 1).max() < 0.15  # the same on every line


def test_the_same_generator_gives_the_same_noise_and_another_does_not():
    acquisition = CartesianAcquisition(noise_sigma=0.3)
    first, same, other = (acquisition.encode(IMAGES, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: CartesianAcquisition(noise_sigma=-1.0), "noise sigma"),
        (lambda: CartesianAcquisition(MAPS[0]), "coil maps"),
        (lambda: CartesianAcquisition(MAPS[:, :10]).measure(IMAGES, WEIGHTS, generator()), "do not fit"),
        (lambda: CartesianAcquisition().measure(IMAGES, WEIGHTS[:-1], generator()), "line weights"),
        (lambda: CartesianAcquisition().measure(IMAGES, WEIGHTS + 0j, generator()), "line weights"),
        (lambda: CartesianAcquisition().encode(IMAGES[:, 1:], generator()), "even"),
        (lambda: centred_fft2(IMAGES[:, :, 1:]), "even"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, text):
    with pytest.raises(SeqoptError, match=text) as refused:
        call()
    assert "\n" not in str(refused.value)
