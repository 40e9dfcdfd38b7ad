"""Small images whose lines tests choose, and the scores that choose them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seqopt.encoding.cartesian import CartesianAcquisition
from seqopt.learn.line_scores import LineScores
from seqopt.learn.losses import image_loss
from seqopt.recon.cartesian_loop import ZeroFilled

LINES, COLUMNS = 16, 12


def images(count: int = 6, seed: int = 0) -> Tensor:
    """(count, 16, 12) complex boxes with a phase and some texture."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, LINES), torch.linspace(-1, 1, COLUMNS), indexing="ij"))
    centre, size = torch.rand(2, count, 2, 1, 1, generator=generator)
    inside = ((grid[None] - (centre - 0.5)).abs() < 0.3 + 0.4 * size).all(1)
    texture = 0.2 * torch.randn(count, LINES, COLUMNS, generator=generator)
    bend = torch.randn(count, 2, generator=generator)
    return torch.polar(inside + texture.abs(), (bend[:, :, None, None] * grid).sum(1))


def scores_of(
    some: Tensor | None = None, *, loss: str = "l1", sigma: float = 0.05, size: int = 4, **options: object
) -> LineScores:
    given = images() if some is None else some
    settings = {"recon": ZeroFilled(), "target": lambda e, t, _: image_loss(e, t, {loss: 1.0})} | options
    return LineScores(
        lambda: ((part,) for part in given.split(size)), CartesianAcquisition(noise_sigma=sigma), **settings
    )


def mask_of(order: np.ndarray) -> np.ndarray:
    return np.isin(np.arange(LINES), order)
