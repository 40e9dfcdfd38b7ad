"""A Pulseq file as it is played: continuous gradients, k-space, timing, labels. numpy only, no writer's code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.bulk import uncollected
from seqopt.pulseq.played import Excitation, Readout
from seqopt.pulseq.played_gradients import PlayedGradients, extension_list
from seqopt.pulseq.played_rf import PlayedRf, Pulse
from seqopt.pulseq.references import undefined_references
from seqopt.pulseq.seqfile import read_seqfile
from seqopt.pulseq.seqtables import AdcEvent, RfEvent, SeqFile
from seqopt.pulseq.waveforms import Waveform

FloatArray = npt.NDArray[np.float64]
AXES = "xyz"
_DEFAULT_RASTERS_S = {
    "GradientRasterTime": 10e-6,
    "RadiofrequencyRasterTime": 1e-6,
    "AdcRasterTime": 100e-9,
    "BlockDurationRaster": 10e-6,
}
MAX_DISTINCT_SAMPLES = 45_000_000
"""One GB of k: 10,000 distinct shots of 4,500 samples."""


class PlayedSequence:
    """One file, played. Made by ``read_sequence`` or from tables whose references all exist."""

    def __init__(self, file: SeqFile) -> None:
        self.file = file
        self.definitions = file.definitions
        self.rasters_s = {name: self._raster(name, default) for name, default in _DEFAULT_RASTERS_S.items()}
        self.gradients = PlayedGradients(file, self.rasters_s["GradientRasterTime"])
        """Each distinct event and block once: ``keys``, ``key_numbers``, ``first_blocks``."""
        self._rf = PlayedRf(file, self.rasters_s["RadiofrequencyRasterTime"])
        self.event_ends_s = self._event_ends()
        """(blocks,) when the last event of each block ends, from the block's start."""
        self.durations_s = self._durations()
        self.starts_s = np.concatenate([[0.0], np.cumsum(self.durations_s)])
        """(blocks + 1,) start of each block, then the end."""
        totals = self.gradients.total_moments()
        self.moments_per_m = np.concatenate([np.zeros((1, 3)), np.cumsum(totals[self.gradients.key_numbers], axis=0)])
        """(blocks + 1, 3) gradient moment from the start of the file to each block's start, then to the end."""
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
        return self.gradients.keys[int(self.gradients.key_numbers[block])]

    def waveform(self, gradient: int) -> Waveform:
        """Waveform of a gradient event by its id, before any rotation."""
        return self.gradients.waveform(gradient)

    def corners_of(self, key: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Corners of one distinct block: times (n,) s from its start, gradient (n, 3) Hz/m, rotated; n may be 0."""
        return self.gradients.corners_of(key)

    def rotation(self, number: int) -> FloatArray:
        """(3, 3) matrix of a rotation that a block plays."""
        return self.gradients.rotation(number)

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
        return self.gradients.moment_of(key, times_s)

    def place(self, block: int, since_s: float = 0.0) -> str:
        """Where something is: the block's number from 1 and the time in the sequence."""
        return f"block {block + 1} at {(self.starts_s[block] + since_s) * 1e3:.3f} ms"

    def first_uses(self, *columns: int) -> dict[int, int]:
        """Event id -> the first block that plays it in any of these columns of the blocks' table."""
        uses: dict[int, int] = {}
        for column in columns:
            ids, first = np.unique(self.file.blocks[:, column], return_index=True)
            for number, block in zip(ids.tolist(), first.tolist(), strict=True):
                uses[number] = min(block, uses.get(number, block))
        uses.pop(0, None)
        return uses

    def rf_shape(self, event: RfEvent) -> tuple[FloatArray, npt.NDArray[np.complex128]]:
        """Times (n,) s from the shape's start and the complex B1 (n,) in Hz, frequency and phase offset left out."""
        return self._rf.shape(event)

    def rf_duration_s(self, event: RfEvent) -> float:
        """Length of the shape: whole rasters, or up to the last time of its time shape."""
        return self._rf.duration_s(event)

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

    def _event_ends(self) -> FloatArray:
        """Of gradients, RF and ADC; (blocks,) seconds, 0 without any."""
        file = self.file
        ends = np.zeros(len(file.blocks))
        kinds: list[tuple[int, Callable[[int], float]]] = [
            *((column, self.gradients.end_s) for column in (3, 4, 5)),
            (2, lambda number: file.rf[number].delay_s + self.rf_duration_s(file.rf[number])),
            (6, lambda number: file.adc[number].delay_s + file.adc[number].samples * file.adc[number].dwell_s),
        ]
        for column, end_s in kinds:
            numbers, inverse = np.unique(file.blocks[:, column], return_inverse=True)
            values = np.array([end_s(number) if number else 0.0 for number in numbers.tolist()])
            np.maximum(ends, values[inverse.reshape(-1)], out=ends)
        return ends

    def _durations(self) -> FloatArray:
        column = self.file.blocks[:, 1]
        if self.file.version >= (1, 4, 0):
            return np.asarray(column * self.rasters_s["BlockDurationRaster"])
        numbers, inverse = np.unique(column, return_inverse=True)
        delays = np.array([self.file.delays_s[number] if number else 0.0 for number in numbers.tolist()])
        return np.asarray(np.maximum(self.event_ends_s, delays[inverse.reshape(-1)]))

    def _play(self) -> None:
        labels: dict[str, int] = {}
        local: dict[tuple[int, int], FloatArray] = {}
        lists: dict[int, list[tuple[str, int]]] = {}
        pulses: dict[tuple[int, int], Pulse] = {}
        timings: dict[tuple[int, float, float], int] = {}  # phase and frequency do not change what is sampled
        timing = {n: timings.setdefault((adc.samples, adc.dwell_s, adc.delay_s), n) for n, adc in self.file.adc.items()}
        offset = np.zeros(3)
        events = self.file.blocks[:, [2, 6, 7]]
        blocks = np.flatnonzero(events.any(axis=1))
        sampled = 0
        for block, key, (rf, adc, entry) in zip(
            blocks.tolist(), self.gradients.key_numbers[blocks].tolist(), events[blocks].tolist(), strict=True
        ):
            if entry:
                if entry not in lists:
                    lists[entry] = extension_list(self.file, entry)
                self._apply_labels(block, lists[entry], labels)
            if rf:
                if (rf, key) not in pulses:
                    pulses[rf, key] = self._rf.pulse(rf, self.gradients.keys[key], self.gradients)
                offset = self._excite(block, pulses[rf, key], offset)
            if adc:
                place = key, timing[adc]
                if place not in local:
                    sampled += self.file.adc[adc].samples
                    if sampled > MAX_DISTINCT_SAMPLES:
                        raise SeqoptError(
                            f"{self.file.path}: more than {MAX_DISTINCT_SAMPLES} distinct ADC samples up to block "
                            f"{block + 1}; no interpreter holds them"
                        )
                    local[place] = self.gradients.moment_at_samples(self.gradients.keys[key], timing[adc])
                self._read(block, self.file.adc[adc], labels, local[place], offset)

    def _read(self, block: int, adc: AdcEvent, labels: dict[str, int], local: FloatArray, offset: FloatArray) -> None:
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
                local_moment_per_m=local,
                offset_per_m=self.moments_per_m[block] + offset,
                signal_phase_rad=self._signal_phase_rad,
            )
        )

    def _excite(self, block: int, played: Pulse, offset: FloatArray) -> FloatArray:
        """Append the pulse; give the new offset between moment and k: 0 after excitation, negated by refocusing."""
        event = played.event
        start = float(self.starts_s[block]) + event.delay_s
        pulse = Excitation(
            block=block,
            start_s=start,
            centre_s=start + played.centre_s,
            end_s=start + played.length_s,
            flip_rad=played.flip_rad,
            use=played.use,
            freq_hz=event.freq_hz,
            phase_rad=event.phase_rad + 2 * np.pi * event.freq_hz * played.centre_s,
            gradient_hz_per_m=played.gradient_hz_per_m,
        )
        self.pulses.append(pulse)
        reached: FloatArray = self.moments_per_m[block] + played.moment_per_m
        if played.use == "e":
            self.excitations.append(pulse)
            self._signal_phase_rad = pulse.phase_rad
            return -reached
        if played.use == "r":  # the magnetisation lies 90 degrees from the pulse that excited it
            self._signal_phase_rad = 2 * pulse.phase_rad - self._signal_phase_rad - np.pi
            return -2 * reached - offset
        return offset

    def _apply_labels(self, block: int, rows: list[tuple[str, int]], labels: dict[str, int]) -> None:
        for kind, word in (("LABELSET", "SET"), ("LABELINC", "INC")):  # sets first, as the interpreters do
            for name, reference in rows:
                if name == kind:
                    value, label = self.file.extension_rows[name][reference][:2]
                    labels[label] = int(value) + (labels.get(label, 0) if word == "INC" else 0)
                    self.label_history.append((block, word, label, int(value)))


@uncollected
def read_sequence(path: Path) -> PlayedSequence:
    """Read and play a Pulseq text file, 1.3.1 to 1.5.1.

    Raises ``SeqoptError`` with the line number for a damaged file, and for a reference to what is not defined.
    """
    file = read_seqfile(path)
    missing = undefined_references(file)
    if missing:
        raise SeqoptError(f"{path}: {missing[0]}; the file is truncated or damaged")
    return PlayedSequence(file)
