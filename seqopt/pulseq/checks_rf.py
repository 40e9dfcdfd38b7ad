"""Checks of RF: peak B1, frequency offset, the use of each pulse, block pulses, and a relative measure of its power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, Scanner
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.seqtables import RfEvent
from seqopt.units import GAMMA_HZ_PER_T

FloatArray = npt.NDArray[np.float64]

SAR_WINDOW_S = 10.0
"""Over which IEC 60601-2-33 averages for its short-term limits."""
REFERENCE_HZ = 250.0
"""Integral of |B1|^2 of a block pulse of 1 ms and 180 degrees: (500 Hz)^2 x 1 ms."""
_HZ_PER_UT = GAMMA_HZ_PER_T * 1e-6


@dataclass(frozen=True)
class _Pulse:
    """One distinct RF event, measured."""

    event: RfEvent
    block: int
    """The first that plays it."""
    peak_hz: float
    peak_at_s: float
    """From the block's start."""
    energy_hz: float
    """Integral of |B1|^2: Hz^2 s."""


def rf_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], list[str]]:
    """Each against its limit; a file without RF has nothing to check."""
    pulses = _pulses(played)
    if not pulses:
        return [], ["RF peak, frequency offset, dead time and ringdown: no RF is played"]
    offsets = {
        number: abs(one.event.freq_hz + one.event.freq_ppm * 1e-6 * GAMMA_HZ_PER_T * scanner.field_t)
        for number, one in pulses.items()
    }
    out = [_peak(played, pulses, scanner), _offset(played, pulses, offsets, scanner)]
    if played.file.version >= (1, 5, 0):
        out.append(_use(played, pulses))
    shimmed = "RF_SHIMS" in played.file.extension_types.values()
    left = ["RF peak and power of each channel: the file has RF_SHIMS, which scale the pulses"] if shimmed else []
    return [*out, _block_pulses(played, pulses)], left


def _pulses(played: PlayedSequence) -> dict[int, _Pulse]:
    return {number: _measured(played, number, block) for number, block in played.first_uses(2).items()}


def _measured(played: PlayedSequence, number: int, block: int) -> _Pulse:
    event = played.file.rf[number]
    times, signal = played.rf_shape(event)
    power = np.abs(signal) ** 2
    if event.time_shape:
        energy = float((np.diff(times) * (power[1:] + power[:-1]) / 2).sum())
    else:
        energy = float(power.sum()) * played.rasters_s["RadiofrequencyRasterTime"]
    at = int(np.argmax(power))
    return _Pulse(event, block, float(np.sqrt(power[at])), event.delay_s + float(times[at]), energy)


def _peak(played: PlayedSequence, pulses: dict[int, _Pulse], scanner: Scanner) -> Check:
    number = max(pulses, key=lambda n: pulses[n].peak_hz)
    worst = pulses[number].peak_hz
    held = worst <= scanner.max_b1_hz * (1 + 1e-6)
    at = played.place(pulses[number].block, pulses[number].peak_at_s)
    where = f"RF {number}, {at}: {worst / _HZ_PER_UT:.3f} uT"
    return Check(
        name="rf.peak_b1", held=held, value=round(worst, 4), limit=round(scanner.max_b1_hz, 4), unit="Hz", where=where,
        remedy="" if held else "use a longer pulse or a smaller flip angle",
    )  # fmt: skip


def _offset(played: PlayedSequence, pulses: dict[int, _Pulse], offsets: dict[int, float], scanner: Scanner) -> Check:
    number = max(offsets, key=lambda n: offsets[n])
    worst = offsets[number]
    held = worst <= scanner.max_rf_offset_hz * (1 + 1e-6)
    return Check(
        name="rf.frequency_offset", held=held, value=round(worst, 4), limit=round(scanner.max_rf_offset_hz, 4),
        unit="Hz", where=f"RF {number}, {played.place(pulses[number].block)}",
        remedy="" if held else "bring the slices closer together",
    )  # fmt: skip


def _use(played: PlayedSequence, pulses: dict[int, _Pulse]) -> Check:
    unknown = [
        f"RF {number}, {played.place(one.block)}: use {one.event.use!r}"
        for number, one in pulses.items()
        if one.event.use not in tuple("erispo")
    ]
    return list_check("rf.use", unknown, "e, r, i, s, p or o", "state the use; without it k-space cannot be computed")


def _block_pulses(played: PlayedSequence, pulses: dict[int, _Pulse]) -> Check:
    """Two-point block pulses of several lengths: an interpreter takes one for the other (pypulseq issue 5)."""
    lengths: dict[float, int] = {}
    for number, one in pulses.items():
        if one.event.time_shape and len(played.rf_shape(one.event)[0]) == 2:
            lengths.setdefault(round(played.rf_duration_s(one.event), 9), number)
    problems = [
        f"RF {number}, {played.place(pulses[number].block)}: a block pulse of {length * 1e6:g} us by two samples"
        for length, number in lengths.items()
    ]
    remedy = (
        "give the block pulses a sample for each RF raster: interpreters mix up two-point shapes of several lengths"
    )
    return list_check("rf.block_pulses", problems if len(lengths) > 1 else [], "two-point shapes of one length", remedy)


def relative_sar(played: PlayedSequence) -> dict[str, Any]:
    """Largest mean over 10 s of the integral of |B1|^2, in block pulses of 1 ms and 180 degrees a second.

    Twice the value is twice the power in the same coil and person; what it is in W/kg only the scanner knows, so that
    no limit can be compared with it: entries of a certificate's summary.
    """
    pulses = _pulses(played)
    if not pulses:
        return {}
    ids = played.file.blocks[:, 2]
    playing = np.flatnonzero(ids)
    table = np.zeros(int(ids.max(initial=0)) + 1)
    for number, one in pulses.items():
        table[number] = one.energy_hz
    total = np.concatenate([[0.0], np.cumsum(table[ids[playing]])])
    times = played.starts_s[playing]
    window = min(SAR_WINDOW_S, max(played.duration_s, 1e-9))
    sums = total[np.searchsorted(times, times + window)] - total[:-1]
    at = int(np.argmax(sums))
    mean = total[-1] / max(played.duration_s, 1e-9) / REFERENCE_HZ
    return {
        "relative_sar_1ms_180_pulses_per_s": float(f"{float(sums[at]) / window / REFERENCE_HZ:.6g}"),
        "relative_sar_where": f"the {window:g} s from {played.place(int(playing[at]))}; {mean:.4g} over the whole file",
    }
