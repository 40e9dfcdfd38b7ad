"""Whether Cartesian lines are those of the design or the header, and what is missing of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import MaskDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.cartesian_grid import CartesianGrid

Lines = dict[tuple[int, int], npt.NDArray[np.complex64]]
"""(slice, line) -> (coils, x)."""


def check_length(path: Path, length: int, grid: CartesianGrid, design: MaskDesign | None) -> None:
    """Refuse readouts that are not of the design's length, or longer than the header's."""
    if design is not None and length != grid.samples:
        raise SeqoptError(
            f"{path}: readouts have {length} samples, but the design {design.name} has {grid.samples}; "
            "give the design that was played"
        )
    if length > grid.samples:
        raise SeqoptError(
            f"{path}: readouts have {length} samples, but the header's encoded matrix has {grid.samples}; "
            "correct the header or give the design with --design"
        )


def check_segments(path: Path, items: Sequence[ismrmrd.Acquisition], length: int, grid: CartesianGrid) -> None:
    """Refuse parts of lines: whole lines of several segments are averages."""
    if length < grid.samples and len({item.idx.segment for item in items}) > 1:
        places = {(item.idx.slice, item.idx.kspace_encode_step_1, item.idx.average) for item in items}
        if len(places) < len(items):
            raise SeqoptError(
                f"{path}: lines are recorded in several values of idx.segment, each of {length} samples where the "
                f"encoded matrix has {grid.samples}; give data with whole lines"
            )


def check_strangers(path: Path, found: Lines, slices: list[int], design: MaskDesign | None) -> None:
    """Refuse lines and slices that the design does not have."""
    if design is None:
        return
    strange_lines = sorted({line for _, line in found} - set(design.lines.tolist()))
    strange_slices = [slice_ for slice_ in slices if slice_ >= design.geometry.slices]
    if strange_lines or strange_slices:
        strange = f"line {strange_lines[0]}" if strange_lines else f"slice {strange_slices[0]}"
        raise SeqoptError(
            f"{path} holds {strange}, which the design {design.name} does not; give the design that was played"
        )


def note_missing(found: Lines, slices: list[int], design: MaskDesign | None, notes: list[str]) -> None:
    """Say what is missing of the design, or of what other slices have."""
    lines = {line for _, line in found} if design is None else set(design.lines.tolist())
    due = len(slices) if design is None else design.geometry.slices
    if due > len(slices):
        notes.append(f"the scan is incomplete: {due - len(slices)} of {due} slices are missing")
    missing = len(slices) * len(lines) - len(found)
    if missing:
        notes.append(
            f"the scan is incomplete: {missing} of {len(slices) * len(lines)} lines are missing; "
            "each slice is reconstructed from the lines it has"
        )
