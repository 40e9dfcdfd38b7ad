"""Calibration scans in numbers: which readouts each kind plays, and when; nothing is written here.

All are spoiled gradient echoes with the pulse, the spoiler and the ADC of the image, so that interpreters see one ADC
length and the steady state one moment a TR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import CALIBRATION_SETS, CalibrationReadout, Geometry, Protocol, Scanner
from seqopt.errors import SeqoptError
from seqopt.pulseq.slice_selection import SlicePulse
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to, shortest_trapezoid
from seqopt.registry import Registry
from seqopt.units import GAMMA_HZ_PER_T

FloatArray = npt.NDArray[np.float64]

LINES = 32
"""Side of the low-resolution k-space of maps and b0, in 1/FOV: ESPIRiT's 24 (Uecker et al., MRM 71:990, 2014) and some
more, since both of them are smooth over the field of view."""
DUMMIES = 8
"""Repetitions without readout at the start of each kind: they take the steepest part of the way to the steady state,
(cos(flip) E1)^n. What is left weights the lines smoothly, alike in all coils and echoes: it cancels in maps and b0."""
SPOKE_REPEATS = 4
"""Of each spoke: averaging four halves the noise of a delay, in 16 repetitions altogether."""
_FAT_PPM = 3.5  # methylene's shift from water (Dixon, Radiology 153:189, 1984)
_LONGEST_SPACING_S = 5e-3
"""Of the two echoes, whose phase difference tells frequencies to 1 / (2 spacing) apart: 100 Hz at least. Below 1.34 T
fat and water are in phase later than this, but there B0 varies less and fat's shift is small."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What calibration scans share with the image."""

    scanner: Scanner
    geometry: Geometry
    protocol: Protocol
    pulse: SlicePulse
    samples: int
    dwell_s: float

    @property
    def readout_s(self) -> float:
        """From the opening of the ADC to its end."""
        return self.samples * self.dwell_s


@dataclass(frozen=True, kw_only=True)
class CalibrationShot:
    """One readout at constant gradient with k = 0, or the line's k, on its middle sample."""

    k_max_per_m: tuple[float, float]
    """Half of the way that the ADC sees, x and y, with its direction."""
    offset_per_m: tuple[float, float] = (0.0, 0.0)
    """Phase encoding."""
    line: int = 0
    echo: int = 0
    average: int = 0


@dataclass(frozen=True, kw_only=True)
class KindPlan:
    """One kind of calibration scan; times in seconds."""

    kind: str
    shots: list[CalibrationShot]
    slices: list[int]
    read: Trapezoid
    """Shape of the readout gradient of all shots; its flat top starts when the ADC opens."""
    adc_delay_s: float
    gradient_hz_per_m: FloatArray
    """(shots, 2) on the flat top."""
    before: Trapezoid
    before_area_per_m: FloatArray
    """(shots, 3)"""
    after: Trapezoid
    after_area_per_m: FloatArray
    """(shots, 3)"""
    block_s: tuple[float, float, float]
    """Of prephaser, readout and rewinder."""
    echo_spacing_s: float
    """0, or what the second echo is later by."""

    def slot_s(self, pulse: SlicePulse) -> float:
        """One excitation with all that follows it."""
        return pulse.block_s + sum(self.block_s) + self.echo_spacing_s

    def duration_s(self, pulse: SlicePulse) -> float:
        """Of the whole kind, dummies included."""
        return (DUMMIES + len(self.shots)) * len(self.slices) * self.slot_s(pulse)


calibration_builders: Registry[Callable[[Frame], list[CalibrationShot]]] = Registry("calibration scan")


@calibration_builders.register("maps")
def maps_shots(frame: Frame) -> list[CalibrationShot]:
    """A low-resolution Cartesian reference, from which coil maps are estimated."""
    return [_line(frame, line, echo=0) for line in range(_lines(frame))]


@calibration_builders.register("delays")
def delay_shots(frame: Frame) -> list[CalibrationShot]:
    """Spokes along x and along y, each to and fro, over the whole of k-space (Peters et al., MRM 50:1, 2003)."""
    reach = [min(k, _fastest_per_m(frame)) for k in frame.geometry.k_max_per_m]
    spokes = [(reach[0], 0.0), (-reach[0], 0.0), (0.0, reach[1]), (0.0, -reach[1])]
    return [
        CalibrationShot(k_max_per_m=spoke, line=line, average=average)
        for average in range(SPOKE_REPEATS)
        for line, spoke in enumerate(spokes)
    ]


@calibration_builders.register("b0")
def b0_shots(frame: Frame) -> list[CalibrationShot]:
    """Each line of a low-resolution Cartesian image at two echo times."""
    return [_line(frame, line, echo=echo) for line in range(_lines(frame)) for echo in range(2)]


def _lines(frame: Frame) -> int:
    size = min(LINES, *frame.geometry.matrix)
    return size - size % 2


def _line(frame: Frame, line: int, *, echo: int) -> CalibrationShot:
    fov, lines = frame.geometry.fov_m, _lines(frame)
    reach = min(lines / 2 / fov[0], _fastest_per_m(frame))
    offset = (line - lines // 2) / fov[1]
    return CalibrationShot(k_max_per_m=(reach, 0.0), offset_per_m=(0.0, offset), line=line, echo=echo)


def _fastest_per_m(frame: Frame) -> float:
    """Half of the way at the largest gradient."""
    return frame.scanner.max_grad_hz_per_m * frame.scanner.margin * frame.readout_s / 2


def echo_spacing_s(scanner: Scanner) -> float:
    """Between the echoes of b0: fat and water in phase, so that fat does not look like off-resonance; 5 ms at most."""
    in_phase = 1 / (_FAT_PPM * 1e-6 * GAMMA_HZ_PER_T * scanner.field_t)
    return ceil_to(min(in_phase, _LONGEST_SPACING_S), scanner.block_raster_s)


def plan_calibration(frame: Frame) -> list[KindPlan]:
    """The kinds that the protocol asks for, in the order of play."""
    return [_plan(frame, kind) for kind in frame.protocol.calibrate]


def _plan(frame: Frame, kind: str) -> KindPlan:
    scanner, block, raster = frame.scanner, frame.scanner.block_raster_s, frame.scanner.grad_raster_s
    shots = calibration_builders[kind](frame)
    gradient = 2 * np.array([shot.k_max_per_m for shot in shots]) / frame.readout_s
    largest = float(np.linalg.norm(gradient, axis=1).max())
    rise = max(ceil_to(largest / scanner.design_slew_hz_per_m_per_s, raster), raster)
    delay = ceil_to(max(rise, scanner.adc_dead_time_s), raster)
    read = Trapezoid(rise, ceil_to(delay + frame.readout_s - rise, raster), rise)
    to_echo = delay + (frame.samples // 2 + 0.5) * frame.dwell_s
    offset = np.array([shot.offset_per_m for shot in shots])
    before_area = offset - gradient * (to_echo - rise / 2)
    after_area = -before_area - gradient * (read.flat_s + (read.rise_s + read.fall_s) / 2)
    spoil = frame.protocol.spoil_cycles / frame.geometry.slice_thickness_m
    areas = [
        np.column_stack([area, np.full(len(shots), z)])
        for area, z in ((before_area, -frame.pulse.area_after_per_m), (after_area, spoil))
    ]
    before, after = (shortest_trapezoid(area, scanner=scanner) for area in areas)
    adc_end = delay + frame.readout_s + scanner.adc_dead_time_s
    blocks = (
        ceil_to(before.duration_s, block),
        ceil_to(max(read.duration_s, adc_end), block),
        ceil_to(after.duration_s, block),
    )
    slices = frame.geometry.slices
    if frame.pulse.block_s + sum(blocks) > 1.0:
        raise SeqoptError(f"calibration {kind}: a readout of {frame.readout_s:g} s is too long for it; shorten it")
    return KindPlan(
        kind=kind,
        shots=shots,
        slices=[slices // 2] if kind == "delays" else list(range(slices)),
        read=read,
        adc_delay_s=delay,
        gradient_hz_per_m=gradient,
        before=before,
        before_area_per_m=areas[0],
        after=after,
        after_area_per_m=areas[1],
        block_s=blocks,
        echo_spacing_s=echo_spacing_s(scanner) if any(shot.echo for shot in shots) else 0.0,
    )


def calibration_duration_s(frame: Frame) -> float:
    """Of all kinds together, without the labels that end them."""
    return sum(plan.duration_s(frame.pulse) for plan in plan_calibration(frame))


def calibration_readouts(frame: Frame) -> list[CalibrationReadout]:
    """Every readout in play order, with its k (samples, 2) at constant gradient."""
    since_echo = (np.arange(frame.samples) - frame.samples // 2) * frame.dwell_s
    out = []
    for plan in plan_calibration(frame):
        for number, shot in enumerate(plan.shots):
            k_per_m = np.array(shot.offset_per_m) + since_echo[:, None] * plan.gradient_hz_per_m[number]
            out += [
                CalibrationReadout(
                    kind=plan.kind,
                    slice=slice_,
                    line=shot.line,
                    echo=shot.echo,
                    average=shot.average,
                    later_s=shot.echo * plan.echo_spacing_s,
                    echo_sample=frame.samples // 2,
                    k_per_m=k_per_m,
                )
                for slice_ in plan.slices
            ]
    return out


def labels_of(readout_kind: str, shot: CalibrationShot, slice_: int) -> dict[str, int]:
    """Labels of one readout: SET tells the kind, REF marks the reference of coil maps, NAV all others."""
    is_reference = int(readout_kind == "maps")
    return {
        "SET": CALIBRATION_SETS[readout_kind], "LIN": shot.line, "ECO": shot.echo, "AVG": shot.average,
        "SLC": slice_, "REF": is_reference, "IMA": 0, "NAV": 1 - is_reference,
    }  # fmt: skip
