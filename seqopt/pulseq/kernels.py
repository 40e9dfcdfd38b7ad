"""Loops over millions of numbers, compiled by numba and kept on disk; see ``bulk`` for when they are used.

Each gives what the numpy code beside its caller gives, to the last bit: the same operations in the same order.
"""

from __future__ import annotations

from seqopt.pulseq.kernels_played import (
    ends_of_rows,
    energy_of_block,
    farthest,
    largest_of_block,
    moments_at,
    nearest,
    waveform,
)  # fmt: skip
from seqopt.pulseq.kernels_text import parse_shapes, print_counts, quantise

__all__ = [
    "ends_of_rows", "energy_of_block", "farthest", "largest_of_block", "moments_at", "nearest", "parse_shapes",
    "print_counts", "quantise", "waveform",
]  # fmt: skip
