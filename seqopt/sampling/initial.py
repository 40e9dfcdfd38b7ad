"""Initial trajectories: the habits from which learning starts, and the fixed baselines it is compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.registry import Registry

FloatArray = npt.NDArray[np.float64]
InitialTrajectory = Callable[[Geometry, int, int], tuple[FloatArray, int]]

initial_trajectories: Registry[InitialTrajectory] = Registry("trajectory")


@initial_trajectories.register("radial")
def radial(geometry: Geometry, shots: int, samples: int) -> tuple[FloatArray, int]:
    """Full spokes, spoke j at angle j pi / shots (papers.md A), k = 0 on sample ``samples // 2``.

    Out: k (shots, samples, 2) in 1/m and the index of the echo sample.
    """
    echo = samples // 2
    along = (np.arange(samples) - echo) / (samples / 2)  # -1 .. 1
    angle = np.arange(shots) * np.pi / shots
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.array(geometry.k_max_per_m)
    return along[None, :, None] * direction[:, None, :], echo
