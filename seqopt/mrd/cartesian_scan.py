"""Acquired Cartesian MRD data -> lines of k-space without oversampling, with calibration, noise and placement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import LEAST_CALIBRATION, CartesianData, Geometry, MaskDesign
from seqopt.core.cartesian_data import central_run
from seqopt.errors import SeqoptError
from seqopt.mrd.cartesian_checks import Lines, check_length, check_segments, check_strangers, note_missing
from seqopt.mrd.cartesian_grid import CartesianGrid, centred, grid_of_design, grid_of_header
from seqopt.mrd.cartesian_lines import centre_sample, is_cartesian, states_centre
from seqopt.mrd.files import RawFile, read_raw
from seqopt.mrd.from_header import read_placement
from seqopt.mrd.heads import CALIBRATION, VOLUME_COUNTERS
from seqopt.mrd.placement import Placement
from seqopt.mrd.readouts import (
    NoSignalError,
    check_values,
    common_size,
    imaging_readouts,
    is_imaging,
    kept,
    noise_dwell_s,
    noise_readouts,
    noise_samples,
    sorted_readouts,
)
from seqopt.mrd.xml_header import SIGNATURE_NAME, user_string

ComplexArray = npt.NDArray[np.complex64]


@dataclass(frozen=True, kw_only=True)
class Others:
    """What calibrates the lines of some slices, read apart from these."""

    calibration: Sequence[ismrmrd.Acquisition]
    """Flagged as calibration."""
    shared: Iterable[tuple[str, Sequence[ismrmrd.Acquisition]]] = ()
    """Whose, and lines: of all repetitions, then of other contrasts; they serve where the data's own are too few."""


@dataclass(frozen=True, kw_only=True)
class CartesianScan:
    """One file: what a reconstruction needs, the image that is wanted, where its slices lie, what reading decided."""

    data: CartesianData
    image: Geometry
    """Smaller than the data's own along y where the phase encoding was oversampled."""
    placement: Placement
    line_of_zero: int
    """Number in the data's matrix of the line whose counter kspace_encode_step_1 is 0; beyond it where none is."""
    notes: tuple[str, ...] = ()


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
    others: Others | None = None,
    whole: bool = False,
) -> CartesianScan:
    """What `read_cartesian_scan` does, of a file that was read already, or of some slices: with ``others``.

    What is missing of some slices goes unsaid. A ``whole`` image shows all that was encoded. Raises `NoSignalError`
    where there are only zeros, or no line lies within the matrix.
    """
    if design is None and others is None and not is_cartesian(raw, path):
        raise SeqoptError(f"{path} is not Cartesian by its header; give the design with --design")
    notes: list[str] = []
    own = [item for item in raw.acquisitions if is_imaging(item) or not _is_calibration(item)]
    items = imaging_readouts(replace(raw, acquisitions=own), path, notes)
    grid = _grid(raw, path, design, items, notes, whole=whole)
    found = _lines(path, items, grid, notes)
    if not found:
        raise NoSignalError(f"{path}: no line lies within the header's matrix; its line counters or limits are wrong")
    slices = sorted({slice_ for slice_, _ in found})
    numbers = np.array(sorted({line for _, line in found}), dtype=np.int64)
    check_strangers(path, found, slices, design)
    if others is None:
        note_missing(found, slices, design, notes)
    samples, acquired = _stacked(found, slices, numbers)
    check_values(path, samples)
    others = others or Others(calibration=_of_series(raw, items[0]))
    flagged = _flagged(path, others.calibration, items, grid)
    calibration, calibration_lines = _calibration(path, flagged, others.shared, found, slices, grid, notes)
    noise = noise_readouts(raw)
    counts = Counter((item.idx.slice, grid.line(item.idx.kspace_encode_step_1)) for item in items)
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
        noise_dwell_s=noise_dwell_s(raw, noise),
        averages=np.array([[counts[slice_, line] for line in numbers.tolist()] for slice_ in slices]),
        design_signature=user_string(raw.header, SIGNATURE_NAME),
        columns=grid.columns(map(_span, items)),
    )
    image = replace(grid.image, slices=len(slices))
    firsts = [next(item for item in items if item.idx.slice == slice_) for slice_ in slices]
    placement = _placement(firsts, grid, slices, notes)
    return CartesianScan(data=data, image=image, placement=placement, line_of_zero=grid.line(0), notes=tuple(notes))


def _grid(
    raw: RawFile,
    path: Path,
    design: MaskDesign | None,
    items: Sequence[ismrmrd.Acquisition],
    notes: list[str],
    *,
    whole: bool,
) -> CartesianGrid:
    """The encoding, once the readouts ``items`` fit it."""
    slices = len({item.idx.slice for item in items})
    grid = grid_of_design(design) if design is not None else grid_of_header(raw, path, notes, slices=slices)
    grid = grid.whole() if whole else grid
    _, length = common_size(path, items)
    check_length(path, length, grid, design)
    check_segments(path, items, length, grid)
    if length == grid.kept < grid.samples and all(abs(_span(item)[0] - length // 2) <= 1 for item in items):
        notes.append(f"readouts hold {length} samples, as many as the image: their oversampling was removed before")
        return grid.cropped()
    return grid


def _is_calibration(item: ismrmrd.Acquisition) -> bool:
    return any(item.isFlagSet(flag) for flag in CALIBRATION)


def _lines(path: Path, items: Sequence[ismrmrd.Acquisition], grid: CartesianGrid, notes: list[str]) -> Lines:
    """The lines within the matrix, averaged, unreversed, centred and without oversampling."""
    groups = sorted_readouts(path, items, notes, word="line")
    if not all(states_centre(item) for item in items):
        notes.append("readouts state no centre sample, or one beyond their ends; their middle was taken")
    inside = {key: value for key, value in groups.items() if 0 <= grid.line(key[1]) < grid.encoded.matrix[1]}
    if not inside:
        return {}
    if len(inside) < len(groups):
        notes.append(f"left out {len(groups) - len(inside)} lines beyond the image's matrix")
    with np.errstate(all="ignore"):  # what is not finite is refused later
        means = np.stack([np.mean([_centred(item, grid) for item in group], axis=0) for group in inside.values()])
        lines = grid.without_oversampling(means)
    return dict(zip(((key[0], grid.line(key[1])) for key in inside), lines, strict=True))


def _centred(item: ismrmrd.Acquisition, grid: CartesianGrid) -> ComplexArray:
    """(coils, encoded samples), kx = 0 in the middle, kx ascending."""
    reverse = item.isFlagSet(ismrmrd.ACQ_IS_REVERSE)
    return centred(kept(item)[:, ::-1] if reverse else kept(item), grid.samples, _span(item)[0])


def _span(item: ismrmrd.Acquisition) -> tuple[int, int]:
    """The centre sample, kx ascending, and the number of samples."""
    length = kept(item).shape[1]
    centre = centre_sample(item)
    return (length - 1 - centre if item.isFlagSet(ismrmrd.ACQ_IS_REVERSE) else centre), length


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


def _of_series(raw: RawFile, first: ismrmrd.Acquisition) -> list[ismrmrd.Acquisition]:
    """Readouts that are flagged as calibration, of the series of ``first``."""
    wanted = [getattr(first.idx, name) for name in VOLUME_COUNTERS]
    return [
        item
        for item in raw.acquisitions
        if _is_calibration(item)
        and item.encoding_space_ref == raw.space
        and [getattr(item.idx, name) for name in VOLUME_COUNTERS] == wanted
    ]


def _flagged(
    path: Path, flagged: Sequence[ismrmrd.Acquisition], items: Sequence[ismrmrd.Acquisition], grid: CartesianGrid
) -> Lines:
    """Lines of the calibration readouts."""
    if not flagged:
        return {}
    coils, length = common_size(path, flagged)
    if coils != items[0].active_channels or length > grid.samples:
        raise SeqoptError(f"{path}: calibration readouts differ in channels or length from the image's")
    return _lines(path, flagged, grid, [])


def _calibration(
    path: Path,
    lines: Lines,
    shared: Iterable[tuple[str, Sequence[ismrmrd.Acquisition]]],
    found: Lines,
    slices: list[int],
    grid: CartesianGrid,
    notes: list[str],
) -> tuple[ComplexArray, npt.NDArray[np.int64]]:
    """The flagged ``lines`` that every slice has; if few, the acquired ones about the centre, else the shared ones."""
    numbers = _in_every_slice(lines, slices)
    few = f"too few calibration lines ({len(numbers)})" if len(numbers) else "no calibration lines"
    candidates = chain([("", found)], ((f" of {whose}", _lines(path, one, grid, [])) for whose, one in shared))
    for whose, candidate in () if len(numbers) >= LEAST_CALIBRATION else candidates:
        run = central_run(_in_every_slice(candidate, slices), grid.encoded.matrix[1])
        if LEAST_CALIBRATION <= len(run):
            notes.append(f"{few} are flagged; the {len(run)} lines about the centre{whose} serve")
            lines, numbers = candidate, run
            break
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
