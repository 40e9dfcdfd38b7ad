"""Labels: present, in range, counting each readout once, and reference lines at the centre of k-space."""

from __future__ import annotations

import numpy as np

from seqopt.core import Check
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.readout_table import ReadoutTable, serves_image

COUNTERS = ("SLC", "SEG", "REP", "AVG", "SET", "ECO", "PHS", "LIN", "PAR", "ACQ")
_FLAGS = ("NAV", "REV", "SMS", "REF", "IMA", "NOISE", "OFF")
_ENCODING = ("LIN", "PAR")
_LARGEST_COUNT = 65535


def label_checks(played: PlayedSequence) -> tuple[list[Check], list[str]]:
    """Checks of labels; what a file's labels do not claim is not asked of it."""
    checks, skipped = [_present(played)], _unset(played)
    every = ReadoutTable(played, [readout for readout in played.readouts if not readout.is_noise])
    used = _used(played)
    if used & set(_ENCODING):
        checks.append(_once(every, sorted(used)))
    else:
        skipped.append("each line once: no LIN or PAR labels")
    if "REF" in used and every.label("REF").any() and every.encoded_axes.any():
        checks.append(_reference(every))
    else:
        skipped.append("reference lines: no REF labels")
    return checks, skipped


def _present(played: PlayedSequence) -> Check:
    """Labels are there, and at each readout what a raw data header can hold.

    They start at 0, so that a file need not set them (Pulseq's example writeGradientEcho_label.m). Counters have 16
    bits without sign in ISMRMRD's headers; flags are 0 or 1 and are not incremented (pypulseq pull request 300).
    """
    counted = {label for _, word, label, _ in played.label_history if word == "INC"}
    problems = [f"the flag {label} is incremented" for label in sorted(counted & set(_FLAGS))]
    every = ReadoutTable(played, played.readouts)
    for label in sorted(_used(played) & {*COUNTERS, *_FLAGS}):
        values, most = every.label(label), 1 if label in _FLAGS else _LARGEST_COUNT
        wrong = np.flatnonzero((values < 0) | (values > most))
        if len(wrong):
            problems.append(f"{label} is {values[wrong[0]]} at {every.place(int(wrong[0]))}, not 0 to {most}")
    if not played.label_history:
        problems = ["no labels: no reader can sort the readouts"]
    limit = f"counters 0 to {_LARGEST_COUNT}, flags 0 or 1"
    return list_check("imaging.labels", problems, limit, "add LABELSET events with values in range")


def _unset(played: PlayedSequence) -> list[str]:
    """What is said of labels that the first block leaves at the 0 that they start from."""
    first = {label for block, word, label, _ in played.label_history if block == 0 and word == "SET"}
    later = sorted(_used(played) - first)
    text = "labels in an interpreter that does not start them at 0 (first release of Siemens' 1.5.0, pulseq issue 104)"
    return [f"{text}: {', '.join(later)} not SET in the first block"] if later else []


def _used(played: PlayedSequence) -> set[str]:
    return {label for _, _, label, _ in played.label_history}


def _once(table: ReadoutTable, used: list[str]) -> Check:
    """No two readouts with the same labels, and the same lines in each slice."""
    columns = [table.label(name) for name in used if name in COUNTERS or name in _FLAGS]
    labels = np.column_stack(columns)
    _, first, counts = np.unique(labels, axis=0, return_index=True, return_counts=True)
    problems = [
        f"{table.place(int(at))} has the labels of {count - 1} later readouts"
        for at, count in zip(first.tolist(), counts.tolist(), strict=True)
        if count > 1
    ]
    image = np.array([serves_image(readout) for readout in table.readouts])
    lines = np.column_stack([table.label(name) for name in _ENCODING])[image]
    slices = table.label("SLC")[image]
    sets = {number: {tuple(row) for row in lines[slices == number].tolist()} for number in np.unique(slices).tolist()}
    whole = set().union(*sets.values())
    for number, held in sets.items():
        missing = sorted(whole - held)
        if missing:
            problems.append(f"slice {number} lacks LIN {missing[0][0]}, PAR {missing[0][1]} ({len(missing)} in all)")
    remedy = "count averages, echoes, sets and repetitions by their labels, and play the same lines in each slice"
    return list_check("imaging.counters", problems, "each readout has labels of its own", remedy)


def _reference(table: ReadoutTable) -> Check:
    """Reference lines stand beside each other, about the smallest |k| of their set."""
    problems = []
    lines, marked, nearest = table.label("LIN"), table.label("REF") > 0, table.echo_distances_per_m
    groups = np.column_stack([table.label(name) for name in ("SLC", "SET", "PAR")])
    for group in np.unique(groups[marked], axis=0):
        inside = (groups == group).all(axis=1)
        numbers = np.unique(lines[inside & marked])
        at = int(np.flatnonzero(inside & marked)[0])
        if len(numbers) > 1 and (np.diff(numbers) != 1).any():
            gap = int(numbers[:-1][np.diff(numbers) != 1][0])
            problems.append(f"{table.place(at)}: reference lines leave out LIN {gap + 1}")
        elif nearest[inside & marked].min() > nearest[inside].min() + 1e-3:
            problems.append(f"{table.place(at)}: a line without REF is nearer to k = 0 than the reference lines")
    remedy = "set REF on the lines about k = 0, each beside the next"
    return list_check("imaging.reference", problems, "REF on neighbouring central lines", remedy)
