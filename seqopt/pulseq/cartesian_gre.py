"""A mask -> a Cartesian 2-D multi-slice spoiled gradient echo in Pulseq."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from seqopt.core import MaskDesign
from seqopt.pulseq.builder import Event, SequenceBuilder
from seqopt.pulseq.cartesian_plan import (
    LINE_COUNTERS,
    as_trajectory,
    line_definitions,
    line_labels,
    line_readout,
)
from seqopt.pulseq.events import Events
from seqopt.pulseq.gre import ShotStyle, build_gre
from seqopt.pulseq.gre_plan import plan_gre
from seqopt.pulseq.line_orders import line_table
from seqopt.pulseq.timing import SequenceTiming


def plan_cartesian_gre(design: MaskDesign) -> SequenceTiming:
    """Timing of the sequence that ``build_cartesian_gre`` builds; raises ``SeqoptError`` where it does not fit."""
    lines = line_table(design)[:, 0]
    return _with_lines(plan_gre(as_trajectory(design, lines)), lines)


def build_cartesian_gre(design: MaskDesign) -> tuple[SequenceBuilder, SequenceTiming]:
    """The sequence that plays the mask with one line after each excitation, and the timing it has.

    As ``build_gre``, with a trapezoid along x for the readout, LIN the line number, and REF and IMA on calibration
    lines. Raises ``SeqoptError`` where the design or its protocol does not fit the scanner.
    """
    lines = line_table(design)[:, 0]
    readout = line_readout(design)

    def trapezoids(events: Events, gradient: npt.NDArray[np.float64]) -> list[list[Event]]:
        return [[events.trapezoid("x", readout.shape, readout.amplitude_hz_per_m)]] * len(gradient)

    style = ShotStyle(
        labels=lambda shot: line_labels(design, int(lines[shot])),
        readouts=trapezoids,
        counters=LINE_COUNTERS,
        definitions={"EchoSample": readout.echo_sample, **line_definitions(design)},
    )
    sequence, timing = build_gre(as_trajectory(design, lines), style)
    return sequence, _with_lines(timing, lines)


def _with_lines(timing: SequenceTiming, lines: npt.NDArray[np.int64]) -> SequenceTiming:
    return replace(timing, order=tuple((slice_, int(lines[shot])) for slice_, shot in timing.order))
