"""The Gram form against explicit A and A^H."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import complex_normal, direct_dft_matrix, relative

from seqopt.core import Geometry
from seqopt.encoding.gram import GramKernel, coil_gram, sense_gram, shifted_maps
from seqopt.encoding.nufft import Nufft
from seqopt.encoding.sense_gram import SenseGram

GEOMETRY = Geometry(fov_m=(0.20, 0.26), matrix=(12, 16))
COILS, SHOTS, SAMPLES = 3, 4, 30


def maps(batch: int = 1) -> torch.Tensor:
    return complex_normal(batch, COILS, *GEOMETRY.shape, seed=1).to(torch.complex64)


def images(batch: int = 2, seed: int = 2) -> torch.Tensor:
    return complex_normal(batch, *GEOMETRY.shape, seed=seed).to(torch.complex64)


def trajectory() -> torch.Tensor:
    """Some of the points lie beyond k-max, as learned ones may."""
    k = np.random.default_rng(0).uniform(-1.2, 1.2, (SHOTS, SAMPLES, 2)) * np.array(GEOMETRY.k_max_per_m)
    return torch.from_numpy(k)


def weights() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).uniform(0.1, 2.0, (SHOTS, SAMPLES)))


def dense_normal(k: torch.Tensor, w: torch.Tensor) -> np.ndarray:
    a = direct_dft_matrix(k.numpy(), GEOMETRY)
    return a.conj().T @ (w.numpy().reshape(-1, 1) * a)


@pytest.mark.parametrize("batch_of_maps", [1, 2])
def test_the_gram_form_is_a_adjoint_w_a_summed_over_coils(batch_of_maps):
    normal, coils = dense_normal(trajectory(), weights()), maps(batch_of_maps)
    spectrum = GramKernel(GEOMETRY)(trajectory(), weights()).float()
    product = sense_gram(images(), spectrum, shifted_maps(coils))
    seen = (coils * images()[:, None]).reshape(2, COILS, -1).numpy().astype(complex)
    truth = (coils.numpy().conj() * (seen @ normal.T).reshape(2, COILS, *GEOMETRY.shape)).sum(1)
    assert relative(product, truth) < 1e-4


def test_the_gram_form_of_each_coil_is_a_adjoint_w_a():
    normal = dense_normal(trajectory(), weights())
    spectrum = GramKernel(GEOMETRY)(trajectory(), weights()).float()
    product = coil_gram(images(), spectrum, shifted_maps(maps()))
    seen = (maps() * images()[:, None]).reshape(2, COILS, -1).numpy().astype(complex)
    assert relative(product, (seen @ normal.T).reshape(2, COILS, *GEOMETRY.shape)) < 1e-4


@pytest.mark.parametrize("backend", ["finufft", "torchkbnufft"])
def test_the_kernel_is_the_same_from_both_backends(backend):
    normal = dense_normal(trajectory(), weights())
    spectrum = GramKernel(GEOMETRY, backend)(trajectory(), weights()).float()
    ones = torch.ones(1, 1, *GEOMETRY.shape, dtype=torch.complex64)
    product = sense_gram(images(), spectrum, shifted_maps(ones)).reshape(2, -1)
    assert relative(product, images().reshape(2, -1).numpy().astype(complex) @ normal.T) < 5e-4


def test_it_is_hermitian_and_positive():
    spectrum = GramKernel(GEOMETRY)(trajectory(), weights()).float()
    x, y, shifted = images(seed=3), images(seed=4), shifted_maps(maps())
    left = torch.vdot(y.flatten(), sense_gram(x, spectrum, shifted).flatten())
    right = torch.vdot(sense_gram(y, spectrum, shifted).flatten(), x.flatten())
    assert abs(left - right) < 1e-4 * abs(left)
    energy = torch.vdot(x.flatten(), sense_gram(x, spectrum, shifted).flatten())
    assert energy.real > 0
    assert abs(energy.imag) < 1e-4 * energy.real


def losses(form: str, k: torch.Tensor, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A loss that is not quadratic, of the images through the Gram form or through A and A^H."""
    coils = maps()
    if form == "gram":
        spectrum = GramKernel(GEOMETRY, tolerance=1e-9)(k, w).float()
        combined = sense_gram(x, spectrum, shifted_maps(coils))
        each = coil_gram(x, spectrum, shifted_maps(coils))
    else:
        a = Nufft(GEOMETRY, tolerance=1e-9)
        each = a.adjoint(w * a.forward((coils * x[:, None]).to(torch.complex128), k), k)
        combined = (coils.conj() * each).sum(1)
    return combined.abs().pow(1.5).sum().double() + each.abs().pow(1.5).sum().double()


@pytest.mark.parametrize("which", ["k", "weights", "images"])
def test_derivatives_equal_those_through_a_and_its_adjoint(which):
    gradients = []
    for form in ("gram", "explicit"):
        inputs = {"k": trajectory(), "weights": weights(), "images": images()}
        inputs[which] = inputs[which].requires_grad_()
        loss = losses(form, inputs["k"], inputs["weights"], inputs["images"])
        gradients.append(torch.autograd.grad(loss, inputs[which])[0])
    assert gradients[1].abs().max() > 0
    assert relative(gradients[0], gradients[1]) < 1e-4


@pytest.mark.parametrize("which", ["k", "weights"])
def test_derivatives_agree_with_finite_differences(which):
    """The differences go through A and A^H in double precision; the derivative under test does not."""
    inputs = {"k": trajectory(), "weights": weights()}
    variable = inputs[which].clone().requires_grad_()
    gradient = torch.autograd.grad(losses("gram", **_named({**inputs, which: variable})), variable)[0]
    direction = complex_normal(*variable.shape, seed=5).real
    step = 1e-3
    with torch.no_grad():
        ends = [losses("explicit", **_named({**inputs, which: variable + s * direction})) for s in (step, -step)]
    numeric = (ends[0] - ends[1]) / (2 * step)
    analytic = (gradient * direction).sum()
    assert abs(numeric - analytic) < 1e-4 * gradient.norm() * direction.norm() / variable.numel() ** 0.5


def _named(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"k": inputs["k"], "w": inputs["weights"], "x": images()}


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_prepared_form_gives_the_same_product_with_any_number_of_threads(threads):
    before = torch.get_num_threads()
    spectrum = GramKernel(GEOMETRY)(trajectory(), weights()).float()
    try:
        torch.set_num_threads(threads)
        for batch in (1, 2):
            product = SenseGram(spectrum, maps(batch))(images())
            assert torch.get_num_threads() == threads
            assert relative(product, sense_gram(images(), spectrum, shifted_maps(maps(batch)))) < 1e-6
    finally:
        torch.set_num_threads(before)
