"""Checks of shapes: what stands in them, whether those of one event fit together, and `first` and `last`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import GradEvent, SeqFile

_ROUNDING = 1e-6
EDGE_HZ_PER_M = 1.0


def broken_shapes(file: SeqFile) -> list[str]:
    """One text for each shape that is no list of numbers, and each event whose shapes differ in length."""
    out = []
    for number, item in file.shapes.items():
        if not (item.sound or np.isfinite(item.packed).all()):
            out.append(f"shape {number} (line {item.line}) holds NaN or infinity")
            continue
        if item.sound and item.as_sampled and file.knows_plain_shapes:
            continue  # nothing to unpack
        try:
            file.shape(number)
        except SeqoptError as error:
            out.append(f"shape {number}: {str(error).removeprefix(f'{file.path}: ')}")
    return out + list(_unequal(file))


def shape_problems(file: SeqFile) -> list[str]:
    """One text for each shape that is broken or out of its range."""
    out = broken_shapes(file)
    if out:
        return out
    out += [f"RF {number} has a negative amplitude" for number, event in file.rf.items() if event.amplitude_hz < 0]
    phases = {event.phase_shape for event in file.rf.values()} - {0}
    magnitudes = {event.magnitude_shape for event in file.rf.values()}
    shaped = [event for event in file.gradients.values() if isinstance(event, GradEvent)]
    waves = magnitudes | {event.shape for event in shaped}
    times = ({event.time_shape for event in file.rf.values()} | {event.time_shape for event in shaped}) - {0, -1}
    special = phases | magnitudes | times
    for number, item in file.shapes.items():
        if item.largest <= 1 + _ROUNDING and number not in special and item.as_sampled and file.knows_plain_shapes:
            continue
        where = f"shape {number} (line {item.line})"
        values = file.shape(number)
        low, high = float(values.min()), float(values.max())
        if number in waves and max(-low, high) > 1 + _ROUNDING:  # a receiver's phase is free, as is what nobody plays
            worst = int(np.argmax(np.abs(values)))
            out.append(f"{where} reaches {values[worst]:.6g} at sample {worst}")
        if number in magnitudes and low < -_ROUNDING:
            out.append(f"{where} is an RF magnitude and reaches {low:.6g} at sample {int(np.argmin(values))}")
        if number in phases and (low < -_ROUNDING or high > 1 + _ROUNDING):
            out.append(f"{where} is an RF phase outside 0..1 turns")
        if number in times and (low < 0 or (np.diff(values) <= 0).any()):
            out.append(f"{where} is a time shape and does not increase from 0")
    return out


def edge_problems(file: SeqFile) -> list[str]:
    """Where `first` or `last` of an extended trapezoid is not its corner; 1.4 has no such columns."""
    out = []
    for number, event in file.gradients.items():
        if not isinstance(event, GradEvent) or event.first_hz_per_m is None or event.last_hz_per_m is None:
            continue
        if event.time_shape <= 0:
            continue
        values = file.shape(event.shape)
        for word, stated, at in (("first", event.first_hz_per_m, 0), ("last", event.last_hz_per_m, -1)):
            true = event.amplitude_hz_per_m * float(values[at])
            if not abs(stated - true) <= EDGE_HZ_PER_M + 1e-5 * abs(event.amplitude_hz_per_m):  # six digits a number
                out.append(f"gradient {number}: {word} is {stated:g} Hz/m, the shape has {true:g}")
    return out


def _unequal(file: SeqFile) -> Iterator[str]:
    """Events whose shapes have different lengths, where all exist."""

    def lengths(*numbers: int) -> list[int]:
        return [file.shapes[number].samples for number in numbers if number > 0 and number in file.shapes]

    for number, rf in file.rf.items():
        if len(set(found := lengths(rf.magnitude_shape, rf.phase_shape, rf.time_shape))) > 1:
            yield f"RF {number}: its shapes have {' and '.join(map(str, found))} samples"
    for number, event in file.gradients.items():
        if isinstance(event, GradEvent) and event.time_shape > 0:
            values, times = file.shapes.get(event.shape), file.shapes.get(event.time_shape)
            if values and times and (values.samples != times.samples or values.samples == 1):
                yield f"gradient {number}: {values.samples} amplitudes at {times.samples} times"
    for number, adc in file.adc.items():
        found = lengths(adc.phase_shape)
        if found and found[0] != adc.samples:
            yield f"ADC {number}: {adc.samples} samples and {found[0]} phases"
