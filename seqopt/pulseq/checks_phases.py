"""Whether the receiver follows the phase of the signal: RF spoiling, phase cycling and refocusing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from seqopt.core import Check
from seqopt.pulseq.checks_extent import extent_m
from seqopt.pulseq.readout_table import IntArray, ReadoutTable, image_from_block

FloatArray = npt.NDArray[np.float64]

PHASE_LIMIT_RAD = 0.01
_COHERENT = 1 - PHASE_LIMIT_RAD**2 / 2  # resultant of phases that spread by the limit
_SHIFT_READOUTS = 256  # enough to tell a shift of the field of view
_SHIFT_FOVS = 2.0


def phase_check(table: ReadoutTable) -> tuple[list[Check], list[str]]:
    """Receiver minus signal phase is constant over the readouts of one slice, set and echo.

    A receiver's phase that is linear in k shifts the field of view, and is taken for that; a pulse's is not.
    """
    if len(table) < 2:
        return [], ["receiver phase: fewer than two readouts after an excitation"]
    if not table.encoded_axes.any():
        return [], ["receiver phase: no gradient encodes; phase cycling is free to be anything"]
    receiver = np.array([readout.phase_rad for readout in table.readouts])
    turn = receiver - np.array([readout.signal_phase_rad for readout in table.readouts])
    worst, where, shifted = 0.0, "", False
    for members in _alike(table):
        spread = _spread_rad(turn[members])
        turns = min(spread.max(), _spread_rad(receiver[members]).max()) > PHASE_LIMIT_RAD
        if turns and _is_shift(table, members, turn[members]):
            shifted = True
            continue
        at = int(np.argmax(spread))
        if spread[at] > worst or not where:
            worst, where = float(spread[at]), table.place(int(members[at]))
    held = worst <= PHASE_LIMIT_RAD
    return [
        Check(
            name="imaging.receiver_phase", held=held, value=float(f"{worst:.3g}"), limit=PHASE_LIMIT_RAD, unit="rad",
            where="; ".join(filter(None, [where, _increment(table), "FOV shifted by phase" if shifted else ""])),
            remedy="" if held else "give each ADC the phase of the RF pulse whose signal it reads",
        )
    ], []  # fmt: skip


def _alike(table: ReadoutTable) -> Iterator[IntArray]:
    """Numbers of the readouts whose phases must agree: one slice, set, echo, phase and repetition."""
    frequency = np.array([
        0.0 if readout.excitation is None else readout.excitation.freq_hz for readout in table.readouts
    ])  # fmt: skip
    labels = [table.label(name) for name in ("SLC", "SET", "ECO", "PHS", "REP", "AVG", "SEG", "REV")]
    _, group = np.unique(np.column_stack([frequency, *labels]), axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _spread_rad(phase_rad: FloatArray) -> FloatArray:
    """(n,) distance of each phase from the one that most share (the first's, or the median about it)."""
    about = np.angle(np.exp(1j * (phase_rad - phase_rad[0])))
    return np.asarray(np.abs(np.angle(np.exp(1j * (about - np.median(about))))))


def _is_shift(table: ReadoutTable, members: IntArray, phase_rad: FloatArray) -> bool:
    """Whether the phases are those of a shift along one axis that is encoded from readout to readout."""
    extent = extent_m(table.played)
    some = members[:_SHIFT_READOUTS]
    signal = np.exp(1j * phase_rad[: len(some)])
    for axis in np.flatnonzero(np.ptp(table.offsets_per_m[some], axis=0) > 1.0 / extent):
        k = table.offsets_per_m[some, axis]
        steps = np.arange(-1.0, 1.0, 1 / (32 * _SHIFT_FOVS * extent * np.ptp(k)))
        shifts = _SHIFT_FOVS * extent * steps
        sums = np.abs(np.exp(-2j * np.pi * shifts[:, None] * k) @ signal) / len(some)
        if sums.max() > 0.995:  # between two shifts of the raster the phases fan out a little
            best = shifts[int(np.argmax(sums))]
            fan = np.angle(signal * np.exp(-2j * np.pi * best * k) * np.conj(signal[0]))
            slope, start = np.polyfit(k, np.unwrap(fan), 1)
            return bool(np.abs(np.angle(np.exp(1j * (fan - start - slope * k)))).max() <= PHASE_LIMIT_RAD)
    return False


def _increment(table: ReadoutTable) -> str:
    """How the phase of the image's excitations of one slice goes on, in words; calibration scans start anew."""
    first_block = image_from_block(table.played)
    pulses = [pulse for pulse in table.played.excitations if pulse.block >= first_block]
    phases = np.array([pulse.phase_rad for pulse in pulses if pulse.freq_hz == pulses[0].freq_hz])
    if len(phases) < 3:
        return ""
    first = np.exp(1j * np.diff(phases))
    second = first[1:] * np.conj(first[:-1])
    if np.abs(first - 1).max() < 1e-3:
        return "RF phase constant"
    if np.abs(first - first[0]).max() < 1e-3:
        return f"RF phase steps by {_degrees(first[0])} degrees"
    if abs(second.mean()) > _COHERENT:
        return f"RF spoiling by {_degrees(complex(second.mean()))} degrees"
    return "RF phases neither linear nor quadratic"


def _degrees(turn: complex) -> str:
    return f"{np.degrees(np.angle(turn)) % 360:.4g}"
