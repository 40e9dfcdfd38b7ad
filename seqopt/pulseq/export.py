"""A pypulseq sequence -> bytes that every reader takes: plain integers, nine digits, exact duration, signed.

pypulseq 1.5.0.post1 writes some integer fields with %g (1000100 becomes 1.0001e+06, which readers take for 1) and
amplitudes with six digits (0.001/FOV of prephaser error at a matrix of 256); both are written anew from its tables.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from seqopt.errors import SeqoptError

VERSIONS = ("1.5.0", "1.4.1")
_SIGNATURE = (
    "\n[SIGNATURE]\n"
    "# This is the hash of the Pulseq file, calculated right before the [SIGNATURE] section was added\n"
    "# It can be reproduced/verified with md5sum if the file trimmed to the position right above [SIGNATURE]\n"
    "# The new line character preceding [SIGNATURE] BELONGS to the signature (and needs to be stripped away for "
    "recalculating/verification)\n"
    "Type md5\n"
)


def write_sequence(sequence: Any, path: Path, *, version: str = "1.5.0") -> str:
    """Write a ``pypulseq.Sequence`` to exactly ``path`` as Pulseq text; returns the MD5 of its signature.

    Raises ``SeqoptError`` for a version other than 1.5.0 or 1.4.1, or a block that is off the raster.
    """
    if version not in VERSIONS:
        raise SeqoptError(f"Pulseq version: got {version}, expected one of {', '.join(VERSIONS)}; choose one of them")
    duration_rasters = 0
    raster = sequence.block_duration_raster
    for block, duration in sequence.block_durations.items():
        if abs(duration / raster - round(duration / raster)) > 1e-6:
            raise SeqoptError(f"block {block} lasts {duration} s, off the raster of {raster} s; round its events")
        duration_rasters += round(duration / raster)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.seq"
        sequence.write(
            str(draft),
            create_signature=False,
            remove_duplicates=False,
            check_timing=False,
            v141_compat=version == "1.4.1",
        )
        text = draft.read_text(encoding="utf-8")
    text = _finish(text, sequence, version, _plain(duration_rasters * Decimal(repr(float(raster)))))
    md5 = hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()
    path.write_bytes((text + _SIGNATURE + f"Hash {md5}\n").encode("utf-8"))
    return md5


def _finish(text: str, sequence: Any, version: str, total_duration: str) -> str:
    """Replace the rows of events and the duration; the layout stays pypulseq's."""
    new = version == "1.5.0"
    gradients = sequence.grad_library.data
    kinds = sequence.grad_library.type
    rows: dict[str, list[str]] = {
        "[RF]": [_rf_row(sequence, key, data, new) for key, data in sequence.rf_library.data.items()],
        "[GRADIENTS]": [_grad_row(key, data, new) for key, data in gradients.items() if kinds[key] == "g"],
        "[TRAP]": [_trap_row(key, data) for key, data in gradients.items() if kinds[key] == "t"],
        "[ADC]": [_adc_row(sequence, key, data, new) for key, data in sequence.adc_library.data.items()],
    }
    out: list[str] = []
    skipping = False
    for line in text.split("\n"):
        if line in rows:
            out += [line, *rows[line]]
            skipping = True
        elif skipping and line and line[0] not in "#[":
            continue
        else:
            skipping = False
            if line.startswith("TotalDuration "):
                line = f"TotalDuration {total_duration}"
            out.append(line.rstrip())
    return "\n".join(out)


def _plain(value: float | Decimal) -> str:
    """Nine significant digits (all of a Decimal) without an exponent."""
    text = str(value) if isinstance(value, Decimal) else f"{value:.9g}"
    plain = f"{Decimal(text):f}"
    return (plain.rstrip("0").rstrip(".") if "." in plain else plain) if Decimal(text) else "0"


def _whole(value: float, unit: float) -> str:
    """A time as a whole number of units; what is not one would be played at another time."""
    number = value / unit
    if abs(number - round(number)) > 1e-3:
        raise SeqoptError(
            f"{value} s is not a whole number of {unit:g} s, as Pulseq files need; round it to the raster"
        )
    return str(round(number))


def _rf_row(sequence: Any, key: int, data: tuple[float, ...], new: bool) -> str:
    amplitude, magnitude, phase, time, centre, delay, freq_ppm, phase_ppm, freq, offset = data
    shapes = [str(int(number)) for number in (magnitude, phase, time)]
    start = [str(key), _plain(amplitude), *shapes]
    if new:
        tail = [_plain(value) for value in (freq_ppm, phase_ppm, freq, offset)]
        return " ".join([*start, _plain(centre * 1e6), _whole(delay, 1e-6), *tail, sequence.rf_library.type[key]])
    return " ".join([*start, _whole(delay, 1e-6), *_without_ppm(sequence, freq_ppm, phase_ppm, freq, offset)])


def _grad_row(key: int, data: tuple[float, ...], new: bool) -> str:
    amplitude, first, last, shape, time, delay = data
    edges = [_plain(first), _plain(last)] if new else []
    return " ".join([str(key), _plain(amplitude), *edges, str(int(shape)), str(int(time)), _whole(delay, 1e-6)])


def _trap_row(key: int, data: tuple[float, ...]) -> str:
    return " ".join([str(key), _plain(data[0]), *(_whole(value, 1e-6) for value in data[1:5])])


def _adc_row(sequence: Any, key: int, data: tuple[float, ...], new: bool) -> str:
    samples, dwell, delay, freq_ppm, phase_ppm, freq, offset, shape = data[:8]
    start = [str(key), str(int(samples)), _whole(dwell, 1e-9), _whole(delay, 1e-6)]
    if new:
        return " ".join([*start, *(_plain(value) for value in (freq_ppm, phase_ppm, freq, offset)), str(int(shape))])
    return " ".join([*start, *_without_ppm(sequence, freq_ppm, phase_ppm, freq, offset)])


def _without_ppm(sequence: Any, freq_ppm: float, phase_ppm: float, freq: float, offset: float) -> list[str]:
    """Version 1.4 has no ppm columns: they become Hz and rad at the sequence's field."""
    hz_per_ppm: Callable[[float], float] = lambda ppm: ppm * 1e-6 * sequence.system.gamma * sequence.system.B0  # noqa: E731
    return [_plain(freq + hz_per_ppm(freq_ppm)), _plain(offset + hz_per_ppm(phase_ppm))]
