"""Receive coils that do not exist: loops around the field of view by the law of Biot and Savart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.errors import reject

RING_RADIUS = 0.82  # of the field of view, from its centre; its corners lie at 0.71
LOOP_RADIUS = 0.30  # of the field of view
WIRE_RADIUS = 0.15  # of the field of view: keeps the field finite where a wire crosses the image's corners
SEGMENTS = 48  # of each loop
COARSE = 48  # pixels a side on which the smooth field is computed


def simulated_coil_maps(
    coils: int, geometry: Geometry, *, generator: np.random.Generator | None = None
) -> npt.NDArray[np.complex64]:
    """Receive sensitivities B_x - i B_y of ``coils`` loops that face the centre from a ring around the field of view.

    Out: (coils, y, x) complex64, smooth, with the phase that the turning of the loops gives; the root sum of squares
    over the coils is 1 at every pixel. Without ``generator`` the ring is regular; with one, each loop's place, size
    and phase vary a little, as between patients. Source: Roemer et al., Magn. Reson. Med. 16 (1990) 192.
    """
    if not 1 <= coils <= 128:
        raise reject("coils", got=coils, expected="1..128", remedy="give the number of receive channels")
    jitter = np.zeros((4, coils)) if generator is None else generator.uniform(-1.0, 1.0, (4, coils))
    angle = 2 * np.pi * (np.arange(coils) + 0.5 + 0.15 * jitter[0]) / coils
    ring = RING_RADIUS * (1 + 0.05 * jitter[1])
    loop = LOOP_RADIUS * (1 + 0.1 * jitter[2]) * min(1.0, 8 / coils) ** 0.5
    y, x = geometry.shape
    coarse = tuple(min(size, COARSE) for size in (y, x))
    # in units of the field of view; the coarse grid has the pixels' outer edges in common with the fine one
    along_y, along_x = ((np.arange(size) + 0.5) / size - 0.5 for size in coarse)
    fields = np.stack([_loop_field(along_y, along_x, a, r, s) for a, r, s in zip(angle, ring, loop, strict=True)])
    fields *= np.exp(1j * np.pi * jitter[3])[:, None, None]
    maps = _enlarge(fields, (y, x))
    norm = np.sqrt((np.abs(maps) ** 2).sum(axis=0, keepdims=True))
    return np.asarray(maps / norm, dtype=np.complex64)


def _loop_field(
    along_y: npt.NDArray[Any], along_x: npt.NDArray[Any], angle: float, ring: float, radius: float
) -> npt.NDArray[np.complex128]:
    """Transverse field (y, x) in the plane z = 0 of one loop, up to a factor."""
    turn = 2 * np.pi * (np.arange(SEGMENTS) + 0.5) / SEGMENTS
    tangent = np.array([-np.sin(angle), np.cos(angle), 0.0])
    axial = np.array([0.0, 0.0, 1.0])
    centre = ring * np.array([np.cos(angle), np.sin(angle), 0.0])
    wire = centre + radius * (np.cos(turn)[:, None] * tangent + np.sin(turn)[:, None] * axial)
    current = -np.sin(turn)[:, None] * tangent + np.cos(turn)[:, None] * axial
    point_y, point_x = np.meshgrid(along_y, along_x, indexing="ij")
    points = np.stack([point_x, point_y, np.zeros_like(point_x)], axis=-1)
    apart = points[:, :, None] - wire  # (y, x, segments, 3)
    field = (np.cross(current, apart) / ((apart**2).sum(axis=-1, keepdims=True) + WIRE_RADIUS**2) ** 1.5).sum(axis=2)
    return np.asarray(field[..., 0] - 1j * field[..., 1])


def _enlarge(fields: npt.NDArray[np.complex128], shape: tuple[int, int]) -> npt.NDArray[np.complex128]:
    """Cubic-spline the coarse field (coils, y, x) to the pixels, whose centres lie at (i - n / 2) / n of the FOV."""
    from scipy.interpolate import CubicSpline

    for axis, size in ((1, shape[0]), (2, shape[1])):
        knots = (np.arange(fields.shape[axis]) + 0.5) / fields.shape[axis] - 0.5
        fields = CubicSpline(knots, fields, axis=axis)(np.arange(size) / size - 0.5)
    return fields
