"""The radial trajectory that the benchmarks of speed share: they measure work, not images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Scanner
from seqopt.sampling.trajectory import ResidualTrajectory

DWELL_S = 4e-6
FloatArray = npt.NDArray[np.float64]


def spokes(geometry: Geometry, shots: int, samples: int) -> FloatArray:
    """Full spokes (shots, samples, 2) in 1/m, k = 0 on sample ``samples // 2``."""
    along = (np.arange(samples) - samples // 2) / (samples / 2)
    angle = np.arange(shots) * np.pi / shots
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.array(geometry.k_max_per_m)
    return np.asarray(along[None, :, None] * direction[:, None, :], dtype=float)


def residual_ode(geometry: Geometry, scanner: Scanner, shots: int, samples: int, **options: Any) -> ResidualTrajectory:
    """The residual ODE about the spokes, the echo kept at k = 0."""
    return ResidualTrajectory(
        spokes(geometry, shots, samples),
        geometry,
        scanner,
        dwell_s=DWELL_S,
        echo_sample=samples // 2,
        pinned=np.tile(np.eye(2), (shots, 1, 1)),
        **options,
    )
