"""Sequences that play a mask, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seqopt.core import MaskDesign
from seqopt.pulseq.cartesian_gre import plan_cartesian_gre, write_cartesian_gre
from seqopt.pulseq.timing import SequenceTiming
from seqopt.pulseq.tse import write_tse
from seqopt.pulseq.tse_plan import plan_tse
from seqopt.registry import Registry


class Writer(Protocol):
    """Writes a mask to exactly ``path``."""

    def __call__(self, design: MaskDesign, path: Path, *, version: str = "1.5.0") -> SequenceTiming:
        """The timing of what was written."""


@dataclass(frozen=True)
class MaskSequence:
    """One sequence: its timing in numbers, and its writer."""

    plan: Callable[[MaskDesign], SequenceTiming]
    write: Writer


mask_sequences: Registry[MaskSequence] = Registry("sequence")
mask_sequences.register("gre")(MaskSequence(plan_cartesian_gre, write_cartesian_gre))
mask_sequences.register("tse")(MaskSequence(plan_tse, write_tse))


def plan_mask(design: MaskDesign) -> SequenceTiming:
    """Timing of the sequence that ``write_mask`` would write, cheaply; raises ``SeqoptError`` where it does not fit."""
    return mask_sequences[design.play.sequence].plan(design)


def write_mask(design: MaskDesign, path: Path, *, version: str = "1.5.0") -> SequenceTiming:
    """Write the mask as the Pulseq file that it asks for to exactly ``path``; the timing it has."""
    return mask_sequences[design.play.sequence].write(design, path, version=version)
