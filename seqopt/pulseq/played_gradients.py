"""The gradients of a Pulseq file as they are played: each distinct event and each distinct block once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.bulk import kernels_for
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
_WAVE_BYTES, _CORNER_BYTES, _JOINT_BYTES = 400_000_000, 160_000_000, 20_000_000
_SAMPLED_BYTES = 50_000_000  # encodings that many readouts combine anew
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
        self._times_of_event: dict[int, CornerTimes] = {}
        self._located: dict[tuple[int, int], Instants] = {}
        self._waves: _Kept[Waveform] = _Kept(_WAVE_BYTES)
        self._corners: _Kept[tuple[FloatArray, FloatArray]] = _Kept(_CORNER_BYTES)
        self._joint: _Kept[FloatArray] = _Kept(_JOINT_BYTES)
        self._resampled: dict[int, tuple[int, FloatArray, FloatArray]] = {}
        self._sampled: _Kept[FloatArray] = _Kept(_SAMPLED_BYTES)
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
        self.kernels = kernels_for(self._corners_or_refusal())
        """Compiled loops where the blocks have many corners."""

    def waveform(self, number: int) -> Waveform:
        """Waveform of a gradient event by its id, before any rotation."""
        return self._waves.get(number, partial(self._wave, number), _wave_size)

    def end_s(self, number: int) -> float:
        """When an event ends, from its block's start."""
        return float(self._corner_times(number).times_s[-1])

    def corners_of(self, key: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Corners of one distinct block: times (n,) s from its start, gradient (n, 3) Hz/m, rotated; n may be 0."""
        return self._corners.get(key, partial(self._block_corners, key), lambda made: made[1].nbytes)

    def rotation(self, number: int) -> FloatArray:
        """(3, 3) matrix of a rotation that a block plays."""
        return self._rotations[number]

    def moment_of(self, key: tuple[int, ...], times_s: FloatArray) -> FloatArray:
        """Moment (n, 3) 1/m of one distinct block from its start to times (n,)."""
        times = np.asarray(times_s, dtype=float)
        axes = [self.waveform(number).moment(times) if number else np.zeros(len(times)) for number in key[:3]]
        return self._turned(key, np.array(axes))

    def total_moments(self) -> FloatArray:
        """Moment (keys, 3) 1/m of each whole block."""
        numbers = np.array(self.keys, dtype=np.int64).reshape(-1, 4)
        events, place = np.unique(numbers[:, :3], return_inverse=True)
        of_events = np.array([self.waveform(n).moments_per_m[-1] if n else 0.0 for n in events.tolist()])
        totals: FloatArray = of_events[place.reshape(-1, 3)]
        for at in np.flatnonzero(numbers[:, 3]).tolist():
            totals[at] = (self._rotations[self.keys[at][3]] @ totals[at, :, None])[:, 0]
        return totals

    def moment_at_samples(self, key: tuple[int, ...], adc: int) -> FloatArray:
        """Moment (samples, 3) 1/m at the samples of an ADC event, at (n + 1/2) dwell."""
        axes = np.zeros((3, self.file.adc[adc].samples))
        for axis, number in enumerate(key[:3]):
            if number and self.kernels is not None:
                wave = self.waveform(number)
                wave.moment_into(axes[axis], self._instants(wave.corners, adc), self.kernels)
            elif number:
                axes[axis] = self._sampled.get((number, adc), partial(self._sample, number, adc), _size)
        return self._turned(key, axes)

    def _sample(self, number: int, adc: int) -> FloatArray:
        wave = self.waveform(number)
        return wave.moment_at(self._instants(wave.corners, adc))

    def _instants(self, corners: CornerTimes, adc: int) -> Instants:
        """Where the samples of an ADC event lie between the corners of gradient events."""
        place = (id(corners), adc)  # corners live as long as their table
        if place not in self._located:
            event = self.file.adc[adc]
            times = event.delay_s + (np.arange(event.samples, dtype=float) + 0.5) * event.dwell_s
            self._located[place] = Instants.of(corners, times)
        return self._located[place]

    def _turned(self, key: tuple[int, ...], axes: FloatArray) -> FloatArray:
        """Three axes (3, n) -> (n, 3), rotated."""
        return (self._rotations[key[3]] @ axes if key[3] else axes).T

    def _block_corners(self, key: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        times, axes = self.axes_of(key)
        return times, np.array(axes).T

    def axes_of(self, key: tuple[int, ...]) -> tuple[FloatArray, list[FloatArray]]:
        """The same as three axes (n,), which may be views of what is kept; made anew each time it is asked for."""
        times = self.times_of(key)
        axes = [
            self._at(number, times, axis) if number else np.zeros(len(times)) for axis, number in enumerate(key[:3])
        ]
        return times, list(self._rotations[key[3]] @ np.array(axes)) if key[3] else axes

    def times_of(self, key: tuple[int, ...]) -> FloatArray:
        """Times (n,) s of the corners of one distinct block, from its start."""
        corners = [self._corner_times(number) for number in key[:3] if number]
        return self._joint.get(tuple(map(id, corners)), partial(_joint_times, corners), _size)

    def _at(self, number: int, times: FloatArray, axis: int) -> FloatArray:
        """Values of an event at times (n,) that hold its corners; the last is kept, as thousands of shots share it."""
        wave = self.waveform(number)
        if wave.corners.distinct and len(times) == len(wave.values_hz_per_m):
            return wave.values_hz_per_m
        event, then, values = self._resampled.get(axis, (0, times, times))
        if event != number or then is not times:
            values = wave.at(times)
            self._resampled[axis] = (number, times, values)
        return values

    def _corner_times(self, number: int) -> CornerTimes:
        """When the corners of an event lie: one object for all events with the same."""
        found = self._times_of_event.get(number)
        if found is None:
            found = self._times_of_event[number] = self._shared_times(self.file.gradients[number])
        return found

    def _shared_times(self, event: TrapEvent | GradEvent) -> CornerTimes:
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
        corners = self._corner_times(number)
        if isinstance(event, TrapEvent):
            return Waveform.of(corners, event.amplitude_hz_per_m * np.array([0.0, 1.0, 1.0, 0.0]))
        if event.time_shape > 0 and self.kernels is not None:
            return Waveform.scaled(corners, self.file.shape(event.shape), event.amplitude_hz_per_m, self.kernels)
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

    def _corners_or_refusal(self) -> int:
        """How many corners the distinct blocks have, at most; refuses what would mean hours of work."""
        lengths = {0: 0}
        for number, event in self.file.gradients.items():
            lengths[number] = 4 if isinstance(event, TrapEvent) else self.file.shapes[event.shape].samples
        corners = sum(lengths[x] + lengths[y] + lengths[z] for x, y, z, _ in self.keys)
        if corners > MAX_CORNERS:
            raise SeqoptError(
                f"{self.file.path}: the distinct blocks have {corners} corners, more than {MAX_CORNERS}; no "
                "interpreter holds them, use fewer or shorter shapes"
            )
        return corners


def _joint_times(corners: list[CornerTimes]) -> FloatArray:
    """Times at which any of these events has a corner."""
    if not corners:
        return np.zeros(0)
    if corners[0].distinct and all(one is corners[0] for one in corners):
        return corners[0].times_s
    return np.unique(np.concatenate([one.times_s for one in corners]))


def _size(made: FloatArray) -> int:
    return made.nbytes


def _wave_size(wave: Waveform) -> int:
    return 2 * wave.values_hz_per_m.nbytes


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
