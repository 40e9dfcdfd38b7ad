"""Shots that are turned copies of an earlier one: Pulseq 1.5.1 plays its shapes again, with a ROTATIONS extension.

Each shape is stored once then, however many arms a spiral has. Earlier versions cannot say so and hold every arm.
"""

from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from seqopt.pulseq.builder import COLUMNS, EXT, GX, GY, GZ, SequenceBuilder
from seqopt.pulseq.shapes import Shape

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
IntArray = npt.NDArray[np.int64]
SAME_K_PER_M = 4e-5
"""What six digits may move two shapes apart, 2e-5 of a cycle over half a metre."""
_LOOKS = 16
_DIGITS = 12


class _Kind:
    """Waveforms on the same corners that are no rotation of one before, each by where its |k| stands at a few times."""

    def __init__(self, times_s: FloatArray, most: int) -> None:
        self.times_s = times_s
        self.pairs: list[tuple[int, int]] = []
        self._sizes_per_m = np.empty((most, _LOOKS))
        self._looks = np.linspace(0, len(times_s) - 1, _LOOKS).astype(np.int64)

    def alike(self, k_per_m: ComplexArray) -> list[tuple[int, int]]:
        """Those of which this waveform may be a rotation: their |k| stands where its own does."""
        sizes = self._sizes_per_m[: len(self.pairs)]
        near = np.abs(sizes - np.abs(k_per_m[self._looks])).max(axis=1) < SAME_K_PER_M
        return [self.pairs[number] for number in np.flatnonzero(near).tolist()]

    def keep(self, pair: tuple[int, int], k_per_m: ComplexArray) -> None:
        """Add a waveform that is no rotation of one before."""
        self._sizes_per_m[len(self.pairs)] = np.abs(k_per_m[self._looks])
        self.pairs.append(pair)


def with_rotations(sequence: SequenceBuilder) -> SequenceBuilder:
    """The sequence with every waveform in x and y that is a rotation of an earlier one played as that, turned about z.

    K moves by less than ``SAME_K_PER_M``. Waveforms that begin or end away from zero stay, as what joins them is not
    turned; so do trapezoids, which need no shape, and everything where no shape is saved, as of straight spokes.
    Source: Pulseq's example writeRadialGradientEcho_rotExt.m; quaternions are written scalar first.
    """
    blocks = np.frombuffer(sequence.blocks, dtype=np.int64).reshape(-1, COLUMNS).copy()
    pairs, first, members = np.unique(blocks[:, [GX, GY]], axis=0, return_index=True, return_inverse=True)
    turned = _turned(sequence, pairs[np.argsort(first)])
    if not turned:
        return sequence
    extensions, rotations = dict(sequence.extensions), dict(sequence.rotations)
    turns = np.zeros(len(pairs), dtype=np.int64)
    for at, pair in enumerate(map(tuple, pairs.tolist())):
        if pair in turned:
            pairs[at], angle = turned[pair]
            quaternion = (round(np.cos(angle / 2), _DIGITS), 0.0, 0.0, round(np.sin(angle / 2), _DIGITS))
            turns[at] = rotations.setdefault(quaternion, len(rotations) + 1)
    members = members.reshape(-1)
    blocks[:, [GX, GY]] = pairs[members]
    for block in np.flatnonzero(turns[members]).tolist():
        entry = ("ROTATIONS", int(turns[members[block]]), int(blocks[block, EXT]))
        blocks[block, EXT] = extensions.setdefault(entry, len(extensions) + 1)
    smaller = _without_unused(sequence, blocks, extensions, rotations)
    return smaller if len(smaller.shapes) < len(sequence.shapes) else sequence


def _turned(sequence: SequenceBuilder, pairs: IntArray) -> dict[tuple[int, int], tuple[tuple[int, int], float]]:
    """Distinct (gx, gy) in play order -> for each rotation the earlier (gx, gy) and the angle in rad from it."""
    rows = [(), *sequence.gradients]
    kinds: dict[tuple[float, ...], _Kind] = {}
    out = {}
    for x, y in pairs.tolist():
        shaped = [rows[number] for number in (x, y) if number]
        if not shaped or any(len(row) != 6 or row[1] or row[2] for row in shaped):
            continue
        corners = shaped[0][4:]  # time shape and delay
        if shaped[-1][4:] != corners:
            continue
        if corners not in kinds:
            times_s = _samples(sequence.shapes[int(corners[0]) - 1]) * sequence.scanner.grad_raster_s
            kinds[corners] = _Kind(times_s, len(pairs))
        kind = kinds[corners]
        k = _k_per_m(sequence, rows, (x, y), kind.times_s)
        for earlier in kind.alike(k):
            other = _k_per_m(sequence, rows, earlier, kind.times_s)
            angle = float(np.angle(np.vdot(other, k)))
            if np.abs(k - np.exp(1j * angle) * other).max() < SAME_K_PER_M:
                out[x, y] = earlier, angle
                break
        else:
            kind.keep((x, y), k)
    return out


def _k_per_m(
    sequence: SequenceBuilder, rows: list[tuple[float, ...]], pair: tuple[int, int], times_s: FloatArray
) -> ComplexArray:
    """Integral of gx + i gy up to each corner (n,)."""
    gradient = np.zeros(len(times_s), dtype=complex)
    for unit, number in zip((1, 1j), pair, strict=True):
        if number:
            shape = sequence.shapes[int(rows[number][3]) - 1]
            gradient += unit * rows[number][0] * 10.0**-shape.digits * _samples(shape)
    pieces = np.diff(times_s) * (gradient[1:] + gradient[:-1]) / 2
    return np.concatenate([[0], np.cumsum(pieces)])


def _samples(shape: Shape) -> FloatArray:
    """Counts of a shape, unpacked."""
    if not shape.packed:
        return shape.counts.astype(float)
    values, slopes, at = shape.counts.tolist(), list[int](), 0
    while at < len(values):
        again = values[at : at + 1] == values[at + 1 : at + 2]
        slopes += [values[at]] * (values[at + 2] + 2 if again else 1)
        at += 3 if again else 1
    return np.cumsum(slopes).astype(float)


def _without_unused(
    sequence: SequenceBuilder,
    blocks: IntArray,
    extensions: dict[tuple[str, int, int], int],
    rotations: dict[tuple[float, ...], int],
) -> SequenceBuilder:
    """With gradients and shapes that are played, numbered anew."""
    played = set(blocks[:, GX : GZ + 1].reshape(-1).tolist())
    kept = [row for row, number in sequence.gradients.items() if number in played]
    used = {number for row in sequence.rf for number in row[1:4]} | {
        n for row in kept if len(row) == 6 for n in row[3:5]
    }
    shapes = sorted(int(number) for number in used if number)
    new_shape = {0: 0, **{number: place for place, number in enumerate(shapes, start=1)}}
    new_gradient = np.zeros(len(sequence.gradients) + 1, dtype=np.int64)
    new_gradient[[sequence.gradients[row] for row in kept]] = np.arange(1, len(kept) + 1)
    blocks[:, GX : GZ + 1] = new_gradient[blocks[:, GX : GZ + 1]]
    gradients = [
        (*row[:3], new_shape[int(row[3])], new_shape[int(row[4])], row[5]) if len(row) == 6 else row for row in kept
    ]
    pulses = [(row[0], *(new_shape[number] for number in row[1:4]), *row[4:]) for row in sequence.rf]
    return replace(
        sequence,
        blocks=array("q", blocks.tobytes()),
        rf={row: number for number, row in enumerate(pulses, start=1)},
        gradients={row: number for number, row in enumerate(gradients, start=1)},
        shapes=[sequence.shapes[number - 1] for number in shapes],
        extensions=extensions,
        rotations=rotations,
    )
