"""Zeroth moments: equal in each TR of a steady state, zero on balanced axes, and the same in each part of a train."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.core import Check
from seqopt.pulseq.checks_extent import extent_m
from seqopt.pulseq.played import Excitation, echo_trains
from seqopt.pulseq.readback import AXES, PlayedSequence

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOMENT_TOLERANCE_CYCLES = 0.05
_SPOILED_FLIP_RAD = np.radians(80.0)
_SPOILED_TR_S = 1.0
_TURNED = 0.25
_FEWEST = 2
_NOT_STEADY = "no two small-flip TRs of up to 1 s without other pulses"
_TRAIN = 3  # refocusing pulses from which a train must keep its coherences together
_EVEN_S = 5e-6


def moment_checks(played: PlayedSequence) -> tuple[list[Check], list[str]]:
    """What of steady state and echo trains applies to this file, and why the rest does not."""
    checks: list[Check] = []
    skipped: list[str] = []
    intervals = _steady_intervals(played)
    if len(intervals) < _FEWEST:
        skipped.append("equal spoiler moment in each TR: " + _NOT_STEADY)
    else:
        checks += _steady(played, intervals)
    trains = _even_trains(played)
    if trains:
        checks.append(_train_moments(played, trains))
    else:
        skipped.append("moments of an echo train: no evenly spaced trains of three refocusing pulses or more")
    return checks, skipped


def _steady_intervals(played: PlayedSequence) -> IntArray:
    """Numbers of the excitations up to whose next equal moments can be asked; none where flip angles are large.

    No other pulse lies between, and no pause in which the magnetisation recovers.
    """
    if max((pulse.flip_rad for pulse in played.excitations), default=0.0) > _SPOILED_FLIP_RAD:
        return np.zeros(0, dtype=np.int64)
    places = [place for place, pulse in enumerate(played.pulses) if pulse.use == "e"]
    centres_s = [pulse.centre_s for pulse in played.excitations]
    return np.flatnonzero((np.diff(places) == 1) & (np.diff(centres_s) <= _SPOILED_TR_S))


def moments_between_excitations(played: PlayedSequence) -> FloatArray:
    """(excitations - 1, 3) 1/m moment from each excitation's centre to the next."""
    return np.diff(moments_at(played, played.excitations), axis=0)


def moments_at(played: PlayedSequence, pulses: list[Excitation]) -> FloatArray:
    """(n, 3) moment from the start of the file to the centre of each pulse, without the effect of pulses."""
    inside: dict[tuple[tuple[int, ...], int], FloatArray] = {}
    out = np.zeros((len(pulses), 3))
    for number, pulse in enumerate(pulses):
        since_s = pulse.centre_s - float(played.starts_s[pulse.block])
        place = (played.block_key(pulse.block), round(since_s * 1e9))
        if place not in inside:
            inside[place] = played.moment_of(place[0], np.array([since_s]))[0]
        out[number] = played.moments_per_m[pulse.block] + inside[place]
    return out


def _steady(played: PlayedSequence, intervals: IntArray) -> list[Check]:
    """Axes whose usual moment is zero must stay at zero, the others must keep theirs."""
    cycles = moments_between_excitations(played)[intervals] * extent_m(played)
    usual = np.median(cycles, axis=0)
    if _turns(cycles):
        return [_turning_check(played, intervals, cycles)]
    balanced = np.abs(usual) <= MOMENT_TOLERANCE_CYCLES
    checks = []
    if not balanced.all():
        apart = np.abs(cycles - usual) * ~balanced
        remedy = "rewind the encoding moments and play the same spoiler in each TR"
        checks.append(
            _moment_check(played, intervals, "imaging.spoiling", apart, remedy, f"spoiled on {_names(~balanced)}")
        )
    if balanced.any():
        remedy = "bring the moment of each encoding gradient back to zero before the next excitation"
        apart = np.abs(cycles) * balanced
        checks.append(
            _moment_check(played, intervals, "imaging.rewound", apart, remedy, f"balanced on {_names(balanced)}")
        )
    return checks


def _turns(cycles: FloatArray) -> bool:
    """Whether the in-plane (or whole) moment keeps its size and turns, as spoilers along each spoke do.

    By more than a little: what is not rewound beside a strong spoiler hardly changes its size, either.
    """
    apart = np.abs(cycles - np.median(cycles, axis=0)).max()
    plane, whole = np.linalg.norm(cycles[:, :2], axis=1), np.linalg.norm(cycles, axis=1)
    return bool(apart > MOMENT_TOLERANCE_CYCLES) and any(
        apart > _TURNED * np.median(sizes[0])
        and all(np.abs(size - np.median(size)).max() <= MOMENT_TOLERANCE_CYCLES for size in sizes)
        for sizes in ((plane, cycles[:, 2]), (whole,))
    )


def _turning_check(played: PlayedSequence, intervals: IntArray, cycles: FloatArray) -> Check:
    sizes = np.linalg.norm(cycles, axis=1)
    apart = np.abs(sizes - np.median(sizes))[:, None]
    return _moment_check(played, intervals, "imaging.spoiling", apart, "", "of equal size, turning with the readout")


def _moment_check(
    played: PlayedSequence, intervals: IntArray, name: str, apart: FloatArray, remedy: str, note: str
) -> Check:
    place, axis = np.unravel_index(int(np.argmax(apart)), apart.shape)
    worst, at = float(apart[place, axis]), int(intervals[place])
    held = worst <= MOMENT_TOLERANCE_CYCLES
    pulse = played.excitations[at]
    along = f"{AXES[axis]} " if apart.shape[1] == 3 else ""
    return Check(
        name=name, held=held, value=round(worst, 6), limit=MOMENT_TOLERANCE_CYCLES, unit="1/FOV",
        where=f"{along}after excitation {at + 1}, block {pulse.block + 1} at {pulse.centre_s * 1e3:.3f} ms; {note}",
        remedy="" if held else remedy,
    )  # fmt: skip


def _names(axes: npt.NDArray[np.bool_]) -> str:
    return ", ".join(AXES[axis] for axis in np.flatnonzero(axes))


def _even_trains(played: PlayedSequence) -> list[list[Excitation]]:
    """Excitations with their refocusing pulses, where these are three or more at equal distances."""
    return [
        train
        for train in echo_trains(played.pulses)
        if len(train) > _TRAIN and np.ptp(np.diff([pulse.centre_s for pulse in train[1:]])) <= _EVEN_S
    ]


def _train_moments(played: PlayedSequence, trains: list[list[Excitation]]) -> Check:
    """From one refocusing pulse to the next the same moment on each axis, or stimulated echoes spoil the spin echoes.

    The condition of Carr, Purcell, Meiboom and Gill on gradients (Hennig et al., Magn Reson Med 3:823, 1986).
    """
    pulses = [pulse for train in trains for pulse in train[1:]]
    at = moments_at(played, pulses) * extent_m(played)
    worst, where, first = 0.0, "", 0
    for number, train in enumerate(trains):
        steps = np.diff(at[first : first + len(train) - 1], axis=0)
        apart = np.abs(steps - np.median(steps, axis=0))
        first += len(train) - 1
        if float(apart.max()) > worst or not where:
            echo, axis = np.unravel_index(int(np.argmax(apart)), apart.shape)
            worst = float(apart.max())
            pulse = train[int(echo) + 1]
            where = f"{AXES[axis]} after refocusing pulse {echo + 1} of train {number + 1}, block {pulse.block + 1}"
            where += f" at {pulse.centre_s * 1e3:.3f} ms"
    held = worst <= MOMENT_TOLERANCE_CYCLES
    return Check(
        name="imaging.echo_train", held=held, value=round(worst, 6), limit=MOMENT_TOLERANCE_CYCLES, unit="1/FOV",
        where=where, remedy="" if held else "rewind the phase encoding of each echo and play equal crushers",
    )  # fmt: skip
