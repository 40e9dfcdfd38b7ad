"""The text of a Pulseq file, versions 1.3.1 to 1.5.1, into tables; shares no code with any writer.

Columns as in the Pulseq specification (https://pulseq.github.io/specification.pdf). What cannot be understood raises
with the line number; what is merely wrong is kept as a ``Finding`` so that a certificate can name it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import (
    MAX_SHAPE_SAMPLES,
    AdcEvent,
    Finding,
    GradEvent,
    PackedShape,
    RfEvent,
    SeqFile,
    TrapEvent,
)
from seqopt.pulseq.seqtext import Lines, read_version, split_sections

MAX_FILE_BYTES = 400_000_000
MAX_ADC_SAMPLES = 128 * 8192
LARGEST_NUMBER = 1e15


def read_seqfile(path: Path) -> SeqFile:
    """Read the tables of ``path``; raises ``SeqoptError`` with the line number for what cannot be understood."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise SeqoptError(
                f"{path} has {size / 1e6:.0f} MB, more than {MAX_FILE_BYTES / 1e6:.0f}; is it a .seq file?"
            )
        raw = path.read_bytes()
    except OSError as error:
        raise SeqoptError(f"cannot read {path}: {error.strerror}; give a Pulseq .seq file") from error
    try:
        return _Reader(path, raw).read()
    except SeqoptError as error:
        raise SeqoptError(f"{path}: {error}") from error


class _Reader:
    def __init__(self, path: Path, raw: bytes) -> None:
        self.path, self.raw = path, raw
        self.findings: list[Finding] = []
        if b"\0" in raw[:4096]:
            raise SeqoptError("holds binary data; give a Pulseq text file")

    def read(self) -> SeqFile:
        sections = split_sections(self.raw, self.findings)
        version = read_version(sections.pop("VERSION", []))
        if not (1, 3, 0) <= version < (1, 6, 0):
            raise SeqoptError(
                f"Pulseq version {'.'.join(map(str, version))} is not among 1.3.0 to 1.5.x; convert the file"
            )
        known = {
            "DEFINITIONS",
            "BLOCKS",
            "RF",
            "GRADIENTS",
            "TRAP",
            "ADC",
            "DELAYS",
            "EXTENSIONS",
            "SHAPES",
            "SIGNATURE",
        }
        for name in sections.keys() - known:
            line = sections[name][0][0] if sections[name] else 0
            self.findings.append(Finding("format.sections", line, f"unknown section [{name}]"))
        if not sections.get("BLOCKS"):
            raise SeqoptError("has no [BLOCKS]; the file is truncated or is not a Pulseq file")
        rows, types, extension_rows = self._extensions(sections.get("EXTENSIONS", []))
        signature, md5 = self._signature(sections.get("SIGNATURE", []))
        return SeqFile(
            path=self.path,
            size_bytes=len(self.raw),
            version=version,
            definitions={key: value for _, key, value in self._definitions(sections.get("DEFINITIONS", []))},
            blocks=self._blocks(sections["BLOCKS"]),
            rf=self._rf(sections.get("RF", []), version),
            gradients=self._gradients(sections, version),
            adc=self._adc(sections.get("ADC", []), version),
            delays_s={n: self._us(c[0], at) for at, n, c in self._rows(sections.get("DELAYS", []), 2, "DELAYS")},
            shapes=self._shapes(sections.get("SHAPES", [])),
            extensions=rows,
            extension_types=types,
            extension_rows=extension_rows,
            signature=signature,
            md5=md5,
            findings=tuple(self.findings),
        )

    def _definitions(self, lines: Lines) -> list[tuple[int, str, str]]:
        parts = ((number, line.partition(" ")) for number, line in lines)
        return [(number, key, value.strip()) for number, (key, _, value) in parts]

    def _blocks(self, lines: Lines) -> npt.NDArray[np.int64]:
        rows = [line.split() for _, line in lines]
        for (number, line), row in zip(lines, rows, strict=True):
            if len(row) != 8:
                raise SeqoptError(f"line {number}: block {line[:60]!r} has {len(row)} columns, expected 8; truncated?")
            if not all(map(str.isdecimal, row)):
                row[:] = [str(int(self._whole(token, number))) for token in row]
        try:
            table = np.array(rows, dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise SeqoptError(f"a number in [BLOCKS] is too large ({error}); the file is damaged") from error
        if table.min() < 0:
            raise SeqoptError(f"line {lines[int(np.argmin(table.min(axis=1)))][0]}: a negative number; damaged file")
        return table

    def _rows(self, lines: Lines, columns: int, section: str) -> list[tuple[int, int, list[str]]]:
        """(line, id, further columns) of each row; a row with another number of columns raises."""
        out, seen = [], set()
        for number, line in lines:
            row = line.split()
            if len(row) != columns:
                raise SeqoptError(
                    f"line {number}: [{section}] row has {len(row)} columns, expected {columns}; "
                    "the file is truncated, damaged or of another version"
                )
            identity = int(self._whole(row[0], number))
            if identity in seen:
                raise SeqoptError(f"line {number}: [{section}] defines id {identity} twice; the file is damaged")
            seen.add(identity)
            out.append((number, identity, row[1:]))
        return out

    def _real(self, token: str, line: int) -> float:
        try:
            value = float(token)
        except ValueError:
            raise SeqoptError(f"line {line}: {token[:30]!r} is not a number; the file is damaged") from None
        if not abs(value) < LARGEST_NUMBER:
            raise SeqoptError(f"line {line}: {token!r} is not a finite number; the file is damaged")
        return value

    def _whole(self, token: str, line: int) -> float:
        """An integer field; another notation is kept as a finding, since readers take 1.0001e+06 for 1."""
        if not re.fullmatch(r"-?\d+", token):
            value = self._real(token, line)
            self.findings.append(Finding("format.integers", line, f"{token} where a plain integer is due"))
            return value
        if len(token) > 18:
            raise SeqoptError(f"line {line}: {token[:30]} is too large; the file is damaged")
        return int(token)

    def _us(self, token: str, line: int) -> float:
        return self._whole(token, line) * 1e-6

    def _rf(self, lines: Lines, version: tuple[int, int, int]) -> dict[int, RfEvent]:
        timed, newest = version >= (1, 4, 0), version >= (1, 5, 0)
        events = {}
        for at, identity, c in self._rows(lines, 12 if newest else 8 if timed else 7, "RF"):
            shapes = [int(self._whole(token, at)) for token in c[1 : 4 if timed else 3]]
            tail = c[1 + len(shapes) :]
            centre = self._real(tail.pop(0), at) * 1e-6 if newest else None
            delay = self._us(tail.pop(0), at)
            use = tail.pop() if newest else ""
            phases = [self._real(token, at) for token in tail]  # ppm, ppm, Hz, rad
            ppm, rest = (phases[:2], phases[2:]) if newest else ([0.0, 0.0], phases)
            time = shapes[2] if timed else 0
            events[identity] = RfEvent(
                self._real(c[0], at), shapes[0], shapes[1], time, centre, delay, ppm[0], ppm[1], rest[0], rest[1], use
            )
        return events

    def _gradients(self, sections: dict[str, Lines], version: tuple[int, int, int]) -> dict[int, TrapEvent | GradEvent]:
        timed, newest = version >= (1, 4, 0), version >= (1, 5, 0)
        events: dict[int, TrapEvent | GradEvent] = {}
        for at, identity, c in self._rows(
            sections.get("GRADIENTS", []), 7 if newest else 5 if timed else 4, "GRADIENTS"
        ):
            edges = [self._real(token, at) for token in c[1:3]] if newest else [None, None]
            rest = [self._whole(token, at) for token in c[3 if newest else 1 :]]
            events[identity] = GradEvent(
                self._real(c[0], at), edges[0], edges[1], int(rest[0]), int(rest[1]) if timed else 0, rest[-1] * 1e-6
            )
        for at, identity, c in self._rows(sections.get("TRAP", []), 6, "TRAP"):
            if identity in events:
                raise SeqoptError(f"line {at}: gradient id {identity} is defined twice; the file is damaged")
            events[identity] = TrapEvent(self._real(c[0], at), *(self._us(token, at) for token in c[1:]))
        return events

    def _adc(self, lines: Lines, version: tuple[int, int, int]) -> dict[int, AdcEvent]:
        newest = version >= (1, 5, 0)
        events = {}
        for at, identity, c in self._rows(lines, 9 if newest else 6, "ADC"):
            ppm = [self._real(token, at) for token in c[3:5]] if newest else [0.0, 0.0]
            freq, phase = (self._real(token, at) for token in (c[5:7] if newest else c[3:5]))
            samples = int(self._whole(c[0], at))
            if not 0 < samples <= MAX_ADC_SAMPLES:
                raise SeqoptError(f"line {at}: an ADC of {samples} samples; the file is damaged")
            events[identity] = AdcEvent(
                samples, self._whole(c[1], at) * 1e-9, self._us(c[2], at), ppm[0], ppm[1], freq, phase,
                int(self._whole(c[7], at)) if newest else 0,
            )  # fmt: skip
        return events

    def _shapes(self, lines: Lines) -> dict[int, PackedShape]:
        heads = [index for index, (_, line) in enumerate(lines) if line.lower().startswith("shape_id")]
        shapes: dict[int, PackedShape] = {}
        if not lines:
            return {}
        if heads[:1] != [0]:
            raise SeqoptError(f"line {lines[0][0]}: [SHAPES] does not start with shape_id; the file is damaged")
        for start, end in zip(heads, [*heads[1:], len(lines)], strict=True):
            at = lines[start][0]
            if end - start < 3:
                raise SeqoptError(f"line {at}: the shape has no samples; the file is truncated")
            key, number = ([*line.split(), "", ""][:2] for _, line in lines[start : start + 2])
            if number[0].lower() not in ("num_samples", "num_uncompressed"):
                raise SeqoptError(f"line {at + 1}: expected num_samples; the file is damaged")
            samples = int(self._whole(number[1], at + 1))
            if not 0 < samples <= MAX_SHAPE_SAMPLES:
                raise SeqoptError(f"line {at + 1}: a shape of {samples} samples; the file is damaged")
            texts = [line for _, line in lines[start + 2 : end]]
            try:
                packed = np.array(texts, dtype=np.float64)
            except ValueError as error:
                raise SeqoptError(f"line {at}: a sample of this shape is not a number ({error})") from error
            identity = int(self._whole(key[1], at))
            if identity in shapes:
                raise SeqoptError(f"line {at}: shape {identity} is defined twice; the file is damaged")
            shapes[identity] = PackedShape(at, samples, packed)
        if sum(item.samples for item in shapes.values()) > MAX_SHAPE_SAMPLES:
            raise SeqoptError(f"all shapes together have more than {MAX_SHAPE_SAMPLES} samples; the file is damaged")
        return shapes

    def _extensions(
        self, lines: Lines
    ) -> tuple[dict[int, tuple[int, int, int]], dict[int, str], dict[str, dict[int, tuple[str, ...]]]]:
        first = next((i for i, (_, line) in enumerate(lines) if line.startswith("extension")), len(lines))
        rows = {}
        for at, identity, c in self._rows(lines[:first], 4, "EXTENSIONS"):
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

    def _signature(self, lines: Lines) -> tuple[str | None, str]:
        end = self.raw.rfind(b"\n[SIGNATURE]")  # that newline belongs to the signature
        covered = self.raw if end < 0 else self.raw[:end]
        fields = dict(line.split(None, 1) for _, line in lines if len(line.split(None, 1)) == 2)
        if fields.get("Type", "md5").lower() != "md5":
            self.findings.append(Finding("format.signature", lines[0][0], f"signature type {fields['Type']}"))
        return fields.get("Hash"), hashlib.md5(covered, usedforsecurity=False).hexdigest()
