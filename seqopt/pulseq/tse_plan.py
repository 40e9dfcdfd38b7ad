"""Timing and moments of a 2-D multi-slice turbo spin echo (RARE), in numbers; nothing is written here.

Carr-Purcell-Meiboom-Gill conditions (Hennig et al., Magn Reson Med 3:823, 1986): refocusing pulses 90 degrees out of
phase with the excitation, at odd multiples of half the echo spacing, and on every axis the same moment in each half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import MaskDesign
from seqopt.errors import reject
from seqopt.pulseq.calibration_scans import added_excitations, added_time_s
from seqopt.pulseq.cartesian_plan import LineReadout, line_readout, phase_moments
from seqopt.pulseq.line_orders import NO_LINE, line_table
from seqopt.pulseq.slice_selection import SlicePulse, peak_b1_hz, slice_pulse
from seqopt.pulseq.timing import SequenceTiming, pause, shown_ms, slice_pauses, start_s
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to, shortest_trapezoid

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Lobes:
    """Trapezoids of one shape between two blocks, and how long their block lasts."""

    shape: Trapezoid
    area_per_m: FloatArray
    """(n, 3)"""
    block_s: float


@dataclass(frozen=True, kw_only=True)
class TsePlan:
    """Everything that the writer needs; times in seconds."""

    excite: SlicePulse
    refocus: SlicePulse
    readout: LineReadout
    readout_s: float
    table: npt.NDArray[np.int64]
    """(trains, echoes) line numbers, -1 where an echo is not read."""
    first: Lobes
    """(1, 3) between excitation and first refocusing pulse."""
    before: Lobes
    """(matrix y, 3) by line, between refocusing pulse and readout: phase encoding and crusher."""
    after: Lobes
    """(matrix y, 3) by line, between readout and next refocusing pulse: rewinder and crusher."""
    last: Lobes
    """(matrix y, 3) by line, after the last readout of a train: rewinder and spoiler."""
    slot_delay_s: tuple[float, ...]
    """For each slice, the pause after its train."""
    noise_s: float
    timing: SequenceTiming


def plan_tse(design: MaskDesign) -> SequenceTiming:
    """Timing of the sequence that ``build_tse`` builds, cheaply.

    Raises ``SeqoptError`` where TE, TR, B1, slice, ADC or echo train do not fit, naming what would.
    """
    return make_tse_plan(design).timing


def make_tse_plan(design: MaskDesign) -> TsePlan:
    """Plan of one mask; see ``plan_tse``."""
    scanner, geometry, block = design.scanner, design.geometry, design.scanner.block_raster_s
    excite, refocus = _pulses(design)
    readout = line_readout(design, echo_raster_s=block)
    readout_s = ceil_to(max(readout.shape.duration_s, readout.adc_end_s + scanner.adc_dead_time_s), block)
    shapes = {name: _lobes(design, area) for name, area in _areas(design, excite, refocus, readout).items()}
    halves = {
        "first": excite.block_s - excite.centre_s + shapes["first"].block_s + refocus.centre_s,
        "before": refocus.block_s - refocus.centre_s + shapes["before"].block_s + readout.echo_s,
        "after": readout_s - readout.echo_s + shapes["after"].block_s + refocus.centre_s,
    }
    half = ceil_to(max(halves.values()), block)  # of the echo spacing
    for name, shortest in halves.items():
        lobes = shapes[name]
        longer = lobes.block_s + round((half - shortest) / block) * block
        shapes[name] = Lobes(shape=lobes.shape, area_per_m=lobes.area_per_m, block_s=round(longer, 10))
    centre_echo = _centre_echo(design, 2 * half)
    table = line_table(design, echo_train=design.play.echo_train, centre_echo=centre_echo)
    echo = refocus.block_s + shapes["before"].block_s + readout_s
    train = excite.block_s + shapes["first"].block_s + design.play.echo_train * echo + shapes["last"].block_s
    train += (design.play.echo_train - 1) * shapes["after"].block_s
    first_te = excite.block_s - excite.centre_s + shapes["first"].block_s + echo - readout_s + readout.echo_s
    tr_delay = pause("repetition time", design.protocol.tr_s, train * geometry.slices, block)
    noise = ceil_to(readout.adc_end_s + scanner.adc_dead_time_s, block)
    return TsePlan(
        excite=excite,
        refocus=refocus,
        readout=readout,
        readout_s=readout_s,
        table=table,
        **shapes,
        slot_delay_s=slice_pauses(tr_delay, geometry.slices, block),
        noise_s=noise,
        timing=_timing(
            design, table, spacing_s=2 * half, first_te_s=first_te, centre_echo=centre_echo,
            train_s=train, tr_delay_s=tr_delay, start_s=start_s(noise, block),
        ),
    )  # fmt: skip


def _pulses(design: MaskDesign) -> tuple[SlicePulse, SlicePulse]:
    """Excitation, and refocusing pulse: as long as the excitation, or longer where B1 asks for it."""
    scanner, protocol = design.scanner, design.protocol
    duration, flip = protocol.rf_duration_s, design.play.refocus_rad
    excite = slice_pulse(scanner, protocol, design.geometry, flip_rad=np.pi / 2, duration_s=duration, centred=True)
    share = peak_b1_hz(flip, duration, protocol.rf_time_bandwidth, scanner.rf_raster_s) / scanner.max_b1_hz
    if share > 1:
        duration = ceil_to(1.001 * share * duration, 2 * scanner.block_raster_s)  # sampled, hence not quite inverse
    refocus = slice_pulse(scanner, protocol, design.geometry, flip_rad=flip, duration_s=duration, centred=True)
    return excite, refocus


def _areas(design: MaskDesign, excite: SlicePulse, refocus: SlicePulse, readout: LineReadout) -> dict[str, FloatArray]:
    """Moments (n, 3) in 1/m of the four kinds of lobes, so that each half of the echo spacing has the same on x and z.

    Along x k runs from minus the readout's first part to 0 on the echo sample; what the two parts of the readout differ
    by is made up after it. Along y each line is encoded and rewound within its echo.
    """
    thickness = design.geometry.slice_thickness_m
    half_z = max(refocus.area_before_per_m, refocus.area_after_per_m) + design.play.crusher_cycles / thickness
    half_x = readout.area_to_echo_per_m
    ky = phase_moments(design, np.arange(design.geometry.matrix[1]))

    def rows(x: float, y: FloatArray, z: float) -> FloatArray:
        return np.column_stack([np.full(len(y), x), y, np.full(len(y), z)])

    return {
        "first": rows(half_x, np.zeros(1), half_z - excite.area_after_per_m - refocus.area_before_per_m),
        "before": rows(0.0, ky, half_z - refocus.area_after_per_m),
        "after": rows(2 * half_x - readout.area_per_m, -ky, half_z - refocus.area_before_per_m),
        "last": rows(0.0, -ky, half_z + design.protocol.spoil_cycles / thickness),
    }


def _lobes(design: MaskDesign, area_per_m: FloatArray) -> Lobes:
    shape = shortest_trapezoid(area_per_m, scanner=design.scanner)
    return Lobes(shape=shape, area_per_m=area_per_m, block_s=ceil_to(shape.duration_s, design.scanner.block_raster_s))


def _centre_echo(design: MaskDesign, spacing_s: float) -> int:
    """The echo, from 0, that comes nearest to the wanted echo time; the first where none is wanted."""
    wanted, echoes = design.protocol.te_s, design.play.echo_train
    if wanted is None:
        return 0
    if wanted < spacing_s - 1e-9 or wanted > (echoes + 0.5) * spacing_s:
        raise reject(
            "echo time",
            got=f"{wanted * 1e3:g} ms",
            expected=f"at least {shown_ms(spacing_s)} ms and at most {echoes * spacing_s * 1e3:.3f} ms, the last of "
            f"{echoes} echoes",
            remedy="change it or the echo train, or leave it out",
        )
    return min(round(wanted / spacing_s), echoes) - 1


def _timing(
    design: MaskDesign,
    table: npt.NDArray[np.int64],
    *,
    spacing_s: float,
    first_te_s: float,
    centre_echo: int,
    train_s: float,
    tr_delay_s: float,
    start_s: float,
) -> SequenceTiming:
    slices = design.geometry.slices
    played = [
        (slice_, int(line), echo)
        for train in table
        for slice_ in range(slices)
        for echo, line in enumerate(train)
        if line != NO_LINE
    ]
    passes = design.play.dummy_trains + len(table)
    return SequenceTiming(
        te_s=round(first_te_s + centre_echo * spacing_s, 10),
        tr_s=round(train_s * slices + tr_delay_s, 10),
        min_te_s=round(first_te_s, 10),
        min_tr_s=round(train_s * slices, 10),
        scan_time_s=round(start_s + added_time_s(design) + passes * (train_s * slices + tr_delay_s), 9),
        excitations=added_excitations(design) + passes * slices,
        readouts=len(played),
        order=tuple((slice_, line) for slice_, line, _ in played),
        noise_readouts=1,
        md5="",
        echo_train=table.shape[1],
        echo_spacing_s=round(spacing_s, 10),
        echoes=tuple(echo for *_, echo in played),
    )
