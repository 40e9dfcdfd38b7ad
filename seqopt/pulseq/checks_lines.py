"""Whether a file plays the lines of a mask as an image needs them: flags, and the conditions of an echo train."""

from __future__ import annotations

import numpy as np

from seqopt.core import Check, MaskDesign
from seqopt.pulseq.cartesian_plan import line_labels
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.checks_moments import moments_at
from seqopt.pulseq.played import Excitation, Readout, echo_trains
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.readout_table import image_from_block, serves_image

MOMENT_LIMIT_CYCLES = 0.01
PHASE_LIMIT_RAD = 1e-3
TIME_RASTERS = 1.01  # pulses and echo lie on the RF raster


def line_checks(imaging: list[Readout], design: MaskDesign) -> list[Check]:
    """REF and IMA stand on the calibration lines and on no others."""
    wrong = []
    for at, readout in enumerate(imaging):
        line = readout.labels.get("LIN", -1)
        due = {name: value for name, value in line_labels(design, line).items() if name != "LIN"}
        got = {name: readout.labels.get(name, 0) for name in due}
        if got != due:
            wrong.append(f"readout {at + 1}, line {line}: {got}, due {due}")
    limit = f"REF and IMA on {design.calibration} central lines"
    return [list_check("design.flags", wrong, limit, "export the design again")]


def train_checks(played: PlayedSequence, design: MaskDesign) -> list[Check]:
    """Carr-Purcell-Meiboom-Gill: moments, timing and phases of each echo train, and each line's echo at its centre."""
    first = image_from_block(played)
    trains = echo_trains([pulse for pulse in played.pulses if pulse.block >= first])
    if not trains or any(len(train) != design.play.echo_train + 1 for train in trains):
        lengths = sorted({len(train) - 1 for train in trains})
        return [list_check(
            "train.length", [f"trains of {lengths} echoes"], f"{design.play.echo_train} echoes", "export it again"
        )]  # fmt: skip
    return [_moments(played, design, trains), _times(played, design, trains), _phases(played, trains)]


def _moments(played: PlayedSequence, design: MaskDesign, trains: list[list[Excitation]]) -> Check:
    """Between refocusing pulses on each axis twice the moment up to the first one; z in cycles per slice."""
    cycles = np.array([*design.geometry.fov_m, design.geometry.slice_thickness_m])
    worst, where = 0.0, ""
    for number, train in enumerate(trains):
        steps = np.diff(moments_at(played, train), axis=0) * cycles
        distance = np.abs(steps[1:] - 2 * steps[0]).max(initial=0.0)
        if distance > worst or not where:
            worst, where = float(distance), f"train {number + 1}, block {train[0].block + 1}"
    held = worst <= MOMENT_LIMIT_CYCLES
    return Check(
        name="train.moments", held=held, value=float(f"{worst:.3g}"), limit=MOMENT_LIMIT_CYCLES, unit="cycles",
        where=where, remedy="" if held else "play the same moment in each half of the echo spacing, on every axis",
    )  # fmt: skip


def _times(played: PlayedSequence, design: MaskDesign, trains: list[list[Excitation]]) -> Check:
    """Refocusing pulses at odd multiples of half the spacing, and k = 0 of each readout halfway between two of them."""
    limit = TIME_RASTERS * design.scanner.rf_raster_s
    worst, where = 0.0, ""
    for number, train in enumerate(trains):
        steps = np.diff([pulse.centre_s for pulse in train])
        distance = float(np.abs(steps[1:] - 2 * steps[0]).max(initial=0.0))
        if distance > worst or not where:
            worst, where = distance, f"train {number + 1}, block {train[0].block + 1}"
    excitations = {id(train[0]): train for train in trains}
    for at, readout in enumerate(readout for readout in played.readouts if serves_image(readout)):
        train = excitations[id(readout.excitation)]
        half = train[1].centre_s - train[0].centre_s
        echo = int(np.argmin(np.abs(readout.k_per_m[:, 0])))
        since = readout.times_s[echo] - max(p.centre_s for p in train if p.centre_s < readout.start_s)
        if abs(since - half) > worst:
            worst, where = float(abs(since - half)), f"readout {at + 1}, block {readout.block + 1}"
    held = worst <= limit
    return Check(
        name="train.times", held=held, value=round(worst * 1e6, 4), limit=round(limit * 1e6, 4), unit="us", where=where,
        remedy="" if held else "put refocusing pulses and echoes at multiples of half the echo spacing",
    )  # fmt: skip


def _phases(played: PlayedSequence, trains: list[list[Excitation]]) -> Check:
    """Each refocusing pulse 90 degrees from its excitation, either way, and the receiver in step with the signal."""
    worst, where = 0.0, ""
    for number, train in enumerate(trains):
        turns = np.array([pulse.phase_rad - train[0].phase_rad for pulse in train[1:]])
        distance = float(np.abs(np.cos(turns)).max())
        if distance > worst or not where:
            worst, where = distance, f"train {number + 1}, block {train[0].block + 1}"
    first: dict[int, float] = {}  # slices may differ in phase, the echoes and trains of one may not
    for at, readout in enumerate(readout for readout in played.readouts if serves_image(readout)):
        turn = readout.phase_rad - readout.signal_phase_rad
        turn -= first.setdefault(readout.labels.get("SLC", 0), turn)
        distance = float(abs(np.angle(np.exp(1j * turn))))
        if distance > worst:
            worst, where = distance, f"receiver, readout {at + 1}, block {readout.block + 1}"
    held = worst <= PHASE_LIMIT_RAD
    return Check(
        name="train.phases", held=held, value=float(f"{worst:.3g}"), limit=PHASE_LIMIT_RAD, unit="rad", where=where,
        remedy="" if held else "play the refocusing pulses 90 degrees out of phase with the excitation, and give all "
        "readouts of a slice the same receiver phase to their signal",
    )  # fmt: skip
