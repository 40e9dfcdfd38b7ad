"""One whole training step against the same step with mri-nufft's autograd: only the encoding differs.

The work: 4 images seen by 8 coils, 256 x 256 pixels, 16 shots x 1000 samples, noise as in training. The neural ODE
gives k; A^H W (A S x + n) of each coil; root sum of squares and U-Net (Peng et al., CVPR 2022, eq. 15), or 8 iterations
of CG-SENSE; L1 + SSIM and the kinematic penalty; backward; Adam. Both arms have the same ODE, network, loss, density
weights (renewed every fourth step, a quarter of that is added to both), noise and threads. mri-nufft runs at the best
of three numbers of simultaneous transforms and is spared the derivatives that the step does not need; its NUFFTs have
our tolerance in training (1e-4) in one row, its own default (1e-6) in the next.

mri-nufft asks for its own environment:

    python -m venv peer
    peer/bin/pip install -e . "mri-nufft[finufft]==1.5.1" "torch==2.13.0"
    peer/bin/python benchmarks/training_step.py [--rounds 7] [--cg-rounds 1]

With --cg-rounds 0 the CG-SENSE loop is left out.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peers.deepinv_stand_in import provide
from spokes import residual_ode
from torch import Tensor, nn

from seqopt.core import Geometry
from seqopt.encoding.acquisition import Acquisition
from seqopt.gradients.penalty import kinematic_penalty
from seqopt.gradients.profiles import load_scanner
from seqopt.images import evaluation_images, load_images, noise_sigma, simulated_coil_maps
from seqopt.learn.losses import image_loss
from seqopt.recon.in_loop import AdjointUnet, CgSense
from seqopt.recon.registry import root_sum_of_squares

provide()
from mrinufft import get_operator  # noqa: E402

COILS, BATCH, SHOTS, SAMPLES = 8, 4, 16, 1000
TOLERANCE, PEER_DEFAULT = 1e-4, 1e-6  # of the NUFFTs: as in training, and what mri-nufft takes unasked
SNR = 20.0
REFRESH = 4  # steps between updates of the density weights
LOSS = {"l1": 1.0, "ssim": 1.0}
UNITARY = 2.0  # mri-nufft's transforms are half of unitary in 2-D

Restore = Callable[[nn.Module, Tensor, Tensor, Tensor, torch.Generator], Tensor]
"""(reconstruction, images, k, weights, generator of the noise) -> magnitude estimate (batch, y, x)."""


class Peer:
    """The measurement of `Acquisition`, by mri-nufft's differentiable operators."""

    def __init__(self, acquisition: Acquisition, transforms: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.acquisition, self.maps = acquisition, acquisition.maps
        self.nufft = acquisition.nufft
        # images do not move: the derivative of A in its image is needed inside CG alone
        self.encode = self._operator(transforms, wrt_data=False)
        self.both = self._operator(transforms, wrt_data=True)

    def _operator(self, transforms: int, *, wrt_data: bool) -> Any:
        start = torch.rand(SHOTS * SAMPLES, 2).numpy() * 6.28 - 3.14
        options = {"n_coils": COILS, "n_batchs": BATCH, "n_trans": transforms, "squeeze_dims": False}
        operator = get_operator("finufft")(start, shape=self.nufft.shape, eps=self.tolerance, **options)
        return operator.make_autograd(wrt_data=wrt_data, wrt_traj=True)

    def place(self, k_per_m: Tensor) -> None:
        """Move the samples: rad/voxel, so that the derivative has the unit of its argument."""
        omega = self.nufft.omega(k_per_m).T
        self.encode.samples = omega
        self.both.samples = omega

    def coil_images(self, images: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        """A^H W (A S x + n) of each coil, (batch, coils, y, x)."""
        shape = (len(images), COILS, SHOTS, SAMPLES)
        noise = torch.randn(shape, dtype=torch.complex64, generator=generator) * self.acquisition.noise_sigma
        samples = UNITARY * self.encode.op(self.maps * images[:, None]) + noise.flatten(-2)
        return UNITARY * self.both.adj_op(samples * weights.flatten())

    def product(self, image: Tensor, weights: Tensor) -> Tensor:
        """S^H A^H W A S x."""
        samples = self.both.op(self.maps * image[:, None]) * weights.flatten()
        return UNITARY**2 * (self.maps.conj() * self.both.adj_op(samples)).sum(1)

    def restore_unet(
        self, recon: nn.Module, images: Tensor, k: Tensor, weights: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Root sum of squares of the adjoint, then the U-Net."""
        self.place(k)
        return recon.unet(root_sum_of_squares(self.coil_images(images, weights, generator)))  # type: ignore[no-any-return,operator]

    def restore_cg(
        self, recon: nn.Module, images: Tensor, k: Tensor, weights: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The iterations of `seqopt.recon.cg_sense`, with an operator instead of the Gram form."""
        self.place(k)
        residual = (self.maps.conj() * self.coil_images(images, weights, generator)).sum(1)
        estimate, direction, energy = torch.zeros_like(residual), residual, _energy(residual)
        for _ in range(int(recon.iterations)):  # type: ignore[arg-type]
            image = self.product(direction, weights) + recon.regularisation * direction
            step = energy / (direction.conj() * image).real.sum((1, 2), keepdim=True)
            estimate, residual = estimate + step * direction, residual - step * image
            fresh = _energy(residual)
            direction, energy = residual + fresh / energy * direction, fresh
        return (estimate.real.square() + estimate.imag.square() + 1e-10).sqrt()


def _energy(image: Tensor) -> Tensor:
    return image.abs().square().sum((1, 2), keepdim=True)


@dataclass
class Arm:
    """One trainer: its own copies of the ODE, the network and the optimiser."""

    restore: Restore
    sampling: nn.Module
    recon: nn.Module
    optimiser: torch.optim.Optimizer
    limits: dict[str, float]

    def step(self, images: Tensor, weights: Tensor, seed: int) -> tuple[float, float, Tensor]:
        """Seconds, loss, derivative in k of one training step."""
        begin = time.perf_counter()
        path = self.sampling()
        path.k_per_m.retain_grad()
        generator = torch.Generator().manual_seed(seed)
        estimate = self.restore(self.recon, images, path.k_per_m, weights, generator)
        gradient, slew = kinematic_penalty(path.k_uniform_per_m, raster_s=path.step_s, **self.limits)
        loss = image_loss(estimate, images.abs(), LOSS) + gradient + slew
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        value = float(loss.detach())
        return time.perf_counter() - begin, value, path.k_per_m.grad


class Bench:
    """What both arms share."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.geometry = Geometry(fov_m=(0.22, 0.22), matrix=(256, 256))
        self.scanner = load_scanner("paper")
        brain = load_images(None, matrix=256, fov_m=0.22)
        self.images = torch.from_numpy(evaluation_images(brain, "train", 0, BATCH))
        self.maps = simulated_coil_maps(COILS, self.geometry)
        self.sigma = noise_sigma(SNR, brain.images)
        self.sampling = residual_ode(self.geometry, self.scanner, SHOTS, SAMPLES)
        self.weights = self.acquisition(0.0).weights(self.sampling().k_per_m)

    def acquisition(self, sigma: float) -> Acquisition:
        """Ours, with a stated noise."""
        return Acquisition(self.geometry, self.maps, noise_sigma=sigma, backend="finufft", tolerance=TOLERANCE)

    def arm(self, recon: nn.Module, restore: Restore) -> Arm:
        """A trainer with its own copies."""
        sampling, recon = copy.deepcopy(self.sampling), copy.deepcopy(recon)
        parameters = [*sampling.parameters(), *recon.parameters()]
        limits = {
            "max_grad_hz_per_m": self.scanner.max_grad_hz_per_m,
            "max_slew_hz_per_m_per_s": self.scanner.max_slew_hz_per_m_per_s,
        }
        return Arm(restore, sampling, recon, torch.optim.Adam(parameters, lr=1e-3), limits)

    def refresh_s(self) -> float:
        """Seconds a step that the density weights take."""
        acquisition, k = self.acquisition(0.0), self.sampling().k_per_m
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            acquisition.weights(k)
            times.append(time.perf_counter() - begin)
        return statistics.median(times) / REFRESH

    def best_transforms(self, tolerance: float) -> int:
        """The number of simultaneous transforms at which mri-nufft's step is shortest."""
        spent: dict[int, float] = {}
        for transforms in (1, COILS, COILS * BATCH):
            arm = self.arm(AdjointUnet(), Peer(self.acquisition(0.0), transforms, tolerance).restore_unet)
            spent[transforms] = min(arm.step(self.images, self.weights, 0)[0] for _ in range(2))
        return min(spent, key=spent.__getitem__)


def gram(acquisition: Acquisition) -> Restore:
    def restore(recon: nn.Module, images: Tensor, k: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        estimate: Tensor = recon(acquisition.measure(images, k, weights, generator))
        return estimate

    return restore


def compare(bench: Bench, label: str, recon: nn.Module, peer: tuple[float, int], rounds: int) -> None:
    """One row: agreement without noise, then interleaved steps with noise."""
    tolerance, transforms = peer

    def arms(sigma: float) -> tuple[Arm, Arm]:
        acquisition = bench.acquisition(sigma)
        other = Peer(acquisition, transforms, tolerance)
        theirs = other.restore_unet if isinstance(recon, AdjointUnet) else other.restore_cg
        return bench.arm(recon, gram(acquisition)), bench.arm(recon, theirs)

    # the noise's own derivative through A^H averages to zero and is left out by us, so slopes are compared without it
    (_, loss, slope), (_, other_loss, other_slope) = (arm.step(bench.images, bench.weights, 0) for arm in arms(0.0))
    apart, common = float((slope - other_slope).norm() / other_slope.norm()), bench.refresh_s()
    seconds, losses, pair = [], [abs(loss / other_loss - 1)], arms(bench.sigma)
    for index in range(rounds):
        (our_s, loss, _), (their_s, other_loss, _) = (arm.step(bench.images, bench.weights, index) for arm in pair)
        seconds.append((our_s + common, their_s + common))
        losses.append(abs(loss / other_loss - 1))
    ours, theirs = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratio = statistics.median(their_s / our_s for our_s, their_s in seconds)
    times = f"{tolerance:.0e} | {ours:.3f} | {theirs:.3f} | {ratio:.1f}"
    # the first noisy step is the last with equal parameters: rounding then drives the two apart
    print(f"| {label} | {times} | {max(losses[:2]):.1e} | {apart:.1e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cg-rounds", type=int, default=1)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="Samples will be rescaled")
    warnings.filterwarnings("ignore", message="Casting complex values")
    bench = Bench()
    peers = [(tolerance, bench.best_transforms(tolerance)) for tolerance in (TOLERANCE, PEER_DEFAULT)]
    chosen = " and ".join(f"{transforms} at {tolerance:.0e}" for tolerance, transforms in peers)
    print(f"{torch.get_num_threads()} threads; transforms at once of mri-nufft: {chosen}; medians of whole steps")
    print("| loop | its tolerance | seqopt s | mri-nufft s | ratio of pairs | losses apart | d loss / d k apart |")
    print("|---|---|---|---|---|---|---|")
    for peer in peers:
        compare(bench, "adjoint + U-Net", AdjointUnet(), peer, arguments.rounds)
    for peer in peers if arguments.cg_rounds else ():
        compare(bench, "CG-SENSE, 8 iterations", CgSense(8, 0.01), peer, arguments.cg_rounds)


if __name__ == "__main__":
    main()
