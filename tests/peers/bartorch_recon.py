"""Run by bartorch's own environment: a slice of a BART folder to an image. FOLDER OUT.npy REGULARISATION ITERATIONS."""

import sys
from pathlib import Path

import numpy as np
import torch
from bartorch.apps import pics


def cfl(name):
    """An array without BART's axes of one."""
    path = folder / name
    dims = [int(size) for size in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return torch.from_numpy(np.fromfile(path.with_suffix(".cfl"), np.complex64).reshape(dims[::-1]).squeeze())


folder, out, weight, iterations = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
image = pics(
    cfl("ksp"),
    cfl("maps")[:, None],
    l2=weight,
    maxiter=iterations,
    traj=cfl("traj").real.contiguous(),
    pattern=cfl("weights"),
    scaling=1.0,
)
np.save(out, image.numpy().squeeze())
