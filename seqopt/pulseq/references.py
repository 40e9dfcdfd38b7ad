"""Whether everything that a Pulseq file refers to is defined in it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from seqopt.pulseq.seqtables import GradEvent, SeqFile

KNOWN_EXTENSIONS = ("TRIGGERS", "LABELSET", "LABELINC", "DELAYS", "ROTATIONS", "RF_SHIMS")


def undefined_references(file: SeqFile) -> list[str]:
    """One text for each reference to an event, shape or extension that the file does not define."""
    out: list[str] = []
    columns: list[tuple[int, str, Mapping[int, object]]] = [
        (2, "RF", file.rf),
        (3, "gradient", file.gradients),
        (4, "gradient", file.gradients),
        (5, "gradient", file.gradients),
        (6, "ADC", file.adc),
        (7, "extension", file.extensions),
    ]
    if file.version < (1, 4, 0):
        columns.append((1, "delay", file.delays_s))
    for column, kind, table in columns:
        for number in np.unique(file.blocks[:, column]).tolist():
            if number and number not in table:
                block = int(np.argmax(file.blocks[:, column] == number))
                out.append(f"block {block + 1} plays {kind} {number}, which is not defined")
    for number, rf in file.rf.items():
        out += _shapes(file, f"RF {number}", [rf.magnitude_shape], optional=[rf.phase_shape, rf.time_shape])
    for number, event in file.gradients.items():
        if isinstance(event, GradEvent) and not (event.shape in file.shapes and event.time_shape in file.shapes):
            time = [event.time_shape] if event.time_shape != -1 else []
            out += _shapes(file, f"gradient {number}", [event.shape], optional=time)
    for number, adc in file.adc.items():
        out += _shapes(file, f"ADC {number}", [], optional=[adc.phase_shape])
    return out + _extensions(file)


def _shapes(file: SeqFile, owner: str, needed: list[int], *, optional: list[int]) -> list[str]:
    wanted = needed + [number for number in optional if number]
    return [f"{owner} uses shape {number}, which is not defined" for number in wanted if number not in file.shapes]


def _extensions(file: SeqFile) -> list[str]:
    out = []
    for number, (kind, reference, following) in file.extensions.items():
        name = file.extension_types.get(kind)
        row = file.extension_rows.get(name or "", {}).get(reference)
        if name is None:
            out.append(f"extension {number} has type {kind}, which is not defined")
        elif row is None:
            out.append(f"extension {number} uses {name} {reference}, which is not defined")
        elif name in ("LABELSET", "LABELINC") and not _is_label(row):
            out.append(f"extension {number} uses {name} {reference}, which is not a number and a label")
        elif name == "ROTATIONS" and not _is_quaternion(row):
            out.append(f"extension {number} uses ROTATIONS {reference}, which is not four numbers of length 1")
        if following and following not in file.extensions:
            out.append(f"extension {number} continues with {following}, which is not defined")
    if not out and (entry := _in_a_circle(file)):
        out.append(f"the list at extension {entry} runs in a circle")
    return out


def _is_label(row: tuple[str, ...]) -> bool:
    return len(row) == 2 and bool(re.fullmatch(r"-?[0-9]{1,9}", row[0]))


def _is_quaternion(row: tuple[str, ...]) -> bool:
    try:
        return len(row) == 4 and 0.99 < float(np.linalg.norm([float(token) for token in row])) < 1.01
    except ValueError:
        return False


def _in_a_circle(file: SeqFile) -> int:
    """An entry that comes after itself, 0 for none."""
    finished: set[int] = set()
    for start in file.extensions:
        chain: set[int] = set()
        entry = start
        while entry and entry not in finished:
            if entry in chain:
                return entry
            chain.add(entry)
            entry = file.extensions[entry][2]
        finished |= chain
    return 0
