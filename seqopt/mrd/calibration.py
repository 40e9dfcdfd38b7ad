"""Calibration scans in MRD files: planned readouts with their flags, and acquired ones read back by kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import CALIBRATION_SETS, CalibrationReadout, CalibrationScan, Geometry
from seqopt.mrd.acquisitions import PlannedReadout
from seqopt.mrd.files import RawFile
from seqopt.mrd.heads import Heads
from seqopt.mrd.segments import joined
from seqopt.mrd.xml_header import CALIBRATION_NAME, ECHO_SPACING_NAME, SEGMENTS_NAME, user_number, user_string
from seqopt.units import cycles_to_k, k_to_cycles

_KINDS = {number: kind for kind, number in CALIBRATION_SETS.items()}
Place = tuple[int, int, int]
"""(slice, line, echo)."""


def planned(readouts: Sequence[CalibrationReadout], geometry: Geometry, dwell_s: float) -> list[PlannedReadout]:
    """What the header file holds of them: trajectory in cycles per voxel, idx.set the kind, idx.contrast the echo."""
    voxel_m = np.array(geometry.voxel_m)
    return [
        PlannedReadout(
            samples=len(one.k_per_m),
            dwell_s=dwell_s,
            slice=one.slice,
            shot=one.line,
            echo_sample=one.echo_sample,
            k_cycles=k_to_cycles(one.k_per_m, voxel_m).astype(np.float32),
            scan=CALIBRATION_SETS[one.kind],
            contrast=one.echo,
            average=one.average,
        )
        for one in readouts
    ]


def calibration_rows(heads: Heads, header: Any) -> npt.NDArray[np.bool_]:
    """Which readouts of a file are of calibration scans, (readouts,); none unless its header names any."""
    if not user_string(header, CALIBRATION_NAME):
        return np.zeros(len(heads), dtype=bool)
    return np.asarray((heads["encoding_space_ref"] == 1) & np.isin(heads["set"], list(_KINDS)))


def scans_by_kind(raw: RawFile, path: Path, notes: list[str]) -> dict[str, CalibrationScan]:
    """The calibration scans among the acquisitions, by kind; notes name those that are incomplete and not used.

    Only files whose header says that they hold them are looked at: elsewhere idx.set may mean anything.
    """
    named = (user_string(raw.header, CALIBRATION_NAME) or "").split()
    if not named:
        return {}
    mine = [item for item in raw.acquisitions if item.encoding_space_ref == 1 and item.idx.set in _KINDS]
    by_kind: dict[str, list[ismrmrd.Acquisition]] = defaultdict(list)
    for item in joined(mine, int(user_string(raw.header, SEGMENTS_NAME) or "1"), path):
        by_kind[_KINDS[item.idx.set]].append(item)
    scans = {}
    for kind in named:
        scan = _scan(kind, by_kind.get(kind, []), raw)
        if scan is None:
            notes.append(f"the calibration scan {kind} is incomplete, so it was not used")
        else:
            scans[kind] = scan
    return scans


def _scan(kind: str, items: list[ismrmrd.Acquisition], raw: RawFile) -> CalibrationScan | None:
    groups: dict[Place, list[ismrmrd.Acquisition]] = defaultdict(list)
    for item in items:
        groups[item.idx.slice, item.idx.kspace_encode_step_1, item.idx.contrast].append(item)
    slices = sorted({place[0] for place in groups})
    readouts = sorted({place[1:] for place in groups})
    shapes = {item.data.shape for item in items}
    whole = len(groups) == len(slices) * len(readouts) == _due(kind, readouts) * len(slices)
    if not items or len(shapes) != 1 or not whole or any(item.trajectory_dimensions < 2 for item in items):
        return None
    order = [[groups[slice_, line, echo] for line, echo in readouts] for slice_ in slices]
    samples = np.stack([np.stack([np.mean([one.data for one in some], 0) for some in row], 1) for row in order])
    space = raw.header.encoding[min(1, len(raw.header.encoding) - 1)].encodedSpace
    matrix = np.array([space.matrixSize.x, space.matrixSize.y], dtype=float)
    voxel_m = 1e-3 * np.array([space.fieldOfView_mm.x, space.fieldOfView_mm.y]) / matrix
    return CalibrationScan(
        kind=kind,
        samples=samples.astype(np.complex64),
        k_per_m=cycles_to_k(np.stack([some[0].traj[:, :2] for some in order[0]]).astype(float), voxel_m),
        lines=np.array([line for line, _ in readouts]),
        echoes=np.array([echo for _, echo in readouts]),
        echo_spacing_s=user_number(raw.header, ECHO_SPACING_NAME),
        dwell_s=1e-6 * float(items[0].sample_time_us),
    )


def _due(kind: str, readouts: list[tuple[int, int]]) -> int:
    """So many readouts a slice the kind needs, given the lines and echoes that there are."""
    if kind == "delays":
        return 4
    lines = max((line for line, _ in readouts), default=0) + 1
    return lines * (2 if kind == "b0" else 1)
