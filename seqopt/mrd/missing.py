"""What acquired data lack of the scan that was planned, and what they hold besides: refused, left out, or only said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.heads import kept_samples
from seqopt.mrd.series import Content, SeriesKey

_FEW = 0.1  # share of readouts beyond the design that passes for surplus; more are another design's
_MOST_COUNTER = 65535


def fitted_to_design(content: Content, design: TrajectoryDesign, encoding: Any, path: Path) -> Content:
    """The readouts that the design has, with a note where there are others.

    Raises `SeqoptError` with the sizes where the data are of another design: readouts of another length, many that
    the design lacks, or fewer although their own header counts them complete.
    """
    heads, rows = content.heads, content.firsts
    slices, shots = heads["slice"][rows].astype(int), heads["kspace_encode_step_1"][rows].astype(int)
    inside = (slices < design.geometry.slices) & (shots < design.shots)
    found, wanted = _count(slices, shots), design.geometry.slices * design.shots
    strangers = found - _count(slices[inside], shots[inside])
    complete = _is_complete(encoding, slices, shots)
    if strangers > _FEW * wanted or (complete and found < wanted):
        raise SeqoptError(
            f"{path} holds {found} readouts ({len(set(slices.tolist()))} slices, {len(set(shots.tolist()))} shots), "
            f"but the design {design.name} has {wanted} ({design.geometry.slices} slices x {design.shots} shots); "
            "give the design that was played"
        )
    length = content.segments * int(kept_samples(heads)[rows[0]])
    if length != design.samples:
        raise SeqoptError(
            f"{path}: readouts have {length} samples, but the design {design.name} has {design.samples}; "
            "give the design that was played"
        )
    if not strangers:
        return content
    note = f"left out {strangers} readouts that the design {design.name} does not have"
    return replace(content, rows=content.rows[np.repeat(inside, content.segments)], notes=(*content.notes, note))


def _count(slices: npt.NDArray[Any], shots: npt.NDArray[Any]) -> int:
    return len(np.unique(slices * 65536 + shots))


def _is_complete(encoding: Any, slices: npt.NDArray[Any], shots: npt.NDArray[Any]) -> bool:
    """Whether the header's own limits count exactly as many slices and shots as there are."""
    limits = encoding.encodingLimits
    stated = [getattr(limits, name, None) for name in ("slice", "kspace_encoding_step_1")]
    if any(limit is None for limit in stated):
        return False
    counts = [int(limit.maximum) - int(limit.minimum) + 1 for limit in stated if limit is not None]
    return counts == [len(np.unique(slices)), len(np.unique(shots))] and _count(slices, shots) == counts[0] * counts[1]


def missing_notes(
    content: Content,
    *,
    word: str,
    slices: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    stated: Sequence[int] = (),
) -> list[str]:
    """What is missing of ``slices`` x ``steps`` (shots or lines, in ``word``) or else of what others have.

    Others are slices and, of a repetition that is like none, those repetitions that hold more than it does; steps
    that are ``stated`` in a header and in no repetition are missing as well.
    """
    usual = {} if steps is not None else _usual(content, stated)
    lost_slices, lost, due, example = 0, 0, 0, ""
    wanted_slices = list(slices if slices is not None else content.slices)
    series = content.series
    for key in series:
        rows = content.of(key).firsts
        pairs = np.unique(content.heads[rows][["slice", "kspace_encode_step_1"]])
        present = np.unique(pairs["slice"])
        wanted = np.unique(usual[key] if steps is None else np.asarray(steps))
        lost_slices += len(set(wanted_slices) - set(present.tolist()))
        due += len(present) * len(wanted)
        lost += len(present) * len(wanted) - len(pairs)
        example = example or _example(pairs, wanted, key if len(series) > 1 else None, word)
    notes = []
    if lost_slices:
        notes.append(
            f"the scan is incomplete: {lost_slices} of {len(wanted_slices) * len(series)} slices are missing"
            + (" (all series together)" if len(series) > 1 else "")
        )
    if lost:
        never = np.setdiff1d(stated if steps is None else (), content.heads["kspace_encode_step_1"][content.firsts])
        notes.append(
            f"the scan is incomplete: {lost} of {due} {word}s are missing; "
            f"each slice is reconstructed from the {word}s it has{example}"
            + (f"; the header alone announces {int(never[0])} to {int(never[-1])}" if len(never) else "")
        )
    return notes


def announced(limit: Any) -> range:
    """Counters of a ``limitType`` of the header, or none; no more than the 16 bits of a readout's counter hold."""
    if limit is None:
        return range(0)
    return range(max(int(limit.minimum), 0), min(int(limit.maximum), _MOST_COUNTER) + 1)


def unseen_notes(content: Content, limits: Any, *, counters: Sequence[str]) -> list[str]:
    """What the header's ``limits`` (``encodingLimitsType``) announce and no readout has: slices, repetitions."""
    notes = []
    for name in counters:
        due = announced(getattr(limits, name))
        lost = len(due) - sum(number in due for number in np.unique(content.heads[name][content.rows]).tolist())
        if lost > 0:
            notes.append(f"the scan is incomplete: the header announces {len(due)} {name}s, {lost} are missing")
    return notes


def _usual(content: Content, stated: Sequence[int]) -> dict[SeriesKey, npt.NDArray[np.int64]]:
    """Steps that each series should have, told by those of the other repetitions and by the header."""
    found = {key: np.unique(content.heads["kspace_encode_step_1"][content.of(key).firsts]) for key in content.series}
    families: dict[SeriesKey, list[SeriesKey]] = {}
    for key in found:
        families.setdefault(replace(key, repetition=0), []).append(key)
    usual = {}
    for family in families.values():
        patterns = {key: found[key].tobytes() for key in family}
        often = Counter(patterns.values())
        never = np.setdiff1d(stated, np.concatenate([found[key] for key in family]))
        for key in family:
            whole = _whole(key, family, found) if often[patterns[key]] == 1 else key
            usual[key] = np.union1d(found[whole], never).astype(np.int64)
    return usual


def _whole(key: SeriesKey, family: list[SeriesKey], found: dict[SeriesKey, npt.NDArray[Any]]) -> SeriesKey:
    """The nearest repetition that holds all steps of this one and more, of which it is an aborted one; or itself."""
    for other in sorted(family, key=lambda one: abs(one.repetition - key.repetition)):
        if len(found[other]) > len(found[key]) and np.isin(found[key], found[other]).all():
            return other
    return key


def _example(pairs: npt.NDArray[Any], wanted: npt.NDArray[Any], key: SeriesKey | None, word: str) -> str:
    """The first slice that lacks something, and what."""
    for slice_ in np.unique(pairs["slice"]).tolist():
        mine = pairs["kspace_encode_step_1"][pairs["slice"] == slice_]
        lacking = np.setdiff1d(wanted, mine)
        if len(lacking):
            numbers = ", ".join(map(str, lacking[:6].tolist())) + (" ..." if len(lacking) > 6 else "")
            repetition = f"repetition {key.repetition} " if key is not None else ""
            return f" ({repetition}slice {slice_} lacks {word} {numbers})"
    return ""


def planned_counts(content: Content, steps: Sequence[int], slices: Sequence[int]) -> tuple[npt.NDArray[np.int64], int]:
    """How often each planned (slice, shot or line) of the first series was found, and how many readouts are others."""
    rows = content.of(content.series[0]).firsts
    found = np.zeros((len(slices), len(steps)), dtype=np.int64)
    places = {number: place for place, number in enumerate(slices)}
    columns = {number: place for place, number in enumerate(steps)}
    surplus = 0
    for slice_, step in content.heads[rows][["slice", "kspace_encode_step_1"]].tolist():
        if slice_ in places and step in columns:
            found[places[slice_], columns[step]] += 1
        else:
            surplus += 1
    return found, surplus
