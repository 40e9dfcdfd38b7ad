"""The slice of a file that tells most of what all slices share, as the gradients' delays: others may hold but air."""

from __future__ import annotations

import numpy as np

from seqopt.mrd.blocks import BlockReader
from seqopt.mrd.series import Block

_READOUTS = 4  # of each slice that are read to compare slices


def strongest_slice(source: BlockReader) -> Block:
    """The slice of the first series with the most energy in some of its readouts, in a block of its own."""
    content = source.content
    key = content.series[0]
    rows = content.of(key).firsts
    numbers = content.heads["slice"][rows]
    every = np.unique(numbers).tolist()
    energies = [_energy(source, rows[numbers == slice_]) for slice_ in every] if len(every) > 1 else [0.0]
    best = every[int(np.argmax(energies))]
    block = next(block for block in content.blocks() if block.key == key and best in block.slices)
    return content.part(block, {best})


def _energy(source: BlockReader, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    some = np.unique(rows[np.linspace(0, len(rows) - 1, _READOUTS).astype(int)])
    samples = [item.data.astype(np.complex128) for item in source.acquisitions(some)]  # squares of damaged ones, too
    return float(np.mean([np.vdot(one, one).real for one in samples]))
