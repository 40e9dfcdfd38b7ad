"""What a choice of lines costs: passes, seconds and memory, against plain forward and backward of the same network.

Zero-filled: the target alone judges, run to 16 lines. Network: a U-Net of about half a million parameters (random
weights: the work is the same) stands between the zero-filled images and the target, up to all 256 lines. The pass that
scores all lines is compared with a plain forward and backward of that network and target on the same magnitudes in the
same batches, no mask, no transform: learning, as in training, and frozen, as in the choice itself. They take turns,
medians. The choice of N_s lines is to cost at most N_s x 1.3 plain passes.

Run: python benchmarks/igs_cost.py [--images 100] [--lines-timed 8] [--only network]
Without --lines-timed the whole nested order runs: hours on two cores. With it so many passes are timed, at masks of all
sizes, and the total is reckoned from them and said to be.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from igs_images import FOV_M, batches_of, brain
from torch import Tensor, nn

from seqopt.core import Geometry
from seqopt.encoding.cartesian import CartesianAcquisition
from seqopt.images import simulated_coil_maps
from seqopt.learn.line_scores import LineScores
from seqopt.learn.losses import image_loss
from seqopt.learn.select import selections
from seqopt.recon.cartesian_loop import cartesian_in_loop
from seqopt.recon.unet import UNet
from seqopt.sampling.masks import centre_out, mask_of

MATRIX = 256
BATCH = 4
NOISE_SIGMA = 0.02


def l1(estimate: Tensor, truth: Tensor, _: Tensor | None = None) -> Tensor:
    return image_loss(estimate, truth, {"l1": 1.0})


def one_minus_ssim(estimate: Tensor, truth: Tensor, _: Tensor | None = None) -> Tensor:
    return image_loss(estimate, truth, {"ssim": 1.0})


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of all threads: another job on the same cores does not count."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def without_network(images: Tensor, lines: int) -> None:
    """Seconds of the nested order up to some number of lines, for targets, reconstructions and coils."""
    geometry = Geometry(fov_m=(FOV_M, FOV_M), matrix=(MATRIX, MATRIX))
    print("| reconstruction | coils | target | images | lines | passes | seconds | CPU s | CPU s a pass | peak GiB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for recon, coils, target in (
        ("zero-filled", 1, l1),
        ("zero-filled", 1, one_minus_ssim),
        ("zero-filled", 8, l1),
        ("cg-sense", 8, l1),
    ):
        some = images if coils == 1 else images[: max(1, len(images) // 5)]
        maps = None if coils == 1 else simulated_coil_maps(coils, geometry)
        acquisition = CartesianAcquisition(maps, noise_sigma=NOISE_SIGMA)
        module = cartesian_in_loop[recon].of_recipe(iterations=6, regularisation=0.01, channels=0)
        scores = LineScores(batches_of(some, BATCH), acquisition, module, target)
        begin, busy = time.perf_counter(), time.process_time()
        *_, last = selections(scores, lines=lines if coils == 1 else 4)
        seconds, busy = time.perf_counter() - begin, time.process_time() - busy
        print(
            f"| {recon} | {coils} | {target.__name__} | {len(some)} | {len(last.order)} | {last.passes} "
            f"| {seconds:.1f} | {busy:.1f} | {busy / last.passes:.2f} | {peak_gib():.2f} |",
            flush=True,
        )


def plain_pass(network: nn.Module, images: Tensor) -> None:
    """Forward and backward of network and target on whole images; a frozen network passes the derivative on."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for part in images.abs().split(BATCH):
        whole = part.clone().requires_grad_(not learning)
        torch.autograd.grad(l1(network(whole), part), learning or [whole])


def timed_passes(scores: LineScores, count: int) -> list[float]:
    """CPU seconds of so many passes, at masks of all sizes from one line to all but one."""
    sizes = np.unique(np.linspace(1, MATRIX - 1, count).round().astype(int))
    lines = centre_out(MATRIX)
    return [timed(lambda size=size: scores.gradient(mask_of(lines[:size], MATRIX))) for size in sizes]  # type: ignore[misc]


def with_network(images: Tensor, *, rounds: int, lines_timed: int | None) -> None:
    """One pass of the choice against plain passes, then the nested order of all lines: run, or reckoned from some."""
    torch.manual_seed(0)
    learning, frozen = UNet(channels=16), UNet(channels=16).eval().requires_grad_(False)
    frozen.load_state_dict(learning.state_dict())
    size = sum(parameter.numel() for parameter in learning.parameters())
    acquisition = CartesianAcquisition(noise_sigma=NOISE_SIGMA)
    scores = LineScores(batches_of(images, BATCH), acquisition, cartesian_in_loop["zero-filled"](), l1, network=frozen)
    mask = mask_of(centre_out(MATRIX)[:16], MATRIX)
    works: dict[str, Callable[[], object]] = {
        "plain, learning": lambda: plain_pass(learning, images),
        "plain, frozen": lambda: plain_pass(frozen, images),
        "all lines scored": lambda: scores.gradient(mask),
        "one mask tried": lambda: scores.value(mask),
    }
    first_s = timed(lambda: scores.gradient(mask))  # it makes the samples that later passes find
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(timed(work))
    print(f"\nU-Net of {size / 1e6:.2f} M parameters, {len(images)} images, batches of {BATCH}, medians of {rounds}")
    print("| pass | CPU s | share of plain, learning |\n|---|---|---|")
    medians = {name: statistics.median(found) for name, found in times.items()}
    plain_s = medians["plain, learning"]
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.2f} | {seconds / plain_s:.2f} |", flush=True)
    if lines_timed is None:
        begin, busy = time.perf_counter(), time.process_time()
        *_, last = selections(scores, lines=MATRIX)
        seconds, busy = time.perf_counter() - begin, time.process_time() - busy
        how = f"run: {last.passes} passes and a forward one, {seconds:.0f} s"
    else:
        some = timed_passes(scores, lines_timed)
        busy = first_s - medians["all lines scored"] + statistics.mean(some) * (MATRIX - 1) + medians["one mask tried"]
        how = f"RECKONED, not run: {MATRIX - 1} passes and a forward one by {len(some)} timed ones of " + (
            f"{min(some):.2f} to {max(some):.2f} CPU s"
        )
    print(
        f"nested order of {MATRIX} lines {how}, {busy:.0f} CPU s = {busy / plain_s:.1f} plain passes, "
        f"{busy / plain_s / MATRIX:.2f} a line (goal 1.3); peak {peak_gib():.2f} GiB of the process"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, default=100, help="through the network; without it as many, 8 coils a fifth"
    )
    parser.add_argument("--lines-timed", type=int, help="time so many passes and reckon the rest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("network", "zero-filled"))
    arguments = parser.parse_args()
    images = brain(MATRIX, arguments.images)
    print(f"{torch.get_num_threads()} threads, {MATRIX} x {MATRIX}, {len(images)} images")
    if arguments.only != "network":
        without_network(images, 16)
    if arguments.only != "zero-filled":
        with_network(images, rounds=arguments.rounds, lines_timed=arguments.lines_timed)


if __name__ == "__main__":
    main()
