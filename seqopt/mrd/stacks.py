"""Slices of one series -> stacks that one affine describes: parallel, in a row, evenly spaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.mrd.image_head import ImageHead
from seqopt.mrd.placement import Placement

FloatArray = npt.NDArray[np.float64]
_PARALLEL = 1e-4  # of unit vectors; files keep float32
_EVEN_M = 1e-4  # by which a slice may lie off its place in the row: less than any voxel


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices that lie evenly along a line, and where."""

    slices: tuple[int, ...]
    """Their numbers, in the order of the row."""
    placement: Placement
    """With the positions in that order."""

    def affine_ras_mm(self, geometry: Geometry) -> FloatArray:
        """(4, 4) voxel index (x, y, place in the stack) -> RAS in mm."""
        return self.placement.affine_ras_mm(geometry)


def stacks_of(heads: Sequence[ImageHead]) -> list[Stack]:
    """Stacks of the slices in ``heads``, of which each slice counts where its first head lies.

    Slices keep the order of their numbers where that runs along the row, either way; else they are sorted along it.
    """
    first: dict[int, ImageHead] = {}
    for head in sorted(heads, key=lambda head: (head.slice, head.repetition)):
        first.setdefault(head.slice, head)
    parallel: list[list[ImageHead]] = []
    for head in first.values():
        for group in parallel:
            if np.allclose(group[0].directions, head.directions, atol=_PARALLEL):
                group.append(head)
                break
        else:
            parallel.append([head])
    return [_stack(row) for group in parallel for row in _rows(group)]


def _stack(row: Sequence[ImageHead]) -> Stack:
    placement = Placement(
        read_dir=row[0].read_dir,
        phase_dir=row[0].phase_dir,
        slice_dir=row[0].slice_dir,
        positions_m=np.stack([head.position_m for head in row]),
    )
    return Stack(slices=tuple(head.slice for head in row), placement=placement)


def _rows(group: list[ImageHead]) -> list[list[ImageHead]]:
    """Parts of parallel slices that are evenly spaced, each in order."""
    positions = np.stack([head.position_m for head in group])
    along = positions @ group[0].slice_dir
    steps = np.diff(along)
    if not ((steps > 0).all() or (steps < 0).all()):
        group = [group[place] for place in np.argsort(along, kind="stable")]
    rows: list[list[ImageHead]] = []
    for head in group:
        if rows and _continues(rows[-1], head):
            rows[-1].append(head)
        else:
            rows.append([head])
    return rows


def _continues(row: Sequence[ImageHead], head: ImageHead) -> bool:
    if len(row) == 1:
        return bool(np.linalg.norm(head.position_m - row[0].position_m) > _EVEN_M)
    expected = row[-1].position_m + (row[-1].position_m - row[0].position_m) / (len(row) - 1)
    return bool(np.linalg.norm(head.position_m - expected) < _EVEN_M)
