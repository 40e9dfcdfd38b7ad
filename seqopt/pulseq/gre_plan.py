"""Timing and moments of a 2-D multi-slice spoiled gradient echo, in numbers; nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import TrajectoryDesign
from seqopt.pulseq.slice_selection import SlicePulse, slice_pulse
from seqopt.pulseq.timing import SequenceTiming, check_adc, pause, slice_pauses, start_s
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to, shortest_trapezoid

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GrePlan:
    """Everything that the writer needs; times in seconds, all on the block raster unless said otherwise."""

    pulse: SlicePulse
    before: Trapezoid
    """Prephaser and slice rephaser."""
    before_area_per_m: FloatArray
    """(shots, 3)"""
    before_s: float
    te_delay_s: float
    readout_s: float
    after: Trapezoid
    """Rewinder and spoiler."""
    after_area_per_m: FloatArray
    """(shots, 3)"""
    after_s: float
    slot_delay_s: tuple[float, ...]
    """For each slice, the pause after its rewinder."""
    adc_delay_s: float
    noise_s: float
    timing: SequenceTiming


def plan_gre(design: TrajectoryDesign) -> SequenceTiming:
    """Timing of the sequence that ``write_gre`` would write, cheaply.

    Raises ``SeqoptError`` where TE, TR, B1, slice or ADC do not fit, naming the shortest time or the remedy.
    """
    return make_plan(design).timing


def make_plan(design: TrajectoryDesign) -> GrePlan:
    """Plan of one design; see ``plan_gre``."""
    scanner, protocol, geometry = design.scanner, design.protocol, design.geometry
    block = scanner.block_raster_s
    adc_delay = design.adc_start_edge * scanner.grad_raster_s
    check_adc(scanner, samples=design.samples, dwell_s=design.dwell_s, delay_s=adc_delay)
    pulse = slice_pulse(scanner, protocol, geometry, flip_rad=protocol.flip_rad, duration_s=protocol.rf_duration_s)
    before_area = np.column_stack([design.k_start_per_m, np.full(design.shots, -pulse.area_after_per_m)])
    spoil = protocol.spoil_cycles / geometry.slice_thickness_m
    after_area = np.column_stack([-_k_at_end(design), np.full(design.shots, spoil)])
    before, after = (shortest_trapezoid(area, scanner=scanner) for area in (before_area, after_area))
    before_s, after_s = ceil_to(before.duration_s, block), ceil_to(after.duration_s, block)
    adc_end = adc_delay + design.samples * design.dwell_s + scanner.adc_dead_time_s
    readout = ceil_to(max(design.block_duration_s, adc_end), block)

    min_te = pulse.block_s - pulse.centre_s + before_s + design.echo_time_in_block_s
    te_delay = pause("echo time", protocol.te_s, min_te, block)
    slot = pulse.block_s + before_s + te_delay + readout + after_s
    min_tr = slot * geometry.slices
    tr_delay = pause("repetition time", protocol.tr_s, min_tr, block)
    noise = ceil_to(adc_end, block)
    passes = protocol.dummy_shots + design.shots
    timing = SequenceTiming(
        te_s=round(min_te + te_delay, 10),
        tr_s=round(min_tr + tr_delay, 10),
        min_te_s=round(min_te, 10),
        min_tr_s=round(min_tr, 10),
        scan_time_s=round(start_s(noise, block) + passes * (min_tr + tr_delay), 9),
        excitations=passes * geometry.slices,
        readouts=design.shots * geometry.slices,
        order=tuple((index, shot) for shot in range(design.shots) for index in range(geometry.slices)),
        noise_readouts=1,
        md5="",
    )
    return GrePlan(
        pulse=pulse,
        before=before,
        before_area_per_m=before_area,
        before_s=before_s,
        te_delay_s=te_delay,
        readout_s=readout,
        after=after,
        after_area_per_m=after_area,
        after_s=after_s,
        slot_delay_s=slice_pauses(tr_delay, geometry.slices, block),
        adc_delay_s=adc_delay,
        noise_s=noise,
        timing=timing,
    )


def _k_at_end(design: TrajectoryDesign) -> FloatArray:
    """(shots, 2) k where the waveform ends: start plus its exact integral."""
    inner = design.gradient_hz_per_m[:, 1:] + design.gradient_hz_per_m[:, :-1]
    end: FloatArray = design.k_start_per_m + inner.sum(axis=1) * design.scanner.grad_raster_s / 2
    return end
