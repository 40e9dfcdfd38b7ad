"""Checks of size, against what interpreters are known to have taken."""

from __future__ import annotations

import numpy as np

from seqopt.core import Check, Scanner
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.seqtables import TrapEvent

LARGEST_BYTES = 40_000_000
"""Where loading becomes tedious; 65 MB ran reliably, 180 MB with patience (github.com/pulseq/pulseq issue 192)."""
MOST_EXCITATIONS = 140_000
"""Siemens interpreter 1.5 crashed during scans of more TRs, whatever they held (issue 240)."""
LARGEST_ID = 2**31 - 1
"""The interpreters' C++ reader keeps ids in 32 bits."""


def size_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], list[str]]:
    """File, TRs and ids; the other counts have no published limit and are told as what was not checked."""
    file = played.file
    shapes = sum(item.samples for item in file.shapes.values())
    traps = sum(isinstance(event, TrapEvent) for event in file.gradients.values())
    counts = (
        f"{len(file.blocks)} blocks, {len(file.rf)} RF, {traps} trapezoid, {len(file.gradients) - traps} shaped "
        f"gradient and {len(file.adc)} ADC events, {len(file.shapes)} shapes of {shapes} samples"
    )
    where = f"{len(file.shapes)} shapes of {shapes} samples"
    return [
        _check(
            "size.file", file.size_bytes / 1e6, LARGEST_BYTES / 1e6, "MB", where,
            "share shapes between shots or play fewer; larger files load for minutes or not at all",
        ),
        _check(
            "size.excitations", len(played.excitations), MOST_EXCITATIONS, "", "",
            "split the scan into several files; an interpreter crashed with more",
        ),
        _check("size.ids", _largest_id(played), LARGEST_ID, "", "", "number the events from 1; readers keep 32 bits"),
    ], [f"memory of the interpreter: none publishes what it holds; this file has {counts}"]  # fmt: skip


def _check(name: str, value: float, limit: float, unit: str, where: str, remedy: str) -> Check:
    held = value <= limit
    shown = round(value, 6) if isinstance(value, float) else value
    return Check(
        name=name, held=held, value=shown, limit=limit, unit=unit, where=where, remedy="" if held else remedy
    )  # fmt: skip


def _largest_id(played: PlayedSequence) -> int:
    file = played.file
    tables = (file.rf, file.gradients, file.adc, file.shapes, file.extensions, file.delays_s)
    return max(int(np.abs(file.blocks).max()), *(max(table, default=0) for table in tables))
