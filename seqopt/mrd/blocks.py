"""An acquired file block by block: some slices of one series at a time, so that memory does not grow with the scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np

from seqopt.core import LEAST_CALIBRATION, Geometry, MaskDesign, TrajectoryDesign
from seqopt.mrd.cartesian_scan import CartesianScan, sort_cartesian_scan
from seqopt.mrd.files import RawFile, Reader
from seqopt.mrd.heads import CALIBRATION, DIRECTIONS, Heads, flagged
from seqopt.mrd.placement import Placement
from seqopt.mrd.scan import Scan, sort_scan
from seqopt.mrd.series import Block, Content, Rows


@dataclass(frozen=True, kw_only=True)
class BlockReader:
    """Reads the blocks of one file. ``acquisitions`` may put in what the file itself lacks (a .seq's trajectory)."""

    path: Path
    reader: Reader
    content: Content
    acquisitions: Callable[[Rows], list[ismrmrd.Acquisition]]
    _noise: list[list[ismrmrd.Acquisition]] = field(default_factory=list)

    def trajectory(self, block: Block, design: TrajectoryDesign | None, units: str | None) -> Scan:
        """One block along its trajectory; raises what `sort_scan` raises."""
        scan = sort_scan(self._raw(block.rows), self.path, design, segments=self.content.segments, units=units)
        return replace(scan, placement=self.placement(block, scan.kspace.geometry, design))

    def cartesian(self, block: Block, design: MaskDesign | None) -> CartesianScan:
        """One block of Cartesian lines; raises what `sort_cartesian_scan` raises."""
        rows = np.sort(np.concatenate([block.rows, block.calibration]))
        shared = self.acquisitions(shared_lines(self.content, block))
        scan = sort_cartesian_scan(self._raw(rows), self.path, design, part=True, shared=shared)
        return replace(scan, placement=self.placement(block, scan.image, design))

    def placement(self, block: Block, geometry: Geometry, design: TrajectoryDesign | MaskDesign | None) -> Placement:
        """Where the block's slices lie: as the file says, or else as in a stack about the isocentre."""
        heads, rows = self.content.heads, self.content.rows
        firsts = [rows[int(np.argmax(heads["slice"][rows] == slice_))] for slice_ in block.slices]
        first = heads[block.rows[0]]
        if all(first[name].any() for name in DIRECTIONS):
            read_dir, phase_dir, slice_dir = (first[name].astype(float) for name in DIRECTIONS)
            positions_m = 1e-3 * heads["position"][firsts].astype(float)
            return Placement(read_dir=read_dir, phase_dir=phase_dir, slice_dir=slice_dir, positions_m=positions_m)
        numbers = range(design.geometry.slices) if design is not None else self.content.slices
        whole = design.geometry if design is not None else replace(geometry, slices=len(numbers))
        stack = Placement.axial(whole)
        return replace(stack, positions_m=stack.positions_m[[numbers.index(slice_) for slice_ in block.slices]])

    def _raw(self, rows: Rows) -> RawFile:
        if not self._noise:
            self._noise.append(self.acquisitions(self.content.noise))
        items = [*self._noise[0], *self.acquisitions(rows)]
        return replace(RawFile.of(self.reader, self.content.space), acquisitions=items)


def shared_lines(content: Content, block: Block) -> Rows:
    """One readout of each line that other repetitions hold, if these fill k-space and the block's own do not."""
    heads = content.heads
    own = heads["kspace_encode_step_1"][block.rows]
    calibrating = len(block.calibration) + int(flagged(heads[block.rows], *CALIBRATION).sum())
    if calibrating >= LEAST_CALIBRATION or _longest_run(own) >= LEAST_CALIBRATION:
        return np.zeros(0, dtype=np.int64)
    alike = np.isin(heads["slice"][content.rows], block.slices)
    for name in ("contrast", "set", "phase"):
        alike &= heads[name][content.rows] == getattr(block.key, name)
    rows = content.rows[alike]
    if _longest_run(heads["kspace_encode_step_1"][rows]) < LEAST_CALIBRATION:
        return np.zeros(0, dtype=np.int64)
    apart = np.abs(heads["repetition"][rows].astype(int) - block.key.repetition)
    rows = rows[np.argsort(apart, kind="stable")]
    _, first = np.unique(_places(heads, rows), return_index=True)
    return np.sort(rows[first])


def _places(heads: Heads, rows: Rows) -> Any:
    return heads["slice"][rows].astype(np.int64) * 65536 + heads["kspace_encode_step_1"][rows]


def _longest_run(lines: Any) -> int:
    numbers = np.unique(lines)
    return max(len(run) for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1))
