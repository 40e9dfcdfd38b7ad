"""One training step of encoding, forward and backward in k: our Gram form against pytorch-finufft's autograd.

The work: A^H W A of 4 images seen by 8 coils, 256 x 256 pixels, 16 shots x 1000 samples, and the derivative of a loss
of the result in k. Both at the same tolerance, in one process, in turn; medians. Run: python benchmarks/encoding.py
(needs the extra 'benchmark').
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from pytorch_finufft.functional import finufft_type1, finufft_type2
from torch import Tensor

from seqopt.core import Geometry
from seqopt.encoding.density import pipe_menon
from seqopt.encoding.gram import GramKernel, coil_gram, shifted_maps
from seqopt.encoding.nufft import Nufft
from seqopt.gradients.profiles import load_scanner
from seqopt.images import simulated_coil_maps
from seqopt.sampling.initial import Readouts, initial_trajectories

TOLERANCE = 1e-5
ROUNDS = 7


def main() -> None:
    torch.manual_seed(0)
    geometry = Geometry(fov_m=(0.22, 0.22), matrix=(256, 256))
    readouts = Readouts(geometry=geometry, scanner=load_scanner("paper"), shots=16, samples=1000, dwell_s=4e-6)
    start = initial_trajectories["radial"](readouts).k_per_m
    k = torch.tensor(start + np.random.default_rng(0).normal(scale=2.0, size=start.shape), dtype=torch.float32)
    weights = torch.tensor(pipe_menon(k.double().numpy(), geometry), dtype=torch.float32)
    maps = torch.from_numpy(simulated_coil_maps(8, geometry))[None]
    images = torch.randn(4, 256, 256, dtype=torch.complex64)
    target = torch.randn(4, 8, 256, 256, dtype=torch.complex64)
    kernel, shifted = GramKernel(geometry, "finufft", tolerance=TOLERANCE), shifted_maps(maps)
    nufft = Nufft(geometry, "finufft", tolerance=TOLERANCE)

    def gram(k_per_m: Tensor) -> Tensor:
        return coil_gram(images, kernel(k_per_m, weights), shifted)

    def peer(k_per_m: Tensor) -> Tensor:
        omega = nufft.omega(k_per_m).contiguous()
        coil_images = (maps * images[:, None]).flatten(0, 1)
        options = {"eps": TOLERANCE, "modeord": 0}
        samples = finufft_type2(omega, coil_images, isign=-1, **options)
        back = finufft_type1(omega, samples * weights.flatten(), (256, 256), isign=1, **options)
        return back.reshape(4, 8, 256, 256) / (256 * 256)

    def step(encode: Callable[[Tensor], Tensor]) -> tuple[float, Tensor, Tensor]:
        moving = k.clone().requires_grad_()
        begin = time.perf_counter()
        result = encode(moving)
        (result - target).abs().square().sum().backward()
        seconds = time.perf_counter() - begin
        assert moving.grad is not None
        return seconds, result.detach(), moving.grad

    step(gram), step(peer)
    times: dict[str, list[float]] = {"gram": [], "peer": []}
    for _ in range(ROUNDS):
        seconds, ours, our_slope = step(gram)
        times["gram"].append(seconds)
        seconds, theirs, their_slope = step(peer)
        times["peer"].append(seconds)
    exact = _exact(images, maps, k, weights, geometry)
    middle = {name: statistics.median(values) for name, values in times.items()}
    print(f"threads {torch.get_num_threads()}, medians of {ROUNDS}")
    print("| encoding, forward and backward in k | seconds | relative error | derivative apart |")
    print("|---|---|---|---|")
    apart = float((our_slope - their_slope).norm() / their_slope.norm())
    for name, label, result in (("gram", "seqopt, Gram form", ours), ("peer", "pytorch-finufft", theirs)):
        error = float((result[:1, :1] - exact).norm() / exact.norm())
        print(f"| {label} | {middle[name]:.3f} | {error:.1e} | {apart:.1e} |")
    ratios = [peer_s / gram_s for peer_s, gram_s in zip(times["peer"], times["gram"], strict=True)]
    print(f"ratio, median of pairs: {statistics.median(ratios):.1f}")


def _exact(images: Tensor, maps: Tensor, k: Tensor, weights: Tensor, geometry: Geometry) -> Tensor:
    """A^H W A of the first image and coil in double precision at a tolerance of 1e-12."""
    nufft = Nufft(geometry, "finufft", tolerance=1e-12)
    one = (images[:1, None] * maps[:, :1]).to(torch.complex128)
    return nufft.adjoint(nufft.forward(one, k.double()) * weights.double(), k.double())


if __name__ == "__main__":
    main()
