"""The MRD hand-over of a design: header and one acquisition a readout in play order; and its joining with data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ismrmrd import ACQ_IS_NOISE_MEASUREMENT

from seqopt.core import CalibrationReadout, MaskDesign, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import PlannedReadout, mark_channels, plan_acquisitions, write_acquisitions
from seqopt.mrd.calibration import planned
from seqopt.mrd.files import read_raw
from seqopt.mrd.placement import Placement
from seqopt.mrd.segments import divided
from seqopt.mrd.xml_header import CalibrationEncoding, HeaderFields, build_header, signatures, with_channels
from seqopt.units import k_to_cycles


def write_header(
    path: Path,
    design: TrajectoryDesign,
    *,
    te_s: float,
    tr_s: float,
    order: Sequence[tuple[int, int]],
    noise_readouts: int,
    seq_md5: str,
    other_md5: Mapping[str, str] | None = None,
    coils: int = 1,
    calibration: Sequence[CalibrationReadout] = (),
) -> None:
    """Write ``<name>.mrd``: what the scanner will play, readout by readout, with zeros in place of the data.

    In: ``order`` the (slice, shot) of each imaging readout as played, after ``noise_readouts`` noise readouts of the
    same length and the ``calibration`` scans; ``seq_md5`` of the newest .seq, ``other_md5`` version -> that of others.
    A readout in ADC segments is one acquisition a segment. Data that a scanner exports in the same order join it by
    position (`write_scan`).
    """
    geometry = design.geometry
    wanted = {(slice_, shot) for slice_ in range(geometry.slices) for shot in range(design.shots)}
    strangers = sorted(set(order) - wanted)
    if strangers or len(order) < len(wanted) or set(order) != wanted:
        raise SeqoptError(
            f"play order of {design.name}: got {len(order)} readouts, expected each of {geometry.slices} slices x "
            f"{design.shots} shots; write the sequence and the header from one design"
        )
    cycles = k_to_cycles(design.k_per_m, np.array(geometry.voxel_m)).astype(np.float32)
    noise = PlannedReadout(samples=design.samples, dwell_s=design.dwell_s)
    imaging = [
        PlannedReadout(
            samples=design.samples,
            dwell_s=design.dwell_s,
            slice=slice_,
            shot=shot,
            echo_sample=design.echo_sample,
            k_cycles=cycles[shot],
        )
        for slice_, shot in order
    ]
    fields = fields_of(
        design,
        calibration,
        flip_rad=design.protocol.flip_rad,
        samples=design.samples,
        segments=design.protocol.adc_segments,
        echo_sample=design.echo_sample,
        coils=coils,
        te_s=te_s,
        tr_s=tr_s,
        seq_md5=seq_md5,
        other_md5=other_md5 or {},
    )
    first = [noise] * noise_readouts + planned(calibration, geometry, design.dwell_s)
    readouts = divided(first + imaging, design.protocol.adc_segments)
    write_readouts(path, fields, list(readouts), Placement.axial(geometry))


def fields_of(
    design: TrajectoryDesign | MaskDesign, calibration: Sequence[CalibrationReadout], *, flip_rad: float, **more: Any
) -> HeaderFields:
    """What the header says of a design and its calibration scans, and ``more`` of the fields."""
    return HeaderFields(
        geometry=design.geometry,
        shots=design.shots,
        field_t=design.scanner.field_t,
        vendor=design.scanner.vendor,
        model=design.scanner.name,
        flip_deg=round(float(np.degrees(flip_rad)), 9),
        protocol=design.name,
        trajectory=design.family,
        calibration=CalibrationEncoding.of(calibration),
        **more,
    )


def write_readouts(
    path: Path,
    fields: HeaderFields,
    readouts: Sequence[PlannedReadout],
    placement: Placement,
    samples: npt.NDArray[Any] | None = None,
) -> None:
    """Write readouts in play order, with ``samples`` (coils, readouts, samples) or zeros; no design needed."""
    acquisitions = plan_acquisitions(readouts, placement, coils=fields.coils)
    if samples is not None:
        for index, acquisition in enumerate(acquisitions):
            acquisition.data[:] = samples[:, index]
    write_acquisitions(path, build_header(fields), acquisitions)


def write_scan(path: Path, header: Path, samples: Sequence[npt.NDArray[Any]]) -> None:
    """Join acquired samples with the header file of their design by position, and write the acquired MRD file.

    In: ``samples`` (coils, samples) complex of each readout in play order, noise included, one number of coils.
    Raises `SeqoptError` where counts or lengths disagree.
    """
    raw = read_raw(header)
    if len(samples) != len(raw.acquisitions):
        raise SeqoptError(
            f"{header.name} plans {len(raw.acquisitions)} readouts, the data hold {len(samples)}; "
            "were they acquired with this sequence?"
        )
    coils = samples[0].shape[0]
    for number, (acquisition, data) in enumerate(zip(raw.acquisitions, samples, strict=True)):
        if data.shape != (coils, acquisition.number_of_samples):
            raise SeqoptError(
                f"readout {number}: data of shape {data.shape}, expected ({coils}, {acquisition.number_of_samples}) "
                f"by {header.name}; were they acquired with this sequence?"
            )
        trajectory = acquisition.traj.copy()
        acquisition.resize(acquisition.number_of_samples, coils, acquisition.trajectory_dimensions)
        acquisition.data[:] = data
        acquisition.traj[:] = trajectory
        mark_channels(acquisition, coils)
    write_acquisitions(path, with_channels(raw.xml, coils), raw.acquisitions)


def planned_signatures(header: Path) -> frozenset[str]:
    """MD5 of each version of the .seq that a header file was written for; empty where it names none."""
    return signatures(read_raw(header).header)


def play_order(header: Path) -> list[tuple[bool, int, int]]:
    """(is noise, slice, shot) of each readout that a header file plans; slice and shot are 0 for noise."""
    return [
        (True, 0, 0)
        if item.isFlagSet(ACQ_IS_NOISE_MEASUREMENT)
        else (False, int(item.idx.slice), int(item.idx.kspace_encode_step_1))
        for item in read_raw(header).acquisitions
    ]
