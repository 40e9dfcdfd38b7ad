"""Sequences that play a mask, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from seqopt.core import MaskDesign
from seqopt.pulseq.builder import SequenceBuilder
from seqopt.pulseq.cartesian_gre import build_cartesian_gre, plan_cartesian_gre
from seqopt.pulseq.export import VERSIONS, write_sequence
from seqopt.pulseq.timing import SequenceTiming
from seqopt.pulseq.tse import build_tse
from seqopt.pulseq.tse_plan import plan_tse
from seqopt.registry import Registry


@dataclass(frozen=True)
class MaskSequence:
    """One sequence: its timing in numbers, and the sequence itself."""

    plan: Callable[[MaskDesign], SequenceTiming]
    build: Callable[[MaskDesign], tuple[SequenceBuilder, SequenceTiming]]


mask_sequences: Registry[MaskSequence] = Registry("sequence")
mask_sequences.register("gre")(MaskSequence(plan_cartesian_gre, build_cartesian_gre))
mask_sequences.register("tse")(MaskSequence(plan_tse, build_tse))


def plan_mask(design: MaskDesign) -> SequenceTiming:
    """Timing of the sequence that ``build_mask`` builds, cheaply; raises ``SeqoptError`` where it does not fit."""
    return mask_sequences[design.play.sequence].plan(design)


def build_mask(design: MaskDesign) -> tuple[SequenceBuilder, SequenceTiming]:
    """The sequence that the mask asks for, for every version, and the timing it has."""
    return mask_sequences[design.play.sequence].build(design)


def write_mask(design: MaskDesign, path: Path, *, version: str = VERSIONS[0]) -> SequenceTiming:
    """Write the mask as a Pulseq file of one version to exactly ``path``; the timing it has."""
    sequence, timing = build_mask(design)
    return replace(timing, md5=write_sequence(sequence, path, version=version))
