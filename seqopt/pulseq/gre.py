"""A design -> a scanner-ready 2-D multi-slice spoiled gradient echo in Pulseq."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.gradients.waveform import slew, worst_vector
from seqopt.pulseq.export import write_sequence
from seqopt.pulseq.gre_plan import LABEL_BLOCK_S, SETTLE_S, GrePlan, GreTiming, make_plan, plan_gre
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to

__all__ = ["GreTiming", "plan_gre", "write_gre"]

FloatArray = npt.NDArray[np.float64]
COUNTERS = ("LIN", "SLC", "REP", "ECO", "SET", "AVG", "NOISE")


def write_gre(design: TrajectoryDesign, path: Path, *, version: str = "1.5.0") -> GreTiming:
    """Write the design as a Pulseq file to exactly ``path``; the timing it has.

    Per shot and slice: slice-selective Hann-sinc, prephaser with slice rephaser, the design's waveform as extended
    trapezoids on raster edges with one ADC, rewinder with spoiler. RF spoiling is quadratic in the repetition and
    common to the slices. Before them: labels set to 0, one noise readout, dummy shots. Versions 1.5.0 and 1.4.1.

    Raises ``SeqoptError`` where the design or its protocol does not fit the scanner.
    """
    plan = make_plan(design)
    _refuse_illegal(design)
    md5 = write_sequence(_Builder(design, plan).build(), path, version=version)
    return replace(plan.timing, md5=md5)


def _refuse_illegal(design: TrajectoryDesign) -> None:
    scanner = design.scanner
    amplitude = worst_vector(design.gradient_hz_per_m) / scanner.max_grad_hz_per_m
    steepness = worst_vector(slew(design.gradient_hz_per_m, raster_s=scanner.grad_raster_s))
    share = max(amplitude, steepness / scanner.max_slew_hz_per_m_per_s)
    if share > 1 + 1e-6:
        raise SeqoptError(
            f"design {design.name} uses {share:.2f} times the gradient or slew limit of scanner {scanner.name}; "
            "project it onto the limits first"
        )


class _Builder:
    """Registers each distinct event once and adds blocks by their ids, since registering is slow."""

    def __init__(self, design: TrajectoryDesign, plan: GrePlan) -> None:
        import pypulseq  # 5 s

        self.pp = pypulseq
        self.design, self.plan = design, plan
        scanner = design.scanner
        self.system = pypulseq.Opts(
            max_grad=scanner.max_grad_hz_per_m,
            max_slew=scanner.max_slew_hz_per_m_per_s,
            grad_raster_time=scanner.grad_raster_s,
            rf_raster_time=scanner.rf_raster_s,
            adc_raster_time=scanner.adc_raster_s,
            block_duration_raster=scanner.block_raster_s,
            rf_dead_time=scanner.rf_dead_time_s,
            rf_ringdown_time=scanner.rf_ringdown_time_s,
            adc_dead_time=scanner.adc_dead_time_s,
            B0=scanner.field_t,
        )
        self.sequence = pypulseq.Sequence(system=self.system)
        self.delay = pypulseq.make_delay
        self._labels: dict[tuple[str, int], Any] = {}
        self._adcs: dict[float, Any] = {}
        self._rfs: dict[tuple[float, float], Any] = {}

    def build(self) -> Any:
        design, plan, geometry = self.design, self.plan, self.design.geometry
        self._define()
        self.rf = self.pp.make_sinc_pulse(
            flip_angle=design.protocol.flip_rad,
            apodization=0.5,
            duration=design.protocol.rf_duration_s,
            time_bw_product=design.protocol.rf_time_bandwidth,
            delay=plan.rf_delay_s,
            use="excitation",
            system=self.system,
        )
        self.rf.shape_IDs = self.sequence.register_rf_event(self.rf)[1]
        self.sequence.rf_library = type(self.sequence.rf_library)()  # keep its shapes, not the event without offsets
        select = self._trapezoid("z", plan.slice_select, plan.slice_select_hz_per_m, plan.slice_select_delay_s)
        before = [self._vector(plan.before, area) for area in plan.before_area_per_m]
        after = [self._vector(plan.after, area) for area in plan.after_area_per_m]
        waveforms = [self._waveform(gradient) for gradient in design.gradient_hz_per_m]
        self._start()
        dummies = design.protocol.dummy_shots
        positions = geometry.slice_positions_m()
        for repetition in range(dummies + design.shots):
            phase = 0.5 * design.protocol.rf_spoil_increment_rad * repetition * (repetition + 1)
            imaging = repetition >= dummies
            shot = repetition - dummies if imaging else repetition % design.shots
            for index, position in enumerate(positions):
                self._add(plan.excite_s, self._rf(phase, plan.slice_select_hz_per_m * position), select)
                self._add(plan.before_s, *before[shot])
                if plan.te_delay_s:
                    self._add(plan.te_delay_s)
                reading = [self._adc(phase), self._label("LIN", shot), self._label("SLC", index)] if imaging else []
                self._add(plan.readout_s, *waveforms[shot], *reading)
                self._add(plan.after_s, *after[shot])
                if plan.slot_delay_s[index]:
                    self._add(plan.slot_delay_s[index])
        return self.sequence

    def _start(self) -> None:
        """Every counter to 0, then noise without RF or gradients, with the ADC of the imaging readouts."""
        block = self.design.scanner.block_raster_s
        self._add(ceil_to(LABEL_BLOCK_S, block), *(self._label(name, 0) for name in COUNTERS))
        self._add(self.plan.noise_s, self._adc(0.0), self._label("NOISE", 1))
        self._add(ceil_to(SETTLE_S, block), self._label("NOISE", 0))

    def _add(self, duration_s: float, *events: Any) -> None:
        self.sequence.add_block(*events, self.delay(duration_s))

    def _define(self) -> None:
        design, timing, geometry = self.design, self.plan.timing, self.design.geometry
        extent = geometry.slices * geometry.slice_thickness_m + (geometry.slices - 1) * geometry.slice_gap_m
        for name, value in {
            "Name": design.name,
            "FOV": [*geometry.fov_m, extent],
            "EchoTime": timing.te_s,
            "RepetitionTime": timing.tr_s,
            "FlipAngle": float(np.degrees(design.protocol.flip_rad)),
            "MatrixSize": [float(size) for size in geometry.matrix],
            "SliceThickness": geometry.slice_thickness_m,
            "Slices": geometry.slices,
            "Shots": design.shots,
            "EchoSample": design.echo_sample,
            "TrajectoryFamily": design.family,
        }.items():
            self.sequence.set_definition(name, value)

    def _rf(self, phase_rad: float, freq_hz: float) -> Any:
        """The pulse at a frequency offset with the wanted phase at its centre."""
        freq = float(f"{freq_hz:.9g}")
        phase = _turns(phase_rad - 2 * np.pi * freq * self.rf.center)
        if (freq, phase) not in self._rfs:
            event = type(self.rf)(**vars(self.rf))
            event.freq_offset, event.phase_offset = freq, phase
            event.id = self.sequence.register_rf_event(event)[0]
            self._rfs[freq, phase] = event
        return self._rfs[freq, phase]

    def _adc(self, phase_rad: float) -> Any:
        phase = _turns(phase_rad)
        if phase not in self._adcs:
            event = self.pp.make_adc(
                self.design.samples,
                dwell=self.design.dwell_s,
                delay=self.plan.adc_delay_s,
                phase_offset=phase,
                system=self.system,
            )
            event.id = self.sequence.register_adc_event(event)[0]
            self._adcs[phase] = event
        return self._adcs[phase]

    def _label(self, name: str, value: int) -> Any:
        if (name, value) not in self._labels:
            event = self.pp.make_label(name, "SET", value)
            event.id = self.sequence.register_label_event(event)
            self._labels[name, value] = event
        return self._labels[name, value]

    def _trapezoid(self, channel: str, shape: Trapezoid, amplitude_hz_per_m: float, delay_s: float = 0.0) -> Any:
        event = self.pp.make_trapezoid(
            channel,
            amplitude=float(f"{amplitude_hz_per_m:.9g}"),
            rise_time=shape.rise_s,
            flat_time=shape.flat_s,
            fall_time=shape.fall_s,
            delay=delay_s,
            system=self.system,
        )
        event.id = self.sequence.register_grad_event(event)
        return event

    def _vector(self, shape: Trapezoid, area_per_m: FloatArray) -> list[Any]:
        """One trapezoid an axis; an axis without moment plays nothing."""
        return [
            self._trapezoid(axis, shape, shape.amplitude(area))
            for axis, area in zip("xyz", area_per_m.tolist(), strict=True)
            if abs(area) > 1e-9
        ]

    def _waveform(self, gradient_hz_per_m: FloatArray) -> list[Any]:
        """(edges, 2) Hz/m -> extended trapezoids; equal shapes are stored once."""
        edges_s = np.arange(len(gradient_hz_per_m)) * self.design.scanner.grad_raster_s
        events = []
        for axis, values in zip("xy", gradient_hz_per_m.T, strict=True):
            if np.abs(values).max() < 1e-3:  # 0.02 nT/m: nothing, but its noise would fill a shape
                continue
            event = self.pp.make_extended_trapezoid(axis, amplitudes=values, times=edges_s, system=self.system)
            peak = np.abs(values).max() * np.sign(values[np.flatnonzero(values)[0]])
            event.shape_IDs = [self._shape(values / peak), self._shape(np.arange(len(values), dtype=float))]
            event.id = self.sequence.register_grad_event(event)[0]
            events.append(event)
        return events

    def _shape(self, samples: FloatArray) -> int:
        from pypulseq.compress_shape import compress_shape

        packed = compress_shape(np.round(samples, 9) + 0.0)  # no negative zeros
        number: int = self.sequence.shape_library.find_or_insert(
            np.concatenate([[packed.num_samples], np.round(packed.data, 9) + 0.0])
        )[0]
        return number


def _turns(phase_rad: float) -> float:
    """A phase in [0, 2 pi) rounded to 1e-9 rad, so that equal phases are one event."""
    return float(np.round(np.mod(np.round(phase_rad, 9), 2 * np.pi), 9)) % round(2 * np.pi, 9)
