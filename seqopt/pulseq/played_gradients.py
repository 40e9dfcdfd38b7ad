"""The gradients of a Pulseq file as they are played: each distinct event and each distinct block once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import GradEvent, SeqFile, TrapEvent
from seqopt.pulseq.waveforms import (
    CornerTimes,
    Instants,
    Waveform,
    rotation_matrix,
    shaped_times,
    shaped_values,
    trapezoid_times,
)

FloatArray = npt.NDArray[np.float64]
BlockKey = tuple[int, int, int, int]
"""(gx, gy, gz, rotation): blocks with one key play one gradient."""
MAX_CORNERS = 100_000_000
"""Of all distinct blocks together, so that a small file cannot mean hours of work."""
LONGEST_LIST = 1000
_WAVE_BYTES, _CORNER_BYTES = 400_000_000, 150_000_000
Made = TypeVar("Made")


class _Kept(Generic[Made]):
    """What was made is kept until it fills its share of memory; from then on it is made again when it is asked for."""

    def __init__(self, most_bytes: int) -> None:
        self._left, self._made = most_bytes, dict[object, Made]()

    def get(self, key: object, make: Callable[[], Made], size: Callable[[Made], int]) -> Made:
        if key in self._made:
            return self._made[key]
        made = make()
        self._left -= size(made)
        if self._left > 0:
            self._made[key] = made
        return made


class PlayedGradients:
    """Waveforms of events by their ids, and of blocks by their keys."""

    def __init__(self, file: SeqFile, raster_s: float) -> None:
        self.file, self._raster_s = file, raster_s
        self._times: dict[tuple[object, ...], CornerTimes] = {}
        self._located: dict[tuple[int, int], Instants] = {}
        self._waves: _Kept[Waveform] = _Kept(_WAVE_BYTES)
        self._corners: _Kept[tuple[FloatArray, FloatArray]] = _Kept(_CORNER_BYTES)
        self._rotations: dict[int, FloatArray] = {}
        self._neighbours = _neighbours(file)
        rows = np.column_stack([file.blocks[:, 3:6], self._turns()])
        found, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        self.keys: list[BlockKey] = [(x, y, z, turn) for x, y, z, turn in found.tolist()]
        """Each distinct key once."""
        self.key_numbers = inverse.reshape(-1)
        """(blocks,) index into ``keys``."""
        self.first_blocks: list[int] = first.tolist()
        """(keys,) the first block that plays each key."""
        self._refuse_endless_work()

    def waveform(self, number: int) -> Waveform:
        """Waveform of a gradient event by its id, before any rotation."""
        return self._waves.get(number, lambda: self._wave(number), lambda wave: 16 * len(wave.values_hz_per_m))

    def end_s(self, number: int) -> float:
        """When an event ends, from its block's start."""
        return float(self._corner_times(self.file.gradients[number]).times_s[-1])

    def corners_of(self, key: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Corners of one distinct block: times (n,) s from its start, gradient (n, 3) Hz/m, rotated; n may be 0."""
        return self._corners.get(key, lambda: self._block_corners(key), lambda made: made[1].nbytes)

    def rotation(self, number: int) -> FloatArray:
        """(3, 3) matrix of a rotation that a block plays."""
        return self._rotations[number]

    def moment_of(self, key: tuple[int, ...], times_s: FloatArray) -> FloatArray:
        """Moment (n, 3) 1/m of one distinct block from its start to times (n,)."""
        times = np.asarray(times_s, dtype=float)
        return self._turned(key, len(times), lambda wave: wave.moment(times))

    def total_moment_of(self, key: tuple[int, ...]) -> FloatArray:
        """Moment (3,) 1/m of a whole block."""
        total: FloatArray = self._turned(key, 1, lambda wave: wave.moments_per_m[-1:])[0]
        return total

    def moment_at_samples(self, key: tuple[int, ...], adc: int) -> FloatArray:
        """Moment (samples, 3) 1/m at the samples of an ADC event, at (n + 1/2) dwell."""
        event = self.file.adc[adc]

        def sampled(wave: Waveform) -> FloatArray:
            place = (id(wave.corners), adc)  # corners live as long as their table
            if place not in self._located:
                times = event.delay_s + (np.arange(event.samples, dtype=float) + 0.5) * event.dwell_s
                self._located[place] = Instants.of(wave.corners, times)
            return wave.moment_at(self._located[place])

        return self._turned(key, event.samples, sampled)

    def _turned(self, key: tuple[int, ...], count: int, of: Callable[[Waveform], FloatArray]) -> FloatArray:
        """(count, 3) of the three axes, rotated."""
        axes = np.zeros((3, count))
        for axis, number in enumerate(key[:3]):
            if number:
                axes[axis] = of(self.waveform(number))
        return (self._rotations[key[3]] @ axes if key[3] else axes).T

    def _block_corners(self, key: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        waves = [self.waveform(number) if number else None for number in key[:3]]
        present = [wave.corners for wave in waves if wave is not None]
        if not present:
            return np.zeros(0), np.zeros((0, 3))
        same = present[0].distinct and all(corners is present[0] for corners in present)
        times = present[0].times_s if same else np.unique(np.concatenate([corners.times_s for corners in present]))
        gradient = np.zeros((3, len(times)))
        for axis, wave in enumerate(waves):
            if wave is not None:
                gradient[axis] = wave.values_hz_per_m if same else wave.at(times)
        return times, (self._rotations[key[3]] @ gradient if key[3] else gradient).T

    def _corner_times(self, event: TrapEvent | GradEvent) -> CornerTimes:
        key: tuple[object, ...]
        if isinstance(event, TrapEvent):
            key = (event.delay_s, event.rise_s, event.flat_s, event.fall_s)
        else:
            key = (event.delay_s, event.time_shape, self.file.shapes[event.shape].samples)
        if key not in self._times:
            if isinstance(event, TrapEvent):
                times = trapezoid_times(event)
            else:
                times = shaped_times(event, self.file, self._raster_s)
            self._times[key] = CornerTimes.of(times)
        return self._times[key]

    def _wave(self, number: int) -> Waveform:
        event = self.file.gradients[number]
        corners = self._corner_times(event)
        if isinstance(event, TrapEvent):
            return Waveform.of(corners, event.amplitude_hz_per_m * np.array([0.0, 1.0, 1.0, 0.0]))
        before, after = self._neighbours.get(number, (0, 0))
        previous = self._edge(before, -1) if before and not event.delay_s else 0.0
        following = self._edge(after, 0) if after else 0.0
        return Waveform.of(
            corners,
            shaped_values(event, self.file, previous_hz_per_m=previous or 0.0, following_hz_per_m=following),
        )

    def _edge(self, number: int, side: int) -> float | None:
        """Value of an event at its start (0) or end (-1); None where only its neighbours could tell."""
        event = self.file.gradients[number]
        if isinstance(event, TrapEvent) or (side == 0 and event.delay_s):
            return 0.0
        if event.time_shape > 0:
            return event.amplitude_hz_per_m * float(self.file.shape(event.shape)[side])
        if event.first_hz_per_m is not None:
            return event.first_hz_per_m if side == 0 else event.last_hz_per_m
        return None if side == 0 else float(shaped_values(event, self.file)[-1])

    def _turns(self) -> npt.NDArray[np.int64]:
        """(blocks,) the rotation that each block plays, 0 for none."""
        entries, inverse = np.unique(self.file.blocks[:, 7], return_inverse=True)
        turns = np.zeros(len(entries), dtype=np.int64)
        for at, entry in enumerate(entries.tolist()):
            for name, reference in extension_list(self.file, entry):
                if name == "ROTATIONS":
                    w, x, y, z = (float(token) for token in self.file.extension_rows[name][reference])
                    self._rotations[reference] = rotation_matrix((w, x, y, z))
                    turns[at] = reference
        return turns[inverse.reshape(-1)]

    def _refuse_endless_work(self) -> None:
        lengths = {0: 0}
        for number, event in self.file.gradients.items():
            lengths[number] = 4 if isinstance(event, TrapEvent) else self.file.shapes[event.shape].samples
        corners = sum(lengths[x] + lengths[y] + lengths[z] for x, y, z, _ in self.keys)
        if corners > MAX_CORNERS:
            raise SeqoptError(
                f"{self.file.path}: the distinct blocks have {corners} corners, more than {MAX_CORNERS}; no "
                "interpreter holds them, use fewer or shorter shapes"
            )


def extension_list(file: SeqFile, entry: int) -> list[tuple[str, int]]:
    """(name, reference) of each extension in the list that starts at ``entry``."""
    out: list[tuple[str, int]] = []
    start = entry
    while entry:
        kind, reference, entry = file.extensions[entry]
        out.append((file.extension_types.get(kind, ""), reference))
        if len(out) > LONGEST_LIST:
            raise SeqoptError(
                f"{file.path}: the list at extension {start} is longer than {LONGEST_LIST}; the file is damaged"
            )
    return out


def _neighbours(file: SeqFile) -> dict[int, tuple[int, int]]:
    """Gradients before and after the first use of each event whose ``first`` and ``last`` the file does not hold."""
    without = [
        number
        for number, event in file.gradients.items()
        if isinstance(event, GradEvent) and event.first_hz_per_m is None and event.time_shape <= 0
    ]
    out: dict[int, tuple[int, int]] = {}
    for axis in range(3) if without else ():
        column = np.concatenate([[0], file.blocks[:, 3 + axis], [0]])
        ids, first = np.unique(column, return_index=True)
        for number, at in zip(ids.tolist(), first.tolist(), strict=True):
            if number and number not in out:
                out[number] = (int(column[at - 1]), int(column[at + 1]))
    return {number: out[number] for number in without if number in out}
