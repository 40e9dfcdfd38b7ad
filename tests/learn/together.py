"""What one process of a distributed run does; the tests start it under torchrun or with its variables set.

Run: python together.py OUT [leave-at RANK | cuda]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from designs import paper_scanner

from seqopt.core import Geometry
from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.images import simulated_coil_maps
from seqopt.learn.fit import Batch, Fit
from seqopt.learn.parallel import World, alone, join
from seqopt.learn.recipe import choose
from seqopt.recon.in_loop import AdjointUnet, CgSense
from seqopt.sampling.trajectory import FixedTrajectory, ResidualTrajectory

GEOMETRY = Geometry(fov_m=(0.22, 0.22), matrix=(32, 32))
SHOTS, SAMPLES, DWELL_S, STEPS, BATCH = 4, 500, 4e-6, 5, 4
PINNED = np.tile(np.eye(2), (SHOTS, 1, 1))


def batch_of(index: int) -> Batch:
    """Four smooth random images."""
    rng = np.random.default_rng([7, index])
    coarse = torch.from_numpy(rng.uniform(0, 1, (BATCH, 1, 4, 4)).astype(np.float32))
    images = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bicubic", align_corners=False)[:, 0]
    return Batch(images.to(torch.complex64))


def spokes() -> np.ndarray:
    """Four spokes through the centre, (shots, samples, 2) in 1/m."""
    along = (np.arange(SAMPLES) - SAMPLES // 2) / (SAMPLES / 2) * GEOMETRY.k_max_per_m[0]
    angle = np.arange(SHOTS) * np.pi / SHOTS
    return along[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]


def fit_of(kind: str, world: World, device: str = "cpu", **options: bool) -> Fit:
    # every process but the first begins elsewhere: they must be made alike
    torch.manual_seed(world.rank)
    k = spokes()
    if kind == "trajectory":
        sampling = ResidualTrajectory(
            k, GEOMETRY, paper_scanner(), dwell_s=DWELL_S, echo_sample=SAMPLES // 2, pinned=PINNED
        )
        recon = CgSense(6, 0.01)
    else:
        sampling, recon = FixedTrajectory(k, dwell_s=DWELL_S), AdjointUnet(channels=4, levels=2)
    acquisition = Acquisition(GEOMETRY, simulated_coil_maps(4, GEOMETRY), noise_sigma=0.05, device=device)
    return Fit(
        sampling.to(device),
        recon.to(device),
        acquisition,
        batch_of,
        recipe=choose("quick"),
        steps=STEPS,
        scanner=paper_scanner(),
        seed=3,
        world=world,
        **options,
    )


def trained(kind: str, world: World = alone, device: str = "cpu", **options: bool) -> dict[str, torch.Tensor]:
    """Losses of a few steps, the gradient of the first and the parameters after the last."""
    fit = fit_of(kind, world, device, **options)
    losses, first = [], torch.empty(0)
    for step in fit.steps():
        losses.append(step.loss)
        if step.index == 0:
            first = torch.cat([one.grad.detach().cpu().flatten() for one in fit.parameters])
    parameters = torch.cat([one.detach().cpu().flatten() for one in fit.parameters])
    return {"loss": torch.tensor(losses), "first gradient": first, "parameters": parameters}


def main() -> None:
    out, extra = Path(sys.argv[1]), sys.argv[2:]
    device = torch.device("cuda" if extra == ["cuda"] else "cpu")
    with join(device, timeout_s=150) as world:
        if extra[:1] == ["leave-at"] and world.rank == int(extra[1]):
            raise SystemExit(3)
        result = {kind: trained(kind, world, str(world.device)) for kind in ("trajectory", "network")}
        own = [torch.full((2, 3), 10.0 * index, device=world.device) for index in world.share(5)]
        result["gathered"] = {
            "five": torch.stack(world.gather(own, 5)).cpu(),
            "one": torch.stack(world.gather(own[: len(world.share(1))], 1)).cpu(),
            "scalars": torch.stack(world.gather([one[0, 0] for one in own], 5)).cpu(),
            "complex": torch.stack(world.gather([one.to(torch.complex64) * 1j for one in own], 5)).cpu(),
            "any": torch.tensor([world.any(world.rank == 1), world.any(False)]),
        }
        world.barrier()
    result["threads left"] = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    torch.save(result, out / f"{world.rank}.pt")


if __name__ == "__main__":
    try:
        main()
    except SeqoptError as error:
        sys.exit(f"error: {error}")
