"""Compiled loops between numbers and the text of [SHAPES]."""

from __future__ import annotations

import numpy as np

from seqopt.pulseq.kernel_types import (
    COUNTS,
    FLOAT,
    FLOATS,
    INT,
    INTS,
    PLACE,
    ROWS,
    TEXT,
    Counts,
    FloatArray,
    IntArray,
    Text,
    compiled,
)  # fmt: skip

_LF, _HASH, _MINUS, _DOT, _ZERO, _E = 10, 35, 45, 46, 48, 101
_0, _1, _2, _3, _10, _100, _1000, _CHARACTER_0 = np.array([0, 1, 2, 3, 10, 100, 1000, 48], dtype=np.uint64)
"""Places without a sign: numba looks at others for whether they count from the end."""
_SHAPE_ID = np.frombuffer(b"shape_id ", dtype=np.uint8)
_NUM_SAMPLES = np.frombuffer(b"num_samples ", dtype=np.uint8)
_POWERS = 10.0 ** np.arange(23)  # exact, as is a quotient of whole numbers below 2^53 by them: rounded once
_THREE_DIGITS = np.frombuffer(b"".join(b"%03d" % number for number in range(1000)), dtype=np.uint8)
_MOST_DIGITS, _MOST_PLACES = np.array([15, 22], dtype=np.uint64)


@compiled(TEXT, PLACE)
def _digit(text: Text, at: np.uint64) -> np.uint64:
    """A digit; more than nine for other characters."""
    above: np.uint64 = np.uint64(text[at]) - _CHARACTER_0
    return above


@compiled(TEXT, PLACE, TEXT)
def _field(text: Text, at: np.uint64, name: Text) -> tuple[np.uint64, np.int64]:
    """A line of a name and a whole number of up to 15 digits -> where the next starts, and the number; else 0."""
    for character in name:
        if text[at] != character:
            return _0, np.int64(0)
        at += _1
    first, value = at, _0
    while _digit(text, at) < _10 and at - first < _MOST_DIGITS:
        value = _10 * value + _digit(text, at)
        at += _1
    if at == first or text[at] != _LF:
        return _0, np.int64(0)
    return at + _1, np.int64(value)


@compiled(TEXT, PLACE)
def _decimal(text: Text, at: np.uint64) -> tuple[np.uint64, float]:
    """A line of 12, -0.5 or 1.2e-05 -> where the next starts, and the number that Python reads; else 0.

    Nothing behind the line is looked at, however it goes on.
    """
    negative = text[at] == _MINUS
    at += np.uint64(negative)
    first, whole, places = at, _0, _0
    while _digit(text, at) < _10:
        whole = _10 * whole + _digit(text, at)
        at += _1
    digits = at - first
    if digits and text[at] == _DOT:
        at += _1
        first = at
        while _digit(text, at) < _10:
            if _digit(text, at + _1) < _10 and _digit(text, at + _2) < _10:  # as most have six or nine
                three = _100 * _digit(text, at) + _10 * _digit(text, at + _1) + _digit(text, at + _2)
                whole = _1000 * whole + three
                at += _3
            else:
                whole = _10 * whole + _digit(text, at)
                at += _1
        places = at - first
        digits = digits + places if places else _0
    if text[at] == _E and text[at + _1] == _MINUS:
        at += _2
        first, power = at, _0
        while _digit(text, at) < _10 and at - first < _2:
            power = _10 * power + _digit(text, at)
            at += _1
        places = places + power if at > first else _MOST_PLACES + _1
    if text[at] != _LF or digits == _0 or digits > _MOST_DIGITS or places > _MOST_PLACES:
        return _0, 0.0
    value = np.float64(np.int64(whole)) / _POWERS[places]
    return at + _1, -value if negative else value


@compiled(TEXT, PLACE, PLACE, INT, INTS, INTS, INTS, INTS, FLOATS, FLOATS)
def parse_shapes(
    text: Text, at: np.uint64, end: np.uint64, line: int,
    ids: IntArray, samples: IntArray, lines: IntArray, ends: IntArray, largest: FloatArray, values: FloatArray,
) -> int:  # fmt: skip
    """[SHAPES] in the notation of most writers into arrays -> how many shapes; -1 where anything else stands there.

    ``line`` is the number of the line at ``at``. ``ends`` (shapes,) says where the numbers of each end in ``values``,
    ``largest`` (shapes,) how large they are.
    """
    shapes = count = 0
    if end > at and text[end - _1] != _LF:
        return -1  # the line end is what every loop stops at
    while True:
        while at < end and (text[at] == _LF or text[at] == _HASH):  # between shapes
            while text[at] != _LF:
                at += _1
            at += _1
            line += 1
        if at >= end:
            return shapes
        if shapes == len(ids):
            return -1
        lines[shapes] = line
        at, ids[shapes] = _field(text, at, _SHAPE_ID)
        if at == _0 or at >= end:
            return -1
        at, samples[shapes] = _field(text, at, _NUM_SAMPLES)
        if at == _0:
            return -1
        line += 2
        first, reach = count, 0.0
        while at < end and text[at] != _LF:
            at, value = _decimal(text, at)
            if at == _0 or count == len(values):
                return -1
            values[count] = value
            reach = max(reach, abs(value))
            count += 1
        line += count - first
        if count == first:
            return -1
        ends[shapes], largest[shapes] = count, reach
        shapes += 1


@compiled(COUNTS, INTS, INT)
def print_counts(counts: Counts, ends: IntArray, digits: int) -> tuple[Text, IntArray]:
    """Counts of 10^-digits (six or nine), one line each -> the text, and where those up to each end stop in it."""
    text, cuts = np.empty(len(counts) * (digits + 4), dtype=np.uint8), np.empty_like(ends)
    at, done, whole_line = _0, 0, np.uint64(digits + 3)
    for number in range(len(ends)):
        for place in range(done, ends[number]):
            text[at] = _MINUS  # overwritten where there is no sign: quicker than to guess it
            at += np.uint64(counts[place] < 0)
            rest, start = np.uint64(abs(np.int64(counts[place]))), at + whole_line - _1
            text[start] = _LF
            while start > at + _2:
                start -= _3
                above = rest // _1000
                three = _3 * (rest - _1000 * above)
                text[start] = _THREE_DIGITS[three]
                text[start + _1], text[start + _2] = _THREE_DIGITS[three + _1], _THREE_DIGITS[three + _2]
                rest = above
            text[at], text[at + _1] = _CHARACTER_0 + rest, _DOT
            at += whole_line
        done = ends[number]
        cuts[number] = at
    return text, cuts


@compiled(ROWS, INT, FLOAT)
def quantise(waveforms: FloatArray, digits: int, silent: float) -> tuple[Counts, FloatArray, IntArray]:
    """What ``shapes.quantise`` makes of waveforms (n, edges): counts, amplitudes and digits."""
    rows, edges = waveforms.shape
    counts = np.zeros((rows, edges), dtype=np.int32)
    amplitudes, chosen = np.zeros(rows), np.full(rows, digits)
    form = np.empty(edges)
    fine = 10.0**9
    steps = 10.0**digits - 1.0
    for row in range(rows):
        wave, peak, first = waveforms[row], 0.0, 0
        for at in range(edges):
            peak = max(peak, abs(wave[at]))
        if not peak >= silent:
            continue
        while abs(wave[first]) < 0.5 * peak:
            first += 1
        sign = -1.0 if wave[first] < 0 else 1.0
        flat = 0
        for at in range(edges):
            form[at] = np.rint(wave[at] * (sign / peak) * fine) / fine
        for at in range(1, edges):
            flat += form[at] - form[at - 1] == 0
        if flat / (edges - 1) > 0.5:
            amplitudes[row], chosen[row] = sign * peak, 9
            for at in range(edges):
                counts[row, at] = np.int32(np.rint(form[at] * fine))
            continue
        amplitudes[row] = sign * peak * ((steps + 1.0) / steps)
        total = before = 0.0
        for at in range(edges):
            total += form[at]
            now = np.rint(total * steps)
            counts[row, at] = np.int32(now - before)
            before = now
    return counts, amplitudes, chosen
