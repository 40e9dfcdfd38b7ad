"""A file whose receiver delivered each readout in segments, read as whole readouts by what a sequence plays."""

from __future__ import annotations

from collections.abc import Sequence

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core.played_scan import PlayedScan
from seqopt.mrd.files import Reader
from seqopt.mrd.heads import Heads
from seqopt.mrd.segments import whole_of

Rows = npt.NDArray[np.int64]


def whole(reader: Reader, played: PlayedScan, order: Rows) -> Reader:
    """The reader with the sequence's readouts, where it has them in equal segments; itself where it does not.

    ``order`` is that of acquisition. Segments are known by idx.segment; where it was never set, by their count.
    """
    lengths, counts = np.unique(reader.heads["number_of_samples"], return_counts=True)
    due = np.unique(played.samples[played.image])
    fits = (due[0] % np.maximum(lengths, 1) == 0) & (lengths > 0) & (lengths < due[0])
    cut = any(reader.heads[name].any() for name in ("discard_pre", "discard_post"))
    if len(due) != 1 or due[0] in lengths or not fits.any() or cut:
        return reader
    each = int(lengths[np.argmax(np.where(fits, counts, 0))])
    segments, mine = int(due[0]) // each, reader.heads["number_of_samples"] == each
    numbered = set(reader.heads["segment"][mine].tolist()) == set(range(segments))
    alike = played.samples == due[0]
    expected = {segments * int((alike & some).sum()) for some in (alike, ~played.noise, played.image)}
    return WholeReader(reader, order, each, segments) if numbered or int(mine.sum()) in expected else reader


class WholeReader:
    """The file's acquisitions with segments that follow each other joined; others as they are."""

    def __init__(self, reader: Reader, order: Rows, each: int, segments: int) -> None:
        """``each`` are the samples of a segment, ``segments`` those of a readout."""
        self.path, self.xml, self.header = reader.path, reader.xml, reader.header
        self._reader = reader
        self._groups, lost = _groups(reader.heads[order], order, each, segments)
        self.heads = reader.heads[[group[0] for group in self._groups]].copy()
        for row, group in enumerate(self._groups):
            self.heads["number_of_samples"][row] *= len(group)
        self.notes = [*reader.notes, f"readouts were put together from {segments} segments of {each} samples"]
        if lost:
            self.notes.append(f"{lost} acquisitions are segments of no whole readout and were left out")

    def acquisitions(self, rows: Sequence[int] | Rows) -> list[ismrmrd.Acquisition]:
        """Whole readouts of these rows."""
        wanted = [self._groups[row] for row in rows]
        parts = sorted({row for group in wanted for row in group})
        items = dict(zip(parts, self._reader.acquisitions(parts), strict=True))
        return [whole_of([items[row] for row in group]) if len(group) > 1 else items[group[0]] for group in wanted]


def _groups(heads: Heads, order: Rows, each: int, segments: int) -> tuple[list[list[int]], int]:
    """Rows of the file that make each readout, by idx.segment where it was set, else by counting; and how many do not.

    ``heads`` in the order of acquisition.
    """
    groups, lost, part = list[list[int]](), 0, list[int]()
    numbered = bool(heads["segment"].any())
    for row, length, number in zip(
        order.tolist(), heads["number_of_samples"].tolist(), heads["segment"].tolist(), strict=True
    ):
        if length != each:
            groups.append([row])
            continue
        if numbered and number != len(part):
            lost, part = lost + len(part), []
            if number:
                lost += 1
                continue
        part.append(row)
        if len(part) == segments:
            groups.append(part)
            part = []
    return groups, lost + len(part)
