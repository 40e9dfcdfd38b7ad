"""Labels: present, set at the start, counting each readout once, and reference lines at the centre of k-space."""

from __future__ import annotations

import numpy as np

from seqopt.core import Check
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.readout_table import ReadoutTable, serves_image

COUNTERS = ("SLC", "SEG", "REP", "AVG", "SET", "ECO", "PHS", "LIN", "PAR", "ACQ")
_FLAGS = ("NAV", "REV", "SMS", "REF", "IMA", "NOISE", "OFF")
_ENCODING = ("LIN", "PAR")


def label_checks(played: PlayedSequence) -> tuple[list[Check], list[str]]:
    """Checks of labels; what a file's labels do not claim is not asked of it."""
    checks, skipped = [_present(played)], []
    every = ReadoutTable(played, [readout for readout in played.readouts if not readout.is_noise])
    used = {label for _, _, label, _ in played.label_history}
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
    """Every label in use is SET in the first block, counters to 0, or Siemens interpreters abort (pulseq issue 104)."""
    used = {label for _, _, label, _ in played.label_history}
    first = {label: value for block, word, label, value in played.label_history if block == 0 and word == "SET"}
    problems = [f"{label} is not SET in the first block" for label in sorted(used - first.keys())]
    problems += [
        f"{label} starts at {value}, block 1" for label, value in sorted(first.items()) if label in COUNTERS and value
    ]
    if not used:
        problems = ["no labels: no reader can sort the readouts"]
    return list_check("imaging.labels", problems, "each counter SET to 0 in the first block", "add LABELSET events")


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
