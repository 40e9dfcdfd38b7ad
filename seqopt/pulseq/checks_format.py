"""Checks of the text: version, definitions, references, shapes, integers, signature."""

from __future__ import annotations

import numpy as np

from seqopt.core import Check
from seqopt.pulseq.references import KNOWN_EXTENSIONS, undefined_references
from seqopt.pulseq.seqtables import GradEvent, SeqFile

NEWEST = (1, 5, 1)
LARGEST_BYTES = 40_000_000
_RASTERS = ("AdcRasterTime", "BlockDurationRaster", "GradientRasterTime", "RadiofrequencyRasterTime")
KNOWN_LABELS = (
    "SLC SEG REP AVG SET ECO PHS LIN PAR ACQ NAV REV SMS REF IMA OFF NOISE PMC NOROT NOPOS NOSCL ONCE TRID".split()
)


def list_check(name: str, problems: list[str], limit: str, remedy: str) -> Check:
    """A check that holds where nothing was found; ``where`` is the first finding."""
    return Check(
        name=name,
        held=not problems,
        value=f"{len(problems)} found" if problems else "none found",
        limit=limit,
        where=problems[0] if problems else "",
        remedy=remedy if problems else "",
    )


def format_checks(file: SeqFile) -> list[Check]:
    """All checks that need the tables only. Where references or shapes fail, the file cannot be played."""
    version = ".".join(map(str, file.version))
    found: dict[str, list[str]] = {}
    for finding in file.findings:
        found.setdefault(finding.kind, []).append(f"line {finding.line}: {finding.text}")
    return [
        Check(
            name="format.version",
            held=(1, 3, 1) <= file.version <= NEWEST,
            value=version,
            limit="1.3.1 to 1.5.1",
            remedy="" if (1, 3, 1) <= file.version <= NEWEST else "write the file as 1.5.0 or 1.4.1",
        ),
        list_check(
            "format.sections", found.get("format.sections", []), "sections of the specification", "remove them"
        ),
        list_check("format.definitions", _definitions(file), "rasters defined, no TE or TR", "name them as specified"),
        list_check("format.references", undefined_references(file), "all defined", "write the file again, whole"),
        list_check(
            "format.integers", found.get("format.integers", []), "plain integers",
            "write ids, delays and dwells as plain integers; readers take 1.0001e+06 for 1",
        ),
        list_check("format.shapes", _shapes(file), "finite, within -1..1", "scale the shape by its largest sample"),
        list_check("format.edges", _edges(file), "first and last as the corners", "set first and last from the shape"),
        list_check("format.extensions", _extensions(file), "known extensions and labels", "remove them"),
        list_check("format.line_ends", found.get("format.line_ends", []), "LF, 255 characters", "write LF line ends"),
        _signature(file, found.get("format.signature", [])),
        Check(
            name="format.size",
            held=file.size_bytes <= LARGEST_BYTES,
            value=round(file.size_bytes / 1e6, 3),
            limit=LARGEST_BYTES / 1e6,
            unit="MB",
            remedy="" if file.size_bytes <= LARGEST_BYTES else "use fewer distinct shapes",
        ),
    ]  # fmt: skip


def total_duration_check(file: SeqFile, duration_s: float) -> Check:
    """TotalDuration against the sum of the blocks."""
    text = file.definitions.get("TotalDuration", "")
    try:
        stated = float(text)
    except ValueError:
        stated = float("nan")
    held = abs(stated - duration_s) <= 1e-6 + 1e-8 * duration_s  # pypulseq writes nine digits
    return Check(
        name="format.total_duration",
        held=held,
        value=stated if np.isfinite(stated) else "absent",
        limit=round(duration_s, 9),
        unit="s",
        remedy="" if held else "set the definition TotalDuration to the sum of the blocks, in seconds",
    )


def _definitions(file: SeqFile) -> list[str]:
    missing = [] if file.version < (1, 4, 0) else [key for key in _RASTERS if key not in file.definitions]
    reserved = [key for key in ("TE", "TR") if key in file.definitions]
    return [f"{key} is absent" for key in missing] + [
        f"{key} makes some interpreters refuse the file; use {'EchoTime' if key == 'TE' else 'RepetitionTime'}"
        for key in reserved
    ]


def _shapes(file: SeqFile) -> list[str]:
    phases = {event.phase_shape for event in file.rf.values()} - {0}
    magnitudes = {event.magnitude_shape for event in file.rf.values()}
    times = {event.time_shape for event in file.rf.values()} - {0}
    times |= {event.time_shape for event in file.gradients.values() if isinstance(event, GradEvent)} - {0, -1}
    free = {event.phase_shape for event in file.adc.values()}
    out = []
    for number, item in file.shapes.items():
        where = f"shape {number} (line {item.line})"
        if not np.isfinite(item.packed).all():
            out.append(f"{where} holds NaN or infinity")
            continue
        values = file.shape(number)
        worst = int(np.argmax(np.abs(values)))
        if number not in times | free and abs(values[worst]) > 1 + 1e-6:
            out.append(f"{where} reaches {values[worst]:.6g} at sample {worst}")
        if number in magnitudes and values.min() < -1e-6:
            out.append(f"{where} is an RF magnitude and reaches {values.min():.6g}")
        if number in phases and (values.min() < -1e-6 or values.max() > 1 + 1e-6):
            out.append(f"{where} is an RF phase outside 0..1 turns")
        if number in times and (values.min() < 0 or (np.diff(values) <= 0).any()):
            out.append(f"{where} is a time shape and does not increase")
    return out


def _edges(file: SeqFile) -> list[str]:
    """An extended trapezoid's first and last must be its corners; 1.4 has no such columns."""
    out = []
    for number, event in file.gradients.items():
        if not isinstance(event, GradEvent) or event.first_hz_per_m is None or event.last_hz_per_m is None:
            continue
        if event.time_shape <= 0 or event.shape not in file.shapes:
            continue
        if not np.isfinite(file.shapes[event.shape].packed).all():
            continue  # reported by the shapes
        ends = event.amplitude_hz_per_m * file.shape(event.shape)[[0, -1]]
        for word, stated, true in zip(
            ("first", "last"), (event.first_hz_per_m, event.last_hz_per_m), ends, strict=True
        ):
            if not abs(stated - true) <= 1.0 + 1e-5 * abs(event.amplitude_hz_per_m):
                out.append(f"gradient {number}: {word} is {stated:g} Hz/m, the shape has {true:g}")
    return out


def _extensions(file: SeqFile) -> list[str]:
    out = [f"extension {name} is unknown" for name in file.extension_types.values() if name not in KNOWN_EXTENSIONS]
    for name in ("LABELSET", "LABELINC"):
        for row in file.extension_rows.get(name, {}).values():
            if len(row) == 2 and row[1] not in KNOWN_LABELS:
                out.append(f"label {row[1]} is unknown")
    if "ROTATIONS" in file.extension_types.values() and file.version < (1, 5, 1):
        out.append("ROTATIONS came with version 1.5.1")
    return out


def _signature(file: SeqFile, problems: list[str]) -> Check:
    held = file.signature == file.md5 and not problems
    return Check(
        name="format.signature",
        held=held,
        value=file.signature or "absent",
        limit=file.md5,
        where=problems[0] if problems else "",
        remedy="" if held else "the file was changed after it was signed, or never was; write it again",
    )
