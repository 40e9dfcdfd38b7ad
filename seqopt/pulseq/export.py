"""A sequence -> the bytes of a Pulseq file that every reader takes: plain integers, exact duration, signed.

Columns as in the Pulseq specification (https://pulseq.github.io/specification.pdf). pypulseq 1.5.0.post1 writes some
integer fields with %g (1000100 becomes 1.0001e+06, which readers take for 1), and amplitudes with six digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.pulseq.builder import COLUMNS, SequenceBuilder, definitions_of
from seqopt.pulseq.bulk import uncollected
from seqopt.pulseq.rotations import with_rotations
from seqopt.pulseq.segments import turns_as_a_whole, with_segments
from seqopt.pulseq.shapes import printed
from seqopt.units import GAMMA_HZ_PER_T

VERSIONS = ("1.5.0", "1.4.1")
"""Written unless said otherwise."""
ALL_VERSIONS = ("1.5.1", *VERSIONS)
"""Newest first; 1.5.1 stores shots that are rotations of each other once, and few interpreters read it yet."""
_SIGNATURE = (
    "\n[SIGNATURE]\n"
    "# This is the hash of the Pulseq file, calculated right before the [SIGNATURE] section was added\n"
    "# It can be reproduced/verified with md5sum if the file trimmed to the position right above [SIGNATURE]\n"
    "# The new line character preceding [SIGNATURE] BELONGS to the signature (and needs to be stripped away for "
    "recalculating/verification)\n"
    "Type md5\n"
)
_BLOCKS_TOGETHER = 10_000


def check_versions(versions: Sequence[str]) -> None:
    """Refuse versions that are not written, naming those that are."""
    for version in versions or ("none",):
        if version not in ALL_VERSIONS:
            raise SeqoptError(
                f"Pulseq version: got {version}, expected one of {', '.join(ALL_VERSIONS)}; choose one of them"
            )


def sequence_name(name: str, version: str) -> str:
    """File name of a design's sequence: it says its version, since readers of 1.4 misread 1.5 without complaint."""
    return f"{name}_v{version}.seq"


def find_sequence(folder: Path, name: str) -> Path | None:
    """The sequence of a design in its folder, the newest version that is there; None without one."""
    return next((path for version in ALL_VERSIONS if (path := folder / sequence_name(name, version)).exists()), None)


@uncollected
def write_sequence(sequence: SequenceBuilder, path: Path, *, version: str = VERSIONS[0]) -> str:
    """Write a sequence to exactly ``path`` as Pulseq text, piece by piece; returns the MD5 of its signature.

    Raises ``SeqoptError`` for a version other than 1.5.1, 1.5.0 or 1.4.1.
    """
    digest = hashlib.md5(usedforsecurity=False)
    pieces = sequence_text(sequence, version)
    with path.open("wb") as stream:
        for piece in pieces:
            digest.update(piece)
            stream.write(piece)
        stream.write((_SIGNATURE + f"Hash {digest.hexdigest()}\n").encode("utf-8"))
    return digest.hexdigest()


def sequence_bytes(sequence: SequenceBuilder, version: str) -> int:
    """How large the file would be."""
    return sum(map(len, sequence_text(sequence, version))) + len(_SIGNATURE) + len("Hash \n") + 32


def sequence_text(sequence: SequenceBuilder, version: str) -> Iterator[bytes]:
    """All that the signature covers, piece by piece."""
    check_versions([version])
    new = version != "1.4.1"
    sequence = _as_played(sequence, version)
    for lines in (
        _head(sequence, version),
        *_blocks(sequence),
        _rf(sequence, new),
        _gradients(sequence, new),
        _trapezoids(sequence),
        _adc(sequence, new),
        _extensions(sequence),
    ):
        if lines:
            yield ("\n".join(lines) + "\n").encode("utf-8")
    if sequence.shapes:
        yield b"\n# Sequence Shapes\n[SHAPES]\n\n"
        yield from printed(sequence.shapes)


def _as_played(sequence: SequenceBuilder, version: str) -> SequenceBuilder:
    """With the extensions that the version knows and the scanner's interpreter needs."""
    segmented = sequence.scanner.plays_segments
    if version == "1.5.1":
        turned = with_rotations(sequence)
        sequence = turned if turns_as_a_whole(turned) or not segmented else sequence
        if sequence.rotations:  # readers that do not know them are to refuse, not to play every shot unturned
            sequence = replace(sequence, definitions={**sequence.definitions, "RequiredExtensions": "ROTATIONS"})
    return with_segments(sequence) if segmented else sequence


def _head(sequence: SequenceBuilder, version: str) -> list[str]:
    scanner = sequence.scanner
    total = sequence.duration_rasters * Decimal(repr(scanner.block_raster_s))
    definitions = dict(
        definitions_of(
            {
                **sequence.definitions,
                "AdcRasterTime": scanner.adc_raster_s,
                "BlockDurationRaster": scanner.block_raster_s,
                "GradientRasterTime": scanner.grad_raster_s,
                "RadiofrequencyRasterTime": scanner.rf_raster_s,
                "TotalDuration": _plain(total),
            }
        )
    )
    numbers = zip(("major", "minor", "revision"), version.split("."), strict=True)
    return [
        "# Pulseq sequence file",
        "# Created by seqopt",
        "",
        "[VERSION]",
        *(f"{name} {number}" for name, number in numbers),
        "",
        "[DEFINITIONS]",
        *(f"{name} {text}".rstrip() for name, text in definitions.items()),
        "",
        "# Format of blocks:",
        "# NUM DUR RF GX GY GZ ADC EXT",
        "[BLOCKS]",
    ]


def _blocks(sequence: SequenceBuilder) -> Iterator[list[str]]:
    table = np.frombuffer(sequence.blocks, dtype=np.int64).reshape(-1, COLUMNS)
    for start in range(0, len(table), _BLOCKS_TOGETHER):
        yield [" ".join(map(str, row)) for row in table[start : start + _BLOCKS_TOGETHER].tolist()]


def _plain(value: float | Decimal) -> str:
    """Nine significant digits (all of a Decimal) without an exponent."""
    text = str(value) if isinstance(value, Decimal) else f"{value:.9g}"
    if "e" not in text and "E" not in text and "." not in text:
        return text
    plain = f"{Decimal(text):f}"
    return (plain.rstrip("0").rstrip(".") if "." in plain else plain) if Decimal(text) else "0"


def _section(name: str, columns: str, rows: list[str]) -> list[str]:
    return ["", f"# {columns}", f"[{name}]", *rows] if rows else []


def _rf(sequence: SequenceBuilder, new: bool) -> list[str]:
    rows = []
    for (peak, *shapes, centre, delay, freq_ppm, phase_ppm, freq, phase, use), number in sequence.rf.items():
        start = [str(number), _plain(peak), *map(str, shapes)]
        if new:
            rest = [_plain(centre), str(delay), *map(_plain, (freq_ppm, phase_ppm, freq, phase)), use]
        else:
            rest = [str(delay), *_without_ppm(sequence, freq_ppm, phase_ppm, freq, phase)]
        rows.append(" ".join([*start, *rest]))
    columns = "id amplitude/Hz mag_id phase_id time_id center/us delay/us freq/ppm phase/rad/MHz freq/Hz phase/rad use"
    return _section(
        "RF", columns if new else "id amplitude/Hz mag_id phase_id time_id delay/us freq/Hz phase/rad", rows
    )


def _gradients(sequence: SequenceBuilder, new: bool) -> list[str]:
    rows = []
    for row, number in sequence.gradients.items():
        if len(row) == 6:
            amplitude, first, last, *rest = row
            edges = [_plain(first), _plain(last)] if new else []
            rows.append(" ".join([str(number), _plain(amplitude), *edges, *(str(int(value)) for value in rest)]))
    edges = ["first/Hz/m", "last/Hz/m"] if new else []
    return _section("GRADIENTS", " ".join(["id amplitude/Hz/m", *edges, "shape_id time_id delay/us"]), rows)


def _trapezoids(sequence: SequenceBuilder) -> list[str]:
    rows = [
        " ".join([str(number), _plain(row[0]), *(str(int(value)) for value in row[1:])])
        for row, number in sequence.gradients.items()
        if len(row) == 5
    ]
    return _section("TRAP", "id amplitude/Hz/m rise/us flat/us fall/us delay/us", rows)


def _adc(sequence: SequenceBuilder, new: bool) -> list[str]:
    rows = []
    for (samples, dwell, delay, freq_ppm, phase_ppm, freq, phase), number in sequence.adc.items():
        start = [str(number), str(samples), str(dwell), str(delay)]
        if new:
            rest = [*map(_plain, (freq_ppm, phase_ppm, freq, phase)), "0"]
        else:
            rest = _without_ppm(sequence, freq_ppm, phase_ppm, freq, phase)
        rows.append(" ".join([*start, *rest]))
    ppm = "freq/ppm phase/rad/MHz " if new else ""
    return _section("ADC", f"id samples dwell/ns delay/us {ppm}freq/Hz phase/rad{' phase_id' if new else ''}", rows)


def _without_ppm(sequence: SequenceBuilder, freq_ppm: float, phase_ppm: float, freq: float, phase: float) -> list[str]:
    """Version 1.4 has no ppm columns: they become Hz and rad at the scanner's field."""
    megahertz = sequence.scanner.field_t * GAMMA_HZ_PER_T * 1e-6
    return [_plain(freq + freq_ppm * megahertz), _plain(phase + phase_ppm * megahertz)]


def _extensions(sequence: SequenceBuilder) -> list[str]:
    names = [*sequence.labels, *(["ROTATIONS"] if sequence.rotations else [])]
    kinds = {name: place for place, name in enumerate(names, start=1)}
    rows = [
        f"{number} {kinds[name]} {reference} {following}"
        for (name, reference, following), number in sequence.extensions.items()
    ]
    out = _section("EXTENSIONS", "id type ref next_id", rows)
    for name in sequence.labels:
        out += ["", f"# id {name.removeprefix('LABEL').lower()} label", f"extension {name} {kinds[name]}"]
        out += [f"{number} {value} {label}" for (value, label), number in sequence.labels[name].items()]
    if sequence.rotations:
        out += ["", "# id RotQuat0 RotQuatX RotQuatY RotQuatZ", f"extension ROTATIONS {kinds['ROTATIONS']}"]
        out += [f"{number} {' '.join(f'{part:.12g}' for part in row)}" for row, number in sequence.rotations.items()]
    return out
