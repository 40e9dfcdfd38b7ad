"""Gradient limits on the true continuous waveform: each axis and the vector, ramps and half rasters included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, Scanner
from seqopt.pulseq.distinct import distinct_corners
from seqopt.pulseq.readback import AXES, PlayedSequence
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

JOINT_HZ_PER_M = 1.0
ROUNDING = 1e-5  # files hold six digits
_REMEDY = {
    "amplitude": "lower the gradient; the vector may play along one physical axis of an oblique slice",
    "slew": "lengthen the ramps; the vector may play along one physical axis of an oblique slice",
}


@dataclass
class _Worst:
    """Largest value of one quantity, where it is, and how many of how many are over the limit."""

    value: float = 0.0
    owner: int = 0
    time_s: float = 0.0
    over: int = 0
    count: int = 0

    def add(self, values: FloatArray, times_s: FloatArray, limit: float, owner: IntArray, plays: IntArray) -> None:
        """Values (n,) at times within their blocks; each block is played so many times."""
        at = int(np.argmax(values))
        if values[at] > limit * (1 + ROUNDING):
            self.over += int(plays[values > limit * (1 + ROUNDING)].sum())
        if values[at] > self.value:
            self.value, self.owner, self.time_s = float(values[at]), int(owner[at]), float(times_s[at])


def gradient_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], dict[str, float]]:
    """Checks, and the largest values for the summary."""
    limits = {"amplitude": scanner.max_grad_hz_per_m, "slew": scanner.max_slew_hz_per_m_per_s}
    played_times = np.bincount(played.gradients.key_numbers, minlength=len(played.gradients.keys))
    worst = (_worst_compiled if played.gradients.kernels else _worst)(played, limits, played_times)
    checks = [
        _limit(played, kind, name, found, limits[kind])
        for (kind, name), found in worst.items()
        if name != "vector" or scanner.oblique == "vector"
    ]
    checks.append(_continuity(played))
    return checks, {
        f"largest_{'gradient_mt_per_m' if kind == 'amplitude' else 'slew_t_per_m_per_s'}_{name}": round(
            _shown(kind, found.value), 6
        )
        for (kind, name), found in worst.items()
    }


def _worst(played: PlayedSequence, limits: dict[str, float], played_times: IntArray) -> dict[tuple[str, str], _Worst]:
    """Largest amplitudes and slew rates of each axis and the vector, from the corners of all distinct blocks."""
    worst = {(kind, name): _Worst() for kind in limits for name in (*AXES, "vector")}
    for corners in distinct_corners(played):
        t, g, owner = corners.times_s, corners.gradient_hz_per_m, corners.owner
        inside = np.flatnonzero((np.diff(owner) == 0) & (np.diff(t) > 0))
        steep = np.diff(g, axis=0)[inside] / np.diff(t)[inside, None]
        for kind, values, times, whose in (
            ("amplitude", g, t, owner),
            ("slew", steep, ((t[1:] + t[:-1]) / 2)[inside], owner[:-1][inside]),
        ):
            if not len(values):
                continue
            plays = played_times[whose]
            total = int(plays.sum())
            sized = {**{axis: np.abs(values[:, i]) for i, axis in enumerate(AXES)}, "vector": _lengths(values)}
            for name, sizes in sized.items():
                worst[kind, name].add(sizes, times, limits[kind], whose, plays)
                worst[kind, name].count += total
    return worst


def _worst_compiled(
    played: PlayedSequence, limits: dict[str, float], played_times: IntArray
) -> dict[tuple[str, str], _Worst]:
    """The same by compiled code."""
    kernels = played.gradients.kernels
    assert kernels is not None
    most = np.array(list(limits.values())) * (1 + ROUNDING)
    value, time_s = np.zeros((2, 8))
    owner, over = np.zeros((2, 8), dtype=np.int64)
    count = np.zeros(2, dtype=np.int64)
    for number, (key, plays) in enumerate(zip(played.gradients.keys, played_times.tolist(), strict=True)):
        times, axes = played.gradients.axes_of(key)
        if len(times):
            kernels.largest_of_block(times, *axes, number, plays, most, value, owner, time_s, over, count)
    names = [(kind, name) for kind in limits for name in (*AXES, "vector")]
    columns = (column.tolist() for column in (value, owner, time_s, over, np.repeat(count, 4)))
    return {name: _Worst(*row) for name, *row in zip(names, *columns, strict=True)}


def _lengths(vectors: FloatArray) -> FloatArray:
    """(n, 3) -> (n,): what an oblique slice may put on one physical axis."""
    x, y, z = vectors.T
    return np.asarray(np.sqrt(x * x + y * y + z * z))


def _shown(kind: str, value: float) -> float:
    return hz_per_m_to_mt_per_m(value) if kind == "amplitude" else hz_per_m_per_s_to_t_per_m_per_s(value)


def _limit(played: PlayedSequence, kind: str, name: str, worst: _Worst, limit: float) -> Check:
    block = played.gradients.first_blocks[worst.owner] if worst.count else 0
    return Check(
        name=f"gradient.{'vector' if name == 'vector' else 'axis'}_{kind}{'' if name == 'vector' else '_' + name}",
        held=worst.over == 0,
        value=round(_shown(kind, worst.value), 4),
        limit=round(_shown(kind, limit), 4),
        unit="mT/m" if kind == "amplitude" else "T/m/s",
        where=f"largest: {played.place(block, worst.time_s)}; {worst.over} of {worst.count} over",
        remedy=_REMEDY[kind] if worst.over else "",
    )


@dataclass(frozen=True)
class _Ends:
    """Where events begin and end; one row for each id, and one for none."""

    first_hz_per_m: FloatArray
    last_hz_per_m: FloatArray
    start_s: FloatArray
    """From the block's start."""
    end_s: FloatArray
    step_hz_per_m: FloatArray
    """Largest step between two corners at one time."""

    @classmethod
    def of(cls, played: PlayedSequence, numbers: list[int]) -> _Ends:
        """Of these events; 0 is none."""
        rows = np.zeros((len(numbers), 5))
        for row, number in zip(rows, numbers, strict=True):
            if number:
                wave = played.waveform(number)
                values, times = wave.values_hz_per_m, wave.times_s
                row[:4] = values[0], values[-1], times[0], times[-1]
                if not wave.corners.distinct:
                    row[4] = np.abs(np.diff(values))[np.diff(times) == 0].max(initial=0.0)
        return cls(*rows.T)


def _edges(played: PlayedSequence) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Gradient (blocks, 3) where each block begins and ends, and its largest step inside (blocks,).

    An event that starts or ends in mid-air, away from its block's edges, steps there.
    """
    keys = np.array(played.gradients.keys, dtype=np.int64).reshape(-1, 4)[played.gradients.key_numbers]
    numbers, place = np.unique(keys[:, :3], return_inverse=True)
    place, ends = place.reshape(-1, 3), _Ends.of(played, numbers.tolist())
    opens = (ends.start_s < 1e-9)[place]
    closes = ends.end_s[place] > played.durations_s[:, None] - 1e-9
    first, last = ends.first_hz_per_m[place], ends.last_hz_per_m[place]
    begun, ended = np.where(opens, 0.0, np.abs(first)), np.where(closes, 0.0, np.abs(last))
    steps = np.stack([begun, ended, ends.step_hz_per_m[place]])
    first, last = np.where(opens, first, 0.0), np.where(closes, last, 0.0)
    for number in np.unique(keys[:, 3][keys[:, 3] > 0]).tolist():
        turned = keys[:, 3] == number
        turn = played.rotation(number).T
        first[turned], last[turned] = first[turned] @ turn, last[turned] @ turn
    return first, last, steps.max(axis=(0, 2))


def _continuity(played: PlayedSequence) -> Check:
    """Steps where blocks meet, inside blocks, from rest at the start and to rest at the end of the file."""
    rest = np.zeros((1, 3))
    first, last, inside = _edges(played)
    first, last, inside = np.concatenate([first, rest]), np.concatenate([rest, last]), np.append(inside, 0.0)
    jumps = np.abs(first - last)  # (blocks + 1, 3); the last row is the end of the file
    sizes = np.maximum(jumps.max(axis=1), inside)
    at = int(np.argmax(sizes))
    worst, over = float(sizes[at]), int((sizes > JOINT_HZ_PER_M).sum())
    where = ""
    if worst > 0:
        axis = f", {AXES[int(np.argmax(jumps[at]))]}" if jumps[at].max() >= inside[at] else ", inside the block"
        place = played.place(at) if at < played.blocks else "the end of the file"
        where = f"{place}{axis}; {over} of {played.blocks} blocks over"
    return Check(
        name="gradient.continuity",
        held=worst <= JOINT_HZ_PER_M,
        value=round(worst, 6),
        limit=JOINT_HZ_PER_M,
        unit="Hz/m",
        where=where,
        remedy="" if worst <= JOINT_HZ_PER_M else "let the gradient be 0 at the block's edge or continue in the next",
    )
