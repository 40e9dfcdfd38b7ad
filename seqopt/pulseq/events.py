"""The pieces of which our sequences are written: each distinct event registered once, since registering is slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Scanner
from seqopt.pulseq.slice_selection import SlicePulse
from seqopt.pulseq.timing import LABEL_BLOCK_S, SETTLE_S
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to

FloatArray = npt.NDArray[np.float64]
COUNTERS = ("LIN", "SLC", "REP", "ECO", "SET", "AVG", "NOISE")


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """The one ADC of a sequence."""

    samples: int
    dwell_s: float
    delay_s: float
    """From its block's start."""


class Events:
    """A sequence in the making: makes events, adds blocks by their ids."""

    def __init__(self, scanner: Scanner) -> None:
        import pypulseq  # 5 s

        self.pp = pypulseq
        self.scanner = scanner
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
        self._labels: dict[tuple[str, int], Any] = {}
        self._adcs: dict[float, Any] = {}
        self._rfs: dict[tuple[str, float, float], Any] = {}

    def add(self, duration_s: float, *events: Any) -> None:
        """One block of exactly this duration."""
        self.sequence.add_block(*events, self.pp.make_delay(duration_s))

    def start(self, noise_s: float, adc: Any, counters: tuple[str, ...]) -> None:
        """Every counter to 0, then noise without RF or gradients, with the ADC of the imaging readouts."""
        block = self.scanner.block_raster_s
        self.add(ceil_to(LABEL_BLOCK_S, block), *(self.label(name, 0) for name in counters))
        self.add(noise_s, adc, self.label("NOISE", 1))
        self.add(ceil_to(SETTLE_S, block), self.label("NOISE", 0))

    def define(self, geometry: Geometry, definitions: Mapping[str, Any]) -> None:
        """FOV, matrix and slices of the geometry, and further definitions."""
        extent = geometry.slices * geometry.slice_thickness_m + (geometry.slices - 1) * geometry.slice_gap_m
        for name, value in {
            "FOV": [*geometry.fov_m, extent],
            "MatrixSize": [float(size) for size in geometry.matrix],
            "SliceThickness": geometry.slice_thickness_m,
            "Slices": geometry.slices,
            **definitions,
        }.items():
            self.sequence.set_definition(name, value)

    def pulse(self, planned: SlicePulse, use: str) -> Any:
        """The pulse without offsets; make every pulse before the first `rf`."""
        event = self.pp.make_sinc_pulse(
            flip_angle=planned.flip_rad,
            apodization=0.5,
            duration=planned.duration_s,
            time_bw_product=planned.time_bandwidth,
            delay=planned.rf_delay_s,
            use=use,
            system=self.system,
        )
        event.shape_IDs = self.sequence.register_rf_event(event)[1]
        self.sequence.rf_library = type(self.sequence.rf_library)()  # keep its shapes, not the event without offsets
        return event

    def rf(self, pulse: Any, phase_rad: float, freq_hz: float) -> Any:
        """The pulse at a frequency offset with the wanted phase at its centre."""
        freq = float(f"{freq_hz:.9g}")
        phase = _turns(phase_rad - 2 * np.pi * freq * pulse.center)
        if (pulse.use, freq, phase) not in self._rfs:
            event = type(pulse)(**vars(pulse))
            event.freq_offset, event.phase_offset = freq, phase
            event.id = self.sequence.register_rf_event(event)[0]
            self._rfs[pulse.use, freq, phase] = event
        return self._rfs[pulse.use, freq, phase]

    def adc(self, receiver: Receiver, phase_rad: float) -> Any:
        """The ADC with a receiver phase."""
        phase = _turns(phase_rad)
        if phase not in self._adcs:
            event = self.pp.make_adc(
                receiver.samples,
                dwell=receiver.dwell_s,
                delay=max(receiver.delay_s, self.scanner.adc_dead_time_s),  # equal but for the last digit
                phase_offset=phase,
                system=self.system,
            )
            event.id = self.sequence.register_adc_event(event)[0]
            self._adcs[phase] = event
        return self._adcs[phase]

    def label(self, name: str, value: int) -> Any:
        """SET one label."""
        if (name, value) not in self._labels:
            event = self.pp.make_label(name, "SET", value)
            event.id = self.sequence.register_label_event(event)
            self._labels[name, value] = event
        return self._labels[name, value]

    def labels(self, values: Mapping[str, int]) -> list[Any]:
        """SET several labels."""
        return [self.label(name, value) for name, value in values.items()]

    def trapezoid(self, channel: str, shape: Trapezoid, amplitude_hz_per_m: float, delay_s: float = 0.0) -> Any:
        """One trapezoid on one axis."""
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

    def slice_gradient(self, planned: SlicePulse) -> Any:
        """The slice selection of a pulse."""
        return self.trapezoid("z", planned.select, planned.select_hz_per_m, planned.select_delay_s)

    def vector(self, shape: Trapezoid, area_per_m: FloatArray) -> list[Any]:
        """One trapezoid an axis; an axis without moment plays nothing."""
        return [
            self.trapezoid(axis, shape, shape.amplitude(area))
            for axis, area in zip("xyz", area_per_m.tolist(), strict=True)
            if abs(area) > 1e-9
        ]

    def waveform(self, gradient_hz_per_m: FloatArray) -> list[Any]:
        """(edges, 2) Hz/m -> extended trapezoids; equal shapes are stored once."""
        edges_s = np.arange(len(gradient_hz_per_m)) * self.scanner.grad_raster_s
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
