"""A design -> a scanner-ready 2-D multi-slice spoiled gradient echo in Pulseq."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.gradients.waveform import reach
from seqopt.pulseq.builder import Event, SequenceBuilder
from seqopt.pulseq.bulk import uncollected
from seqopt.pulseq.calibration_scans import play_calibration, with_calibration_counters
from seqopt.pulseq.events import COUNTERS, Events, Receiver
from seqopt.pulseq.export import VERSIONS, write_sequence
from seqopt.pulseq.gre_plan import GrePlan, make_plan, plan_gre
from seqopt.pulseq.timing import SequenceTiming

__all__ = ["SequenceTiming", "ShotStyle", "build_gre", "plan_gre", "write_gre"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ShotStyle:
    """What distinguishes the shots of one kind of design from another's."""

    labels: Callable[[int], Mapping[str, int]]
    """Shot -> labels of its readouts; SLC is added."""
    readouts: Callable[[Events, FloatArray], list[list[Event]]] = Events.waveforms
    """(shots, edges, 2) Hz/m -> gradient events of each readout."""
    counters: tuple[str, ...] = COUNTERS
    """Labels that the first block sets to 0."""
    definitions: Mapping[str, Any]


def write_gre(design: TrajectoryDesign, path: Path, *, version: str = VERSIONS[0]) -> SequenceTiming:
    """Write the design as a Pulseq file of one version to exactly ``path``; the timing it has. See ``build_gre``."""
    sequence, timing = build_gre(design)
    return replace(timing, md5=write_sequence(sequence, path, version=version))


@uncollected
def build_gre(design: TrajectoryDesign, style: ShotStyle | None = None) -> tuple[SequenceBuilder, SequenceTiming]:
    """The sequence that plays the design, for every version, and the timing it has.

    Per shot and slice: slice-selective Hann-sinc, then the design's waveform as extended trapezoids on raster edges
    with one ADC; prephaser, rewinder and the slice's rephaser and spoiler are part of it, or trapezoids before and
    after it where it does not begin and end at k = 0. RF spoiling is quadratic in the repetition and
    common to the slices. Before them: labels set to 0, one noise readout, dummy shots.
    ``style`` labels and draws the shots otherwise, as Cartesian lines need it.

    Raises ``SeqoptError`` where the design or its protocol does not fit the scanner.
    """
    plan = make_plan(design)
    if plan.before is not None:  # else the plan has looked at the waveform with its lobes
        _refuse_illegal(design)
    style = style or ShotStyle(
        labels=lambda shot: {"LIN": shot},
        definitions={"EchoSample": design.echo_sample, "TrajectoryFamily": design.family},
    )
    return _build(design, plan, style), plan.timing


def _refuse_illegal(design: TrajectoryDesign) -> None:
    scanner = design.scanner
    amplitude, steepness = reach(
        design.gradient_hz_per_m, raster_s=scanner.grad_raster_s, vector=scanner.oblique == "vector"
    )
    share = max(amplitude / scanner.max_grad_hz_per_m, steepness / scanner.max_slew_hz_per_m_per_s)
    if share > 1 + 1e-6:
        raise SeqoptError(
            f"design {design.name} uses {share:.2f} times the gradient or slew limit of scanner {scanner.name}; "
            "project it onto the limits first"
        )


def _build(design: TrajectoryDesign, plan: GrePlan, style: ShotStyle) -> SequenceBuilder:
    events = Events(design.scanner)
    _define(events, design, plan, style)
    pulse = events.pulse(plan.pulse, "excitation")
    select = events.slice_gradient(plan.pulse)
    before, after = (
        [events.vector(lobe, area) for area in areas] if lobe is not None else None
        for lobe, areas in ((plan.before, plan.before_area_per_m), (plan.after, plan.after_area_per_m))
    )
    waveforms = style.readouts(events, plan.gradient_hz_per_m)
    slice_event = events.corners("z", plan.slice_times_s, plan.slice_hz_per_m)
    receiver = Receiver(samples=design.samples, dwell_s=design.dwell_s, delay_s=plan.adc_delay_s)
    events.start(plan.noise_s, events.adc(receiver, 0.0), with_calibration_counters(style.counters, design))
    play_calibration(events, design, plan.pulse)
    dummies = design.protocol.dummy_shots
    positions = design.geometry.slice_positions_m()
    for repetition in range(dummies + design.shots):
        phase = 0.5 * design.protocol.rf_spoil_increment_rad * repetition * (repetition + 1)
        imaging = repetition >= dummies
        shot = repetition - dummies if imaging else repetition % design.shots
        for index, position in enumerate(positions):
            events.sequence.begin_segment()
            events.add(plan.pulse.block_s, events.rf(pulse, phase, plan.pulse.select_hz_per_m * position), select)
            if plan.te_delay_s:
                events.add(plan.te_delay_s)
            if before is not None:
                events.add(plan.before_s, *before[shot])
            reading = []
            if imaging:
                reading = [events.adc(receiver, phase), *events.labels({**style.labels(shot), "SLC": index})]
            events.add(plan.readout_s, *waveforms[shot], *slice_event, *reading)
            if after is not None:
                events.add(plan.after_s, *after[shot])
            if plan.slot_delay_s[index]:
                events.add(plan.slot_delay_s[index])
    return events.sequence


def _define(events: Events, design: TrajectoryDesign, plan: GrePlan, style: ShotStyle) -> None:
    events.define(
        design.geometry,
        {
            "Name": design.name,
            "EchoTime": plan.timing.te_s,
            "RepetitionTime": plan.timing.tr_s,
            "FlipAngle": float(np.degrees(design.protocol.flip_rad)),
            "Shots": design.shots,
            **_segments(design),
            **style.definitions,
        },
    )


def _segments(design: TrajectoryDesign) -> dict[str, int]:
    """What interpreters are told of a readout that the receiver takes in parts, by the name that they know."""
    segments = design.protocol.adc_segments
    return {"MaxAdcSegmentLength": design.samples // segments} if segments > 1 else {}
