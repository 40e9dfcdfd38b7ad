"""A Pulseq file as it is played: continuous gradients, k-space, timing, labels. numpy only, no writer's code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.played import Excitation, Readout
from seqopt.pulseq.references import undefined_references
from seqopt.pulseq.seqfile import read_seqfile
from seqopt.pulseq.seqtables import RfEvent, SeqFile, TrapEvent
from seqopt.pulseq.waveforms import Waveform, rotation_matrix, shaped, trapezoid

FloatArray = npt.NDArray[np.float64]
AXES = "xyz"
_DEFAULT_RASTERS_S = {
    "GradientRasterTime": 10e-6,
    "RadiofrequencyRasterTime": 1e-6,
    "AdcRasterTime": 100e-9,
    "BlockDurationRaster": 10e-6,
}


class PlayedSequence:
    """One file, played. Made by ``read_sequence`` or from tables whose references all exist."""

    def __init__(self, file: SeqFile) -> None:
        self.file = file
        self.definitions = file.definitions
        self.rasters_s = {name: self._raster(name, default) for name, default in _DEFAULT_RASTERS_S.items()}
        self._waves: dict[int, Waveform] = {}
        self._corners: dict[tuple[int, ...], tuple[FloatArray, FloatArray]] = {}
        self._rotations: dict[int, FloatArray] = {}
        self._shape_cache: dict[int, FloatArray] = {}
        self._load_waveforms()
        self.durations_s = self._durations()
        self.starts_s = np.concatenate([[0.0], np.cumsum(self.durations_s)])
        """(blocks + 1,) start of each block, then the end."""
        self.excitations: list[Excitation] = []
        self.pulses: list[Excitation] = []
        """Every RF pulse, ``excitations`` among them."""
        self.readouts: list[Readout] = []
        self.label_history: list[tuple[int, str, str, int]] = []
        """(block, SET or INC, label, value) in play order."""
        self._signal_phase_rad = 0.0
        self._play()

    @property
    def duration_s(self) -> float:
        """Total duration."""
        return float(self.starts_s[-1])

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.durations_s)

    def block_key(self, block: int) -> tuple[int, ...]:
        """(gx, gy, gz, rotation): blocks with one key play one gradient."""
        row = self.file.blocks[block]
        return int(row[3]), int(row[4]), int(row[5]), self._rotation_of(int(row[7]))

    def waveform(self, gradient: int) -> Waveform:
        """Waveform of a gradient event by its id, before any rotation."""
        return self._waves[gradient]

    def corners_of(self, key: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Corners of one distinct block: times (n,) s from its start, gradient (n, 3) Hz/m, rotated; n may be 0."""
        if key not in self._corners:
            waves = [self._waves.get(gradient) for gradient in key[:3]]
            present = [wave.times_s for wave in waves if wave is not None]
            times = np.unique(np.concatenate(present)) if present else np.zeros(0)
            gradient = np.stack([np.zeros_like(times) if w is None else w.at(times) for w in waves], axis=-1)
            self._corners[key] = (times, gradient @ self._rotations[key[3]].T if key[3] else gradient)
        return self._corners[key]

    def rotation(self, number: int) -> FloatArray:
        """(3, 3) matrix of a rotation that a block plays."""
        return self._rotations[number]

    def gradient_corners(self) -> tuple[FloatArray, FloatArray]:
        """The whole sequence's gradient: times (n,) s and values (n, 3) Hz/m, linear between corners."""
        times, values = [np.zeros(1)], [np.zeros((1, 3))]
        for block, start in enumerate(self.starts_s[:-1]):
            t, g = self.corners_of(self.block_key(block))
            times.append(start + t)
            values.append(g)
        times.append(self.starts_s[-1:])
        values.append(np.zeros((1, 3)))
        return np.concatenate(times), np.concatenate(values)

    def moment_of(self, key: tuple[int, ...], times_s: FloatArray) -> FloatArray:
        """Moment (n, 3) 1/m of one distinct block from its start to times (n,)."""
        times = np.asarray(times_s, dtype=float)
        waves = [self._waves.get(gradient) for gradient in key[:3]]
        moment = np.stack([np.zeros_like(times) if w is None else w.moment(times) for w in waves], axis=-1)
        return moment @ self._rotations[key[3]].T if key[3] else moment

    def rf_shape(self, event: RfEvent) -> tuple[FloatArray, npt.NDArray[np.complex128]]:
        """Times (n,) s from the shape's start and the complex B1 (n,) in Hz, frequency and phase offset left out."""
        raster = self.rasters_s["RadiofrequencyRasterTime"]
        magnitude = self._shape(event.magnitude_shape) * event.amplitude_hz
        phase = self._shape(event.phase_shape) if event.phase_shape else np.zeros_like(magnitude)
        if len(phase) != len(magnitude):
            raise SeqoptError(
                f"{self.file.path}: RF shapes have {len(magnitude)} and {len(phase)} samples; damaged file"
            )
        if event.time_shape:
            times = self._shape(event.time_shape) * raster
        else:
            times = (np.arange(len(magnitude), dtype=float) + 0.5) * raster
        return times, magnitude * np.exp(2j * np.pi * phase)

    def rf_duration_s(self, event: RfEvent) -> float:
        """Length of the shape: whole rasters, or up to the last time of its time shape."""
        raster = self.rasters_s["RadiofrequencyRasterTime"]
        if event.time_shape:
            return float(np.ceil(self._shape(event.time_shape)[-1] - 1e-9) * raster)
        return self.file.shapes[event.magnitude_shape].samples * raster

    def _shape(self, number: int) -> FloatArray:
        if number not in self._shape_cache:
            self._shape_cache[number] = self.file.shape(number)
        return self._shape_cache[number]

    def _raster(self, name: str, default: float) -> float:
        text = self.definitions.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 1e-9 <= value <= 1e-2:
            raise SeqoptError(f"{self.file.path}: {name} is {text!r}, expected 1e-9..1e-2 seconds; the file is damaged")
        return value

    def _load_waveforms(self) -> None:
        """Each distinct event once; a shaped event without ``first`` continues what stood before its first use."""
        raster = self.rasters_s["GradientRasterTime"]
        pending = {}
        for number, event in self.file.gradients.items():
            if isinstance(event, TrapEvent):
                self._waves[number] = trapezoid(event)
            elif event.first_hz_per_m is not None or event.time_shape > 0:
                self._waves[number] = shaped(event, self.file, raster_s=raster)
            else:
                pending[number] = event
        for axis in range(3) if pending else ():
            previous = 0
            for number in self.file.blocks[:, 3 + axis].tolist():
                if number in pending:
                    held = self._waves[previous].values_hz_per_m[-1] if previous else 0.0
                    event = pending.pop(number)
                    before = 0.0 if event.delay_s > 0 else float(held)
                    self._waves[number] = shaped(event, self.file, raster_s=raster, previous_hz_per_m=before)
                previous = number

    def _durations(self) -> FloatArray:
        if self.file.version >= (1, 4, 0):
            return self.file.blocks[:, 1].astype(float) * self.rasters_s["BlockDurationRaster"]
        ends = np.zeros(len(self.file.blocks))
        for block, row in enumerate(self.file.blocks.tolist()):
            parts = [self.file.delays_s[row[1]]] if row[1] else []
            parts += [float(self._waves[g].times_s[-1]) for g in row[3:6] if g]
            if row[2]:
                parts.append(self.file.rf[row[2]].delay_s + self.rf_duration_s(self.file.rf[row[2]]))
            if row[6]:
                adc = self.file.adc[row[6]]
                parts.append(adc.delay_s + adc.samples * adc.dwell_s)
            ends[block] = max(parts, default=0.0)
        return ends

    def _extension_list(self, entry: int) -> list[tuple[str, int]]:
        out = []
        while entry:
            kind, reference, entry = self.file.extensions[entry]
            out.append((self.file.extension_types.get(kind, ""), reference))
        return out

    def _rotation_of(self, entry: int) -> int:
        for name, reference in self._extension_list(entry) if entry else ():
            if name == "ROTATIONS":
                if reference not in self._rotations:
                    w, x, y, z = (float(token) for token in self.file.extension_rows[name][reference])
                    self._rotations[reference] = rotation_matrix((w, x, y, z))
                return reference
        return 0

    def _play(self) -> None:
        keys = [self.block_key(block) for block in range(self.blocks)]
        totals = {key: self.moment_of(key, np.array([np.inf]))[0] for key in dict.fromkeys(keys)}
        moments = np.concatenate([np.zeros((1, 3)), np.cumsum([totals[key] for key in keys], axis=0)])
        labels: dict[str, int] = {}
        local: dict[tuple[int, ...], FloatArray] = {}
        pulse_cache: dict[int, tuple[float, float, float]] = {}
        offset = np.zeros(3)
        for block, row in enumerate(self.file.blocks.tolist()):
            if row[7]:
                self._apply_labels(block, row[7], labels)
            if row[2]:
                offset = self._pulse(block, row[2], keys[block], moments[block], offset, pulse_cache)
            if row[6]:
                adc = self.file.adc[row[6]]
                key = (*keys[block], row[6])
                if key not in local:
                    times = adc.delay_s + (np.arange(adc.samples, dtype=float) + 0.5) * adc.dwell_s
                    local[key] = self.moment_of(keys[block], times)
                self.readouts.append(
                    Readout(
                        block=block,
                        start_s=float(self.starts_s[block]) + adc.delay_s,
                        dwell_s=adc.dwell_s,
                        samples=adc.samples,
                        labels=dict(labels),
                        freq_hz=adc.freq_hz,
                        phase_rad=adc.phase_rad,
                        excitation=self.excitations[-1] if self.excitations else None,
                        excitation_index=len(self.excitations) - 1,
                        local_moment_per_m=local[key],
                        offset_per_m=moments[block] + offset,
                        signal_phase_rad=self._signal_phase_rad,
                    )
                )

    def _pulse(
        self,
        block: int,
        number: int,
        key: tuple[int, ...],
        moment: FloatArray,
        offset: FloatArray,
        cache: dict[int, tuple[float, float, float]],
    ) -> FloatArray:
        """Append the pulse; give the new offset between moment and k: 0 after excitation, negated by refocusing."""
        event = self.file.rf[number]
        if number not in cache:
            times, signal = self.rf_shape(event)
            if event.time_shape:
                area = (np.diff(times) * (signal[1:] + signal[:-1]) / 2).sum()
            else:
                area = signal.sum() * self.rasters_s["RadiofrequencyRasterTime"]
            flip = 2 * np.pi * float(abs(area))
            magnitude = np.abs(signal)
            peaks = times[magnitude >= 0.99999 * magnitude.max()]
            centre = event.centre_s if event.centre_s is not None else float(peaks[0] + peaks[-1]) / 2
            cache[number] = (flip, centre, self.rf_duration_s(event))
        flip, centre, length = cache[number]
        use = event.use if event.use in tuple("erispo") else ("e" if flip < np.radians(90.5) else "r")
        at = np.array([event.delay_s + centre])
        times, gradient = self.corners_of(key)
        field_there = [np.interp(at[0], times, g, left=0.0, right=0.0) for g in gradient.T] if len(times) else [0.0] * 3
        start = float(self.starts_s[block]) + event.delay_s
        pulse = Excitation(
            block=block,
            start_s=start,
            centre_s=start + centre,
            end_s=start + length,
            flip_rad=flip,
            use=use,
            freq_hz=event.freq_hz,
            phase_rad=event.phase_rad + 2 * np.pi * event.freq_hz * centre,
            gradient_hz_per_m=np.array(field_there),
        )
        self.pulses.append(pulse)
        reached: FloatArray = moment + self.moment_of(key, at)[0]
        if use == "e":
            self.excitations.append(pulse)
            self._signal_phase_rad = pulse.phase_rad
            return -reached
        if use == "r":  # the magnetisation lies 90 degrees from the pulse that excited it
            self._signal_phase_rad = 2 * pulse.phase_rad - self._signal_phase_rad - np.pi
            return -2 * reached - offset
        return offset

    def _apply_labels(self, block: int, entry: int, labels: dict[str, int]) -> None:
        rows = self._extension_list(entry)
        for kind, word in (("LABELSET", "SET"), ("LABELINC", "INC")):  # sets first, as the interpreters do
            for name, reference in rows:
                if name == kind:
                    value, label = self.file.extension_rows[name][reference][:2]
                    labels[label] = int(float(value)) + (labels.get(label, 0) if word == "INC" else 0)
                    self.label_history.append((block, word, label, int(float(value))))


def read_sequence(path: Path) -> PlayedSequence:
    """Read and play a Pulseq text file, 1.3.1 to 1.5.1.

    Raises ``SeqoptError`` with the line number for a damaged file, and for a reference to what is not defined.
    """
    file = read_seqfile(path)
    missing = undefined_references(file)
    if missing:
        raise SeqoptError(f"{path}: {missing[0]}; the file is truncated or damaged")
    return PlayedSequence(file)
