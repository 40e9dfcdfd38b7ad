"""The images that the benchmarks of line selection share: slices of the embedded brain."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from seqopt.core import Geometry, Protocol
from seqopt.encoding.cartesian import CartesianAcquisition
from seqopt.gradients.profiles import load_scanner
from seqopt.images.brain import brain_volume
from seqopt.images.image_set import evenly
from seqopt.images.resample import Grid
from seqopt.learn.line_scores import Batches, LineScores
from seqopt.learn.targets import make_target
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.mask_images import load_mask_images
from seqopt.workflows.mask_networks import task_network
from seqopt.workflows.mask_recipe import MaskRecipe
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.mask_run import MaskRun

FOV_M = 0.24


def brain(matrix: int, count: int) -> Tensor:
    """(count, matrix, matrix) complex: magnitudes with a smooth phase each, so that k and -k are not the same."""
    images = brain_volume(Grid(matrix=matrix, fov_m=FOV_M)).images
    chosen = torch.from_numpy(images[evenly(np.arange(len(images)), count)])
    generator = torch.Generator().manual_seed(0)
    across = torch.linspace(-1.0, 1.0, matrix)
    bend = torch.randn(3, len(chosen), 1, 1, generator=generator)
    phase = bend[0] * across[:, None] + bend[1] * across + bend[2] * across[:, None] * across
    return torch.polar(chosen, phase.expand_as(chosen).contiguous())


def batches_of(images: Tensor, size: int) -> Batches:
    """The same batches in the same order at each call."""
    return lambda: ((part,) for part in images.split(size))


def split_scores(
    matrix: int, *, task: str, target: str, task_steps: int = 200, seed: int = 0, images: int = 32
) -> dict[str, LineScores]:
    """By split, the scores of lines as ``seqopt design`` has them: one coil, SNR 50, zero-filled, network trained."""
    request = MaskRequest(
        out=Path(),
        geometry=Geometry(fov_m=(FOV_M, FOV_M), matrix=(matrix, matrix)),
        scanner=load_scanner("paper"),
        protocol=Protocol(),
        recipe=MaskRecipe(task_steps=task_steps, selection_images=images, test_images=100_000, pass_batch=16),
        shots=matrix // 4,
        task=task,
        target={target: 1.0},
        coils=1,
        seed=seed,
    )
    found = load_mask_images(request)
    with TemporaryDirectory() as folder:
        kept = Checkpoint(Path(folder) / "state.pt", {})
        acquisition = CartesianAcquisition(noise_sigma=found.noise_sigma)
        run = MaskRun(request, found, acquisition, kept, lambda *_: None, lambda: False)
        wanted = make_target({target: 1.0}, task_network(run))
    return {
        name: LineScores(run.batches(name), run.acquisition, run.inner(), wanted, seed=3 * seed + number)
        for number, name in enumerate(found.parts)
    }
