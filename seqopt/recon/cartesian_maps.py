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
    columns: tuple[int, int] | None = None,
) -> npt.NDArray[np.complex64]:
    """Receive sensitivities (coils, y, x) with sum |S|^2 = 1, from lines (coils, lines, x) about ky = 0.

    In: ``shape`` (y, x) of the image, ``size`` the largest side of the k-space centre that is used, in 1/FOV,
    ``columns`` the first sample along x that was acquired and the one after the last, where not all were.
    One coil needs no calibration: its map is 1. Raises `SeqoptError` for fewer lines than 6.
    """
    estimate = map_methods[method]
    if len(calibration) == 1:
        return np.ones((1, *shape), np.complex64)
    block = central_block(calibration, calibration_lines, shape, size=size, columns=columns)
    return estimate(block.astype(np.complex128), shape)


def central_block(
    calibration: npt.NDArray[Any],
    calibration_lines: npt.NDArray[np.int64],
    shape: tuple[int, int],
    *,
    size: int,
    columns: tuple[int, int] | None = None,
) -> npt.NDArray[Any]:
    """The square centre of k-space (coils, n, n) that the lines hold without a gap, n even and at most ``size``."""
    x = calibration.shape[-1]
    centre = shape[0] // 2
    run = central_run(calibration_lines, shape[0])
    first, end = columns or (0, x)
    reach = min(x // 2 - first, end - x // 2)
    half = min(centre - int(run[0]), int(run[-1]) + 1 - centre, size // 2, reach) if len(run) else 0
    if 2 * half < LEAST_CALIBRATION:
        raise SeqoptError(
            f"coil maps need {LEAST_CALIBRATION} or more calibration lines about the centre of k-space, "
            f"the data hold {min(len(run), 2 * reach)}; design with --calibration, or use the method 'zero-filled'"
        )
    rows = np.searchsorted(calibration_lines, np.arange(centre - half, centre + half))
    return calibration[:, rows, x // 2 - half : x // 2 + half]
