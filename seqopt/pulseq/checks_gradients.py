"""Gradient limits on the true continuous waveform: each axis and the vector, ramps and half rasters included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, Scanner
from seqopt.pulseq.readback import AXES, PlayedSequence
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m

FloatArray = npt.NDArray[np.float64]

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
    block: int = 0
    time_s: float = 0.0
    over: int = 0
    count: int = 0

    def add(self, values: FloatArray, times_s: FloatArray, limit: float, block: int, plays: int) -> None:
        if not len(values):
            return
        self.count += len(values) * plays
        self.over += int((values > limit * (1 + ROUNDING)).sum()) * plays
        at = int(np.argmax(values))
        if values[at] > self.value:
            self.value, self.block, self.time_s = float(values[at]), block, float(times_s[at])


def gradient_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], dict[str, float]]:
    """Checks, and the largest values for the summary."""
    limits = {"amplitude": scanner.max_grad_hz_per_m, "slew": scanner.max_slew_hz_per_m_per_s}
    worst = {(kind, name): _Worst() for kind in limits for name in (*AXES, "vector")}
    keys = [played.block_key(block) for block in range(played.blocks)]
    plays: dict[tuple[int, ...], list[int]] = {}
    for block, key in enumerate(keys):
        plays.setdefault(key, [block, 0])[1] += 1
    for key, (block, times_played) in plays.items():
        t, g = played.corners_of(key)
        if not len(t):
            continue
        pairs = {"amplitude": (g, t), "slew": (np.diff(g, axis=0) / np.diff(t)[:, None], (t[1:] + t[:-1]) / 2)}
        for kind, (values, times) in pairs.items():
            sized = {**{a: np.abs(values[:, i]) for i, a in enumerate(AXES)}, "vector": np.linalg.norm(values, axis=1)}
            for name, sizes in sized.items():
                worst[kind, name].add(sizes, times, limits[kind], block, times_played)
    checks = [_limit(played, kind, name, worst[kind, name], limits[kind]) for kind, name in worst]
    checks.append(_joints(played, keys))
    return checks, {
        f"largest_{'gradient_mt_per_m' if kind == 'amplitude' else 'slew_t_per_m_per_s'}_{name}": round(
            _shown(kind, found.value), 6
        )
        for (kind, name), found in worst.items()
    }


def _shown(kind: str, value: float) -> float:
    return hz_per_m_to_mt_per_m(value) if kind == "amplitude" else hz_per_m_per_s_to_t_per_m_per_s(value)


def _limit(played: PlayedSequence, kind: str, name: str, worst: _Worst, limit: float) -> Check:
    when = float(played.starts_s[worst.block]) + worst.time_s
    return Check(
        name=f"gradient.{'vector' if name == 'vector' else 'axis'}_{kind}{'' if name == 'vector' else '_' + name}",
        held=worst.over == 0,
        value=round(_shown(kind, worst.value), 4),
        limit=round(_shown(kind, limit), 4),
        unit="mT/m" if kind == "amplitude" else "T/m/s",
        where=f"largest: block {worst.block + 1} at {when * 1e3:.3f} ms; {worst.over} of {worst.count} over",
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
        vertical = np.diff(wave.times_s) == 0
        step = max(step, float(np.abs(np.diff(wave.values_hz_per_m))[vertical].max(initial=0.0)))
    if key[3]:
        turn = played.rotation(key[3])
        first, last = turn @ first, turn @ last
    return first, last, float(step)


def _joints(played: PlayedSequence, keys: list[tuple[int, ...]]) -> Check:
    cache: dict[tuple[tuple[int, ...], float], tuple[FloatArray, FloatArray, float]] = {}
    last = np.zeros(3)
    worst, where, over = 0.0, "", 0
    for block, (key, duration) in enumerate(zip(keys, played.durations_s.tolist(), strict=True)):
        if (key, duration) not in cache:
            cache[key, duration] = _edges(played, key, duration)
        first, end, inside = cache[key, duration]
        size = max(float(np.abs(first - last).max()), inside)
        over += size > JOINT_HZ_PER_M
        if size > worst:
            axis = AXES[int(np.argmax(np.abs(first - last)))]
            worst, where = size, f"block {block + 1} at {played.starts_s[block] * 1e3:.3f} ms, {axis}"
        last = end
    if np.abs(last).max() > max(worst, JOINT_HZ_PER_M):
        worst, where, over = float(np.abs(last).max()), "the end of the file", over + 1
    return Check(
        name="gradient.continuity",
        held=worst <= JOINT_HZ_PER_M,
        value=round(worst, 6),
        limit=JOINT_HZ_PER_M,
        unit="Hz/m",
        where=f"{where}; {over} of {len(keys)} blocks over" if where else "",
        remedy="" if worst <= JOINT_HZ_PER_M else "let the gradient be 0 at the block's edge or continue in the next",
    )
