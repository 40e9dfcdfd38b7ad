"""Segments as GE's interpreter plays them: what a TRID label starts, one number for all that are alike.

The interpreter keeps the first segment of a number and replays it with other amplitudes, phases, frequencies and one
rotation; blocks, shapes and durations are those of the first. Source: HarmonizedMRI/SequenceExamples-GE, pge2.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from seqopt.pulseq.builder import ADC, COLUMNS, EXT, GX, GY, GZ, RF, SequenceBuilder

IntArray = npt.NDArray[np.int64]


def with_segments(sequence: SequenceBuilder) -> SequenceBuilder:
    """The sequence with a TRID label at the start of each of its segments."""
    blocks = np.frombuffer(sequence.blocks, dtype=np.int64).reshape(-1, COLUMNS).copy()
    numbers = dict(sequence.labels.get("LABELSET", {}))
    extensions = dict(sequence.extensions)
    forms = _forms(sequence, blocks)
    known: dict[bytes, int] = {}
    for start, end in _spans(sequence, blocks):
        number = known.setdefault(forms[start:end].tobytes(), len(known) + 1)
        label = numbers.setdefault((number, "TRID"), len(numbers) + 1)
        entry = ("LABELSET", label, int(blocks[start, EXT]))
        blocks[start, EXT] = extensions.setdefault(entry, len(extensions) + 1)
    return replace(
        sequence,
        blocks=array("q", blocks.tobytes()),
        labels={**sequence.labels, "LABELSET": numbers},
        extensions=extensions,
    )


def turns_as_a_whole(sequence: SequenceBuilder) -> bool:
    """Whether each segment has one rotation at most, which all of its blocks in x and y play, as GE's does."""
    blocks = np.frombuffer(sequence.blocks, dtype=np.int64).reshape(-1, COLUMNS)
    turn = {number: reference for (name, reference, _), number in sequence.extensions.items() if name == "ROTATIONS"}
    turns = np.array([turn.get(entry, 0) for entry in blocks[:, EXT].tolist()])
    in_plane = np.asarray(blocks[:, [GX, GY]].any(axis=1))
    return all(len(set(turns[a:b][in_plane[a:b]].tolist())) < 2 for a, b in _spans(sequence, blocks))


def _spans(sequence: SequenceBuilder, blocks: IntArray) -> Iterator[tuple[int, int]]:
    return pairwise([*sequence.segments, len(blocks)])


def _forms(sequence: SequenceBuilder, blocks: IntArray) -> IntArray:
    """(blocks,) equal numbers for blocks of one duration that play the same shapes at the same times."""
    gradients = _kinds(row[3:] if len(row) == 6 else row[1:] for row in sequence.gradients)
    pulses = _kinds((*row[1:4], row[5]) for row in sequence.rf)  # shapes and delay
    readouts = _kinds(row[:3] for row in sequence.adc)
    columns = [blocks[:, 1], pulses[blocks[:, RF]], *gradients[blocks[:, [GX, GY, GZ]]].T, readouts[blocks[:, ADC]]]
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].reshape(-1)


def _kinds(rows: Iterator[tuple[object, ...]]) -> IntArray:
    """Event id -> a number of its kind; 0 for none."""
    known: dict[tuple[object, ...], int] = {}
    return np.array([0, *(known.setdefault(row, len(known) + 1) for row in rows)], dtype=np.int64)
