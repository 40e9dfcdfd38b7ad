"""The pieces of which our sequences are written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Scanner
from seqopt.pulseq.builder import Event, SequenceBuilder, nine_digits
from seqopt.pulseq.slice_selection import SlicePulse
from seqopt.pulseq.timing import LABEL_BLOCK_S, SETTLE_S
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to

FloatArray = npt.NDArray[np.float64]
_LONGEST_VALUE = 230  # with its name within the 254 characters a line that readers take
COUNTERS = ("LIN", "SLC", "REP", "ECO", "SET", "AVG", "NOISE")


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """The one ADC of a sequence."""

    samples: int
    dwell_s: float
    delay_s: float
    """From its block's start."""


class Events:
    """A sequence in the making: makes events and adds blocks; each distinct event is made once."""

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
        self.sequence = SequenceBuilder(scanner)
        self._labels: dict[tuple[str, int], Event] = {}
        self._adcs: dict[tuple[Receiver, float], Event] = {}
        self._rfs: dict[tuple[Any, ...], Event] = {}

    def add(self, duration_s: float, *events: Any) -> None:
        """One block of exactly this duration."""
        self.sequence.add_block(*events, duration_s=duration_s)

    def start(self, noise_s: float, adc: Event, counters: tuple[str, ...]) -> None:
        """Every counter to 0, then noise without RF or gradients, with the ADC of the imaging readouts."""
        block = self.scanner.block_raster_s
        self.sequence.begin_segment()
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
            **_slices(geometry),
            **definitions,
        }.items():
            self.sequence.define(name, value)

    def pulse(self, planned: SlicePulse, use: str) -> Any:
        """The pulse without offsets, for `rf`."""
        event = self.pp.make_sinc_pulse(
            flip_angle=planned.flip_rad,
            apodization=0.5,
            duration=planned.duration_s,
            time_bw_product=planned.time_bandwidth,
            delay=planned.rf_delay_s,
            use=use,
            system=self.system,
        )
        event.shapes = self.sequence.rf_shapes(event)
        return event

    def rf(self, pulse: Any, phase_rad: float, freq_hz: float) -> Event:
        """The pulse at a frequency offset with the wanted phase at its centre."""
        freq = nine_digits(freq_hz)
        phase = _turns(phase_rad - 2 * np.pi * freq * pulse.center)
        key = (pulse.use, pulse.delay, pulse.shapes, freq, phase)
        if key not in self._rfs:
            event = type(pulse)(**vars(pulse))
            event.freq_offset, event.phase_offset = freq, phase
            self._rfs[key] = self.sequence.register(event)
        return self._rfs[key]

    def adc(self, receiver: Receiver, phase_rad: float) -> Event:
        """The ADC with a receiver phase."""
        phase = _turns(phase_rad)
        if (receiver, phase) not in self._adcs:
            event = self.pp.make_adc(
                receiver.samples,
                dwell=receiver.dwell_s,
                delay=max(receiver.delay_s, self.scanner.adc_dead_time_s),  # equal but for the last digit
                phase_offset=phase,
                system=self.system,
            )
            self._adcs[receiver, phase] = self.sequence.register(event)
        return self._adcs[receiver, phase]

    def label(self, name: str, value: int) -> Event:
        """SET one label."""
        if (name, value) not in self._labels:
            self._labels[name, value] = self.sequence.register(self.pp.make_label(name, "SET", value))
        return self._labels[name, value]

    def labels(self, values: Mapping[str, int]) -> list[Event]:
        """SET several labels."""
        return [self.label(name, value) for name, value in values.items()]

    def trapezoid(self, channel: str, shape: Trapezoid, amplitude_hz_per_m: float, delay_s: float = 0.0) -> Event:
        """One trapezoid on one axis."""
        return self.sequence.register(
            self.pp.make_trapezoid(
                channel,
                amplitude=nine_digits(amplitude_hz_per_m),
                rise_time=shape.rise_s,
                flat_time=shape.flat_s,
                fall_time=shape.fall_s,
                delay=delay_s,
                system=self.system,
            )
        )

    def slice_gradient(self, planned: SlicePulse) -> Event:
        """The slice selection of a pulse."""
        return self.trapezoid("z", planned.select, planned.select_hz_per_m, planned.select_delay_s)

    def vector(self, shape: Trapezoid, area_per_m: FloatArray) -> list[Event]:
        """One trapezoid an axis; an axis without moment plays nothing."""
        return [
            self.trapezoid(axis, shape, shape.amplitude(area))
            for axis, area in zip("xyz", area_per_m.tolist(), strict=True)
            if abs(area) > 1e-9
        ]

    def corners(self, channel: str, times_s: FloatArray, values_hz_per_m: FloatArray) -> list[Event]:
        """An extended trapezoid of one axis by its corners (n,); none where they are all 0 or absent."""
        if not np.any(values_hz_per_m):
            return []
        return [self.sequence.corners(channel, times_s, values_hz_per_m)]

    def waveforms(self, gradient_hz_per_m: FloatArray) -> list[list[Event]]:
        """(shots, edges, axes) Hz/m on raster edges -> extended trapezoids of each shot."""
        return self.sequence.waveforms(gradient_hz_per_m)


def _slices(geometry: Geometry) -> dict[str, float | list[float]]:
    """Gap and positions in the order of SLC, which Pulseq's examples define for effect with labels."""
    positions = [round(position, 6) for position in geometry.slice_positions_m()]
    fits = sum(len(f"{position:.9g} ") for position in positions) <= _LONGEST_VALUE
    return {"SliceGap": geometry.slice_gap_m, "SlicePositions": positions} if 1 < len(positions) and fits else {}


def _turns(phase_rad: float) -> float:
    """A phase in [0, 2 pi) rounded to 1e-9 rad, so that equal phases are one event."""
    return round(round(phase_rad, 9) % (2 * math.pi), 9) % round(2 * math.pi, 9)
