"""Acquired Cartesian MRD data -> lines of k-space without oversampling, with calibration, noise and placement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import LEAST_CALIBRATION, CartesianData, Geometry, MaskDesign
from seqopt.core.cartesian_data import central_run
from seqopt.errors import SeqoptError
from seqopt.mrd.cartesian_grid import CartesianGrid, centred, grid_of_design, grid_of_header
from seqopt.mrd.files import RawFile, Reader, read_raw
from seqopt.mrd.from_header import read_placement
from seqopt.mrd.heads import encodes_image, imaging_space
from seqopt.mrd.placement import Placement
from seqopt.mrd.scan import (
    check_values,
    common_size,
    imaging_readouts,
    is_imaging,
    kept,
    noise_readouts,
    noise_samples,
    sorted_readouts,
)
from seqopt.mrd.xml_header import SIGNATURE_NAME, user_string

ComplexArray = npt.NDArray[np.complex64]
Lines = dict[tuple[int, int], ComplexArray]
"""(slice, line) -> (coils, x)."""
_COUNTERS = ("repetition", "contrast", "phase", "set")


@dataclass(frozen=True, kw_only=True)
class CartesianScan:
    """One file: what a reconstruction needs, the image that is wanted, where its slices lie, what reading decided."""

    data: CartesianData
    image: Geometry
    """Smaller than the data's own along y where the phase encoding was oversampled."""
    placement: Placement
    notes: tuple[str, ...] = ()


def is_cartesian(raw: RawFile) -> bool:
    """Whether the header says so and no readout holds a trajectory of its own."""
    said = str(raw.encoding.trajectory.value) == "cartesian"
    image = [item for item in raw.acquisitions if item.encoding_space_ref == raw.space]
    return said and all(item.trajectory_dimensions == 0 for item in image)


def is_cartesian_file(reader: Reader) -> bool:
    """The same of a file of which only the headers were read."""
    space = imaging_space(reader.heads)
    said = str(RawFile.of(reader, space).encoding.trajectory.value) == "cartesian"
    mine = encodes_image(reader.heads) & (reader.heads["encoding_space_ref"] == space)
    return said and not reader.heads["trajectory_dimensions"][mine].any()


def read_cartesian_scan(path: Path, design: MaskDesign | None = None) -> CartesianScan:
    """Read acquired lines, placed by ``design`` or else by the header.

    Averages are averaged; of repetitions, contrasts, phases and sets the first is taken; lines that are missing are
    left out: notes say so. Raises `SeqoptError` for files that are missing, foreign, truncated, damaged, not
    Cartesian, or of another design.
    """
    return sort_cartesian_scan(read_raw(path), path, design)


def sort_cartesian_scan(
    raw: RawFile,
    path: Path,
    design: MaskDesign | None = None,
    *,
    part: bool = False,
    shared: Sequence[ismrmrd.Acquisition] = (),
) -> CartesianScan:
    """What `read_cartesian_scan` does, of a file that was read already, or of some slices: a ``part``.

    What is missing of a part goes unsaid. ``shared`` are lines of other repetitions, which calibrate where the data
    themselves hold too few about the centre.
    """
    if design is None and not is_cartesian(raw):
        raise SeqoptError(f"{path} is not Cartesian by its header; give the design with --design")
    notes: list[str] = []
    own = [item for item in raw.acquisitions if is_imaging(item) or not _is_calibration(item)]
    items = imaging_readouts(replace(raw, acquisitions=own), path, notes)
    slices = sorted({int(item.idx.slice) for item in items})
    grid = grid_of_design(design) if design is not None else grid_of_header(raw, path, notes, slices=len(slices))
    _, length = common_size(path, items)
    _check_length(path, length, grid, design)
    found = _lines(path, items, grid, notes)
    slices = sorted({slice_ for slice_, _ in found})
    numbers = np.array(sorted({line for _, line in found}), dtype=np.int64)
    _check_strangers(path, found, slices, design)
    if not part:
        _note_missing(found, slices, design, notes)
    samples, acquired = _stacked(found, slices, numbers)
    check_values(path, samples)
    flagged = _flagged(path, raw, items, grid)
    calibration, calibration_lines = _calibration(path, flagged, shared, found, slices, grid, notes)
    noise = noise_readouts(raw)
    first = items[0]
    data = CartesianData(
        samples=samples,
        lines=numbers,
        acquired=acquired,
        geometry=replace(grid.encoded, slices=len(slices)),
        dwell_s=_dwell_s(first, grid, design),
        calibration=calibration,
        calibration_lines=calibration_lines,
        noise=noise_samples(noise, samples.shape[1], path),
        noise_dwell_s=1e-6 * noise[0].sample_time_us if noise and noise[0].sample_time_us > 0 else None,
        design_signature=user_string(raw.header, SIGNATURE_NAME),
    )
    image = replace(grid.image, slices=len(slices))
    firsts = [next(item for item in items if item.idx.slice == slice_) for slice_ in slices]
    return CartesianScan(data=data, image=image, placement=_placement(firsts, grid, slices, notes), notes=tuple(notes))


def _is_calibration(item: ismrmrd.Acquisition) -> bool:
    flags = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    return any(item.isFlagSet(flag) for flag in flags)


def _check_length(path: Path, length: int, grid: CartesianGrid, design: MaskDesign | None) -> None:
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


def _lines(path: Path, items: Sequence[ismrmrd.Acquisition], grid: CartesianGrid, notes: list[str]) -> Lines:
    """The lines within the matrix, averaged, unreversed, centred and without oversampling."""
    groups = sorted_readouts(path, items, notes, word="line")
    if any(item.center_sample == 0 for item in items):
        notes.append("readouts state no centre sample; their middle was taken")
    inside = {key: value for key, value in groups.items() if 0 <= grid.line(key[1]) < grid.encoded.matrix[1]}
    if not inside:
        raise SeqoptError(f"{path}: no line lies within the header's matrix; its line counters or limits are wrong")
    if len(inside) < len(groups):
        notes.append(f"left out {len(groups) - len(inside)} lines beyond the image's matrix")
    with np.errstate(all="ignore"):  # what is not finite is refused later
        means = np.stack([np.mean([_centred(item, grid) for item in group], axis=0) for group in inside.values()])
        lines = grid.without_oversampling(means)
    return dict(zip(((key[0], grid.line(key[1])) for key in inside), lines, strict=True))


def _centred(item: ismrmrd.Acquisition, grid: CartesianGrid) -> ComplexArray:
    """(coils, encoded samples), kx = 0 in the middle, kx ascending."""
    data = kept(item)
    length = data.shape[1]
    centre = int(item.center_sample) - int(item.discard_pre) if item.center_sample else length // 2
    if item.isFlagSet(ismrmrd.ACQ_IS_REVERSE):
        data, centre = data[:, ::-1], length - 1 - centre
    return centred(data, grid.samples, centre)


def _check_strangers(path: Path, found: Lines, slices: list[int], design: MaskDesign | None) -> None:
    if design is None:
        return
    strange_lines = sorted({line for _, line in found} - set(design.lines.tolist()))
    strange_slices = [slice_ for slice_ in slices if slice_ >= design.geometry.slices]
    if strange_lines or strange_slices:
        strange = f"line {strange_lines[0]}" if strange_lines else f"slice {strange_slices[0]}"
        raise SeqoptError(
            f"{path} holds {strange}, which the design {design.name} does not; give the design that was played"
        )


def _note_missing(found: Lines, slices: list[int], design: MaskDesign | None, notes: list[str]) -> None:
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


def _stacked(
    found: Lines, slices: list[int], numbers: npt.NDArray[np.int64]
) -> tuple[ComplexArray, npt.NDArray[np.bool_]]:
    """Samples (slices, coils, lines, x), zero where missing, and (slices, lines) whether they were acquired."""
    coils, x = next(iter(found.values())).shape
    samples = np.zeros((len(slices), coils, len(numbers), x), np.complex64)
    acquired = np.zeros((len(slices), len(numbers)), dtype=bool)
    for (slice_, line), data in found.items():
        place = slices.index(slice_), int(np.searchsorted(numbers, line))
        samples[place[0], :, place[1]] = data
        acquired[place] = True
    return samples, acquired


def _flagged(path: Path, raw: RawFile, items: Sequence[ismrmrd.Acquisition], grid: CartesianGrid) -> Lines:
    """Lines that are flagged as calibration."""
    wanted = [getattr(items[0].idx, name) for name in _COUNTERS]
    flagged = [
        item
        for item in raw.acquisitions
        if _is_calibration(item)
        and item.encoding_space_ref == raw.space
        and [getattr(item.idx, name) for name in _COUNTERS] == wanted
    ]
    if not flagged:
        return {}
    coils, length = common_size(path, flagged)
    if coils != items[0].active_channels or length > grid.samples:
        raise SeqoptError(f"{path}: calibration readouts differ in channels or length from the image's")
    return _lines(path, flagged, grid, [])


def _calibration(
    path: Path,
    lines: Lines,
    shared: Sequence[ismrmrd.Acquisition],
    found: Lines,
    slices: list[int],
    grid: CartesianGrid,
    notes: list[str],
) -> tuple[ComplexArray, npt.NDArray[np.int64]]:
    """The flagged ``lines`` that every slice has; if few, the acquired ones about the centre, else the shared ones."""
    numbers = _in_every_slice(lines, slices)
    few = f"too few calibration lines ({len(numbers)})" if len(numbers) else "no calibration lines"
    others = {"": found}
    if shared and len(numbers) < LEAST_CALIBRATION:
        others[" of all repetitions"] = _lines(path, shared, grid, [])
    for whose, candidates in others.items():
        run = central_run(_in_every_slice(candidates, slices), grid.encoded.matrix[1])
        if len(numbers) < LEAST_CALIBRATION <= len(run):
            notes.append(f"{few} are flagged; the {len(run)} lines about the centre{whose} serve")
            lines, numbers = candidates, run
    chosen = {(slice_, line): lines[slice_, line] for slice_ in slices for line in numbers.tolist()}
    if not chosen:
        coils = next(iter(found.values())).shape[0]
        return np.zeros((len(slices), coils, 0, grid.encoded.matrix[0]), np.complex64), numbers
    samples, _ = _stacked(chosen, slices, numbers)
    check_values(path, samples)
    return samples, numbers


def _in_every_slice(lines: Lines, slices: list[int]) -> npt.NDArray[np.int64]:
    numbers = {line for _, line in lines}
    common = [line for line in sorted(numbers) if all((slice_, line) in lines for slice_ in slices)]
    return np.array(common, dtype=np.int64)


def _dwell_s(first: ismrmrd.Acquisition, grid: CartesianGrid, design: MaskDesign | None) -> float:
    dwell_s = 1e-6 * float(first.sample_time_us) * grid.samples / grid.kept
    return dwell_s if dwell_s > 0 or design is None else design.dwell_s


def _placement(
    firsts: Sequence[ismrmrd.Acquisition], grid: CartesianGrid, slices: list[int], notes: list[str]
) -> Placement:
    placement = read_placement(firsts, grid.image, notes)
    if len(placement.positions_m) > len(slices):  # a design's own places, of which an aborted scan has fewer
        return replace(placement, positions_m=placement.positions_m[slices])
    return placement
