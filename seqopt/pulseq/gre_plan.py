"""Timing and moments of a 2-D multi-slice spoiled gradient echo, in numbers; nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Protocol, Scanner, TrajectoryDesign
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.connection import Limits, Lobe, slice_lobe
from seqopt.gradients.waveform import reach
from seqopt.pulseq.calibration_scans import added_excitations, added_time_s
from seqopt.pulseq.slice_selection import SlicePulse, slice_pulse
from seqopt.pulseq.timing import SequenceTiming, check_adc, pause, slice_pauses, start_s
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to, on_raster, shortest_trapezoid

FloatArray = npt.NDArray[np.float64]
_AT_REST_PER_M = 1e-6  # k nearer to 0 than this needs no prephaser or rewinder


@dataclass(frozen=True, kw_only=True)
class GrePlan:
    """Everything that the writer needs; times in seconds, all on the block raster unless said otherwise."""

    pulse: SlicePulse
    te_delay_s: float
    """Pause after the pulse."""
    before: Trapezoid | None
    """Prephaser and slice rephaser in a block of their own; None where the waveform holds them."""
    before_area_per_m: FloatArray
    """(shots, 3)"""
    before_s: float
    readout_s: float
    gradient_hz_per_m: FloatArray
    """(shots, edges, 2) x and y of the block with the ADC, on raster edges, from zero to zero."""
    slice_times_s: FloatArray
    """(corners,) of the slice's gradient in the same block; empty where ``before`` and ``after`` hold it."""
    slice_hz_per_m: FloatArray
    """(corners,)"""
    after: Trapezoid | None
    """Rewinder and spoiler; None where the waveform holds them."""
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
    check_adc(
        scanner, samples=design.samples, dwell_s=design.dwell_s, delay_s=adc_delay, segments=protocol.adc_segments
    )
    adc_end = adc_delay + design.samples * design.dwell_s + scanner.adc_dead_time_s
    pulse = excitation(scanner, protocol, geometry, echo_in_block_s=design.echo_time_in_block_s)
    lobes = _Lobes.of(design, pulse)
    readout = ceil_to(max(design.block_duration_s, adc_end), block)

    to_echo = lobes.before_s + design.echo_time_in_block_s
    first = excitation(scanner, protocol, geometry, echo_in_block_s=None)
    pause("echo time", protocol.te_s, _from_centre_s(first) + to_echo, block)  # refuses
    te = _from_centre_s(pulse) + to_echo
    te_delay = pause("echo time", protocol.te_s, te, block)
    slot = pulse.block_s + te_delay + lobes.before_s + readout + lobes.after_s
    min_tr = slot * geometry.slices
    tr_delay = _tr_pause(protocol, min_tr, block)
    noise = ceil_to(adc_end, block)
    passes = protocol.dummy_shots + design.shots
    timing = SequenceTiming(
        te_s=round(te + te_delay, 10),
        tr_s=round(min_tr + tr_delay, 10),
        min_te_s=round(_from_centre_s(first) + to_echo, 10),
        min_tr_s=round(min_tr, 10),
        scan_time_s=round(start_s(noise, block) + added_time_s(design, pulse) + passes * (min_tr + tr_delay), 9),
        excitations=added_excitations(design) + passes * geometry.slices,
        readouts=design.shots * geometry.slices,
        order=tuple((index, shot) for shot in range(design.shots) for index in range(geometry.slices)),
        noise_readouts=1,
        md5="",
    )
    return GrePlan(
        pulse=pulse,
        te_delay_s=te_delay,
        before=lobes.before,
        before_area_per_m=lobes.before_area_per_m,
        before_s=lobes.before_s,
        readout_s=readout,
        gradient_hz_per_m=design.gradient_hz_per_m,
        slice_times_s=lobes.slice_times_s,
        slice_hz_per_m=lobes.slice_hz_per_m,
        after=lobes.after,
        after_area_per_m=lobes.after_area_per_m,
        after_s=lobes.after_s,
        slot_delay_s=slice_pauses(tr_delay, geometry.slices, block),
        adc_delay_s=adc_delay,
        noise_s=noise,
        timing=timing,
    )


def excitation(
    scanner: Scanner, protocol: Protocol, geometry: Geometry, *, echo_in_block_s: float | None
) -> SlicePulse:
    """The excitation, as late in its block as the wanted echo time asks for; early where ``echo_in_block_s`` is None.

    Everything after the pulse lies on the block raster but the echo, so that only the pulse can make TE exact.
    """
    early = slice_pulse(scanner, protocol, geometry, flip_rad=protocol.flip_rad, duration_s=protocol.rf_duration_s)
    if protocol.te_s is None or echo_in_block_s is None:
        return early
    block, raster = scanner.block_raster_s, scanner.rf_raster_s
    missing = protocol.te_s - (_from_centre_s(early) + echo_in_block_s)
    late = round((-missing % block) / raster) * raster
    if late < 0.5 * raster or late > block - 0.5 * raster:
        return early
    return slice_pulse(
        scanner, protocol, geometry, flip_rad=protocol.flip_rad, duration_s=protocol.rf_duration_s, late_s=late
    )


def rasters_to_adc(scanner: Scanner, protocol: Protocol, pulse: SlicePulse, *, adc_to_echo_s: float) -> int | None:
    """Gradient rasters that the wanted TE leaves between the pulse's block and the ADC; None without a wanted TE."""
    if protocol.te_s is None:
        return None
    return int(np.floor((protocol.te_s - _from_centre_s(pulse) - adc_to_echo_s) / scanner.grad_raster_s + 1e-6))


def rasters_after_pulse(scanner: Scanner, protocol: Protocol, geometry: Geometry, pulse: SlicePulse) -> int | None:
    """Gradient rasters that the wanted TR leaves each slice after the pulse's block; None without a wanted TR."""
    if protocol.tr_s is None:
        return None
    block = scanner.block_raster_s
    slot = np.floor(protocol.tr_s / geometry.slices / block + 1e-6) * block - pulse.block_s
    return int(np.floor(slot / scanner.grad_raster_s + 1e-6))


def _from_centre_s(pulse: SlicePulse) -> float:
    """From where TE begins to the end of the pulse's block."""
    return pulse.block_s - pulse.centre_s


def spoiler_area_per_m(protocol: Protocol, geometry: Geometry) -> float:
    """Moment along the slice that dephases it by the protocol's cycles."""
    return protocol.spoil_cycles / geometry.slice_thickness_m


@dataclass(frozen=True, kw_only=True)
class _Lobes:
    """What is played before and after the readout, in its block or in blocks of their own."""

    before_area_per_m: FloatArray
    after_area_per_m: FloatArray
    before: Trapezoid | None = None
    before_s: float = 0.0
    after: Trapezoid | None = None
    after_s: float = 0.0
    slice_times_s: FloatArray
    slice_hz_per_m: FloatArray

    @classmethod
    def of(cls, design: TrajectoryDesign, pulse: SlicePulse) -> _Lobes:
        scanner, block = design.scanner, design.scanner.block_raster_s
        spoil = spoiler_area_per_m(design.protocol, design.geometry)
        end = _k_at_end(design)
        if max(np.abs(design.k_start_per_m).max(), np.abs(end).max()) < _AT_REST_PER_M:
            times, values = _slice_corners(design, -pulse.area_after_per_m, spoil)
            nothing = np.zeros((design.shots, 3))
            return cls(before_area_per_m=nothing, after_area_per_m=nothing, slice_times_s=times, slice_hz_per_m=values)
        before_area = np.column_stack([design.k_start_per_m, np.full(design.shots, -pulse.area_after_per_m)])
        after_area = np.column_stack([-end, np.full(design.shots, spoil)])
        before, after = (shortest_trapezoid(area, scanner=scanner) for area in (before_area, after_area))
        return cls(
            before_area_per_m=before_area,
            after_area_per_m=after_area,
            before=before,
            before_s=ceil_to(before.duration_s, block),
            after=after,
            after_s=ceil_to(after.duration_s, block),
            slice_times_s=np.zeros(0),
            slice_hz_per_m=np.zeros(0),
        )


def _slice_corners(design: TrajectoryDesign, rephase_per_m: float, spoil_per_m: float) -> tuple[FloatArray, FloatArray]:
    """Slice rephaser while x and y prephase, spoiler while they rewind; refuses what breaks the limits as a vector."""
    scanner, raster = design.scanner, design.scanner.grad_raster_s
    edges = design.gradient_hz_per_m.shape[1]
    opens = design.adc_start_edge
    closes = opens + round(ceil_to(design.samples * design.dwell_s, raster) / raster)
    limits = Limits.of(scanner).derated(scanner.connection_slew_share)
    if min(opens, edges - 1 - closes) < 2:
        raise SeqoptError(f"design {design.name}: no time for the slice's rephaser and spoiler; design it anew")
    first = slice_lobe(rephase_per_m, opens, limits)
    last = slice_lobe(spoil_per_m, edges - 1 - closes, limits)
    z = np.zeros(edges)
    z[: opens + 1] = first.edges_hz_per_m()
    z[closes:] += last.edges_hz_per_m()
    amplitude, steepness = reach(design.gradient_hz_per_m, raster_s=raster, along_z_hz_per_m=z, vector=limits.vector)
    share = max(amplitude / scanner.max_grad_hz_per_m, steepness / scanner.max_slew_hz_per_m_per_s)
    if share > 1 + 1e-6:
        raise SeqoptError(
            f"design {design.name} uses {share:.2f} times the gradient or slew limit of scanner {scanner.name} with "
            "its slice rephaser and spoiler; design it anew with this slice, RF pulse and spoiler"
        )
    return _corners((first, 0), (last, closes), raster)


def _corners(first: tuple[Lobe, int], last: tuple[Lobe, int], raster_s: float) -> tuple[FloatArray, FloatArray]:
    points = {edge + start: value for lobe, start in (first, last) for edge, value in lobe.corners()}
    edges = sorted(points)
    return np.array(edges) * raster_s, np.array([points[edge] for edge in edges])


def _tr_pause(protocol: Protocol, min_tr_s: float, block_s: float) -> float:
    if protocol.tr_s is not None and not on_raster(protocol.tr_s, block_s):
        raise reject(
            "repetition time",
            got=f"{protocol.tr_s * 1e3:g} ms",
            expected=f"a multiple of {block_s * 1e6:g} us",
            remedy=f"use {ceil_to(protocol.tr_s, block_s) * 1e3:.6g} ms",
        )
    return pause("repetition time", protocol.tr_s, min_tr_s, block_s)


def _k_at_end(design: TrajectoryDesign) -> FloatArray:
    """(shots, 2) k where the waveform ends: start plus its exact integral."""
    gradient = design.gradient_hz_per_m
    whole = np.einsum("sed->sd", gradient) - (gradient[:, 0] + gradient[:, -1]) / 2  # several times faster than sum()
    end: FloatArray = design.k_start_per_m + whole * design.scanner.grad_raster_s
    return end
