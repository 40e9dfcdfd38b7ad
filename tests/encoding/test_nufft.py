"""A and A^H of all backends against the definition, sigpy, and finite differences."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from laws import assert_adjoint, assert_derivative, complex_normal, direct_dft_matrix, relative

from seqopt.core import Geometry
from seqopt.encoding.backends import choose_engine
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError

GEOMETRY = Geometry(fov_m=(0.20, 0.26), matrix=(14, 18))  # neither square nor isotropic
SINGLE = {"finufft": 2e-5, "finufft-small-grid": 6e-5, "torchkbnufft": 2e-4}
DOUBLE = {
    "finufft": 1e-10,
    "finufft-small-grid": 1e-10,
    "torchkbnufft": 2e-4,
}  # torchkbnufft interpolates in a table, whatever the precision


@pytest.fixture(params=["finufft", "finufft-small-grid", "torchkbnufft"])
def backend(request) -> str:
    return request.param


def trajectory(*, reach: float = 0.98, seed: int = 0, shots: int = 3, samples: int = 11) -> torch.Tensor:
    k = np.random.default_rng(seed).uniform(-reach, reach, (shots, samples, 2)) * np.array(GEOMETRY.k_max_per_m)
    return torch.from_numpy(k)


def operator(backend: str, **options) -> Nufft:
    return Nufft(GEOMETRY, backend, tolerance=1e-12, **options)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_forward_values_are_those_of_the_direct_dft(backend, dtype):
    k = trajectory()
    images = complex_normal(2, 3, *GEOMETRY.shape, seed=1)
    truth = images.reshape(6, -1).numpy() @ direct_dft_matrix(k.numpy(), GEOMETRY).T
    samples = Nufft(GEOMETRY, backend).forward(images.to(dtype), k)
    assert samples.shape == (2, 3, 3, 11)
    assert samples.dtype == dtype
    assert relative(samples.reshape(6, -1), truth) < (SINGLE if dtype == torch.complex64 else DOUBLE)[backend]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_adjoint_values_are_those_of_the_direct_dft(backend, dtype):
    k = trajectory()
    samples = complex_normal(2, 3, 3, 11, seed=2)
    truth = samples.reshape(6, -1).numpy() @ direct_dft_matrix(k.numpy(), GEOMETRY).conj()
    images = Nufft(GEOMETRY, backend).adjoint(samples.to(dtype), k)
    assert images.shape == (2, 3, *GEOMETRY.shape)
    assert relative(images.reshape(6, -1), truth) < (SINGLE if dtype == torch.complex64 else DOUBLE)[backend]


def test_the_doubled_grid_keeps_the_voxel_and_the_scale(backend):
    k = trajectory()
    shape = (2 * GEOMETRY.shape[0], 2 * GEOMETRY.shape[1])
    samples = complex_normal(1, 1, 3, 11, seed=2)
    truth = samples.reshape(-1).numpy() @ direct_dft_matrix(k.numpy(), GEOMETRY, shape).conj()
    assert relative(operator(backend, shape=shape).adjoint(samples, k).reshape(-1), truth) < DOUBLE[backend]


def test_a_and_its_adjoint_are_adjoint(backend):
    k = trajectory()
    a = operator(backend)
    x, y = complex_normal(2, 2, *GEOMETRY.shape, seed=3), complex_normal(2, 2, 3, 11, seed=4)
    assert_adjoint(lambda v: a.forward(v, k), lambda v: a.adjoint(v, k), x, y, tolerance=1e-9)


def test_the_derivatives_in_the_data_are_exact(backend):
    k = trajectory()
    a = operator(backend)
    x, y = complex_normal(1, 2, *GEOMETRY.shape, seed=5), complex_normal(1, 2, 3, 11, seed=6)
    assert_derivative(lambda v: (a.forward(v, k) - y).abs().pow(2).sum(), x, step=1e-3, tolerance=1e-7)
    assert_derivative(lambda v: (a.adjoint(v, k) - x).abs().pow(2).sum(), y, step=1e-3, tolerance=1e-7)


def test_the_derivatives_in_k_agree_with_finite_differences(backend):
    a = operator(backend)
    x, y = complex_normal(2, 2, *GEOMETRY.shape, seed=7), complex_normal(2, 2, 3, 11, seed=8)
    # a table's steps show in small differences: torchkbnufft is compared over wider ones and less closely
    step, tolerance = (1e-4, 1e-6) if backend.startswith("finufft") else (2e-2, 5e-3)
    k = trajectory()
    assert_derivative(lambda v: (a.forward(x, v) - y).abs().pow(2).sum(), k, step=step, tolerance=tolerance)
    assert_derivative(lambda v: (a.adjoint(y, v) - x).abs().pow(2).sum(), k, step=step, tolerance=tolerance)


def test_the_derivatives_in_k_are_those_of_the_definition(backend):
    """Autograd through the direct DFT, written in torch, is the judge: no finite step, both backends."""
    x, y = complex_normal(1, 1, *GEOMETRY.shape, seed=7), complex_normal(1, 1, 3, 11, seed=8)
    ny, nx = GEOMETRY.shape
    along_x = (torch.arange(nx) - nx // 2).double() * GEOMETRY.voxel_m[0]
    along_y = (torch.arange(ny) - ny // 2).double() * GEOMETRY.voxel_m[1]

    def dense(k):
        phase = k.reshape(-1, 2)[:, 0, None, None] * along_x + k.reshape(-1, 2)[:, 1, None, None] * along_y[:, None]
        return (torch.exp(-2j * torch.pi * phase) / (nx * ny) ** 0.5).reshape(len(phase), -1)

    a = operator(backend)
    pairs = [
        (lambda k: a.forward(x, k).flatten() - y.flatten(), lambda k: dense(k) @ x.flatten() - y.flatten()),
        (lambda k: a.adjoint(y, k).flatten() - x.flatten(), lambda k: dense(k).conj().T @ y.flatten() - x.flatten()),
    ]
    for ours, definition in pairs:
        gradients = []
        for difference in (ours, definition):
            k = trajectory().requires_grad_()
            gradients.append(torch.autograd.grad(difference(k).abs().pow(2).sum(), k)[0])
        assert relative(gradients[0], gradients[1]) < (1e-9 if backend.startswith("finufft") else 1e-3)


def test_gradcheck_holds_in_double_precision():
    small = Geometry(fov_m=(0.2, 0.2), matrix=(8, 10))
    a = Nufft(small, "finufft", tolerance=1e-13)
    k = 0.3 * trajectory(shots=1, samples=4).requires_grad_()
    x, y = complex_normal(1, 1, 10, 8, seed=1).requires_grad_(), complex_normal(1, 1, 1, 4, seed=2).requires_grad_()
    check = {"eps": 1e-5, "atol": 1e-6, "rtol": 1e-5}
    assert torch.autograd.gradcheck(a.forward, (x, k), **check)
    assert torch.autograd.gradcheck(a.adjoint, (y, k), **check)


def test_k_of_single_precision_receives_a_gradient_of_its_own_kind(backend):
    k = trajectory().float().requires_grad_()
    x = complex_normal(1, 1, *GEOMETRY.shape, seed=1).to(torch.complex64)
    Nufft(GEOMETRY, backend).forward(x, k).abs().sum().backward()
    assert k.grad is not None
    assert k.grad.dtype == torch.float32
    assert k.grad.abs().max() > 0


def test_points_beyond_k_max_are_periodic(backend):
    """One period is 2 k-max = 1 / voxel: values, and derivatives too."""
    a = operator(backend)
    period = torch.tensor([1 / voxel for voxel in GEOMETRY.voxel_m], dtype=torch.float64)
    shift = torch.tensor([[2.0, -1.0], [-3.0, 4.0], [1.0, 0.0]])[:, None] * period
    x = complex_normal(1, 1, *GEOMETRY.shape, seed=9)
    inside = trajectory().requires_grad_()
    outside = (trajectory() + shift).requires_grad_()
    samples = [a.forward(x, k) for k in (inside, outside)]
    assert relative(samples[1], samples[0].detach()) < 10 * DOUBLE[backend]
    gradients = [torch.autograd.grad(s.abs().sum(), k)[0] for s, k in zip(samples, (inside, outside), strict=True)]
    assert relative(gradients[1], gradients[0]) < 100 * DOUBLE[backend]
    back = [a.adjoint(samples[0].detach(), k.detach()) for k in (inside, outside)]
    assert relative(back[1], back[0]) < 10 * DOUBLE[backend]


def cartesian() -> torch.Tensor:
    (nx, ny), (fov_x, fov_y) = GEOMETRY.matrix, GEOMETRY.fov_m
    x, y = (np.arange(nx) - nx // 2) / fov_x, (np.arange(ny) - ny // 2) / fov_y
    return torch.from_numpy(np.stack(np.meshgrid(x, y), -1))  # (shots = ky, samples = kx, 2)


def test_on_the_cartesian_grid_it_is_the_unitary_fft(backend):
    x = complex_normal(1, 1, *GEOMETRY.shape, seed=10)
    centred = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x[0, 0].numpy()), norm="ortho"))
    a = operator(backend)
    samples = a.forward(x, cartesian())
    assert relative(samples[0, 0], centred) < DOUBLE[backend]
    assert relative(a.adjoint(samples, cartesian()), x) < 2 * DOUBLE[backend]  # A^H A = 1: unitary, not only adjoint


def test_it_agrees_with_sigpy(backend):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sigpy's imports
        import sigpy
    k = trajectory(seed=3)
    coordinates = (k.numpy() * np.array(GEOMETRY.fov_m))[..., ::-1]  # sigpy: (y, x) in 1/FOV, [-N/2, N/2]
    x, y = complex_normal(*GEOMETRY.shape, seed=11), complex_normal(3, 11, seed=12)
    a = Nufft(GEOMETRY, backend)
    accurate = {"oversamp": 2.0, "width": 8}
    assert relative(a.forward(x[None, None], k)[0, 0], sigpy.nufft(x.numpy(), coordinates, **accurate)) < 2e-4
    peer = sigpy.nufft_adjoint(y.numpy(), coordinates, oshape=GEOMETRY.shape, **accurate)
    assert relative(a.adjoint(y[None, None], k)[0, 0], peer) < 2e-4


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_trajectory_is_refused(backend, value):
    """finufft ends the process on NaN points."""
    k = trajectory()
    k[1, 2, 0] = value
    with pytest.raises(SeqoptError, match="NaN or infinity"):
        operator(backend).forward(complex_normal(1, 1, *GEOMETRY.shape, seed=0), k)
    with pytest.raises(SeqoptError, match="NaN or infinity"):
        operator(backend).adjoint(complex_normal(1, 1, 3, 11, seed=0), k)


def test_wrong_shapes_are_refused(backend):
    a, k = operator(backend), trajectory()
    with pytest.raises(SeqoptError, match=r"images of \(14, 18\) pixels \(y, x\), expected \(18, 14\)"):
        a.forward(complex_normal(1, 1, 14, 18, seed=0), k)
    with pytest.raises(SeqoptError, match=r"expected \(shots, samples, 2\)"):
        a.forward(complex_normal(1, 1, 18, 14, seed=0), k.flatten(0, 1))
    with pytest.raises(SeqoptError, match=r"expected \(shots, samples, 2\)"):
        a.forward(complex_normal(1, 1, 18, 14, seed=0), torch.zeros(3, 11, 3))
    with pytest.raises(SeqoptError, match="do not match k"):
        a.adjoint(complex_normal(1, 1, 11, 3, seed=0), k)


def test_unknown_backends_and_tolerances_are_refused():
    with pytest.raises(SeqoptError, match="unknown NUFFT backend 'fftw'; known: finufft, finufft-small-grid"):
        Nufft(GEOMETRY, "fftw")
    with pytest.raises(SeqoptError, match="tolerance"):
        Nufft(GEOMETRY, "finufft", tolerance=0.5)
    assert choose_engine("auto", torch.device("cpu")) == "finufft"
