"""An acquired file block by block: some slices of one series at a time, so that memory does not grow with the scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import LEAST_CALIBRATION, Geometry, MaskDesign, TrajectoryDesign
from seqopt.mrd.cartesian_scan import CartesianScan, Others, sort_cartesian_scan
from seqopt.mrd.files import RawFile, Reader
from seqopt.mrd.heads import DIRECTIONS, SERIES_COUNTERS, VOLUME_COUNTERS, Heads
from seqopt.mrd.placement import Placement, orthonormal
from seqopt.mrd.readouts import NoSignalError, reading
from seqopt.mrd.scan import Scan, sort_scan
from seqopt.mrd.series import Block, Content, Rows
from seqopt.mrd.trajectory import Units

FloatArray = npt.NDArray[np.float64]
_ONE_PLACE_MM = 1e-3


@dataclass(frozen=True, kw_only=True)
class BlockReader:
    """Reads the blocks of one file. ``acquisitions`` may put in what the file itself lacks (a .seq's trajectory)."""

    path: Path
    reader: Reader
    content: Content
    acquisitions: Callable[[Rows], list[ismrmrd.Acquisition]]
    _noise: list[list[ismrmrd.Acquisition]] = field(default_factory=list)
    _units: dict[str, FloatArray] = field(default_factory=dict)
    """What turns the file's trajectory into 1/m, once it is known."""

    def trajectory(self, block: Block, design: TrajectoryDesign | None, units: Units) -> Scan:
        """One block along its trajectory; raises what `sort_scan` raises, and where a slice holds zeros."""
        units = self._units.get("1/m", units)
        with reading():
            scan = sort_scan(self._raw(block.rows), self.path, design, segments=self.content.segments, units=units)
        if scan.to_per_m is not None:
            self._units["1/m"] = scan.to_per_m  # told once: of a few spokes the extent may tell another
        _require_signal(self.path, block, scan.kspace.samples)
        return replace(scan, placement=self.placement(block, scan.image, design))

    def cartesian(self, block: Block, design: MaskDesign | None, *, whole: bool = False) -> CartesianScan:
        """One block of Cartesian lines, ``whole`` with oversampling.

        Raises what `sort_cartesian_scan` raises, and where a slice holds zeros.
        """
        calibration = self.acquisitions(block.calibration)
        shared = ((whose, self.acquisitions(rows)) for whose, rows in shared_lines(self.content, block))
        others = Others(calibration=calibration, shared=shared)
        with reading():
            scan = sort_cartesian_scan(self._raw(block.rows), self.path, design, others=others, whole=whole)
        _require_signal(self.path, block, scan.data.samples)
        notes = (*scan.notes, *_borrowed(self.content, block))
        return replace(scan, placement=self.placement(block, scan.image, design), notes=notes)

    def placement(self, block: Block, geometry: Geometry, design: TrajectoryDesign | MaskDesign | None) -> Placement:
        """Where the block's slices lie: as the file says, or else as in a stack about the isocentre."""
        heads, rows = self.content.heads, block.rows
        firsts = [rows[int(np.argmax(heads["slice"][rows] == slice_))] for slice_ in block.slices]
        first = heads[rows[0]]
        if orthonormal(np.stack([first[name] for name in DIRECTIONS]).astype(float)):
            read_dir, phase_dir, slice_dir = (first[name].astype(float) for name in DIRECTIONS)
            positions_m = 1e-3 * heads["position"][firsts].astype(float)
            together = slices_at_one_place(self.content, block.slices[0])
            if together:
                positions_m += _offsets_m(block, together, geometry, design)[:, None] * slice_dir
            return Placement(read_dir=read_dir, phase_dir=phase_dir, slice_dir=slice_dir, positions_m=positions_m)
        stack = Placement.axial(replace(geometry, slices=len(block.slices)))
        offsets_m = _offsets_m(block, self.content.slices, geometry, design)
        return replace(stack, positions_m=offsets_m[:, None] * stack.slice_dir)

    def _raw(self, rows: Rows) -> RawFile:
        if not self._noise:
            self._noise.append(self.acquisitions(self.content.noise))
        items = [*self._noise[0], *self.acquisitions(rows)]
        return replace(RawFile.of(self.reader, self.content.space), acquisitions=items)


def slices_at_one_place(content: Content, slice_: int) -> tuple[int, ...]:
    """Numbers of the slices parallel to this one where the file puts all of them at one place; empty where it does not.

    Files of converters leave every position at 0: their slices are stacked by number, as a design's are.
    """
    heads = content.heads
    numbers, first = np.unique(heads["slice"][content.rows], return_index=True)
    ones, own = heads[content.rows[first]], int(np.flatnonzero(numbers == slice_)[0])
    parallel = np.all([np.isclose(ones[name], ones[name][own], atol=1e-4).all(1) for name in DIRECTIONS], axis=0)
    positions_mm = ones["position"][parallel]
    if len(positions_mm) == 1 or not (np.abs(positions_mm - positions_mm[0]) < _ONE_PLACE_MM).all():
        return ()
    return tuple(numbers[parallel].tolist())


def place_notes(content: Content) -> list[str]:
    """A note where slices were stacked because the file puts them at one place."""
    first = content.heads[content.rows[0]]
    together = slices_at_one_place(content, int(first["slice"]))
    if not together or not orthonormal(np.stack([first[name] for name in DIRECTIONS]).astype(float)):
        return []
    numbers = ", ".join(map(str, together)) if len(together) <= 8 else f"{together[0]} to {together[-1]}"
    return [f"the file puts slices {numbers} at one place; they were stacked about it by thickness, in that order"]


def _offsets_m(
    block: Block, slices: tuple[int, ...], geometry: Geometry, design: TrajectoryDesign | MaskDesign | None
) -> npt.NDArray[np.float64]:
    """(slices of the block,) in a stack about its middle: the design's, or one of the numbers ``slices``."""
    planned = design is not None and max(slices) < design.geometry.slices
    numbers = tuple(range(design.geometry.slices)) if design is not None and planned else slices
    whole = replace(geometry if design is None else design.geometry, slices=len(numbers))
    return np.array(whole.slice_positions_m())[[numbers.index(slice_) for slice_ in block.slices]]


def _require_signal(path: Path, block: Block, samples: npt.NDArray[np.complex64]) -> None:
    """Refuse a block some of whose slices hold zeros only: these have no coil maps, nor a kernel."""
    empty = [slice_ for slice_, one in zip(block.slices, samples, strict=True) if not one.any()]
    if empty:
        raise NoSignalError(f"{path}: all samples of slice {empty[0]} are zero", empty)


def _borrowed(content: Content, block: Block) -> list[str]:
    """A note where calibration readouts are of another series."""
    heads = content.heads[block.calibration]
    if all((heads[name] == getattr(block.key, name)).all() for name in VOLUME_COUNTERS):
        return []
    return ["series without calibration lines take those of the nearest repetition, contrast or set that has them"]


def shared_lines(content: Content, block: Block) -> Iterator[tuple[str, Rows]]:
    """One readout of each line of all repetitions, the nearest; then of other contrasts, sets and phases; and whose."""
    heads = content.heads
    rows = content.rows[np.isin(heads["slice"][content.rows], block.slices)]
    groups, group = np.unique(heads[rows][list(SERIES_COUNTERS)], return_inverse=True)
    apart = sum(np.abs(groups[name].astype(np.int64) - getattr(block.key, name)) for name in SERIES_COUNTERS)
    for place in np.argsort(apart, kind="stable"):
        mine = rows[group.reshape(-1) == place]
        if _longest_run(heads["kspace_encode_step_1"][mine]) < LEAST_CALIBRATION:
            continue
        later = np.abs(heads["repetition"][mine].astype(int) - block.key.repetition)
        mine = mine[np.argsort(later, kind="stable")]
        _, first = np.unique(_places(heads, mine), return_index=True)
        yield "another contrast or set" if apart[place] else "all repetitions", np.sort(mine[first])


def _places(heads: Heads, rows: Rows) -> Any:
    return heads["slice"][rows].astype(np.int64) * 65536 + heads["kspace_encode_step_1"][rows]


def _longest_run(lines: Any) -> int:
    numbers = np.unique(lines)
    return max(len(run) for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1))
