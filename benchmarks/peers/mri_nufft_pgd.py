"""The peer: mri-nufft's own learning of free samples by projected gradient descent, on our images and limits.

Followed: mri-nufft 1.5.1, examples/GPU/example_learn_samples.py of its source distribution, with MRINUFFT_BACKEND set
to finufft, which that example reads. As there: centre-out radial spokes (`initialize_2D_radial`) with noise of 0.01
added and `project_trajectory` (100 iterations, TE_pos=0) applied; every sample free; loss = norm of the difference
between the density-compensated adjoint (mri-nufft's own density, renewed in each step) and the image, both of norm 1;
Adam at 1e-2, decaying linearly to 1e-4 of that; after each step `project_trajectory` (100 iterations) onto gradient and
slew limits, then clamping to [-0.5, 0.5].

Deviations, and no others:
1. The images are those of --images, one a step in shuffled turns, since a design must serve images it has not seen; the
   example learns from one image of BrainWeb.
2. Shots, samples, field of view, matrix, gradient and slew limits are the arguments (the example: 32 x 512, 256 mm, and
   mri-nufft's default limits). The free samples lie --raster-us apart, 10 us as in the example, over the same readout
   (1000 ADC samples of 4 us: 400 free samples); k at the ADC samples is interpolated linearly between them.
   With --raster-us 4 every ADC sample is free; 100 iterations of the projection then end far from the slew limit.
3. With --budget-s the steps are as many as the time allows, and the decay follows the share of the time spent; with
   --steps it is the example's schedule (50 by default).
4. The noise of the start has the seed --seed; no plots; deepinv, which the learning does not use, is not installed.
5. --spokes full starts from spokes through the centre instead (`in_out=True`, TE_pos=0.5), as our baselines do.

Out: OUT.npy, k (shots, samples, 2) in cycles per field of view, ordered x, y (mri-nufft: [-0.5, 0.5], in the order of
the array's axes y, x), not projected further; OUT.json, what was done, with the largest gradient and slew found and
the sample nearest to k = 0 (the median over the shots), which is the echo.

The script needs Python and numpy alone: it makes its own virtual environment, then runs itself there. The images are
(n, y, x), real or complex. Run, for example:

    python benchmarks/peers/mri_nufft_pgd.py --venv peer-env --images train.npy --out peer-16 --shots 16 --budget-s 600
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import venv
import warnings
from pathlib import Path
from typing import Any

import numpy as np

PINNED = (
    "mri-nufft[finufft]==1.5.1",
    "torch==2.13.0",
    "finufft==2.5.1",
    "numpy==2.4.6",
    "pylops==2.8.0",
    "pyproximal==0.12.0",  # mri-nufft 1.5.1 fails with 0.13: its gradient cannot be called there
)
INSIDE = "SEQOPT_PEER_ENVIRONMENT"


def arguments_of(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, required=True, help="folder of the virtual environment, made if missing")
    parser.add_argument("--images", type=Path, required=True, help=".npy of training images (n, y, x)")
    parser.add_argument("--out", type=Path, required=True, help="name of the results, without .npy")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--dwell-us", type=float, default=4.0)
    parser.add_argument("--raster-us", type=float, default=10.0)
    parser.add_argument("--fov-mm", type=float, default=220.0)
    parser.add_argument("--max-grad-mt-per-m", type=float, default=50.0)
    parser.add_argument("--max-slew-t-per-m-per-s", type=float, default=200.0)
    parser.add_argument("--spokes", choices=("centre-out", "full"), default="centre-out")
    parser.add_argument("--seed", type=int, default=0)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=50)
    length.add_argument("--budget-s", type=float)
    return parser.parse_args(argv)


def run_inside(folder: Path) -> int:
    """Run this script again in its own environment, which is made first if it is not there."""
    python = folder / "bin" / "python"
    done = folder / "seqopt-peer.txt"
    if not done.exists() or done.read_text() != "\n".join(PINNED):
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", *PINNED], check=True)
        done.write_text("\n".join(PINNED))
    return subprocess.run([python, *sys.argv], env={**os.environ, INSIDE: "1"}, check=False).returncode


def learn(wanted: argparse.Namespace) -> None:
    """The example, with the deviations named above."""
    from deepinv_stand_in import provide

    provide()
    import torch
    from mrinufft import Acquisition, get_operator, initialize_2D_radial
    from mrinufft.trajectories.projection import project_trajectory
    from mrinufft.trajectories.utils import Hardware

    warnings.filterwarnings("ignore", message="Samples will be rescaled")
    warnings.filterwarnings("ignore", message="Casting complex values")
    images = torch.from_numpy(np.load(wanted.images).astype(np.complex64))
    images = images / torch.linalg.vector_norm(images, dim=(1, 2), keepdim=True)
    shape, full = tuple(images.shape[1:]), wanted.spokes == "full"
    hardware = Hardware(
        gmax=wanted.max_grad_mt_per_m * 1e-3,
        smax=wanted.max_slew_t_per_m_per_s,
        grad_raster_time=wanted.raster_us * 1e-6,
    )
    limits = Acquisition(fov=(wanted.fov_mm * 1e-3,) * 2, img_size=shape, hardware=hardware)
    echo = 0.5 if full else 0.0

    class Model(torch.nn.Module):
        def __init__(self, start: Any) -> None:
            super().__init__()
            self.trajectory = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))
            self.operator = get_operator("finufft", wrt_data=True, wrt_traj=True)(
                np.array(start, dtype=np.float32).reshape(-1, 2), shape=shape, density=True, squeeze_dims=False
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.operator.samples = self.trajectory.clone().reshape(-1, 2)
            adjoint = self.operator.adj_op(self.operator.op(image))
            return adjoint / torch.linalg.norm(adjoint)

    random = np.random.default_rng(wanted.seed)
    free = round(wanted.samples * wanted.dwell_us / wanted.raster_us)
    start = initialize_2D_radial(wanted.shots, free, in_out=full).astype(np.float32)
    start += 0.01 * random.standard_normal(start.shape).astype(np.float32)
    start = project_trajectory(start, limits, max_iter=100, verbose=0, TE_pos=echo)
    model = Model(start)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    begin = time.perf_counter()

    def spent(step: int) -> float:
        if wanted.budget_s is None:
            return min(step / wanted.steps, 1.0)
        return min((time.perf_counter() - begin) / wanted.budget_s, 1.0)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0 - (1.0 - 1e-4) * spent(step))
    mean_before = mean_loss(model, images)
    begin = time.perf_counter()
    losses: list[float] = []
    order: list[int] = []
    while spent(len(losses)) < 1.0:
        order = order or random.permutation(len(images)).tolist()
        image = images[order.pop()][None]
        loss = torch.norm(model(image) - image[None])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            projected = project_trajectory(model.trajectory, limits, max_iter=100, verbose=0)
            model.trajectory.data = projected.reshape(model.trajectory.shape).clamp_(-0.5, 0.5)
        schedule.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - begin
    learned = model.trajectory.detach().numpy()
    k = at_samples(learned, wanted)[..., ::-1] * np.array(shape[::-1])  # axes y, x of the array -> x, y
    np.save(wanted.out.with_suffix(".npy"), k)
    report = {
        **{name: str(value) if isinstance(value, Path) else value for name, value in vars(wanted).items()},
        "packages": PINNED,
        "unit": "cycles per field of view, x before y",
        "steps_done": len(losses),
        "seconds": seconds,
        "images_given": len(images),
        "free_samples": free,
        "echo_sample": int(np.median(np.linalg.norm(k, axis=-1).argmin(axis=1))),
        "mean_loss_before": mean_before,
        "mean_loss_after": mean_loss(model, images),
        "largest": {
            "limits": limits_used(limits),
            "start": largest(start, limits),
            "learned": largest(learned, limits),
        },
        "losses": losses,
    }
    wanted.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "losses"}, indent=1))


def at_samples(learned: Any, wanted: argparse.Namespace) -> Any:
    """K on the raster -> k at the ADC samples, both in the middle of their intervals: (shots, samples, 2)."""
    raster = (np.arange(learned.shape[1]) + 0.5) * wanted.raster_us
    adc = (np.arange(wanted.samples) + 0.5) * wanted.dwell_us
    left = np.clip(np.searchsorted(raster, adc) - 1, 0, len(raster) - 2)
    share = ((adc - raster[left]) / wanted.raster_us)[:, None]
    k = (1 - share) * learned[:, left].astype(float) + share * learned[:, left + 1].astype(float)
    return k.clip(-0.5, 0.5)  # half an interval at either end is extrapolated


def mean_loss(model: Any, images: Any) -> float:
    """The example's loss, over (at most 16 of) the images."""
    import torch

    chosen = images[:: max(1, len(images) // 16)]
    with torch.no_grad():
        return float(np.mean([float(torch.norm(model(image[None]) - image[None, None])) for image in chosen]))


def limits_used(limits: Any) -> dict[str, float]:
    return {"grad_mt_per_m": limits.gmax * 1e3, "slew_t_per_m_per_s": limits.smax}


def largest(trajectory: Any, limits: Any) -> dict[str, float]:
    """Largest vector gradient and slew, by first and second differences over the dwell time."""
    k_per_m = np.asarray(trajectory, dtype=float) * 2 * np.array(limits.kmax[:2])
    gradient = np.diff(k_per_m, axis=1) / float(limits.gamma) / limits.raster_time
    slew = np.linalg.norm(np.diff(gradient, axis=1) / limits.raster_time, axis=-1)
    return {
        "grad_mt_per_m": float(np.linalg.norm(gradient, axis=-1).max() * 1e3),
        "slew_t_per_m_per_s": float(slew.max()),
        "share_of_slews_above_the_limit": float((slew > limits.smax).mean()),
    }


def main() -> int:
    wanted = arguments_of(sys.argv[1:])
    if os.environ.get(INSIDE) != "1":
        return run_inside(wanted.venv)
    learn(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
