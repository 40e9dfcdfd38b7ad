"""The images that the benchmarks of line selection share: slices of the embedded brain."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seqopt.images.brain import brain_volume
from seqopt.images.image_set import evenly
from seqopt.images.resample import Grid
from seqopt.learn.line_scores import Batches

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
