"""Coil maps from calibration lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core.cartesian_data import LEAST_CALIBRATION, central_run
from seqopt.errors import SeqoptError
from seqopt.recon.coil_maps import map_methods


def maps_of_lines(
    calibration: npt.NDArray[Any],
    calibration_lines: npt.NDArray[np.int64],
    shape: tuple[int, int],
    *,
    method: str = "walsh",
    size: int = 24,
) -> npt.NDArray[np.complex64]:
    """Receive sensitivities (coils, y, x) with sum |S|^2 = 1, from lines (coils, lines, x) about ky = 0.

    In: ``shape`` (y, x) of the image, ``size`` the largest side of the k-space centre that is used, in 1/FOV.
    One coil needs no calibration: its map is 1. Raises `SeqoptError` for fewer lines than 6.
    """
    estimate = map_methods[method]
    coils, _, x = calibration.shape
    if coils == 1:
        return np.ones((1, *shape), np.complex64)
    centre = shape[0] // 2
    run = central_run(calibration_lines, shape[0])
    half = min(centre - int(run[0]), int(run[-1]) + 1 - centre, size // 2, x // 2) if len(run) else 0
    if 2 * half < LEAST_CALIBRATION:
        raise SeqoptError(
            f"coil maps need {LEAST_CALIBRATION} or more calibration lines about the centre of k-space, "
            f"the data hold {len(run)}; design with --calibration, or use the method 'zero-filled'"
        )
    rows = np.searchsorted(calibration_lines, np.arange(centre - half, centre + half))
    block = calibration[:, rows, x // 2 - half : x // 2 + half]
    return estimate(block.astype(np.complex128), shape)
