"""The section [SHAPES] of a Pulseq file: at once where it is large and plain, else shape by shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.pulseq.bulk import kernels_for
from seqopt.pulseq.seqnumbers import column, whole
from seqopt.pulseq.seqtables import LARGEST_SAMPLE, Finding, PackedShape
from seqopt.pulseq.seqtext import Section, count_line_ends, lines_of

MAX_SHAPE_SAMPLES = 1_000_000
"""Ten seconds on a gradient raster."""
MAX_UNWRITTEN_SAMPLES = 10_000_000
"""Samples that all shapes together may have beyond what the text can hold: packed shapes can claim any number."""
_LINE_BYTES = 10
"""Of a number of six digits, its line end among them."""


@dataclass(frozen=True)
class _Place:
    """One shape in the text."""

    identity: int
    samples: int
    line: int
    """Of its head."""
    start: int
    """Of its numbers, which begin ``skipped`` lines after the head."""
    end: int
    skipped: int


def read_shapes(raw: bytes, section: Section, findings: list[Finding]) -> dict[int, PackedShape]:
    """Every shape by its id; raises with the line for what is no shape and for lengths that nobody plays."""
    if (plain := _all_plain(raw, section)) is not None:
        return plain
    shapes: dict[int, PackedShape] = {}
    claimed = 0
    for place in _places(raw, section, findings):
        if place.identity in shapes:
            raise SeqoptError(f"line {place.line}: shape {place.identity} is defined twice; the file is damaged")
        claimed += place.samples
        if claimed > MAX_UNWRITTEN_SAMPLES + (section.end - section.start) // 2:
            raise SeqoptError(f"line {place.line}: the shapes up to here have {claimed} samples; the file is damaged")
        shapes[place.identity] = _read(raw, place)
    return shapes


def _all_plain(raw: bytes, section: Section) -> dict[int, PackedShape] | None:
    """The shapes of a large section that holds nothing unusual; None leaves it, and what is wrong, to the others."""
    size = section.end - section.start
    kernels = kernels_for(size // _LINE_BYTES)
    if kernels is None:
        return None
    line_ends = count_line_ends(raw, section.start, section.end)
    ids, samples, lines, ends = np.empty((4, line_ends // 3 + 1), dtype=np.int64)  # two lines of a head and a number
    largest, values = np.empty(len(ids)), np.empty(line_ends + 1)
    text = np.frombuffer(raw, dtype=np.uint8)
    found = kernels.parse_shapes(
        text, section.start, section.end, section.line, ids, samples, lines, ends, largest, values
    )
    if found < 1 or not (samples[:found].min() > 0 and samples[:found].max() <= MAX_SHAPE_SAMPLES):
        return None
    if largest[:found].max() >= LARGEST_SAMPLE or samples[:found].sum() > MAX_UNWRITTEN_SAMPLES + size // 2:
        return None
    starts = [0, *ends[: found - 1].tolist()]
    columns = (column[:found].tolist() for column in (ids, lines, samples, ends, largest))
    shapes = {
        identity: PackedShape(line, length, values[start:end], reach)
        for start, identity, line, length, end, reach in zip(starts, *columns, strict=True)
    }
    return shapes if len(shapes) == found and min(shapes) > 0 else None


def _places(raw: bytes, section: Section, findings: list[Finding]) -> Iterator[_Place]:
    """Each shape with the range of its numbers."""
    heads = list(_heads(raw, section))
    first = heads[0] if heads else section.end
    before = lines_of(raw[section.start : min(first, section.start + 100_000)], section.line)
    if before:
        raise SeqoptError(f"line {before[0][0]}: [SHAPES] does not start with shape_id; the file is damaged")
    line = section.line + count_line_ends(raw, section.start, first)
    for start, end in zip(heads, [*heads[1:], section.end], strict=True):
        identity, samples, at, skipped = _head(raw, start, end, line, findings)
        yield _Place(identity, samples, line, at, end, skipped)
        line += skipped + raw.count(b"\n", at, end)


def _heads(raw: bytes, section: Section) -> Iterator[int]:
    """Start of each line that begins with shape_id, in either case."""
    at = raw.find(b"hape_", section.start, section.end)
    while at >= 0:
        start = raw.rfind(b"\n", section.start, at) + 1 or section.start
        if raw[start : start + 40].strip().lower().startswith(b"shape_id"):
            yield start
        at = raw.find(b"hape_", at + 5, section.end)


def _head(raw: bytes, start: int, end: int, line: int, findings: list[Finding]) -> tuple[int, int, int, int]:
    """(id, samples, start of the numbers, lines before them) of the shape whose head begins at ``start``."""
    key: list[str] = []
    at, skipped = start, 0
    while at < end:
        stop = raw.find(b"\n", at, end)
        stop = end if stop < 0 else stop
        words = raw[at : min(stop, at + 255)].decode("utf-8", "replace").split()
        here, skipped, at = line + skipped, skipped + 1, stop + 1
        if not words or words[0][0] == "#":
            continue
        if not key:
            key = [*words, ""]
            continue
        if words[0].lower() not in ("num_samples", "num_uncompressed") or len(words) != 2:
            raise SeqoptError(f"line {here}: expected num_samples and a number; the file is damaged")
        samples = int(whole(words[1], here, findings))
        if not 0 < samples <= MAX_SHAPE_SAMPLES:
            raise SeqoptError(f"line {here}: a shape of {samples} samples; the file is damaged")
        identity = int(whole(key[1], line, findings))
        if identity < 1:
            raise SeqoptError(f"line {line}: a shape cannot have the id {identity}; the file is damaged")
        return identity, samples, at, skipped
    raise SeqoptError(f"line {line}: the shape has no samples; the file is truncated")


def _read(raw: bytes, place: _Place) -> PackedShape:
    """The numbers of a shape, line by line."""
    lines = lines_of(raw[place.start : place.end], place.line + place.skipped)
    if not lines:
        raise SeqoptError(f"line {place.line}: the shape has no samples; the file is truncated")
    values = column(lines)
    return PackedShape(place.line, place.samples, values, float(np.abs(values).max()))
