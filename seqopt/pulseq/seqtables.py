"""The tables of a Pulseq file, and its shapes; seconds, Hz, Hz/m and radians."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]
LARGEST_SAMPLE = 1e9


@dataclass(frozen=True)
class Finding:
    """Something wrong that does not stop the reading; ``kind`` is the name of the check that reports it."""

    kind: str
    line: int
    text: str


@dataclass(frozen=True)
class RfEvent:
    """One RF event: Hz, seconds, radians."""

    amplitude_hz: float
    magnitude_shape: int
    phase_shape: int
    time_shape: int
    centre_s: float | None
    """From the start of the shape; None before 1.5."""
    delay_s: float
    freq_ppm: float
    phase_ppm: float
    freq_hz: float
    phase_rad: float
    use: str


@dataclass(frozen=True)
class TrapEvent:
    """One trapezoid: Hz/m, seconds."""

    amplitude_hz_per_m: float
    rise_s: float
    flat_s: float
    fall_s: float
    delay_s: float


@dataclass(frozen=True)
class GradEvent:
    """One shaped gradient: Hz/m, seconds; first and last are None before 1.5."""

    amplitude_hz_per_m: float
    first_hz_per_m: float | None
    last_hz_per_m: float | None
    shape: int
    time_shape: int
    """0: raster centres; -1: half rasters; else the shape of the corner times in rasters."""
    delay_s: float


@dataclass(frozen=True)
class AdcEvent:
    """One ADC event: seconds, Hz, radians."""

    samples: int
    dwell_s: float
    delay_s: float
    freq_ppm: float
    phase_ppm: float
    freq_hz: float
    phase_rad: float
    phase_shape: int


@dataclass(frozen=True)
class PackedShape:
    """A shape as it stands in the file."""

    line: int
    samples: int
    packed: FloatArray
    largest: float = np.nan
    """Size of the largest of its numbers; NaN where nobody has looked, or one of them is NaN."""

    @property
    def sound(self) -> bool:
        """Whether every number is known to be finite and of a plausible size."""
        return self.largest < LARGEST_SAMPLE

    @property
    def as_sampled(self) -> bool:
        """Whether it holds as many numbers as it has samples, as from version 1.4 on shapes that do not pack may."""
        return len(self.packed) == self.samples


@dataclass(frozen=True)
class SeqFile:
    """All tables of one file. Blocks are (n, 8): id, duration (delay id before 1.4), rf, gx, gy, gz, adc, ext."""

    path: Path
    size_bytes: int
    version: tuple[int, int, int]
    definitions: dict[str, str]
    blocks: npt.NDArray[np.int64]
    rf: dict[int, RfEvent] = field(default_factory=dict)
    gradients: dict[int, TrapEvent | GradEvent] = field(default_factory=dict)
    adc: dict[int, AdcEvent] = field(default_factory=dict)
    delays_s: dict[int, float] = field(default_factory=dict)
    shapes: dict[int, PackedShape] = field(default_factory=dict)
    extensions: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """List entry id -> (type, reference, next)."""
    extension_types: dict[int, str] = field(default_factory=dict)
    extension_rows: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=dict)
    """Extension name -> id -> the remaining columns as text."""
    signature: str | None = None
    md5: str = ""
    """Of the bytes that the signature covers."""
    findings: tuple[Finding, ...] = ()

    @property
    def knows_plain_shapes(self) -> bool:
        """Whether its version has shapes that are not packed."""
        return self.version >= (1, 4, 0)

    def shape(self, number: int) -> FloatArray:
        """Decompressed samples of one shape; raises with the line if its length is not what it claims."""
        try:
            return decompress(self.shapes[number], plain_allowed=self.knows_plain_shapes)
        except SeqoptError as error:
            raise SeqoptError(f"{self.path}: {error}") from error


def decompress(item: PackedShape, *, plain_allowed: bool) -> FloatArray:
    """Undo the run-length coding of the derivative: two equal values are followed by a count of further repeats."""
    packed = item.packed
    if not (item.sound or (np.abs(packed) < LARGEST_SAMPLE).all()):
        raise SeqoptError(f"line {item.line}: the shape holds NaN, infinity or huge numbers; the file is damaged")
    if plain_allowed and item.as_sampled:
        return packed
    pieces: list[FloatArray] = []
    at, total = 0, 0
    for pair in np.flatnonzero(packed[1:] == packed[:-1]):
        if pair < at:
            continue
        if pair + 2 >= len(packed):
            raise SeqoptError(f"line {item.line}: the shape ends inside a repeat; the file is truncated or damaged")
        count = packed[pair + 2]
        total += int(pair) - at
        if not 0 <= count <= item.samples - total - 2 or count != round(count):
            raise SeqoptError(f"line {item.line}: a repeat of {count:g} does not fit a shape of {item.samples} samples")
        pieces += [packed[at:pair], np.full(int(count) + 2, packed[pair])]
        at, total = int(pair) + 3, total + int(count) + 2
    pieces.append(packed[at:])
    derivative = np.concatenate(pieces)
    if len(derivative) != item.samples:
        raise SeqoptError(
            f"line {item.line}: the shape holds {len(derivative)} samples, its header says {item.samples}; "
            "the file is truncated or damaged"
        )
    return np.cumsum(derivative)
