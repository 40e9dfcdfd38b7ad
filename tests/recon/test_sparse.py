"""Total variation and wavelet sparsity against sigpy, and against what a minimum must satisfy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import assert_adjoint, complex_normal, relative

from seqopt.core import Geometry
from seqopt.encoding.density import pipe_menon
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError
from seqopt.images import simulated_coil_maps
from seqopt.recon.cartesian import cartesian_reconstructions
from seqopt.recon.l1_wavelet import WaveletShrinkage
from seqopt.recon.problem import Problem, trajectory_problem
from seqopt.recon.registry import reconstructions
from seqopt.recon.sparse import objective, proximal_gradients
from seqopt.recon.total_variation import TotalVariation, adjoint_differences, differences, total_variation

GEOMETRY = Geometry(fov_m=(0.2, 0.2), matrix=(48, 48))
COILS, SHOTS, SAMPLES = 4, 12, 96


def phantom() -> torch.Tensor:
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    image = 1.0 * (np.hypot(x / 0.8, y) < 0.9) - 0.6 * (np.hypot(x - 0.2, y - 0.1) < 0.3) + 0.5 * (np.abs(x + y) < 0.1)
    return torch.from_numpy(image.astype(np.complex64))


def radial() -> np.ndarray:
    angle = np.arange(SHOTS) * np.pi / SHOTS
    radius = (np.arange(SAMPLES) - SAMPLES // 2) / SAMPLES * 48 / 0.2
    return np.stack([radius * np.cos(angle)[:, None], radius * np.sin(angle)[:, None]], -1)


def scan() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    k = torch.from_numpy(radial())
    maps = torch.from_numpy(simulated_coil_maps(COILS, GEOMETRY))
    samples = Nufft(GEOMETRY).forward((phantom() * maps)[None], k)
    return samples, k, torch.from_numpy(pipe_menon(radial(), GEOMETRY)).float(), maps


def test_the_differences_and_their_adjoint_belong_together():
    image, dual = complex_normal(2, 6, 7, seed=1), complex_normal(2, 2, 6, 7, seed=2)
    assert_adjoint(differences, adjoint_differences, image, dual, tolerance=1e-12)


def test_the_proximal_map_of_total_variation_is_a_minimum():
    """No other image, near or far, gives a smaller value, and enough steps bring the duality gap to nothing."""
    image, level = complex_normal(1, 12, 10, seed=3), torch.tensor([0.3], dtype=torch.float64)
    near = TotalVariation(steps=400)(image, level)

    def value(candidate: torch.Tensor) -> float:
        return float(0.5 * (candidate - image).abs().square().sum() + (level * total_variation(candidate)).sum())

    for seed in range(20):
        for size in (1e-3, 1e-1):
            assert value(near) <= value(near + size * complex_normal(1, 12, 10, seed=seed)) + 1e-9
    dual_value = float(0.5 * (image.abs().square().sum() - near.abs().square().sum()))
    assert value(near) - dual_value < 1e-4 * value(near)


def test_without_weight_the_proximal_maps_change_nothing():
    image, zero = complex_normal(1, 32, 32, seed=3).to(torch.complex64), torch.zeros(1)
    assert torch.equal(TotalVariation()(image, zero), image)
    assert relative(WaveletShrinkage()(image, zero), image) < 1e-6


def test_total_variation_reaches_the_value_of_a_primal_dual_solver_on_sigpys_operators():
    """Chambolle and Pock's method, which shares neither the encoding nor the steps, from sigpy's linear operators."""
    sigpy = pytest.importorskip("sigpy")
    samples, k, weights, maps = scan()
    problem = trajectory_problem(samples, k, weights, maps, GEOMETRY)
    share = 0.003
    threshold = share * problem.right_hand_side.abs().amax((1, 2))
    ours = proximal_gradients(problem, TotalVariation(), iterations=100, regularisation=share)
    root = weights.sqrt().numpy()
    nufft = sigpy.linop.NUFFT((COILS, 48, 48), (radial() * 0.2)[..., ::-1], oversamp=2.0, width=6)
    encode = sigpy.linop.Multiply(nufft.oshape, root) * nufft * sigpy.linop.Multiply((48, 48), maps.numpy())
    data, image = samples[0].numpy() * root, np.zeros((48, 48), np.complex64)
    ahead, residual, dual = image, np.zeros_like(data), np.zeros((2, 48, 48), np.complex64)
    length = 1 / np.sqrt(8 + 4)  # norms: 8 of the differences squared, and less than 4 of the encoding
    for _ in range(200):
        residual = (residual + length * (encode(ahead) - data)) / (1 + length)
        dual = dual + length * differences(torch.from_numpy(ahead)[None])[:, 0].numpy()
        dual = dual / np.maximum(1, np.sqrt((np.abs(dual) ** 2).sum(0)) / float(threshold))
        turned = adjoint_differences(torch.from_numpy(dual)[:, None])[0].numpy()
        fresh = (image - length * (encode.H(residual) + turned)).astype(np.complex64)
        ahead, image = 2 * fresh - image, fresh
    theirs = torch.from_numpy(image)[None]
    mine, other = (float(objective(problem, total_variation(one), one, threshold)) for one in (ours, theirs))
    assert mine < other + 1e-3 * abs(other)
    assert relative(ours, theirs) < 0.02


def test_few_spokes_suffice_where_the_prior_holds():
    samples, k, weights, maps = scan()
    errors = {
        method: relative(reconstructions[method](samples, k, weights, maps, GEOMETRY)[0], phantom())
        for method in ("cg-sense", "l1-wavelet", "tv")
    }
    assert errors["tv"] < 0.5 * errors["cg-sense"]
    assert errors["l1-wavelet"] < 0.9 * errors["cg-sense"]


def test_lines_are_filled_in_too():
    mask = torch.zeros(48, dtype=torch.bool)
    mask[::3] = mask[18:30] = True
    maps = torch.from_numpy(simulated_coil_maps(COILS, GEOMETRY))
    samples = torch.fft.fftshift(
        torch.fft.fft2(torch.fft.ifftshift(phantom() * maps, dim=(-2, -1)), norm="ortho"), dim=(-2, -1)
    )[None]
    errors = {
        method: relative(cartesian_reconstructions[method](samples, mask, maps)[0], phantom())
        for method in ("zero-filled", "tv")
    }
    assert errors["tv"] < 0.3 * errors["zero-filled"]


def test_steps_follow_the_curvature_and_the_value_reaches_the_minimum():
    """A quadratic whose minimum is known: eigenvalues 0.01 to 30, and a first step that is far too long."""
    diagonal = torch.logspace(-2, 1.5, 64).reshape(1, 8, 8)
    right = complex_normal(1, 8, 8, seed=4).to(torch.complex64) * (diagonal < 1)
    problem = Problem(lambda image: diagonal * image, right)
    residuals: list[float] = []
    found = proximal_gradients(problem, lambda image, _: image, iterations=600, regularisation=0.0, residuals=residuals)
    assert relative(found, right / diagonal) < 1e-3
    assert len(residuals) == 600


@pytest.mark.parametrize("method", ["cg-sense", "l1-wavelet", "tv"])
def test_samples_too_large_for_single_precision_are_refused(method):
    samples, k, weights, maps = scan()
    with pytest.raises(SeqoptError, match="scaled wrongly"):
        reconstructions[method](samples * 1e30, k, weights, maps, GEOMETRY, iterations=3)
