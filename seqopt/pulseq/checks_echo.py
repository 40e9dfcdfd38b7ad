"""Whether the echo lies where the file says: k = 0 at EchoTime."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.core import Check
from seqopt.pulseq.readout_table import ReadoutTable

FloatArray = npt.NDArray[np.float64]

ECHO_TOLERANCE_PER_M = 0.02  # 0.005/FOV at 250 mm
_KEYS = ("EchoTime", "TE")
_LONGEST_S = 1000.0
_REMEDY = "move the ADC or correct EchoTime (seconds): the smallest |k| of all must lie at TE"


def echo_check(table: ReadoutTable) -> tuple[list[Check], list[str]]:
    """Smallest |k| at the declared echo time, to one dwell; several times are those of several echoes."""
    stated = next((key for key in _KEYS if key in table.played.definitions), None)
    if stated is None:
        return [], ["echo time: the file has no EchoTime"]
    if not table.encoded_axes.any():
        return [], ["echo time: no gradient encodes, so no sample is an echo by its k"]
    try:
        wanted = np.array([float(token) for token in table.played.definitions[stated].split()])
    except ValueError:
        wanted = np.zeros(0)
    if not (len(wanted) and (np.abs(wanted) < _LONGEST_S).all()):  # NaN is not
        remedy = "give EchoTime in seconds"
        value = table.played.definitions[stated]
        return [Check(name="imaging.echo", held=False, value=value, limit="a time", unit="s", remedy=remedy)], []
    numbers = echo_readouts(table)
    apart = np.abs(table.echo_times_s[numbers, None] - wanted).min(axis=1)
    for place in np.flatnonzero(apart > table.dwells_s[numbers]):
        if _passes_zero_again(table, int(numbers[place]), wanted):
            apart[place] = 0.0
    worst = int(np.argmax(apart - table.dwells_s[numbers]))
    number = int(numbers[worst])
    held = bool(apart[worst] <= table.dwells_s[number] + 1e-9)
    where = f"{table.place(number, int(table.echo_samples[number]))}; {apart[worst] * 1e6:.3f} us off"
    return [
        Check(
            name="imaging.echo", held=held, value=round(float(table.echo_times_s[number]) * 1e3, 6),
            limit=" ".join(f"{time * 1e3:g}" for time in wanted), unit="ms", where=where + _spin_echo(table, number),
            remedy="" if held else _REMEDY,
        )
    ], []  # fmt: skip


def echo_readouts(table: ReadoutTable) -> npt.NDArray[np.int64]:
    """Numbers of the readouts that define the echo: those that come nearest to k = 0.

    All spokes and interleaves pass k = 0. Of parallel lines and of EPI trains most do not: where such a shot is nearest
    to the centre depends on how it bends, and the contrast follows from those that do pass it.
    """
    nearest = table.echo_distances_per_m
    return np.flatnonzero(nearest <= nearest.min(initial=np.inf) + ECHO_TOLERANCE_PER_M)


def median_echo_time_s(table: ReadoutTable) -> float:
    """Echo time of the readouts that define it; NaN without any."""
    return float(np.median(table.echo_times_s[echo_readouts(table)])) if len(table) else float("nan")


def _passes_zero_again(table: ReadoutTable, number: int, wanted_s: FloatArray) -> bool:
    """A path may cross k = 0 more than once: an equally small |k| at TE counts."""
    readout = table.readouts[number]
    if readout.excitation is None:
        return False
    since_open = wanted_s + readout.excitation.centre_s - readout.start_s
    at = np.round(since_open / readout.dwell_s - 0.5).astype(np.int64)
    at = at[(at >= 0) & (at < readout.samples)]
    limit = float(table.echo_distances_per_m[number]) + ECHO_TOLERANCE_PER_M
    return bool(len(at)) and bool(table.k_at(number, at).min() <= limit)


def _spin_echo(table: ReadoutTable, number: int) -> str:
    """Where the refocusing pulses since the excitation put the spin echo; empty without any."""
    readout = table.readouts[number]
    if readout.excitation is None:
        return ""
    start, echo, refocused = readout.excitation.centre_s, 0.0, False
    for pulse in table.played.pulses:
        if pulse.use == "r" and readout.excitation.block < pulse.block < readout.block:
            echo, refocused = 2 * (pulse.centre_s - start) - echo, True
    return f"; spin echo at {echo * 1e3:.4f} ms" if refocused else ""
