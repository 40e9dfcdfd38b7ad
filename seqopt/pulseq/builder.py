"""The tables of a Pulseq file in the making: blocks of events, each distinct event once.

Takes the place of ``pypulseq.Sequence`` for writing: that one hashes, compresses and prints event by event, some 30 ms
a learned shot. Events that pypulseq made are taken as they are; learned waveforms come in bulk.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Scanner
from seqopt.errors import SeqoptError
from seqopt.gradients.waveform import reach
from seqopt.pulseq.bulk import kernels_for
from seqopt.pulseq.shapes import Shape, digits_for, pack, quantise, repeating, shape_of

FloatArray = npt.NDArray[np.float64]
Definition = str | float | Sequence[float]
RF, GX, GY, GZ, ADC, EXT = 2, 3, 4, 5, 6, 7
COLUMNS = 8
_SHAPE_DIGITS = 9
_JOINT_HZ_PER_M = 0.2
_K_PER_M = 2e-5  # 1e-5 of a cycle over half a metre
_SILENT_HZ_PER_M = 1e-3  # 0.02 nT/m: nothing, but its noise would fill a shape
_RF_USES = ("excitation", "refocusing", "inversion", "saturation", "preparation")


@dataclass(frozen=True)
class Event:
    """One event of the tables: its column of a block, its id there and when it ends in its block."""

    column: int
    number: int
    end_s: float = 0.0
    kind: str = ""
    """Of an extension, its name."""


@dataclass
class SequenceBuilder:
    """A sequence in the making, for one scanner."""

    scanner: Scanner
    definitions: dict[str, Definition] = field(default_factory=dict)
    blocks: array[int] = field(default_factory=lambda: array("q"))
    """Rows of eight, as in the file; the first is the number."""
    rf: dict[tuple[Any, ...], int] = field(default_factory=dict)
    gradients: dict[tuple[float, ...], int] = field(default_factory=dict)
    """(amplitude, first, last, shape, time shape, delay us), or of a trapezoid (amplitude, rise, flat, fall, delay)."""
    adc: dict[tuple[float, ...], int] = field(default_factory=dict)
    labels: dict[str, dict[tuple[int, str], int]] = field(default_factory=dict)
    """LABELSET, LABELINC -> (value, label) -> id."""
    extensions: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """(name, reference, next) -> id."""
    rotations: dict[tuple[float, ...], int] = field(default_factory=dict)
    """Quaternion, scalar first -> id."""
    segments: array[int] = field(default_factory=lambda: array("q"))
    """Blocks, from 0, at which one begins; see ``begin_segment``."""
    shapes: list[Shape] = field(default_factory=list)
    _known: dict[tuple[bool, int, int], list[int]] = field(default_factory=dict)
    """(packed, digits, hash of the counts) -> numbers of the shapes with it."""

    def define(self, name: str, value: Definition) -> None:
        """Set a definition; of numbers nine digits are kept."""
        if not name.isidentifier() or (isinstance(value, str) and (not value.isprintable() or len(value) > 200)):
            raise SeqoptError(f"definition {name}: got {value!r}, expected one line of text or numbers; change it")
        self.definitions[name] = value

    def add_block(self, *events: Any, duration_s: float | None = None) -> None:
        """Append a block that plays these events, ours or pypulseq's; as long as they are unless said otherwise.

        Raises ``SeqoptError`` for a duration off the block raster or shorter than an event, and two events of one kind.
        """
        row = [len(self.blocks) // COLUMNS + 1, 0, 0, 0, 0, 0, 0, 0]
        extensions: list[Event] = []
        end_s = 0.0
        for event in events:
            made = event if isinstance(event, Event) else self.register(event)
            end_s = max(end_s, made.end_s)
            if made.column == EXT:
                extensions.append(made)
            elif made.column:
                if row[made.column]:
                    raise SeqoptError(f"block {row[0]} plays two events of one kind; give each a block of its own")
                row[made.column] = made.number
        for made in reversed(extensions):
            row[EXT] = _number(self.extensions, (made.kind, made.number, row[EXT]))
        row[1] = self._rasters(row[0], end_s if duration_s is None else duration_s, end_s)
        self.blocks.extend(row)

    def _rasters(self, block: int, duration_s: float, end_s: float) -> int:
        raster = self.scanner.block_raster_s
        rasters = round(duration_s / raster)
        if abs(duration_s - rasters * raster) > 1e-6 * raster:
            raise SeqoptError(f"block {block} lasts {duration_s} s, off the raster of {raster} s; round its events")
        if end_s > duration_s + 1e-10 or rasters < 1:
            raise SeqoptError(f"block {block} lasts {duration_s} s, its events {end_s} s; lengthen the block")
        return rasters

    def begin_segment(self) -> None:
        """With the next block begins what is repeated as a whole: a TR of one slice, or what is played once."""
        self.segments.append(len(self.blocks) // COLUMNS)

    @property
    def duration_rasters(self) -> int:
        """Of all blocks, in block rasters."""
        return sum(self.blocks[1::COLUMNS])

    def register(self, event: Any) -> Event:
        """An event that pypulseq made, by its type: rf, trap, grad (corners), adc, labelset, labelinc, delay."""
        makers = {
            "rf": self._rf, "trap": self._trap, "grad": self._corners, "adc": self._adc,
            "labelset": self._label, "labelinc": self._label,
        }  # fmt: skip
        if event.type == "delay":
            return Event(0, 0, event.delay)
        if event.type not in makers:
            raise SeqoptError(f"event: got {event.type!r}, expected delay, {', '.join(makers)}; leave it out")
        return makers[event.type](event)

    def shape(self, shape: Shape) -> int:
        """The number of a shape, which is stored once."""
        alike = self._known.setdefault((shape.packed, shape.digits, hash(shape.counts.tobytes())), [])
        for number in alike:
            if np.array_equal(self.shapes[number - 1].counts, shape.counts):
                return number
        self.shapes.append(shape)
        alike.append(len(self.shapes))
        return len(self.shapes)

    def waveform_shapes(self, edges: int) -> list[Shape]:
        """Those of gradients with so many samples."""
        numbers = {row[3] for row in self.gradients if len(row) == 6}
        return [self.shapes[int(number) - 1] for number in numbers if self.shapes[int(number) - 1].samples == edges]

    def rf_shapes(self, event: Any) -> tuple[float, int, int, int]:
        """Peak in Hz and the numbers of magnitude, phase and time shape (0: regular) of a pulse by pypulseq."""
        signal = np.asarray(event.signal)
        peak = float(np.abs(signal).max())
        raster = self.scanner.rf_raster_s
        regular = bool((np.floor(event.t / raster) == np.arange(len(event.t))).all())
        phase = np.round(np.mod(np.angle(signal), 2 * np.pi) / (2 * np.pi), _SHAPE_DIGITS) % 1.0
        return (
            peak,
            self.shape(shape_of(np.abs(signal) / peak, _SHAPE_DIGITS)),
            self.shape(shape_of(phase, _SHAPE_DIGITS)),
            0 if regular else self.shape(shape_of(np.asarray(event.t) / raster, 3)),
        )

    def _rf(self, event: Any) -> Event:
        shapes = event.shapes if hasattr(event, "shapes") else self.rf_shapes(event)
        use = event.use[0] if event.use in _RF_USES else "u"
        row = (
            *shapes, _whole(event.center, 1e-9) / 1000, _whole(event.delay, 1e-6), event.freq_ppm, event.phase_ppm,
            event.freq_offset, event.phase_offset, use,
        )  # fmt: skip
        return Event(RF, _number(self.rf, row), event.delay + event.shape_dur + event.ringdown_time)

    def _trap(self, event: Any) -> Event:
        times = [_whole(value, 1e-6) for value in (event.rise_time, event.flat_time, event.fall_time, event.delay)]
        number = _number(self.gradients, (nine_digits(event.amplitude), *times))
        return Event(GX + "xyz".index(event.channel), number, sum(times) * 1e-6)

    def _corners(self, event: Any) -> Event:
        times = np.asarray(event.tt)
        if abs(times[0]) > 1e-9:
            raise SeqoptError("gradient: got samples at raster centres, expected corners; make an extended trapezoid")
        return self.corners(event.channel, times, np.asarray(event.waveform), delay_s=event.delay)

    def corners(self, channel: str, times_s: FloatArray, values_hz_per_m: FloatArray, *, delay_s: float = 0.0) -> Event:
        """An extended trapezoid of one axis: corners (n,) s on the gradient raster from its delay on, and (n,) Hz/m."""
        delay_s, times_s = delay_s + float(times_s[0]), times_s - times_s[0]
        rasters = np.rint(times_s / self.scanner.grad_raster_s)
        if np.abs(times_s - rasters * self.scanner.grad_raster_s).max() > 1e-9 or (np.diff(rasters) < 1).any():
            raise SeqoptError("gradient: its corners are off the gradient raster or do not increase; round them")
        peak = nine_digits(float(np.abs(values_hz_per_m).max()))
        sign = -1.0 if values_hz_per_m[int(np.argmax(np.abs(values_hz_per_m)))] < 0 else 1.0
        counts = np.rint(values_hz_per_m * (sign / (peak or 1.0)) * 1e9).astype(np.int32)
        time = self.shape(shape_of(rasters, 0))
        number = self._shaped(sign * peak, counts, 9, self.shape(pack(counts, 9)), time, _whole(delay_s, 1e-6))
        return Event(GX + "xyz".index(channel), number, delay_s + float(times_s[-1]))

    def _shaped(
        self, amplitude: float, counts: npt.NDArray[np.int32], digits: int, shape: int, time: int, delay_us: int
    ) -> int:
        amplitude = nine_digits(amplitude)
        ends = (int(counts[0]), int(counts[-1]))
        first, last = (nine_digits(amplitude * end * 10.0**-digits) if end else 0.0 for end in ends)
        return _number(self.gradients, (amplitude, first, last, shape, time, delay_us))

    def waveforms(self, gradient_hz_per_m: FloatArray) -> list[list[Event]]:
        """Gradients (shots, edges, axes) in Hz/m on raster edges -> for each shot its events, none for a silent axis.

        K of each differs from what is given by less than 1e-5 of a cycle over half a metre, amplitude and slew by a
        millionth of the scanner's limits or a hundredth of what the shots leave of them.
        """
        shots, edges, axes = gradient_hz_per_m.shape
        raster = self.scanner.grad_raster_s
        digits = self._digits(gradient_hz_per_m)
        kernels = kernels_for(gradient_hz_per_m.size)
        end_s = (edges - 1) * raster
        time = 0
        out: list[list[Event]] = []
        together = max(1, 2_000_000 // (edges * axes))
        for start in range(0, shots, together):
            part = gradient_hz_per_m[start : start + together]
            waves = np.ascontiguousarray(np.swapaxes(part, 1, 2)).reshape(-1, edges)
            rows = quantise(waves, digits=digits, silent=_SILENT_HZ_PER_M, kernels=kernels)
            time = time or (self.shape(shape_of(np.arange(edges, dtype=float), 0)) if rows.amplitudes.any() else 0)
            packs = repeating(rows.counts).tolist()
            for shot in range(len(part)):
                events = []
                for axis in range(axes):
                    at = shot * axes + axis
                    if rows.amplitudes[at]:
                        counts, digits_ = rows.counts[at], int(rows.digits[at])
                        shape = pack(counts, digits_) if packs[at] else Shape(edges, counts, digits_, False)
                        number = self._shaped(float(rows.amplitudes[at]), counts, digits_, self.shape(shape), time, 0)
                        events.append(Event(GX + axis, number, end_s))
                out.append(events)
        return out

    def _digits(self, gradient: FloatArray) -> int:
        """How finely these waveforms are to be rounded; one step of error in a sample is two in a slew."""
        scanner, raster = self.scanner, self.scanner.grad_raster_s
        peak = float(np.abs(gradient).max(initial=0.0))
        grad_limit, slew_limit = scanner.max_grad_hz_per_m, scanner.max_slew_hz_per_m_per_s
        largest, steepest = reach(gradient, raster_s=raster)
        errors = [
            (peak * raster, _K_PER_M),
            (2 * peak, max(1e-6 * grad_limit, 0.01 * (grad_limit - largest))),
            (4 * peak, raster * max(1e-6 * slew_limit, 0.01 * (slew_limit - steepest))),
        ]
        if np.abs(gradient[:, [0, -1]]).max(initial=0.0) > _SILENT_HZ_PER_M:
            errors.append((peak, _JOINT_HZ_PER_M))
        return digits_for(*errors)

    def _adc(self, event: Any) -> Event:
        row = (
            int(event.num_samples), _whole(event.dwell, 1e-9), _whole(event.delay, 1e-6), event.freq_ppm,
            event.phase_ppm, event.freq_offset, event.phase_offset,
        )  # fmt: skip
        return Event(ADC, _number(self.adc, row), event.delay + event.num_samples * event.dwell + event.dead_time)

    def _label(self, event: Any) -> Event:
        kind = event.type.upper()
        number = _number(self.labels.setdefault(kind, {}), (int(event.value), str(event.label)))
        return Event(EXT, number, 0.0, kind)


def nine_digits(value: float) -> float:
    """What a file keeps of a number."""
    return float(f"{value:.9g}")


def _number(table: dict[Any, int], row: Any) -> int:
    """The id of a row, which is stored once; from 1."""
    return table.setdefault(row, len(table) + 1)


def _whole(value: float, unit: float) -> int:
    """A time as a whole number of units; what is not one would be played at another time."""
    number = value / unit
    if abs(number - round(number)) > 1e-3:
        raise SeqoptError(
            f"{value} s is not a whole number of {unit:g} s, as Pulseq files need; round it to the raster"
        )
    return round(number)


def definitions_of(values: Mapping[str, Definition]) -> list[tuple[str, str]]:
    """(name, text) sorted by name."""
    out = []
    for name in sorted(values):
        value = values[name]
        numbers = [] if isinstance(value, str) else list(np.atleast_1d(np.asarray(value, dtype=float)))
        out.append((name, value if isinstance(value, str) else " ".join(f"{number:.9g}" for number in numbers)))
    return out
