"""Timing and moments of a 2-D multi-slice spoiled gradient echo, in numbers; nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import TrajectoryDesign
from seqopt.errors import SeqoptError, reject
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to, on_raster, shortest_trapezoid

FloatArray = npt.NDArray[np.float64]

LABEL_BLOCK_S = 1e-3  # the first block, which sets every label to 0
SETTLE_S = 5e-3  # quiet time after the noise readout


@dataclass(frozen=True, kw_only=True)
class GreTiming:
    """When everything of a planned or written sequence happens."""

    te_s: float
    """RF centre to the centre of the echo sample; the wanted one rounded up to the gradient raster."""
    tr_s: float
    """Between two excitations of one slice."""
    min_te_s: float
    min_tr_s: float
    """With the echo time above."""
    scan_time_s: float
    """Of the whole file, noise readout included."""
    excitations: int
    """Dummies included."""
    readouts: int
    """Imaging readouts; the noise readouts come before them."""
    order: tuple[tuple[int, int], ...]
    """(slice, shot) of each imaging readout in play order."""
    noise_readouts: int
    md5: str
    """Signature of the written file; empty where nothing was written."""


@dataclass(frozen=True, kw_only=True)
class GrePlan:
    """Everything that the writer needs; times in seconds, all on the block raster unless said otherwise."""

    slice_select: Trapezoid
    """Its flat top spans the RF pulse."""
    slice_select_hz_per_m: float
    slice_select_delay_s: float
    rf_delay_s: float
    rf_centre_s: float
    """From the block's start."""
    excite_s: float
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
    timing: GreTiming


def plan_gre(design: TrajectoryDesign) -> GreTiming:
    """Timing of the sequence that ``write_gre`` would write, cheaply.

    Raises ``SeqoptError`` where TE, TR, B1, slice or ADC do not fit, naming the shortest time or the remedy.
    """
    return make_plan(design).timing


def make_plan(design: TrajectoryDesign) -> GrePlan:
    """Plan of one design; see ``plan_gre``."""
    scanner, protocol, geometry = design.scanner, design.protocol, design.geometry
    _check_adc(design)
    block = scanner.block_raster_s
    select_hz_per_m, select, select_delay, rf_delay = _slice_selection(design)
    rf_centre = rf_delay + protocol.rf_duration_s / 2
    rf_end = rf_delay + protocol.rf_duration_s + scanner.rf_ringdown_time_s
    excite = ceil_to(max(rf_end, select_delay + select.duration_s), block)
    left_over = select_hz_per_m * (rf_delay + select.flat_s - rf_centre + select.fall_s / 2)
    before_area = np.column_stack([design.k_start_per_m, np.full(design.shots, -left_over)])
    spoil = protocol.spoil_cycles / geometry.slice_thickness_m
    after_area = np.column_stack([-_k_at_end(design), np.full(design.shots, spoil)])
    before, after = (shortest_trapezoid(area, scanner=scanner) for area in (before_area, after_area))
    before_s, after_s = ceil_to(before.duration_s, block), ceil_to(after.duration_s, block)
    adc_delay = design.adc_start_edge * scanner.grad_raster_s
    adc_end = adc_delay + design.samples * design.dwell_s + scanner.adc_dead_time_s
    readout = ceil_to(max(design.block_duration_s, adc_end), block)

    min_te = excite - rf_centre + before_s + design.echo_time_in_block_s
    te_delay = _pause("echo time", protocol.te_s, min_te, block)
    slot = excite + before_s + te_delay + readout + after_s
    min_tr = slot * geometry.slices
    tr_delay = _pause("repetition time", protocol.tr_s, min_tr, block)
    whole, extra = divmod(round(tr_delay / block), geometry.slices)
    pauses = tuple((whole + (index < extra)) * block for index in range(geometry.slices))
    noise = ceil_to(adc_end, block)
    passes = protocol.dummy_shots + design.shots
    start = ceil_to(LABEL_BLOCK_S, block) + noise + ceil_to(SETTLE_S, block)
    timing = GreTiming(
        te_s=round(min_te + te_delay, 10),
        tr_s=round(min_tr + tr_delay, 10),
        min_te_s=round(min_te, 10),
        min_tr_s=round(min_tr, 10),
        scan_time_s=round(start + passes * (min_tr + tr_delay), 9),
        excitations=passes * geometry.slices,
        readouts=design.shots * geometry.slices,
        order=tuple((index, shot) for shot in range(design.shots) for index in range(geometry.slices)),
        noise_readouts=1,
        md5="",
    )
    return GrePlan(
        slice_select=select,
        slice_select_hz_per_m=select_hz_per_m,
        slice_select_delay_s=select_delay,
        rf_delay_s=rf_delay,
        rf_centre_s=rf_centre,
        excite_s=excite,
        before=before,
        before_area_per_m=before_area,
        before_s=before_s,
        te_delay_s=te_delay,
        readout_s=readout,
        after=after,
        after_area_per_m=after_area,
        after_s=after_s,
        slot_delay_s=pauses,
        adc_delay_s=adc_delay,
        noise_s=noise,
        timing=timing,
    )


def _k_at_end(design: TrajectoryDesign) -> FloatArray:
    """(shots, 2) k where the waveform ends: start plus its exact integral."""
    inner = design.gradient_hz_per_m[:, 1:] + design.gradient_hz_per_m[:, :-1]
    end: FloatArray = design.k_start_per_m + inner.sum(axis=1) * design.scanner.grad_raster_s / 2
    return end


def _pause(name: str, wanted_s: float | None, shortest_s: float, raster_s: float) -> float:
    if wanted_s is None:
        return 0.0
    if wanted_s < shortest_s - 1e-9:
        shown = np.ceil(shortest_s * 1e6 - 1e-6) / 1e3
        raise reject(
            name,
            got=f"{wanted_s * 1e3:g} ms",
            expected=f"at least {shown:.3f} ms",
            remedy="lengthen it or leave it out",
        )
    return ceil_to(wanted_s - shortest_s, raster_s)


def _slice_selection(design: TrajectoryDesign) -> tuple[float, Trapezoid, float, float]:
    """Amplitude Hz/m, trapezoid, its delay and the RF delay in seconds."""
    scanner, protocol, geometry = design.scanner, design.protocol, design.geometry
    duration = protocol.rf_duration_s
    if not 1e-4 <= duration <= 0.1 or not on_raster(duration, scanner.rf_raster_s):
        raise reject(
            "RF duration",
            got=f"{duration * 1e3:g} ms",
            expected=f"0.1..100 ms on a raster of {scanner.rf_raster_s * 1e6:g} us",
            remedy="give the RF duration in seconds on that raster",
        )
    amplitude = protocol.rf_time_bandwidth / duration / geometry.slice_thickness_m
    limit = scanner.max_grad_hz_per_m * scanner.margin
    if amplitude > limit:
        raise SeqoptError(
            f"a slice of {geometry.slice_thickness_m * 1e3:g} mm needs {amplitude / limit:.2f} times the gradient that "
            f"scanner {scanner.name} gives; use a thicker slice or a longer RF pulse"
        )
    raster = scanner.grad_raster_s
    rise = max(ceil_to(amplitude / (scanner.max_slew_hz_per_m_per_s * scanner.margin), raster), raster)
    delay = ceil_to(max(scanner.rf_dead_time_s - rise, 0.0), raster)
    _check_rf(design, amplitude)
    return amplitude, Trapezoid(rise, ceil_to(duration, raster), rise), delay, round(delay + rise, 10)


def _check_rf(design: TrajectoryDesign, slice_select_hz_per_m: float) -> None:
    scanner, protocol = design.scanner, design.protocol
    peak = peak_b1_hz(protocol.flip_rad, protocol.rf_duration_s, protocol.rf_time_bandwidth, scanner.rf_raster_s)
    if peak > scanner.max_b1_hz:
        raise SeqoptError(
            f"a flip of {np.degrees(protocol.flip_rad):g} degrees in {protocol.rf_duration_s * 1e3:g} ms needs B1 of "
            f"{peak:.0f} Hz, scanner {scanner.name} gives {scanner.max_b1_hz:.0f} Hz; "
            "use a longer RF pulse or a smaller flip angle"
        )
    offset = slice_select_hz_per_m * max(abs(z) for z in design.geometry.slice_positions_m())
    if offset > scanner.max_rf_offset_hz:
        raise SeqoptError(
            f"the outermost slice needs an RF offset of {offset / 1e3:.0f} kHz, scanner {scanner.name} gives "
            f"{scanner.max_rf_offset_hz / 1e3:.0f} kHz; use fewer slices, a smaller gap or a longer RF pulse"
        )


def peak_b1_hz(flip_rad: float, duration_s: float, time_bandwidth: float, raster_s: float) -> float:
    """Peak of a Hann-windowed sinc pulse in Hz for a flip in rad."""
    samples = round(duration_s / raster_s)
    t = ((np.arange(samples) + 0.5) / samples - 0.5) * duration_s
    shape = (0.5 + 0.5 * np.cos(2 * np.pi * t / duration_s)) * np.sinc(time_bandwidth / duration_s * t)
    return float(np.abs(shape).max() * flip_rad / (2 * np.pi * abs(shape.sum()) * raster_s))


def _check_adc(design: TrajectoryDesign) -> None:
    scanner = design.scanner
    delay = design.adc_start_edge * scanner.grad_raster_s
    if delay < scanner.adc_dead_time_s - 1e-12:
        raise SeqoptError(
            f"the ADC opens {delay * 1e6:g} us after the waveform's start, scanner {scanner.name} needs "
            f"{scanner.adc_dead_time_s * 1e6:g} us of dead time; start the ADC at a later edge"
        )
    if not on_raster(delay, scanner.rf_raster_s):
        raise SeqoptError(
            f"the ADC opens at {delay * 1e6:g} us, off the raster of {scanner.rf_raster_s * 1e6:g} us; move its start"
        )
    if not on_raster(design.dwell_s, scanner.adc_raster_s):
        raise SeqoptError(
            f"dwell: got {design.dwell_s * 1e6:g} us, expected a multiple of {scanner.adc_raster_s * 1e6:g} us "
            f"(scanner {scanner.name}); change the bandwidth"
        )
    if design.samples > scanner.adc_max_samples or design.samples % scanner.adc_samples_divisor:
        raise SeqoptError(
            f"samples a readout: got {design.samples}, expected at most {scanner.adc_max_samples} and a multiple of "
            f"{scanner.adc_samples_divisor} (scanner {scanner.name}); change the samples"
        )
