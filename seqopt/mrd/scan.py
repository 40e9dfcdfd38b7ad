"""Acquired MRD data -> samples sorted by slice and shot, with trajectory, noise and placement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import KspaceData, TrajectoryDesign
from seqopt.core.segments import MOST_SEGMENTS
from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile, Reader, open_mrd, read_raw
from seqopt.mrd.from_header import read_geometry, read_placement
from seqopt.mrd.heads import NOT_IMAGING, Heads, heads_of, imaging_space, kept_samples
from seqopt.mrd.missing import fitted_to_design
from seqopt.mrd.placement import Placement
from seqopt.mrd.segments import joined
from seqopt.mrd.series import Content, content_of
from seqopt.mrd.trajectory import Trajectory, read_trajectory
from seqopt.mrd.xml_header import SEGMENTS_NAME, SIGNATURE_NAME, user_string

_LIMIT_CYCLES_PER_FOV = 0.5  # beyond this the file's trajectory is not the design's
_FIRST_ONLY = ("repetition", "contrast", "phase", "set")  # counters of which one image series takes the first value
Key = tuple[int, int]


class NoSignalError(SeqoptError):
    """All samples are zero: of a file a header without data, of one slice of many one that was never acquired."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One file: what a reconstruction needs, where the slices lie, and what reading decided."""

    kspace: KspaceData
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
    units: str | None = None,
) -> Scan:
    """Readouts of a file, or of some slices of it, as one scan; ``segments`` a readout are told unless given.

    ``units`` of the trajectory come before what the header states (`trajectory.UNITS`).
    """
    notes: list[str] = []
    noise = noise_readouts(raw)
    if segments is None:
        segments = _segments(heads_of(raw.acquisitions), raw.header, path, design)
    whole = joined(imaging_readouts(raw, path, notes), segments, path)
    groups = sorted_readouts(path, whole, notes)
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
    geometry = design.geometry if design is not None else read_geometry(raw, path, slices=len(slices))
    geometry = replace(geometry, slices=len(slices))
    firsts = [[items[0] for items in row] for row in order]
    trajectory = _trajectory(path, raw, firsts, design, shots, units, notes)
    first = order[0][0][0]
    kspace = KspaceData(
        samples=samples,
        k_per_m=trajectory.k_per_m,
        geometry=geometry,
        dwell_s=_dwell_s(first, design),
        noise=noise_samples(noise, samples.shape[1], path),
        noise_dwell_s=1e-6 * noise[0].sample_time_us if noise and noise[0].sample_time_us > 0 else None,
        weights=trajectory.weights,
        design_signature=user_string(raw.header, SIGNATURE_NAME),
    )
    placement = read_placement([row[0][0] for row in order], geometry, notes)
    return Scan(kspace=kspace, placement=placement, notes=tuple(notes))


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


def noise_readouts(raw: RawFile) -> list[ismrmrd.Acquisition]:
    """Readouts of noise alone."""
    return [item for item in raw.acquisitions if item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]


def is_imaging(item: ismrmrd.Acquisition) -> bool:
    """Whether a readout encodes the image, be it calibration as well."""
    if item.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING):
        return True
    return not any(item.isFlagSet(flag) for flag in NOT_IMAGING)


def imaging_readouts(raw: RawFile, path: Path, notes: list[str]) -> list[ismrmrd.Acquisition]:
    """Readouts of the first repetition, contrast, phase and set that encode the image; refuses 3-D and none."""
    kept: list[ismrmrd.Acquisition] = []
    skipped = 0
    for item in raw.acquisitions:
        if item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            continue
        if item.encoding_space_ref != raw.space or not is_imaging(item):
            skipped += 1
        else:
            kept.append(item)
    if skipped:
        notes.append(f"left out {skipped} readouts that are no imaging data (calibration, navigators, dummies)")
    if not kept:
        raise SeqoptError(f"{path} holds no imaging readouts, only noise or calibration; give the acquired data")
    if any(item.idx.kspace_encode_step_2 for item in kept):
        raise SeqoptError(f"{path} is encoded in 3-D (kspace_encode_step_2 is used); seqopt reconstructs 2-D slices")
    for counter in _FIRST_ONLY:
        values = sorted({getattr(item.idx, counter) for item in kept})
        if len(values) > 1:
            kept = [item for item in kept if getattr(item.idx, counter) == values[0]]
            notes.append(f"took {counter} {values[0]} of {len(values)}; the others were left out")
    return kept


def sorted_readouts(
    path: Path, imaging: Sequence[ismrmrd.Acquisition], notes: list[str], *, word: str = "shot"
) -> dict[Key, list[ismrmrd.Acquisition]]:
    """(slice, shot or line) -> its averages; ``word`` says to people which."""
    groups: dict[Key, list[ismrmrd.Acquisition]] = defaultdict(list)
    for item in imaging:
        groups[item.idx.slice, item.idx.kspace_encode_step_1].append(item)
    for (slice_, shot), items in groups.items():
        averages = {item.idx.average for item in items}
        if len(averages) < len(items):
            raise SeqoptError(
                f"{path}: slice {slice_} {word} {shot} was recorded {len(items)} times but numbers {len(averages)} "
                "averages; its counters are not set, give data of one repetition"
            )
    most = max(len(items) for items in groups.values())
    if most > 1:
        notes.append(f"averaged up to {most} averages of each readout")
    return dict(groups)


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


def common_size(path: Path, items: Sequence[ismrmrd.Acquisition]) -> tuple[int, int]:
    """Channels and samples that all readouts have, discards cut off; refuses readouts that differ or are empty."""
    shapes = {kept(item).shape for item in items}
    if len(shapes) > 1:
        sizes = " and ".join(f"{channels} x {samples}" for channels, samples in sorted(shapes)[:3])
        raise SeqoptError(f"{path}: readouts differ in size (channels x samples: {sizes}); give data of one protocol")
    channels, length = next(iter(shapes))
    if length == 0:
        raise SeqoptError(f"{path}: readouts hold no samples; give the acquired data, not a header alone")
    return channels, length


def check_values(path: Path, joined: npt.NDArray[Any]) -> None:
    """Refuse samples with NaN or infinity, and a header whose samples are all zero."""
    if not np.isfinite(joined).all():
        raise SeqoptError(f"{path}: the acquired samples hold NaN or infinity; the file is damaged, export it again")
    if not joined.any():
        raise NoSignalError(f"{path}: all samples are zero; it is a header without data, give the acquired file")


def kept(item: ismrmrd.Acquisition) -> npt.NDArray[np.complex64]:
    """(channels, samples) without the samples that the readout asks to discard."""
    data: npt.NDArray[np.complex64] = item.data[:, item.discard_pre : item.number_of_samples - item.discard_post]
    return data


def _dwell_s(first: ismrmrd.Acquisition, design: TrajectoryDesign | None) -> float:
    dwell_s = 1e-6 * float(first.sample_time_us)
    return dwell_s if dwell_s > 0 or design is None else design.dwell_s


def _trajectory(
    path: Path,
    raw: RawFile,
    order: list[list[Any]],
    design: TrajectoryDesign | None,
    shots: list[int],
    units: str | None,
    notes: list[str],
) -> Trajectory:
    if design is None:
        return read_trajectory(path, raw, order, notes, units=units)
    k_per_m = design.k_per_m[shots]
    if all(item.trajectory_dimensions >= 2 for row in order for item in row):
        found = read_trajectory(path, raw, order, [], units=units)
        apart = np.abs((found.k_per_m - k_per_m) * np.array(design.geometry.fov_m)).max()
        if apart > _LIMIT_CYCLES_PER_FOV:
            raise SeqoptError(
                f"{path}: its trajectory is {apart:.3g} cycles/FOV away from that of the design {design.name}; "
                "give the design that was played"
            )
    return Trajectory(k_per_m=k_per_m)


def noise_samples(noise: list[ismrmrd.Acquisition], coils: int, path: Path) -> npt.NDArray[np.complex64] | None:
    """(coils, n) of all noise readouts, one after the other; None without any."""
    if not noise:
        return None
    if any(item.active_channels != coils for item in noise):
        raise SeqoptError(f"{path}: noise readouts have another number of channels than the data ({coils})")
    joined = np.concatenate([kept(item) for item in noise], 1)
    if not np.isfinite(joined).all():
        raise SeqoptError(f"{path}: the noise readouts hold NaN or infinity; the file is damaged, export it again")
    return joined.astype(np.complex64)
