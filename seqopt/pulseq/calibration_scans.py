"""Plays calibration scans before the image; `calibration_plan` says which readouts they have."""

from __future__ import annotations

from typing import Any

from seqopt.core import CalibrationReadout, MaskDesign, TrajectoryDesign
from seqopt.pulseq.calibration_plan import (
    DUMMIES,
    Frame,
    KindPlan,
    calibration_duration_s,
    calibration_readouts,
    labels_of,
    plan_calibration,
)
from seqopt.pulseq.events import Events, Receiver
from seqopt.pulseq.slice_selection import SlicePulse, slice_pulse
from seqopt.pulseq.timing import LABEL_BLOCK_S
from seqopt.pulseq.trapezoid import ceil_to

COUNTERS = ("SET", "LIN", "ECO", "AVG", "SLC", "REF", "IMA", "NAV")
"""Labels that calibration scans use, and that the first block must set."""


def frame_of(design: TrajectoryDesign | MaskDesign, pulse: SlicePulse | None = None) -> Frame:
    """What the calibration scans of a design share with its image; ``pulse`` the image's own excitation."""
    if isinstance(design, MaskDesign):
        samples, dwell_s = design.oversampling * design.geometry.matrix[0], design.dwell_s / design.oversampling
    else:
        samples, dwell_s = design.samples, design.dwell_s
    protocol = design.protocol
    return Frame(
        scanner=design.scanner,
        geometry=design.geometry,
        protocol=protocol,
        pulse=pulse
        or slice_pulse(
            design.scanner, protocol, design.geometry, flip_rad=protocol.flip_rad, duration_s=protocol.rf_duration_s
        ),
        samples=samples,
        dwell_s=dwell_s,
    )


def planned_calibration(design: TrajectoryDesign | MaskDesign) -> list[CalibrationReadout]:
    """Every calibration readout of the design's sequence in play order, after the noise and before the image."""
    return calibration_readouts(frame_of(design)) if design.protocol.calibrate else []


def added_time_s(design: TrajectoryDesign | MaskDesign, pulse: SlicePulse | None = None) -> float:
    """What the calibration scans add to the scan time; 0 without any."""
    if not design.protocol.calibrate:
        return 0.0
    end = ceil_to(LABEL_BLOCK_S, design.scanner.block_raster_s)
    return calibration_duration_s(frame_of(design, pulse)) + end


def added_excitations(design: TrajectoryDesign | MaskDesign) -> int:
    """Excitations of the calibration scans, dummies included."""
    plans = plan_calibration(frame_of(design)) if design.protocol.calibrate else []
    return sum((DUMMIES + len(plan.shots)) * len(plan.slices) for plan in plans)


def play_calibration(events: Events, design: TrajectoryDesign | MaskDesign, pulse: SlicePulse | None = None) -> None:
    """Add the calibration scans that the design's protocol asks for, and set their labels to 0 at the end."""
    if not design.protocol.calibrate:
        return
    frame = frame_of(design, pulse)
    excitation = events.pulse(frame.pulse, "excitation")
    for plan in plan_calibration(frame):
        _play(events, frame, plan, excitation)
    block_s = ceil_to(LABEL_BLOCK_S, frame.scanner.block_raster_s)
    events.sequence.begin_segment()
    events.add(block_s, *events.labels(dict.fromkeys(COUNTERS, 0)))


def _play(events: Events, frame: Frame, plan: KindPlan, excitation: Any) -> None:
    pulse, positions = frame.pulse, frame.geometry.slice_positions_m()
    select = events.slice_gradient(pulse)
    receiver = Receiver(samples=frame.samples, dwell_s=frame.dwell_s, delay_s=plan.adc_delay_s)
    rise_delay_s = round(plan.adc_delay_s - plan.read.rise_s, 10)
    late_s = plan.echo_spacing_s
    for repetition in range(-DUMMIES, len(plan.shots)):
        number = max(repetition, 0)
        shot = plan.shots[number]
        before = events.vector(plan.before, plan.before_area_per_m[number])
        after = events.vector(plan.after, plan.after_area_per_m[number])
        count = repetition + DUMMIES
        phase = 0.5 * frame.protocol.rf_spoil_increment_rad * count * (count + 1)
        read = [
            events.trapezoid(axis, plan.read, amplitude, rise_delay_s)
            for axis, amplitude in zip("xy", plan.gradient_hz_per_m[number].tolist(), strict=True)
            if amplitude
        ]
        for slice_ in plan.slices:
            events.sequence.begin_segment()
            events.add(pulse.block_s, events.rf(excitation, phase, pulse.select_hz_per_m * positions[slice_]), select)
            if shot.echo and late_s:
                events.add(late_s)
            events.add(plan.block_s[0], *before)
            reading = []
            if repetition >= 0:
                reading = [events.adc(receiver, phase), *events.labels(labels_of(plan.kind, shot, slice_))]
            events.add(plan.block_s[1], *read, *reading)
            events.add(plan.block_s[2], *after)
            if not shot.echo and late_s:
                events.add(late_s)


def with_calibration_counters(counters: tuple[str, ...], design: TrajectoryDesign | MaskDesign) -> tuple[str, ...]:
    """Labels that the first block sets to 0."""
    extra = COUNTERS if design.protocol.calibrate else ()
    return (*counters, *(name for name in extra if name not in counters))
