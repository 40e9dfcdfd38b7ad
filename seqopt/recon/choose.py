"""The method ``auto``: chosen by what was acquired, with the reason."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from seqopt.core import CartesianData, Geometry
from seqopt.core.cartesian_data import LEAST_CALIBRATION, central_run
from seqopt.errors import SeqoptError
from seqopt.recon.grappa import regular_pattern

AUTO = "auto"
_COVERED = 0.85
"""Share of k-space above which there is nothing for a sparse prior to fill in."""


def choose_for_trajectory(
    k_per_m: npt.NDArray[np.float64], geometry: Geometry, networks: Collection[str]
) -> tuple[str, str]:
    """Method and reason, for k (shots, samples, 2) in 1/m and the ``networks`` that a design holds."""
    for method in ("unrolled", "unet"):
        if method in networks:
            return method, "the design holds a network that was trained for it"
    share = covered(k_per_m, geometry)
    if share >= _COVERED:
        return "cg-sense", f"the shots cover {100 * share:.0f} % of k-space"
    return "l1-wavelet", f"the shots cover only {100 * share:.0f} % of k-space"


def choose_for_lines(data: CartesianData, networks: Collection[str]) -> tuple[str, str]:
    """Method and reason for Cartesian lines."""
    if "unet" in networks:
        return "unet", "the design holds a network that was trained for it"
    mask = data.mask(0)
    if mask.all():
        return "zero-filled", "all lines were acquired"
    coils = data.samples.shape[1]
    run = central_run(data.calibration_lines, data.geometry.matrix[1])
    if coils > 1 and len(run) < LEAST_CALIBRATION:
        return "zero-filled", f"{len(run)} calibration lines are too few for coil maps"
    try:
        distance, _ = regular_pattern(mask, data.calibration_lines)
    except SeqoptError:
        return "l1-wavelet", f"{int(mask.sum())} of {len(mask)} lines without a regular pattern"
    if coils >= 2 * distance > 2 and len(run) > distance:
        return "grappa", f"every line of {distance} was acquired, with {coils} coils and {len(run)} calibration lines"
    return "l1-wavelet", f"one line of {distance} is much for {coils} coil(s)"


def covered(k_per_m: npt.NDArray[np.float64], geometry: Geometry) -> float:
    """Share of the cells of (1/FOV)^2 in the ellipse of the geometry's k-max that hold a sample."""
    position = k_per_m.reshape(-1, 2) * np.array(geometry.fov_m)
    radii = np.array(geometry.matrix) / 2
    cells = np.unique(np.floor(position + 0.5).astype(np.int64), axis=0)
    inside = ((cells / radii) ** 2).sum(1) <= 1
    grid = np.stack(np.meshgrid(*(np.arange(-n // 2, n // 2 + 1) for n in geometry.matrix)), -1).reshape(-1, 2)
    return float(inside.sum() / (((grid / radii) ** 2).sum(1) <= 1).sum())
