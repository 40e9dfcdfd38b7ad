"""Splits without leaks: contiguous blocks of slices with gaps, or whole files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.images.image_set import SPLITS, IndexArray

GAP_M = 3e-3
BLOCK_M = 8e-3
FILES_ENOUGH = 5
HELD_OUT_SHARE = 0.15
PATTERN = ("train", "test", "train", "validation", "train", "test", "train", "validation", "train")


def block_splits(count: int, *, step_m: float | None = None) -> dict[str, IndexArray]:
    """Cut ``count`` neighbouring slices, ``step_m`` metres apart, into blocks with unused gaps between them.

    Tall stacks interleave two test and two validation blocks of at least 8 mm with the training blocks, so that each
    split sees anatomy of several heights; short ones become train, validation, test. Gaps are at least 3 mm and one
    slice. Out: index arrays by split. Raises when there are too few slices.
    """
    gap = 1 if step_m is None else max(1, math.ceil(GAP_M / step_m - 1e-9))
    block = 1 if step_m is None else max(1, math.ceil(BLOCK_M / step_m - 1e-9))
    held_out = max(block, round(0.5 * HELD_OUT_SHARE * count * 0.9))
    training = count - 8 * gap - 4 * held_out
    if training >= count // 2 and training >= 5:
        sizes = _shares(training, 5)
        lengths = [sizes.pop() if name == "train" else held_out for name in PATTERN]
        return _lay_out(PATTERN, lengths, gap)
    held_out = max(1, round(HELD_OUT_SHARE * count))
    training = count - 2 * gap - 2 * held_out
    if training < 1:
        raise SeqoptError(
            f"images: got {count} slice{'s' if count != 1 else ''}, expected at least {slices_needed(step_m)} "
            f"in a volume or {FILES_ENOUGH} files, for training, validation and test; give more images"
        )
    return _lay_out(SPLITS, [training, held_out, held_out], gap)


def slices_needed(step_m: float | None) -> int:
    """Fewest slices that can be cut into three blocks with gaps."""
    gap = 1 if step_m is None else max(1, math.ceil(GAP_M / step_m - 1e-9))
    return 3 + 2 * gap


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (index < total % parts) for index in range(parts)]


def _lay_out(names: Sequence[str], lengths: Sequence[int], gap: int) -> dict[str, IndexArray]:
    blocks: dict[str, list[IndexArray]] = {name: [] for name in SPLITS}
    start = 0
    for name, length in zip(names, lengths, strict=True):
        blocks[name].append(np.arange(start, start + length))
        start += length + gap
    return {name: np.concatenate(parts) for name, parts in blocks.items()}


def volume_splits(counts: Sequence[int], steps_m: Sequence[float | None]) -> dict[str, IndexArray]:
    """Split volumes of ``counts`` slices, laid end to end: by whole files when there are many, else by blocks in each.

    Three short files will do as well; then each is one split. Out: index arrays by split into all slices.
    """
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(int)
    too_short = any(count < slices_needed(step) for count, step in zip(counts, steps_m, strict=True))
    if len(counts) >= FILES_ENOUGH or (len(counts) >= 3 and too_short):
        held_out = max(1, round(HELD_OUT_SHARE * len(counts)))
        ends = {
            "train": (0, len(counts) - 2 * held_out),
            "validation": (len(counts) - 2 * held_out, len(counts) - held_out),
            "test": (len(counts) - held_out, len(counts)),
        }
        return {name: np.arange(starts[first], starts[last]) for name, (first, last) in ends.items()}
    parts = [block_splits(count, step_m=step) for count, step in zip(counts, steps_m, strict=True)]
    return {
        name: np.concatenate([part[name] + start for part, start in zip(parts, starts[:-1], strict=True)])
        for name in SPLITS
    }
