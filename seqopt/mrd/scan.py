"""Acquired MRD data -> samples sorted by slice and shot, with trajectory, noise and placement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, KspaceData, TrajectoryDesign
from seqopt.core.segments import MOST_SEGMENTS
from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile, Reader, open_mrd, read_raw
from seqopt.mrd.from_header import encoded_geometry, read_geometry, read_placement
from seqopt.mrd.heads import Heads, heads_of, imaging_space, kept_samples
from seqopt.mrd.missing import fitted_to_design
from seqopt.mrd.placement import Placement
from seqopt.mrd.readouts import (
    check_values,
    common_size,
    imaging_readouts,
    kept,
    noise_dwell_s,
    noise_readouts,
    noise_samples,
    sorted_readouts,
)
from seqopt.mrd.segments import joined
from seqopt.mrd.series import Content, content_of
from seqopt.mrd.trajectory import FARTHEST_PER_FOV, Trajectory, Units, apart_if_turned, read_trajectory
from seqopt.mrd.xml_header import SEGMENTS_NAME, SIGNATURE_NAME, user_string


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One file: what a reconstruction needs, where the slices lie, and what reading decided."""

    kspace: KspaceData
    image: Geometry
    """Smaller than the data's own where readouts were oversampled."""
    to_per_m: npt.NDArray[np.float64] | None = None
    """(2,) what turned the file's own trajectory into 1/m."""
    placement: Placement
    notes: tuple[str, ...] = ()
    """Plain statements for people: what was averaged, left out or assumed."""


def read_scan(path: Path, design: TrajectoryDesign | None = None) -> Scan:
    """Read the first series whole, with ``design`` for the trajectory, or else with the trajectory in the file.

    Averages are averaged; of repetitions, contrasts, phases and sets the first is taken, and a note says so.
    Raises `SeqoptError` for files that are missing, foreign, truncated, damaged, or of another design, and where
    slices lack shots that others have (`BlockReader` reads such slices one by one).
    """
    with open_mrd(path) as reader:
        content = content_of_trajectories(reader, path, design)
        notes = list(content.notes)
        rows = np.sort(np.concatenate([content.rows, content.noise]))
        scan = sort_scan(reader.raw(rows, space=content.space), path, design, segments=content.segments)
    return replace(scan, notes=(*notes, *scan.notes))


def content_of_trajectories(
    reader: Reader,
    path: Path,
    design: TrajectoryDesign | None = None,
    *,
    without: npt.NDArray[np.bool_] | None = None,
) -> Content:
    """Imaging readouts of a file, made to fit ``design``; what `content_of` and `fitted_to_design` refuse is."""
    segments = _segments(reader.heads, reader.header, path, design)
    content = content_of(reader.heads, path, segments=segments, without=without)
    if design is None:
        return content
    return fitted_to_design(content, design, RawFile.of(reader, content.space).encoding, path)


def sort_scan(
    raw: RawFile,
    path: Path,
    design: TrajectoryDesign | None = None,
    *,
    segments: int | None = None,
    units: Units = None,
) -> Scan:
    """Readouts of a file, or of some slices of it, as one scan; ``segments`` a readout are told unless given.

    ``units`` of the trajectory, a name or what turns it into 1/m, come before what the header states.
    """
    notes: list[str] = []
    noise = noise_readouts(raw)
    if segments is None:
        segments = _segments(heads_of(raw.acquisitions), raw.header, path, design)
    whole = joined(imaging_readouts(raw, path, notes), segments, path)
    averages: list[str] = []
    groups = sorted_readouts(path, whole, averages)
    if design is None:
        groups = apart_if_turned(path, raw, groups, averages, units=units)
    notes += averages
    slices = sorted({key[0] for key in groups})
    shots = sorted({key[1] for key in groups})
    for slice_ in slices:
        missing = [shot for shot in shots if (slice_, shot) not in groups]
        if missing:
            raise SeqoptError(
                f"{path}: slice {slice_} lacks shot {missing[0]} ({len(shots) - len(missing)} of {len(shots)} shots "
                "are there); the file is incomplete, export it again"
            )
    order = [[groups[slice_, shot] for shot in shots] for slice_ in slices]
    samples = _samples(path, order, design)
    geometry = design.geometry if design is not None else read_geometry(raw, path, notes, slices=len(slices))
    geometry = replace(geometry, slices=len(slices))
    firsts = [[items[0] for items in row] for row in order]
    trajectory = _trajectory(path, raw, firsts, design, shots, units, notes)
    first = order[0][0][0]
    kspace = KspaceData(
        samples=samples,
        k_per_m=trajectory.k_per_m,
        geometry=geometry if design is not None else encoded_geometry(raw, geometry, trajectory.k_per_m, notes),
        dwell_s=_dwell_s(first, design),
        noise=noise_samples(noise, samples.shape[1], path),
        noise_dwell_s=noise_dwell_s(raw, noise),
        averages=np.array([[len(items) for items in row] for row in order]),
        weights=trajectory.weights,
        design_signature=user_string(raw.header, SIGNATURE_NAME),
    )
    placement = read_placement([row[0][0] for row in order], geometry, notes)
    return Scan(kspace=kspace, image=geometry, placement=placement, to_per_m=trajectory.to_per_m, notes=tuple(notes))


def read_plan(path: Path) -> tuple[npt.NDArray[np.float64], float | None]:
    """K of the first slice (shots, samples, 2) in 1/m and the dwell, from a header as well as from acquired data.

    Raises `SeqoptError` for files that are missing, foreign or damaged, or that hold no trajectory.
    """
    raw = read_raw(path)
    raw = replace(raw, space=imaging_space(heads_of(raw.acquisitions)))
    whole = joined(imaging_readouts(raw, path, []), _segments(heads_of(raw.acquisitions), raw.header, path, None), path)
    groups = sorted_readouts(path, whole, [])
    first = min(slice_ for slice_, _ in groups)
    order = [items[0] for (slice_, _), items in sorted(groups.items()) if slice_ == first]
    lengths = {item.number_of_samples - item.discard_pre - item.discard_post for item in order}
    if len(lengths) > 1:
        raise SeqoptError(f"{path}: readouts differ in length; give data of one protocol")
    dwell_s = 1e-6 * float(order[0].sample_time_us)
    return read_trajectory(path, raw, [order], []).k_per_m, dwell_s if dwell_s > 0 else None


def _segments(heads: Heads, header: Any, path: Path, design: TrajectoryDesign | None) -> int:
    """Acquisitions a readout: of the design unless the data are whole already, else as the header says."""
    if design is not None:
        lengths = set(kept_samples(heads).tolist())
        return 1 if design.samples in lengths else design.protocol.adc_segments
    stated = user_string(header, SEGMENTS_NAME) or "1"
    if not stated.isdecimal() or not 1 <= int(stated) <= MOST_SEGMENTS:
        raise SeqoptError(f"{path}: {SEGMENTS_NAME} is {stated[:20]!r}, expected 1..{MOST_SEGMENTS}; damaged header")
    return int(stated)


def _samples(
    path: Path, order: list[list[list[ismrmrd.Acquisition]]], design: TrajectoryDesign | None
) -> npt.NDArray[np.complex64]:
    """(slices, coils, shots, samples), averages averaged and discards cut off."""
    _, length = common_size(path, [item for row in order for items in row for item in items])
    if design is not None and length != design.samples:
        raise SeqoptError(
            f"{path}: readouts have {length} samples, but the design {design.name} has {design.samples}; "
            "give the design that was played"
        )
    with np.errstate(all="ignore"):  # what is not finite is refused below
        joined = np.stack(
            [np.stack([np.mean([kept(item) for item in items], axis=0) for items in row], 1) for row in order]
        )
    check_values(path, joined)
    return joined.astype(np.complex64)


def _dwell_s(first: ismrmrd.Acquisition, design: TrajectoryDesign | None) -> float:
    dwell_s = 1e-6 * float(first.sample_time_us)
    return dwell_s if dwell_s > 0 or design is None else design.dwell_s


def _trajectory(
    path: Path,
    raw: RawFile,
    order: list[list[Any]],
    design: TrajectoryDesign | None,
    shots: list[int],
    units: Units,
    notes: list[str],
) -> Trajectory:
    if design is None:
        return read_trajectory(path, raw, order, notes, units=units)
    k_per_m = design.k_per_m[shots]
    if all(item.trajectory_dimensions >= 2 for row in order for item in row):
        found = read_trajectory(path, raw, order, [], units=units)
        apart = np.abs((found.k_per_m - k_per_m) * np.array(design.geometry.fov_m)).max()
        if apart > FARTHEST_PER_FOV:
            raise SeqoptError(
                f"{path}: its trajectory is {apart:.3g} cycles/FOV away from that of the design {design.name}; "
                "give the design that was played"
            )
    return Trajectory(k_per_m=k_per_m)
