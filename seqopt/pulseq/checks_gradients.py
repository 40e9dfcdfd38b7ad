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
    worst = {(kind, name): _Worst() for kind in limits for name in (*AXES, "vector")}
    played_times = np.bincount(played.gradients.key_numbers, minlength=len(played.gradients.keys))
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


def _lengths(vectors: FloatArray) -> FloatArray:
    """(n, 3) -> (n,): what an oblique slice may put on one physical axis."""
    return np.asarray(np.sqrt(np.einsum("ni,ni->n", vectors, vectors)))


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


def _edges(played: PlayedSequence, key: tuple[int, ...], duration_s: float) -> tuple[FloatArray, FloatArray, float]:
    """Gradient (3,) at both edges of a block, and its largest step inside (an event that starts or ends in mid-air)."""
    first, last, step = np.zeros(3), np.zeros(3), 0.0
    for axis, number in enumerate(key[:3]):
        if not number:
            continue
        wave = played.waveform(number)
        begin, end = wave.values_hz_per_m[0], wave.values_hz_per_m[-1]
        if wave.times_s[0] < 1e-9:
            first[axis] = begin
        else:
            step = max(step, abs(begin))
        if wave.times_s[-1] > duration_s - 1e-9:
            last[axis] = end
        else:
            step = max(step, abs(end))
        if not wave.corners.distinct:
            vertical = np.diff(wave.times_s) == 0
            step = max(step, float(np.abs(np.diff(wave.values_hz_per_m))[vertical].max(initial=0.0)))
    if key[3]:
        turn = played.rotation(key[3])
        first, last = turn @ first, turn @ last
    return first, last, float(step)


def _continuity(played: PlayedSequence) -> Check:
    """Steps where blocks meet, inside blocks, from rest at the start and to rest at the end of the file."""
    numbers: dict[tuple[int, float], int] = {}
    pairs = zip(played.gradients.key_numbers.tolist(), played.durations_s.tolist(), strict=True)
    which = np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], dtype=np.intp)
    edges = [_edges(played, played.gradients.keys[number], duration) for number, duration in numbers]
    rest = np.zeros((1, 3))
    first = np.concatenate([np.array([one[0] for one in edges]).reshape(-1, 3)[which], rest])
    last = np.concatenate([rest, np.array([one[1] for one in edges]).reshape(-1, 3)[which]])
    jumps = np.abs(first - last)  # (blocks + 1, 3); the last row is the end of the file
    inside = np.append(np.array([one[2] for one in edges])[which] if edges else np.zeros(0), 0.0)
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
