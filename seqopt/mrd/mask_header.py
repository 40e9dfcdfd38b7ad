"""The MRD hand-over of a mask: header and one acquisition a line in play order, without a trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seqopt.core import CalibrationReadout, MaskDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import PlannedReadout
from seqopt.mrd.calibration import planned
from seqopt.mrd.header import fields_of, write_readouts
from seqopt.mrd.placement import Placement
from seqopt.mrd.xml_header import LineEncoding


def write_mask_header(
    path: Path,
    design: MaskDesign,
    *,
    te_s: float,
    tr_s: float,
    order: Sequence[tuple[int, int]],
    noise_readouts: int,
    seq_md5: str,
    other_md5: Mapping[str, str] | None = None,
    echoes: Sequence[int] = (),
    echo_spacing_s: float | None = None,
    coils: int = 1,
    calibration: Sequence[CalibrationReadout] = (),
) -> None:
    """Write ``<name>.mrd``: what the scanner will play, line by line, with zeros in place of the data.

    In: ``order`` the (slice, line) of each imaging readout as played, after ``noise_readouts`` noise readouts of the
    same length, ``seq_md5`` and ``other_md5`` as in `write_header`, and ``echoes`` the place of each in its echo train.
    Readouts hold oversampled samples with k = 0 on the middle one; the header's encoded space is oversampled, its
    reconstruction space is not. Data join by position (`write_scan`).
    """
    geometry = design.geometry
    wanted = sorted((slice_, line) for slice_ in range(geometry.slices) for line in design.lines.tolist())
    if sorted(order) != wanted or len(echoes) not in (0, len(order)):
        raise SeqoptError(
            f"play order of {design.name}: got {len(order)} readouts and {len(echoes)} echoes, expected each of "
            f"{geometry.slices} slices x {design.shots} lines once; write the sequence and the header from one design"
        )
    samples, dwell_s = design.oversampling * geometry.matrix[0], design.dwell_s / design.oversampling
    central = set(design.calibration_lines.tolist())
    imaging = [
        PlannedReadout(
            samples=samples,
            dwell_s=dwell_s,
            slice=slice_,
            shot=line,
            echo_sample=samples // 2,
            cartesian=True,
            segment=echo,
            calibration=line in central,
        )
        for (slice_, line), echo in zip(order, echoes or [0] * len(order), strict=True)
    ]
    tse = design.play.sequence == "tse"
    fields = fields_of(
        design,
        calibration,
        flip_rad=np.pi / 2 if tse else design.protocol.flip_rad,
        samples=samples,
        echo_sample=samples // 2,
        coils=coils,
        te_s=te_s,
        tr_s=tr_s,
        seq_md5=seq_md5,
        other_md5=other_md5 or {},
        lines=LineEncoding(
            oversampling=design.oversampling,
            calibration=design.calibration,
            echo_train=design.play.echo_train if tse else 1,
            echo_spacing_s=echo_spacing_s,
        ),
    )
    noise = PlannedReadout(samples=samples, dwell_s=dwell_s)
    first = [noise] * noise_readouts + planned(calibration, geometry, dwell_s)
    write_readouts(path, fields, first + imaging, Placement.axial(geometry))
