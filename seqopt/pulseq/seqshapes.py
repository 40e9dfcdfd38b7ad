"""The section [SHAPES] of a Pulseq file: found by the heads of its shapes, read many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqnumbers import column, plain_column, whole
from seqopt.pulseq.seqtables import LARGEST_SAMPLE, Finding, PackedShape
from seqopt.pulseq.seqtext import Section, lines_of

MAX_SHAPE_SAMPLES = 1_000_000
"""Ten seconds on a gradient raster."""
MAX_UNWRITTEN_SAMPLES = 10_000_000
"""Samples that all shapes together may have beyond what the text can hold: packed shapes can claim any number."""
_TOGETHER = 8_000_000
"""Bytes that are read at once: a shape in another notation slows its neighbours only."""


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
    line_ends: int
    """Among its numbers."""


def read_shapes(raw: bytes, section: Section, findings: list[Finding]) -> dict[int, PackedShape]:
    """Every shape by its id; raises with the line for what is no shape and for lengths that nobody plays."""
    shapes: dict[int, PackedShape] = {}
    claimed, group, size = 0, [], 0
    for place in _places(raw, section, findings):
        if place.identity in shapes:
            raise SeqoptError(f"line {place.line}: shape {place.identity} is defined twice; the file is damaged")
        shapes[place.identity] = PackedShape(place.line, place.samples, np.zeros(0))
        claimed += place.samples
        if claimed > MAX_UNWRITTEN_SAMPLES + (section.end - section.start) // 2:
            raise SeqoptError(f"line {place.line}: the shapes up to here have {claimed} samples; the file is damaged")
        group.append(place)
        size += place.end - place.start
        if size > _TOGETHER:
            shapes.update(_read(raw, group))
            group, size = [], 0
    shapes.update(_read(raw, group))
    return shapes


def _places(raw: bytes, section: Section, findings: list[Finding]) -> Iterator[_Place]:
    """Each shape with the range of its numbers."""
    heads = list(_heads(raw, section))
    first = heads[0] if heads else section.end
    before = lines_of(raw[section.start : min(first, section.start + 100_000)], section.line)
    if before:
        raise SeqoptError(f"line {before[0][0]}: [SHAPES] does not start with shape_id; the file is damaged")
    line = section.line + raw.count(b"\n", section.start, first)
    for start, end in zip(heads, [*heads[1:], section.end], strict=True):
        identity, samples, at, skipped = _head(raw, start, end, line, findings)
        line_ends = raw.count(b"\n", at, end)
        yield _Place(identity, samples, line, at, end, skipped, line_ends)
        line += skipped + line_ends


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


def _read(raw: bytes, places: list[_Place]) -> dict[int, PackedShape]:
    """The numbers of some shapes: at once if they are plain, otherwise line by line."""
    texts = [raw[place.start : place.end].strip(b"\n") for place in places]
    counts = [  # what was stripped was line ends
        place.line_ends - (place.end - place.start - len(text)) + 1 if text else 0
        for place, text in zip(places, texts, strict=True)
    ]
    out, values = {}, None
    if all(counts):
        values = plain_column(b"\n".join(texts), sum(counts))
    if values is not None:
        sound = bool(max(-values.min(), values.max()) < LARGEST_SAMPLE)
        for place, part in zip(places, np.split(values, np.cumsum(counts[:-1])), strict=True):
            out[place.identity] = PackedShape(place.line, place.samples, part, sound)
        return out
    for place in places:
        lines = lines_of(raw[place.start : place.end], place.line + place.skipped)
        if not lines:
            raise SeqoptError(f"line {place.line}: the shape has no samples; the file is truncated")
        out[place.identity] = PackedShape(place.line, place.samples, column(lines))
    return out
