"""The text of a Pulseq file, versions 1.3.1 to 1.5.1, into tables; shares no code with any writer.

Columns as in the Pulseq specification (https://pulseq.github.io/specification.pdf). What cannot be understood raises
with the line number; what is merely wrong is kept as a ``Finding`` so that a certificate can name it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqnumbers import real, whole, whole_table
from seqopt.pulseq.seqshapes import read_shapes
from seqopt.pulseq.seqtables import AdcEvent, Finding, GradEvent, PackedShape, RfEvent, SeqFile, TrapEvent
from seqopt.pulseq.seqtext import Lines, Section, find_sections, lines_of, read_version, readable

MAX_FILE_BYTES = 400_000_000
MAX_BLOCKS = 2_000_000
MAX_ROWS = 500_000
MAX_ADC_SAMPLES = 128 * 8192
_KNOWN = (
    "VERSION", "DEFINITIONS", "BLOCKS", "RF", "GRADIENTS", "TRAP", "ADC", "DELAYS", "EXTENSIONS", "SHAPES", "SIGNATURE",
)  # fmt: skip


def read_seqfile(path: Path) -> SeqFile:
    """Read the tables of ``path``; raises ``SeqoptError`` with the line number for what cannot be understood."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise SeqoptError(
                f"{path} has {size / 1e6:.0f} MB, more than {MAX_FILE_BYTES / 1e6:.0f}; is it a .seq file?"
            )
        if not path.is_file():  # a device would be read without end
            raise SeqoptError(f"cannot read {path}: it is no file; give a Pulseq .seq file")
        raw = path.read_bytes()
    except OSError as error:
        raise SeqoptError(f"cannot read {path}: {error.strerror}; give a Pulseq .seq file") from error
    try:
        return _Reader(path, raw).read()
    except SeqoptError as error:
        raise SeqoptError(f"{path}: {error}") from error


class _Reader:
    def __init__(self, path: Path, raw: bytes) -> None:
        self.path, self.size, self.findings = path, len(raw), list[Finding]()
        self.md5 = _signed_md5(raw)
        self.raw = readable(raw, self.findings)
        self.sections = find_sections(self.raw)
        version = read_version(self._lines("VERSION"))
        if not (1, 3, 0) <= version < (1, 6, 0):
            raise SeqoptError(
                f"Pulseq version {'.'.join(map(str, version))} is not among 1.3.0 to 1.5.x; convert the file"
            )
        self.version, self.timed, self.newest = version, version >= (1, 4, 0), version >= (1, 5, 0)

    def read(self) -> SeqFile:
        for name in self.sections.keys() - set(_KNOWN):
            text = f"unknown section [{name[:40]}]"
            self.findings.append(Finding("format.sections", self.sections[name].line - 1, text))
        rows, types, extension_rows = self._extensions(self._lines("EXTENSIONS"))
        return SeqFile(
            path=self.path,
            size_bytes=self.size,
            version=self.version,
            definitions=self._definitions(),
            blocks=self._blocks(),
            rf=self._rf(),
            gradients=self._gradients(),
            adc=self._adc(),
            delays_s={n: self._us(c[0], at) for at, n, c in self._rows("DELAYS", 2)},
            shapes=self._shapes(),
            extensions=rows,
            extension_types=types,
            extension_rows=extension_rows,
            signature=self._signature(),
            md5=self.md5,
            findings=tuple(self.findings),
        )

    def _lines(self, name: str, most: int = MAX_ROWS) -> Lines:
        section = self.sections.get(name)
        if section is None:
            return []
        if self.raw.count(b"\n", section.start, section.end) > 2 * most:  # comments and blank lines among them
            raise SeqoptError(f"line {section.line}: [{name}] has more than {most} rows; is it a .seq file?")
        return lines_of(self.raw[section.start : section.end], section.line)

    def _definitions(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for number, line in self._lines("DEFINITIONS"):
            key, *values = line.split(None, 1)  # tabs are blanks, too
            if key in out:
                self.findings.append(Finding("format.definitions", number, f"{key[:40]} is defined twice"))
            out[key] = values[0] if values else ""
        return out

    def _blocks(self) -> npt.NDArray[np.int64]:
        section = self.sections.get("BLOCKS", Section(0, 0, 0))
        body = self.raw[section.start : section.end]
        if not body.strip():
            raise SeqoptError("has no [BLOCKS]; the file is truncated or is not a Pulseq file")
        if body.count(b"\n") > 2 * MAX_BLOCKS:
            raise SeqoptError(f"line {section.line}: more than {MAX_BLOCKS} blocks; is it a .seq file?")
        table = whole_table(body, 8)
        if table is None:
            table = self._block_rows(lines_of(body, section.line))
        if not len(table):
            raise SeqoptError(f"line {section.line}: has no [BLOCKS]; the file is truncated")
        wrong = np.flatnonzero(table[:, 0] != np.arange(1, len(table) + 1))
        if len(wrong):
            text = f"block {wrong[0] + 1} of the file has the number {table[wrong[0], 0]}"
            self.findings.append(Finding("format.blocks", section.line, text))
        return table

    def _block_rows(self, lines: Lines) -> npt.NDArray[np.int64]:
        """Blocks one by one, for files with other notations, comments or damage."""
        rows = []
        for number, line in lines:
            row = line.split()
            if len(row) != 8:
                raise SeqoptError(f"line {number}: block {line[:60]!r} has {len(row)} columns, expected 8; truncated?")
            values = [int(self._whole(token, number)) for token in row]
            if min(values) < 0:
                raise SeqoptError(f"line {number}: a block with a negative number; damaged file")
            rows.append(values)
        return np.array(rows, dtype=np.int64).reshape(-1, 8)

    def _rows(self, section: str, columns: int, lines: Lines | None = None) -> list[tuple[int, int, list[str]]]:
        """(line, id, further columns) of each row; a row with another number of columns raises."""
        out, seen = [], set()
        for number, line in self._lines(section) if lines is None else lines:
            row = line.split()
            if len(row) != columns:
                raise SeqoptError(
                    f"line {number}: [{section}] row has {len(row)} columns, expected {columns}; "
                    "the file is truncated, damaged or of another version"
                )
            identity = int(self._whole(row[0], number))
            if identity < 1:
                raise SeqoptError(f"line {number}: [{section}] has the id {identity}, ids start at 1; damaged file")
            if identity in seen:
                raise SeqoptError(f"line {number}: [{section}] defines id {identity} twice; the file is damaged")
            seen.add(identity)
            out.append((number, identity, row[1:]))
        return out

    def _whole(self, token: str, line: int) -> float:
        return whole(token, line, self.findings)

    def _time(self, token: str, line: int, unit_s: float) -> float:
        value = self._whole(token, line)
        if value < 0:
            raise SeqoptError(f"line {line}: a negative time, {token[:30]}; the file is damaged")
        return value * unit_s

    def _us(self, token: str, line: int) -> float:
        return self._time(token, line, 1e-6)

    def _rf(self) -> dict[int, RfEvent]:
        events = {}
        for at, identity, c in self._rows("RF", 12 if self.newest else 8 if self.timed else 7):
            shapes = [int(self._whole(token, at)) for token in c[1 : 4 if self.timed else 3]]
            tail = c[1 + len(shapes) :]
            centre = real(tail.pop(0), at) * 1e-6 if self.newest else None
            delay = self._us(tail.pop(0), at)
            use = tail.pop() if self.newest else ""
            phases = [real(token, at) for token in tail]  # ppm, ppm, Hz, rad
            ppm, rest = (phases[:2], phases[2:]) if self.newest else ([0.0, 0.0], phases)
            time = shapes[2] if self.timed else 0
            events[identity] = RfEvent(
                real(c[0], at), shapes[0], shapes[1], time, centre, delay, ppm[0], ppm[1], rest[0], rest[1], use
            )
        return events

    def _gradients(self) -> dict[int, TrapEvent | GradEvent]:
        events: dict[int, TrapEvent | GradEvent] = {}
        for at, identity, c in self._rows("GRADIENTS", 7 if self.newest else 5 if self.timed else 4):
            edges = [real(token, at) for token in c[1:3]] if self.newest else [None, None]
            shape, time = c[3 if self.newest else 1], c[-2] if self.timed else "0"
            events[identity] = GradEvent(
                real(c[0], at), edges[0], edges[1], int(self._whole(shape, at)), int(self._whole(time, at)),
                self._us(c[-1], at),
            )  # fmt: skip
        for at, identity, c in self._rows("TRAP", 6):
            if identity in events:
                raise SeqoptError(f"line {at}: gradient id {identity} is defined twice; the file is damaged")
            events[identity] = TrapEvent(real(c[0], at), *(self._us(token, at) for token in c[1:]))
        return events

    def _adc(self) -> dict[int, AdcEvent]:
        events = {}
        for at, identity, c in self._rows("ADC", 9 if self.newest else 6):
            ppm = [real(token, at) for token in c[3:5]] if self.newest else [0.0, 0.0]
            freq, phase = (real(token, at) for token in (c[5:7] if self.newest else c[3:5]))
            samples = int(self._whole(c[0], at))
            if not 0 < samples <= MAX_ADC_SAMPLES:
                raise SeqoptError(f"line {at}: an ADC of {samples} samples; the file is damaged")
            events[identity] = AdcEvent(
                samples, self._time(c[1], at, 1e-9), self._us(c[2], at), ppm[0], ppm[1], freq, phase,
                int(self._whole(c[7], at)) if self.newest else 0,
            )  # fmt: skip
        return events

    def _shapes(self) -> dict[int, PackedShape]:
        section = self.sections.get("SHAPES")
        return {} if section is None else read_shapes(self.raw, section, self.findings)

    def _extensions(
        self, lines: Lines
    ) -> tuple[dict[int, tuple[int, int, int]], dict[int, str], dict[str, dict[int, tuple[str, ...]]]]:
        first = next((i for i, (_, line) in enumerate(lines) if line.startswith("extension")), len(lines))
        rows = {}
        for at, identity, c in self._rows("EXTENSIONS", 4, lines[:first]):
            kind, reference, following = (int(self._whole(token, at)) for token in c)
            rows[identity] = (kind, reference, following)
        types: dict[int, str] = {}
        tables: dict[str, dict[int, tuple[str, ...]]] = {}
        table: dict[int, tuple[str, ...]] = {}
        for at, line in lines[first:]:
            tokens = line.split()
            if tokens[0] == "extension":
                if len(tokens) != 3:
                    raise SeqoptError(f"line {at}: expected `extension NAME id`; the file is damaged")
                types[int(self._whole(tokens[2], at))] = tokens[1]
                table = tables.setdefault(tokens[1], {})
            else:
                table[int(self._whole(tokens[0], at))] = tuple(tokens[1:])
        return rows, types, tables

    def _signature(self) -> str | None:
        lines = self._lines("SIGNATURE")
        fields = dict(line.split(None, 1) for _, line in lines if len(line.split(None, 1)) == 2)
        if fields.get("Type", "md5").lower() != "md5":
            self.findings.append(Finding("format.signature", lines[0][0], f"signature type {fields['Type'][:30]}"))
        return fields["Hash"].lower() if "Hash" in fields else None


def _signed_md5(raw: bytes) -> str:
    """MD5 of what the signature covers: all before the line end that precedes it, which belongs to the signature."""
    end = raw.rfind(b"\n[SIGNATURE]")
    covered = memoryview(raw)[: len(raw) if end < 0 else end]
    return hashlib.md5(covered, usedforsecurity=False).hexdigest()
