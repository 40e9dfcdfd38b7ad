"""The bytes of a Pulseq file: where its sections lie, their lines with numbers, and the version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import Finding

Lines = list[tuple[int, str]]
"""(line number from 1, text without comment and blank lines)"""
LONGEST_LINE = 254  # readers take lines into a buffer of 256 with its ends
_MOST_BRACKETS = 100_000
_WINDOW = (LONGEST_LINE + 2) // 2
_AT_ONCE = 1 << 18
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
    """(start, length) of the first lines that are too long for a reader's buffer.

    Such a line fills at least one of the windows of 128 bytes into which the text is cut.
    """
    out: list[tuple[int, int]] = []
    end = -1
    for at in _windows_without_line_end(raw):
        if at < end:
            continue  # in a line that was looked at
        start, end = raw.rfind(b"\n", 0, at) + 1, raw.find(b"\n", at)
        end = len(raw) if end < 0 else end
        if end - start > LONGEST_LINE:
            out.append((start, end - start))
            if len(out) == _SHOWN:
                break
    return out


def _windows_without_line_end(raw: bytes) -> Iterator[int]:
    """Where they start."""
    text = np.frombuffer(raw, dtype=np.uint8)[: len(raw) // _WINDOW * _WINDOW]
    for begin in range(0, len(text), _AT_ONCE):
        is_end = text[begin : begin + _AT_ONCE] == _LINE_END
        some = np.bitwise_or.reduce(is_end.view(np.uint64).reshape(-1, _WINDOW // 8), axis=1)
        for place in np.flatnonzero(some == 0).tolist():
            yield begin + _WINDOW * place


def count_line_ends(raw: bytes, start: int, end: int) -> int:
    """Line ends from ``start`` to ``end``; where lines are short, numpy counts them faster than ``bytes.count``."""
    text = np.frombuffer(raw, dtype=np.uint8)[start:end]
    return sum(int(np.count_nonzero(text[at : at + _AT_ONCE] == _LINE_END)) for at in range(0, len(text), _AT_ONCE))


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
            line, counted = line + count_line_ends(raw, counted, start), start
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
