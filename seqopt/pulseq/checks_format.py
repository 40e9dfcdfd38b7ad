"""Checks of the text: version, definitions, references, shapes, integers, signature."""

from __future__ import annotations

import re

import numpy as np

from seqopt.core import Check
from seqopt.pulseq.checks_shapes import edge_problems, shape_problems
from seqopt.pulseq.references import KNOWN_EXTENSIONS, undefined_references
from seqopt.pulseq.seqtables import SeqFile
from seqopt.pulseq.seqtext import LONGEST_LINE

NEWEST = (1, 5, 1)
_RASTERS = ("AdcRasterTime", "BlockDurationRaster", "GradientRasterTime", "RadiofrequencyRasterTime")
KNOWN_LABELS = (
    "SLC SEG REP AVG SET ECO PHS LIN PAR ACQ NAV REV SMS REF IMA OFF NOISE PMC NOROT NOPOS NOSCL ONCE TRID".split()
)
_NEWEST_EXTENSIONS = ("ROTATIONS", "RF_SHIMS")
_NUMBERS = {  # with which a row of an extension starts; readers take 1e+03 for 1
    "TRIGGERS": (re.compile(r"(?:-?[0-9]+ ){3}-?[0-9]+(?: .*)?"), "4 plain integers"),
    "DELAYS": (re.compile(r"(?:-?[0-9]+ ){2}-?[0-9.]+(?:e[-+]?[0-9]+)?(?: .*)?"), "2 plain integers and a number"),
}


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
    known = (1, 3, 1) <= file.version <= NEWEST
    found: dict[str, list[str]] = {}
    for finding in file.findings:
        found.setdefault(finding.kind, []).append(f"line {finding.line}: {finding.text}")
    missing, broken = undefined_references(file), shape_problems(file)
    return [
        Check(
            name="format.version", held=known, value=version, limit="1.3.1 to 1.5.1",
            remedy="" if known else "write the file as 1.5.0 or 1.4.1",
        ),
        list_check(
            "format.sections", found.get("format.sections", []), "sections of the specification", "remove them"
        ),
        list_check(
            "format.definitions", found.get("format.definitions", []) + _definitions(file),
            "rasters defined, no TE or TR", "name them as specified, each once",
        ),
        list_check(
            "format.blocks", found.get("format.blocks", []), "numbered 1, 2, 3, ...",
            "number the blocks in the order of play",
        ),
        list_check("format.references", missing, "all defined", "write the file again, whole"),
        list_check(
            "format.integers", found.get("format.integers", []), "plain integers",
            "write ids, delays and dwells as plain integers; readers take 1.0001e+06 for 1",
        ),
        list_check(
            "format.shapes", broken, "finite, of their length, within -1..1",
            "scale the shape by its largest sample; to turn RF over, add half a turn to its phase",
        ),
        list_check(
            "format.edges", [] if missing or broken else edge_problems(file), "first and last as the corners",
            "set first and last from the shape",
        ),
        list_check(
            "format.extensions", _extensions(file), "known extensions and labels",
            "remove them or write them as specified",
        ),
        list_check(
            "format.line_ends", found.get("format.line_ends", []), f"LF, up to {LONGEST_LINE} characters",
            "write LF line ends and shorter lines",
        ),
        _signature(file, found.get("format.signature", [])),
    ]  # fmt: skip


def total_duration_check(file: SeqFile, duration_s: float) -> Check:
    """TotalDuration against the sum of the blocks."""
    text = file.definitions.get("TotalDuration", "")
    try:
        stated = float(text)
    except ValueError:
        stated = float("nan")
    held = abs(stated - duration_s) <= 1e-6 + 1e-8 * duration_s  # pypulseq writes nine digits
    held |= not text and file.version < (1, 4, 0)  # which did not know it
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


def _extensions(file: SeqFile) -> list[str]:
    out = [
        f"extension {name[:40]} is unknown" for name in file.extension_types.values() if name not in KNOWN_EXTENSIONS
    ]
    for name in ("LABELSET", "LABELINC"):
        for row in file.extension_rows.get(name, {}).values():
            if len(row) == 2 and row[1] not in KNOWN_LABELS:
                out.append(f"label {row[1][:40]} is unknown")
    for name, (form, wanted) in _NUMBERS.items():
        for identity, row in file.extension_rows.get(name, {}).items():
            if not form.fullmatch(" ".join(row)):
                out.append(f"{name} {identity} does not start with {wanted}")
    if file.version < NEWEST:
        newer = [name for name in _NEWEST_EXTENSIONS if name in file.extension_types.values()]
        out += [f"{name} came with version 1.5.1" for name in newer]
    return out


def _signature(file: SeqFile, problems: list[str]) -> Check:
    held = file.signature == file.md5 and not problems
    held |= file.signature is None and file.version < (1, 4, 0)  # which did not know it
    return Check(
        name="format.signature",
        held=held,
        value=file.signature or "absent",
        limit=file.md5,
        where=problems[0] if problems else "",
        remedy="" if held else "the file was changed after it was signed, or never was; write it again",
    )
