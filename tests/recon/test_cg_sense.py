"""CG-SENSE against dense algebra in double precision, and the reconstructions by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import assert_derivative, complex_normal, direct_dft_matrix, relative

from seqopt.core import Geometry
from seqopt.encoding.density import pipe_menon
from seqopt.encoding.gram import GramKernel, shifted_maps
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError
from seqopt.recon.cg_sense import conjugate_gradients
from seqopt.recon.registry import reconstructions, root_sum_of_squares

GEOMETRY = Geometry(fov_m=(0.20, 0.24), matrix=(8, 10))
COILS, SHOTS, SAMPLES = 4, 6, 20
REGULARISATION = 0.05


def trajectory() -> torch.Tensor:
    k = np.random.default_rng(0).uniform(-1.0, 1.0, (SHOTS, SAMPLES, 2)) * np.array(GEOMETRY.k_max_per_m)
    return torch.from_numpy(k)


def weights() -> torch.Tensor:
    return torch.from_numpy(pipe_menon(trajectory().numpy(), GEOMETRY))


def smooth_maps() -> torch.Tensor:
    """(1, coils, y, x), sum of squares 1 in each pixel."""
    y, x = np.meshgrid(np.linspace(-1, 1, 10), np.linspace(-1, 1, 8), indexing="ij")
    places = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    raw = np.stack([np.exp(-((x - a) ** 2 + (y - b) ** 2) + 1j * (a * x + 2 * b * y)) for a, b in places])
    return torch.from_numpy(raw / np.sqrt((np.abs(raw) ** 2).sum(0)))[None]


def dense_system() -> tuple[np.ndarray, np.ndarray]:
    """E (coils * points, pixels) and the weights of its rows."""
    a = direct_dft_matrix(trajectory().numpy(), GEOMETRY)
    encode = np.concatenate([a * s for s in smooth_maps()[0].reshape(COILS, -1).numpy()])
    return encode, np.tile(weights().numpy().ravel(), COILS)


def samples() -> torch.Tensor:
    return complex_normal(2, COILS, SHOTS, SAMPLES, seed=4)


def exact_solution() -> np.ndarray:
    encode, w = dense_system()
    normal = encode.conj().T @ (w[:, None] * encode) + REGULARISATION * np.eye(encode.shape[1])
    rhs = encode.conj().T @ (w[:, None] * samples().reshape(2, -1).numpy().T)
    return np.linalg.solve(normal, rhs).T.reshape(2, *GEOMETRY.shape)


def reconstruct(k: torch.Tensor, *, iterations: int, **options) -> torch.Tensor:
    """In double precision throughout, through the same functions that training uses."""
    a = Nufft(GEOMETRY, tolerance=1e-12)
    maps = smooth_maps()
    rhs = (a.adjoint(samples() * weights(), k) * maps.conj()).sum(1)
    spectrum = GramKernel(GEOMETRY, tolerance=1e-12)(k, weights())
    return conjugate_gradients(
        rhs, spectrum, shifted_maps(maps), iterations=iterations, regularisation=REGULARISATION, **options
    )


def test_enough_iterations_solve_the_normal_equations():
    assert relative(reconstruct(trajectory(), iterations=80), exact_solution()) < 1e-5


def test_the_named_reconstruction_solves_them_in_single_precision():
    image = reconstructions["cg-sense"](
        samples().to(torch.complex64),
        trajectory(),
        weights().float(),
        smooth_maps()[0].to(torch.complex64),
        GEOMETRY,
        iterations=60,
        regularisation=REGULARISATION,
    )
    assert image.dtype == torch.complex64
    assert relative(image, exact_solution()) < 1e-3


def test_residuals_are_relative_and_fall():
    residuals: list[float] = []
    reconstruct(trajectory(), iterations=40, residuals=residuals)
    assert len(residuals) == 40
    assert residuals[-1] < 1e-4
    assert all(later < 0.7 * earlier for earlier, later in zip(residuals[::10], residuals[10::10], strict=False))


def test_the_residual_reported_is_that_of_the_normal_equations():
    residuals: list[float] = []
    image = reconstruct(trajectory(), iterations=4, residuals=residuals).reshape(2, -1).numpy()
    encode, w = dense_system()
    normal = encode.conj().T @ (w[:, None] * encode) + REGULARISATION * np.eye(encode.shape[1])
    rhs = (encode.conj().T @ (w[:, None] * samples().reshape(2, -1).numpy().T)).T
    worst = (np.linalg.norm(rhs - image @ normal.T, axis=1) / np.linalg.norm(rhs, axis=1)).max()
    assert abs(residuals[-1] / worst - 1) < 1e-4


def test_the_derivative_in_k_through_all_iterations_agrees_with_finite_differences():
    target = complex_normal(2, *GEOMETRY.shape, seed=8)

    def loss(k: torch.Tensor) -> torch.Tensor:
        return (reconstruct(k, iterations=5) - target).abs().pow(2).sum()

    assert_derivative(loss, trajectory(), step=1e-4, tolerance=1e-4)


def test_images_of_a_batch_do_not_mix():
    both = reconstruct(trajectory(), iterations=5)
    a = Nufft(GEOMETRY, tolerance=1e-12)
    rhs = (a.adjoint(samples()[:1] * weights(), trajectory()) * smooth_maps().conj()).sum(1)
    spectrum = GramKernel(GEOMETRY, tolerance=1e-12)(trajectory(), weights())
    alone = conjugate_gradients(rhs, spectrum, shifted_maps(smooth_maps()), iterations=5, regularisation=REGULARISATION)
    assert relative(alone[0], both[0]) < 1e-9


def test_a_zero_image_stays_zero():
    zero = torch.zeros(1, *GEOMETRY.shape, dtype=torch.complex64)
    spectrum = GramKernel(GEOMETRY)(trajectory(), weights()).float()
    shifted = shifted_maps(smooth_maps().to(torch.complex64))
    assert conjugate_gradients(zero, spectrum, shifted, iterations=3, regularisation=0.01).abs().max() == 0


def test_the_adjoint_needs_no_maps_and_is_the_root_sum_of_squares():
    encode = direct_dft_matrix(trajectory().numpy(), GEOMETRY)
    coil_images = (samples() * weights()).reshape(2, COILS, -1).numpy() @ encode.conj()
    truth = np.sqrt((np.abs(coil_images) ** 2).sum(1)).reshape(2, *GEOMETRY.shape)
    image = reconstructions["adjoint"](samples(), trajectory(), weights(), None, GEOMETRY)
    assert relative(image, truth) < 1e-4


def test_the_root_sum_of_squares_has_a_derivative_at_zero():
    zero = torch.zeros(1, 2, 4, 4, dtype=torch.complex64, requires_grad=True)
    (gradient,) = torch.autograd.grad(root_sum_of_squares(zero).sum(), zero)
    assert gradient.abs().max() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations: got 0"),
        ({"regularisation": -0.1}, "regularisation: got -0.1"),
        ({"maps": None}, "needs coil maps"),
    ],
)
def test_senseless_options_are_refused(options, message):
    maps = options.pop("maps", smooth_maps()[0])
    with pytest.raises(SeqoptError, match=message):
        reconstructions["cg-sense"](samples(), trajectory(), weights(), maps, GEOMETRY, **options)


def test_an_unknown_reconstruction_is_refused_with_the_known_names():
    assert {"adjoint", "cg-sense", "unet"} <= set(reconstructions)
    with pytest.raises(
        SeqoptError, match=r"unknown reconstruction 'grappa'; known: adjoint, cg-sense, l1-wavelet, tv, unet"
    ):
        reconstructions["grappa"]


def test_a_name_is_given_once():
    with pytest.raises(SeqoptError, match="registered twice"):
        reconstructions.register("adjoint")(reconstructions["adjoint"])
