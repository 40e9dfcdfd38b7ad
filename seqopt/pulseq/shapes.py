"""Waveforms -> shapes of a Pulseq file: whole counts of a decimal step, packed and printed in bulk.

A learned waveform has no two equal slopes, so what decides the size of a file is the number of digits a sample. Its
running sum is rounded, not the sample: the error of k then stays below half a step at every edge instead of growing
with the square root of the time, and six digits bring k to 1e-5/FOV where plain rounding takes eight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.bulk import kernels_for

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
FEWEST_DIGITS, MOST_DIGITS = 6, 9
_TOGETHER = 1 << 17
"""Samples that are printed at once: some 4 MB of work space."""


@dataclass(frozen=True)
class Shape:
    """One shape of a file, in counts of 10^-digits."""

    samples: int
    """Once unpacked."""
    counts: IntArray
    """(n,) samples, or their packed slopes where those are fewer: twice a slope, then how often it comes again."""
    digits: int
    packed: bool


@dataclass(frozen=True)
class Quantised:
    """Waveforms as counts; what they stand for is counts * 10^-digits * amplitude."""

    counts: IntArray
    """(n, edges)"""
    amplitudes: FloatArray
    """(n,) Hz/m, signed; 0 where a row plays nothing."""
    digits: npt.NDArray[np.int64]
    """(n,)"""


def quantise(waveforms: FloatArray, *, digits: int, silent: float, kernels: ModuleType | None = None) -> Quantised:
    """Round waveforms (n, edges) in Hz/m so that the integral of each stays exact to half a step at every edge.

    Equal forms come out equal whatever their size and sign. Rows that stay below ``silent`` Hz/m become nothing. Rows
    that are flat for more than half of their edges keep nine digits instead, as flat pieces pack. ``kernels``:
    compiled loops, for many waveforms.
    """
    if kernels is not None:
        return Quantised(*kernels.quantise(waveforms, digits, silent))
    peaks = np.abs(waveforms).max(axis=1)
    loud = peaks >= silent
    safe = np.where(loud, peaks, 1.0)
    first = np.argmax(np.abs(waveforms) >= 0.5 * peaks[:, None], axis=1)
    sign = np.where(waveforms[np.arange(len(waveforms)), first] < 0, -1.0, 1.0)
    form = np.round(waveforms * (sign / safe)[:, None], MOST_DIGITS)
    steps = 10**digits - 1  # the running sum may round one sample up by one step, and |shape| must not pass 1
    counts = np.diff(np.rint(np.cumsum(form, axis=1) * steps), axis=1, prepend=0.0).astype(np.int32)
    amplitudes = sign * peaks * (10**digits / steps)
    chosen = np.full(len(waveforms), digits)
    flat = (np.diff(form, axis=1) == 0).mean(axis=1) > 0.5
    if flat.any():
        counts[flat] = np.rint(form[flat] * 10**MOST_DIGITS).astype(np.int32)
        amplitudes[flat] = sign[flat] * peaks[flat]
        chosen[flat] = MOST_DIGITS
    counts[~loud] = 0
    return Quantised(counts, np.where(loud, amplitudes, 0.0), chosen)


def digits_for(*steps: tuple[float, float]) -> int:
    """Six digits or nine, so that (peak, largest error) pairs of one unit hold for an error of one step."""
    enough = all(peak <= error * 10**FEWEST_DIGITS for peak, error in steps)
    return FEWEST_DIGITS if enough else MOST_DIGITS


def repeating(counts: IntArray) -> npt.NDArray[np.bool_]:
    """Rows (n, edges) in which so many slopes repeat that packing may pay: four in a row."""
    slopes = np.diff(counts, axis=1, prepend=np.int32(0))
    again = slopes[:, 1:] == slopes[:, :-1]
    long = (again[:, 2:] & again[:, 1:-1] & again[:, :-2]).any(axis=1)
    return np.asarray(long & (np.count_nonzero(again[:, 1:], axis=1) >= 3))


def pack(counts: IntArray, digits: int) -> Shape:
    """The shorter of the samples (n,) and their run-length coded slopes, as Pulseq defines it; five samples or more."""
    samples = len(counts)
    slopes = np.diff(counts, prepend=np.int32(0))
    again = slopes[1:] == slopes[:-1]
    starts = np.concatenate([[0], np.flatnonzero(~again) + 1])
    lengths = np.diff(np.append(starts, samples))
    repeats = np.where(lengths > 1, 3, 1)
    if samples < 5 or int(repeats.sum()) >= samples:
        return Shape(samples, counts, digits, False)
    coded = np.repeat(slopes[starts], repeats)
    coded[(np.cumsum(repeats) - 1)[lengths > 1]] = lengths[lengths > 1] - 2
    return Shape(samples, coded, digits, True)


def shape_of(values: FloatArray, digits: int) -> Shape:
    """Samples (n,) rounded to so many digits, packed where that is shorter."""
    scaled = np.rint(np.asarray(values, dtype=float) * 10**digits)
    if not (np.abs(scaled) <= 2**30).all():
        raise SeqoptError("a shape holds NaN, infinity or numbers too large for a Pulseq file; the event is damaged")
    return pack(scaled.astype(np.int32), digits)


def printed(shapes: list[Shape]) -> Iterator[bytes]:
    """[SHAPES] of a file, piece by piece; the number of a shape is its place, from 1."""
    kernels = kernels_for(sum(len(shape.counts) for shape in shapes))
    at = 0
    while at < len(shapes):
        end, total = at, 0
        while end < len(shapes) and (end == at or total + len(shapes[end].counts) <= _TOGETHER):
            if (shapes[end].digits, shapes[end].packed) != (shapes[at].digits, shapes[at].packed):
                break
            total += len(shapes[end].counts)
            end += 1
        yield _print(shapes[at:end], at + 1, kernels)
        at = end


def _print(shapes: list[Shape], first: int, kernels: ModuleType | None) -> bytes:
    """Shapes of one kind, one after the other."""
    ends = np.cumsum([len(shape.counts) for shape in shapes])
    if shapes[0].packed or shapes[0].digits not in (FEWEST_DIGITS, MOST_DIGITS):
        lines: Sequence[bytes | memoryview] = [_few_lines(shape) for shape in shapes]
    elif kernels is not None:
        buffer, cuts = kernels.print_counts(np.concatenate([shape.counts for shape in shapes]), ends, shapes[0].digits)
        lines = [buffer.data[start:end] for start, end in pairwise([0, *cuts.tolist()])]
    else:
        counts = np.concatenate([shape.counts for shape in shapes])
        text, sizes = _many_lines(counts, shapes[0].digits)
        cuts = [0, *np.cumsum(sizes)[ends - 1].tolist()]
        lines = [text[start:end] for start, end in pairwise(cuts)]
    pieces: list[bytes | memoryview] = []
    for number, (shape, line) in enumerate(zip(shapes, lines, strict=True), start=first):
        pieces += [b"shape_id %d\nnum_samples %d\n" % (number, shape.samples), line, b"\n"]
    return b"".join(pieces)


def _few_lines(shape: Shape) -> bytes:
    """One line a number: decimals, and plain integers for how often a slope comes again."""
    lines, values, at = [], shape.counts.tolist(), 0
    while at < len(values):
        lines.append(_decimal(values[at], shape.digits))
        if shape.packed and values[at : at + 1] == values[at + 1 : at + 2]:
            lines += [lines[-1], str(values[at + 2])]
            at += 2
        at += 1
    return "".join(f"{line}\n" for line in lines).encode()


def _decimal(count: int, digits: int) -> str:
    whole, rest = divmod(abs(count), 10**digits)
    text = f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") if digits else str(whole)
    return f"-{text}" if count < 0 else text


def _many_lines(counts: IntArray, digits: int) -> tuple[bytes, IntArray]:
    """One line a number, three digits at a time from tables; and how long each line is."""
    negative = counts < 0
    parts = [
        ("sign", "S1"),
        ("ones", "S2"),
        *((f"digits{start}", "S3") for start in range(0, digits, 3)),
        ("end", "S1"),
    ]
    lines = np.empty(len(counts), dtype=parts)
    lines["sign"] = _SIGNS[negative.view(np.uint8)]
    rest = np.abs(counts)
    for start in range(digits - 3, -1, -3):
        above = rest // 1000
        lines[f"digits{start}"] = _THREE_DIGITS[rest - 1000 * above]
        rest = above
    lines["ones"] = _ONES[rest]
    lines["end"] = b"\n"
    return lines.tobytes().translate(None, b"+"), (digits + 3 + negative).astype(np.int32)


_SIGNS = np.array([b"+", b"-"])
_ONES = np.array([b"0.", b"1."])
_THREE_DIGITS = np.array([b"%03d" % number for number in range(1000)])
