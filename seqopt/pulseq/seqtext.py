"""The bytes of a Pulseq file: where its sections lie, their lines with numbers, and the version."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import Finding

Lines = list[tuple[int, str]]
"""(line number from 1, text without comment and blank lines)"""
LONGEST_LINE = 254  # readers take lines into a buffer of 256 with its ends
_MOST_BRACKETS = 100_000
_AT_ONCE = 16_000_000
_SHOWN = 100
_LINE_END = 10


@dataclass(frozen=True)
class Section:
    """A part of the text, without its head."""

    line: int
    """Number of the line on which it starts."""
    start: int
    end: int


def readable(raw: bytes, findings: list[Finding]) -> bytes:
    """The bytes with LF ends; raises for what is no text, and appends what is wrong with lines."""
    if b"\0" in raw:
        at = raw.index(b"\0")
        raise SeqoptError(f"line {_line(raw, at)}: holds binary data at byte {at}; give a Pulseq text file")
    if not raw.isascii():
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = _line(raw, error.start)
            raise SeqoptError(f"line {line}: is not text at byte {error.start}; give a Pulseq text file") from error
    if b"\r" in raw:
        findings.append(Finding("format.line_ends", _line(raw, raw.index(b"\r")), "CR line end"))
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for start, length in _long_lines(raw):
        findings.append(Finding("format.line_ends", _line(raw, start), f"{length} characters in one line"))
    return raw


def _long_lines(raw: bytes) -> list[tuple[int, int]]:
    """(start, length) of the first lines that are too long for a reader's buffer."""
    out: list[tuple[int, int]] = []
    text, last = np.frombuffer(raw, dtype=np.uint8), -1
    for begin in range(0, len(raw), _AT_ONCE):
        ends = np.flatnonzero(text[begin : begin + _AT_ONCE] == _LINE_END) + begin
        if begin + _AT_ONCE >= len(raw):
            ends = np.append(ends, len(raw))
        lengths = np.diff(ends, prepend=last) - 1
        for at in np.flatnonzero(lengths > LONGEST_LINE)[: _SHOWN - len(out)].tolist():
            out.append((int(ends[at] - lengths[at]), int(lengths[at])))
        last = int(ends[-1]) if len(ends) else last
    return out


def find_sections(raw: bytes) -> dict[str, Section]:
    """Bytes -> section name -> where it lies; raises for text before the first section and for sections twice."""
    heads: list[tuple[str, int, int, int]] = []  # name, its line's number, start and end
    at, counted, line = raw.find(b"["), 0, 1
    for _ in range(_MOST_BRACKETS):
        if at < 0:
            break
        start = raw.rfind(b"\n", 0, at) + 1
        end = raw.find(b"\n", at)
        end = len(raw) if end < 0 else end
        if not raw[start:at].strip():
            line, counted = line + raw.count(b"\n", counted, start), start
            text = raw[at:end].decode("utf-8", "replace").strip()
            if not text.endswith("]"):
                raise SeqoptError(f"line {line}: section head {text[:40]!r} is not closed; the file is damaged")
            if text[1:-1] in (name for name, *_ in heads):
                raise SeqoptError(f"line {line}: section {text[:40]} appears twice; the file is damaged")
            heads.append((text[1:-1], line, start, end))
            if len(heads) > 100:
                raise SeqoptError(f"line {line}: more than 100 sections; is it a Pulseq file?")
        at = raw.find(b"[", end)
    else:
        raise SeqoptError(f"line {_line(raw, at)}: {_MOST_BRACKETS} brackets; is it a Pulseq file?")
    before = lines_of(raw[: min(heads[0][2] if heads else len(raw), 100_000)], 1)
    if before:
        raise SeqoptError(f"line {before[0][0]}: text before the first section; is it a Pulseq file?")
    ends = [start for _, _, start, _ in heads[1:]] + [len(raw)] * bool(heads)
    return {
        name: Section(line + 1, min(end + 1, stop), stop)
        for (name, line, _, end), stop in zip(heads, ends, strict=True)
    }


def lines_of(body: bytes, line: int) -> Lines:
    """Lines of a part that starts on ``line``."""
    texts = body.decode("utf-8", "replace").split("\n")
    stripped = ((number, text.strip()) for number, text in enumerate(texts, start=line))
    return [(number, text) for number, text in stripped if text and text[0] != "#"]


def read_version(lines: Lines) -> tuple[int, int, int]:
    """Lines of [VERSION] -> (major, minor, revision); raises where it is absent."""
    values = {}
    for number, line in lines:
        match = re.fullmatch(r"(major|minor|revision)\s+([0-9]{1,9})\S*", line)
        if not match:
            raise SeqoptError(f"line {number}: {line[:40]!r} is not a version number; the file is damaged")
        values[match[1]] = int(match[2])
    if not {"major", "minor"} <= values.keys():
        raise SeqoptError("has no [VERSION]; without it the columns are unknown, write the file again")
    return values["major"], values["minor"], values.get("revision", 0)


def _line(raw: bytes, at: int) -> int:
    return raw.count(b"\n", 0, at) + 1
