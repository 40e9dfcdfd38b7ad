"""The lines of a Pulseq file: sections and version."""

from __future__ import annotations

import re

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import Finding

Lines = list[tuple[int, str]]
"""(line number from 1, text without comment and blank lines)"""


def split_sections(raw: bytes, findings: list[Finding]) -> dict[str, Lines]:
    """Bytes -> section name -> its lines with their numbers; appends what is wrong with line ends."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SeqoptError(f"is not text at byte {error.start}; give a Pulseq text file") from error
    if "\r" in text:
        findings.append(Finding("format.line_ends", text.count("\n", 0, text.index("\r")) + 1, "CR line end"))
    sections: dict[str, Lines] = {}
    current: Lines | None = None
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if len(line) > 255:
            findings.append(Finding("format.line_ends", number, f"{len(line)} characters in one line"))
        line = line.strip()
        if not line or line[0] == "#":
            continue
        if line[0] == "[":
            if not line.endswith("]"):
                raise SeqoptError(f"line {number}: section head {line[:40]!r} is not closed; the file is damaged")
            if line[1:-1] in sections:
                raise SeqoptError(f"line {number}: section {line} appears twice; the file is damaged")
            current = sections.setdefault(line[1:-1], [])
        elif current is None:
            raise SeqoptError(f"line {number}: text before the first section; is it a Pulseq file?")
        else:
            current.append((number, line))
    return sections


def read_version(lines: Lines) -> tuple[int, int, int]:
    """Lines of [VERSION] -> (major, minor, revision); raises where it is absent."""
    values = {}
    for number, line in lines:
        match = re.fullmatch(r"(major|minor|revision)\s+(\d+)\S*", line)
        if not match:
            raise SeqoptError(f"line {number}: {line[:40]!r} is not a version number; the file is damaged")
        values[match[1]] = int(match[2])
    if not {"major", "minor"} <= values.keys():
        raise SeqoptError("has no [VERSION]; without it the columns are unknown, write the file again")
    return values["major"], values["minor"], values.get("revision", 0)
