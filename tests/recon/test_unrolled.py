"""The unrolled reconstruction: what it solves, its derivatives, its training, its weights and what becomes of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from designs import radial_path
from laws import assert_derivative, direct_dft_matrix, relative

from seqopt.core import Geometry
from seqopt.encoding.acquisition import Acquisition
from seqopt.encoding.density import pipe_menon
from seqopt.encoding.gram import GramKernel, shifted_maps
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError
from seqopt.images import simulated_coil_maps
from seqopt.recon.cg_sense import conjugate_gradients
from seqopt.recon.in_loop import AdjointUnet, CgSense, in_loop, load_stored, make_in_loop, stored
from seqopt.recon.registry import reconstructions
from seqopt.recon.unrolled import Unrolled

GEOMETRY = Geometry(fov_m=(0.20, 0.24), matrix=(12, 14))
COILS = 4


def trajectory() -> torch.Tensor:
    k = np.random.default_rng(0).uniform(-1.0, 1.0, (6, 30, 2)) * np.array(GEOMETRY.k_max_per_m)
    return torch.from_numpy(k)


def weights() -> torch.Tensor:
    return torch.from_numpy(pipe_menon(trajectory().numpy(), GEOMETRY))


def maps() -> torch.Tensor:
    return torch.from_numpy(simulated_coil_maps(COILS, GEOMETRY))


def discs(index: int, size: int | tuple[int, int] = GEOMETRY.shape, count: int = 2) -> torch.Tensor:
    """Complex (count, y, x): ellipses of random place, size and level under a linear phase."""
    ny, nx = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng([5, index])
    y, x = np.meshgrid(np.linspace(-1, 1, ny), np.linspace(-1, 1, nx), indexing="ij")
    images = []
    for _ in range(count):
        shapes = [(rng.uniform(-0.5, 0.5, 2), rng.uniform(0.1, 0.6, 2), rng.uniform(0.2, 1.0)) for _ in range(5)]
        image = sum(level * ((((y - a[0]) / r[0]) ** 2 + ((x - a[1]) / r[1]) ** 2) < 1) for a, r, level in shapes)
        images.append(image * np.exp(1j * (rng.uniform(-1, 1) * x + rng.uniform(-3, 3))))
    return torch.from_numpy(np.stack(images).astype(np.complex64))


def trained(**settings: object) -> Unrolled:
    """One whose denoiser does something, as it does not before training."""
    torch.manual_seed(0)
    network = Unrolled(**{"channels": 4, "levels": 2, **settings})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network


def samples(k: torch.Tensor) -> torch.Tensor:
    return Nufft(GEOMETRY, tolerance=1e-6).forward(maps() * discs(0)[:, None], k)


def dense_tikhonov(regularisation: float) -> np.ndarray:
    """The normal equations formed and solved in double precision, from the definition of the transform."""
    a = direct_dft_matrix(trajectory().numpy(), GEOMETRY)
    encode = np.concatenate([a * one for one in maps().reshape(COILS, -1).numpy().astype(complex)])
    w = np.tile(weights().numpy().ravel(), COILS)
    normal = encode.conj().T @ (w[:, None] * encode) + regularisation * np.eye(encode.shape[1])
    data = (encode @ discs(0).reshape(2, -1).numpy().T.astype(complex)) * w[:, None]
    return np.linalg.solve(normal, encode.conj().T @ data).T.reshape(2, *GEOMETRY.shape)


def test_untrained_it_is_cg_sense_of_its_regularisation():
    network = Unrolled(4, 2, start_iterations=60, iterations=30, regularisation=0.05)
    measurement = Acquisition(GEOMETRY, maps().numpy(), noise_sigma=0.0, tolerance=1e-6).measure(
        discs(0), trajectory(), weights().float(), torch.Generator()
    )
    with torch.no_grad():
        image = network(measurement)
        peer = CgSense(60, 0.05)(measurement)
    assert relative(image, np.abs(dense_tikhonov(0.05))) < 1e-3
    assert relative(image, peer) < 1e-3


def test_untrained_with_few_iterations_each_cascade_comes_nearer_to_it():
    """The proximal steps never leave what the first CG iterations reached."""
    normal = normal_equations()
    errors = []
    for cascades in (0, 1, 2, 4):
        network = Unrolled(4, 2, cascades=cascades, regularisation=0.05)
        with torch.no_grad():
            errors.append(relative(network.restore(*normal), dense_tikhonov(0.05)))
    assert all(later < 0.95 * earlier for earlier, later in pairwise(errors)), errors


def normal_equations() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    k = trajectory()
    coil_images = Nufft(GEOMETRY, tolerance=1e-6).adjoint(samples(k) * weights().float(), k)
    rhs = (coil_images * maps().conj()).sum(1)
    return rhs, GramKernel(GEOMETRY)(k, weights().float()).float(), shifted_maps(maps()[None])


def test_cg_from_a_start_and_a_prior_solves_its_own_normal_equations():
    right, spectrum, shifted = normal_equations()
    prior = discs(3)
    weight = torch.tensor(0.3)
    solved = conjugate_gradients(
        right + weight * prior, spectrum, shifted, iterations=40, regularisation=0.01 + weight, start=prior
    )
    residuals: list[float] = []
    conjugate_gradients(
        right + weight * prior,
        spectrum,
        shifted,
        iterations=1,
        regularisation=0.01 + weight,
        start=solved,
        residuals=residuals,
    )
    assert residuals[0] < 1e-5
    a = direct_dft_matrix(trajectory().numpy(), GEOMETRY)
    encode = np.concatenate([a * one for one in maps().reshape(COILS, -1).numpy().astype(complex)])
    w = np.tile(weights().numpy().ravel(), COILS)
    normal = encode.conj().T @ (w[:, None] * encode) + 0.31 * np.eye(encode.shape[1])
    dense = np.linalg.solve(normal, (right + 0.3 * prior).reshape(2, -1).numpy().T.astype(complex))
    assert relative(solved, dense.T.reshape(2, *GEOMETRY.shape)) < 1e-4


def test_offline_and_in_training_give_the_same_image():
    acquisition = Acquisition(GEOMETRY, maps().numpy(), noise_sigma=0.0, tolerance=1e-6)
    network, k = trained(), trajectory()
    with torch.no_grad():
        inside = network(acquisition.measure(discs(0), k, weights().float(), torch.Generator()))
        plain = Unrolled(4, 2)(acquisition.measure(discs(0), k, weights().float(), torch.Generator()))
    method, kept = stored(network)
    assert method == "unrolled"
    offline = reconstructions["unrolled"](
        samples(k), k, weights().float(), maps(), GEOMETRY, network_weights=kept, iterations=99
    )
    assert relative(inside, plain) > 0.02  # the denoiser does something
    assert relative(offline.abs(), inside) < 1e-4


@pytest.mark.parametrize("unit", [1e-5, 1e4])
def test_the_output_is_in_the_unit_of_the_data(unit):
    right, spectrum, shifted = normal_equations()
    network = trained()
    with torch.no_grad():
        image = network.restore(right, spectrum, shifted)
        assert relative(network.restore(unit * right, spectrum, shifted) / unit, image) < 1e-3


def test_a_zero_image_stays_finite():
    right, spectrum, shifted = normal_equations()
    with torch.no_grad():
        image = trained().restore(torch.zeros_like(right), spectrum, shifted)
    assert bool(torch.isfinite(torch.view_as_real(image)).all())


def test_the_derivative_in_k_agrees_with_finite_differences():
    network, target = trained().double(), discs(4).abs().double()
    images, some_maps = discs(0).to(torch.complex128), maps().to(torch.complex128)[None]
    a, kernel = Nufft(GEOMETRY, tolerance=1e-12), GramKernel(GEOMETRY, tolerance=1e-12)
    shifted = shifted_maps(some_maps)

    def loss(k: torch.Tensor) -> torch.Tensor:
        right = (a.adjoint(a.forward(some_maps * images[:, None], k) * weights(), k) * some_maps.conj()).sum(1)
        image = network.restore(right, kernel(k, weights()), shifted)
        return (image.abs() - target).square().sum()

    assert_derivative(loss, trajectory(), step=1e-5, tolerance=1e-4)


def test_every_weight_learns():
    network = trained()
    network.restore(*normal_equations()).abs().square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_training_beats_cg_sense_on_images_it_has_not_seen():
    geometry = Geometry(fov_m=(0.22, 0.22), matrix=(32, 32))
    acquisition = Acquisition(geometry, simulated_coil_maps(4, geometry), noise_sigma=0.1)
    k = torch.tensor(radial_path(geometry, 8, 64).k_per_m, dtype=torch.float32)
    density = acquisition.weights(k)
    spectrum = acquisition.kernel(k, density)

    def error(recon: torch.nn.Module, index: int, count: int = 2) -> torch.Tensor:
        images = discs(index, 32, count)
        generator = torch.Generator().manual_seed(index)
        estimate = recon(acquisition.measure(images, k, density, generator, spectrum=spectrum))
        return (estimate - images.abs()).square().mean()

    torch.manual_seed(0)
    network = make_in_loop("unrolled", iterations=8, regularisation=0.01, channels=16)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    with torch.no_grad():
        before = float(error(network, 1000, 8))
        peers = [float(error(CgSense(n, value), 1000, 8)) for n in (4, 8, 16) for value in (0.01, 0.1, 0.3)]
    for index in range(60):
        optimiser.zero_grad()
        error(network, index).backward()
        optimiser.step()
    with torch.no_grad():
        after = float(error(network, 1000, 8))
    assert after < 0.6 * before
    assert after < 0.8 * min(peers)


@pytest.mark.parametrize("name", ["unrolled", "adjoint+unet"])
def test_what_is_stored_loads_into_another_and_gives_the_same_images(name):
    geometry = Geometry(fov_m=(0.22, 0.22), matrix=(16, 16))
    acquisition = Acquisition(geometry, simulated_coil_maps(2, geometry), noise_sigma=0.0)
    k = torch.tensor(radial_path(geometry, 4, 32).k_per_m, dtype=torch.float32)
    measurement = acquisition.measure(discs(0, 16), k, acquisition.weights(k), torch.Generator())
    one, other = (make_in_loop(name, iterations=n, regularisation=0.1 / n, channels=8) for n in (4, 8))
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(0.1)
        method, kept = stored(one)
        assert method in reconstructions
        assert relative(other(measurement), one(measurement)) > 1e-3
        load_stored(other, kept)
        assert torch.equal(other(measurement), one(measurement))
        for parameter in one.parameters():
            parameter.mul_(0.5)
        load_stored(other, kept)  # copies: what happens to the first since does not matter
        assert relative(one(measurement), other(measurement)) > 1e-3


def test_numbers_of_the_recipe_reach_each_reconstruction():
    numbers = {"iterations": 12, "regularisation": 0.2, "channels": 6}
    made = {name: make_in_loop(name, **numbers) for name in in_loop}
    assert set(made) >= {"cg-sense", "adjoint+unet", "unrolled"}
    assert (made["cg-sense"].iterations, made["cg-sense"].regularisation) == (12, 0.2)
    assert made["adjoint+unet"].unet.last.weight.shape[1] == 6
    unrolled = made["unrolled"]
    assert (unrolled.start_iterations, unrolled.iterations, unrolled.regularisation) == (6, 3, 0.2)
    with pytest.raises(SeqoptError, match="unknown reconstruction in training 'grappa'; known: cg-sense"):
        make_in_loop("grappa", **numbers)


def test_the_architecture_is_read_off_the_weights():
    for settings in ({"channels": 6, "levels": 3}, {"cascades": 5, "iterations": 1, "regularisation": 0.2}):
        network = trained(**settings)
        rebuilt = Unrolled.from_weights(network.stored()[1])
        right = normal_equations()
        with torch.no_grad():
            assert torch.equal(rebuilt.restore(*right), network.restore(*right))


def test_foreign_weights_are_refused():
    whole = trained().stored()[1]
    without_cascades = {name: array for name, array in whole.items() if name != "cascades"}
    damaged = {**whole, "log_prior_weight": np.array(np.nan, np.float32)}
    unet = AdjointUnet(4, 2).stored()[1]
    for kept, saying in (
        ({}, "not those of a seqopt unrolled"),
        (unet, "not those of a seqopt unrolled"),
        (without_cascades, "lack cascades"),
        (damaged, "NaN"),
    ):
        with pytest.raises(SeqoptError, match=saying):
            Unrolled.from_weights(kept)
    with pytest.raises(SeqoptError, match="do not fit this network"):
        load_stored(AdjointUnet(8, 2), unet)
    with pytest.raises(SeqoptError, match="CgSense has no weights"):
        load_stored(CgSense(), unet)
    with pytest.raises(SeqoptError, match="Linear is no reconstruction with weights"):
        load_stored(torch.nn.Linear(1, 1), unet)
    assert stored(CgSense()) is None and stored(torch.nn.Linear(1, 1)) is None


def test_without_weights_or_maps_it_says_what_it_needs():
    k = trajectory()
    with pytest.raises(SeqoptError, match="'unrolled' needs the design whose network was trained"):
        reconstructions["unrolled"](samples(k), k, weights().float(), maps(), GEOMETRY)
    with pytest.raises(SeqoptError, match="unrolled needs coil maps"):
        reconstructions["unrolled"](
            samples(k), k, weights().float(), None, GEOMETRY, network_weights=trained().stored()[1]
        )
