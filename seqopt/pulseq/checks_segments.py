"""Segments by TRID labels, which GE's interpreter needs; other profiles ask for none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, Scanner
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.seqtables import SeqFile, TrapEvent

IntArray = npt.NDArray[np.int64]
_REMEDY = "set TRID in the first block of each TR, one number for segments that differ in amplitude and phase alone"


def segment_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], list[str]]:
    """Whether segments of one number are alike in blocks, shapes and durations, begin at rest and turn as a whole.

    Source: the strict rules of HarmonizedMRI/SequenceExamples-GE, pge2/docs/pge2-sequence-design-rules.md.
    """
    if not scanner.plays_segments:
        return [], []
    labels = [(block, value) for block, word, name, value in played.label_history if (word, name) == ("SET", "TRID")]
    problems = ["no TRID label"] if not labels else []
    if labels and labels[0][0]:
        problems.append("the first block has no TRID label, and what is played before one is left out")
    forms, turns = _forms(played.file), np.array([key[3] for key in played.gradients.keys])
    turning = turns[played.gradients.key_numbers]
    in_plane = np.asarray(played.file.blocks[:, 3:5].any(axis=1))
    first: dict[int, tuple[int, IntArray]] = {}
    for (start, number), (end, _) in pairwise([*labels, (played.blocks, 0)]):
        known, form = first.setdefault(number, (start, forms[start:end]))
        if not np.array_equal(form, forms[start:end]):
            problems.append(f"{played.place(start)}: TRID {number} has other blocks than from {played.place(known)} on")
        if len(np.unique(turning[start:end][in_plane[start:end]])) > 1:
            problems.append(f"{played.place(start)}: rotations differ inside TRID {number}")
        if _moving(played, start):
            problems.append(f"{played.place(start)}: TRID {number} begins with a gradient away from zero")
    return [list_check("imaging.segments", problems, "alike where TRID is", _REMEDY)], []


def _moving(played: PlayedSequence, block: int) -> bool:
    times, gradient = played.corners_of(played.block_key(block))
    return len(times) > 0 and times[0] < 1e-9 and bool(np.abs(gradient[0]).max() > 1.0)


def _forms(file: SeqFile) -> IntArray:
    """(blocks,) equal numbers for blocks that may replay each other: not of another shape, timing or duration."""
    gradients: dict[int, tuple[object, ...]] = {
        number: (event.rise_s, event.flat_s, event.fall_s, event.delay_s)
        if isinstance(event, TrapEvent)
        else (event.shape, event.time_shape, event.delay_s)
        for number, event in file.gradients.items()
    }
    pulses: dict[int, tuple[object, ...]] = {
        n: (rf.magnitude_shape, rf.phase_shape, rf.time_shape, rf.delay_s) for n, rf in file.rf.items()
    }
    readouts: dict[int, tuple[object, ...]] = {
        n: (adc.samples, adc.dwell_s, adc.delay_s) for n, adc in file.adc.items()
    }
    tables = (pulses, gradients, gradients, gradients, readouts)
    known: dict[tuple[object, ...], int] = {}
    rows, place = np.unique(file.blocks[:, 1:7], axis=0, return_inverse=True)
    out = []
    for duration, *events in rows.tolist():
        form = tuple(table.get(number) for table, number in zip(tables, events, strict=True))
        waits = not any(events)  # a pause may last another time
        out.append(known.setdefault((form, 0 if waits else duration), len(known)))
    return np.array(out)[place.reshape(-1)]
