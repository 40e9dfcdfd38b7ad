"""A mask -> a Cartesian 2-D multi-slice turbo spin echo (RARE) in Pulseq."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqopt.core import MaskDesign
from seqopt.pulseq.builder import SequenceBuilder
from seqopt.pulseq.calibration_scans import play_calibration, with_calibration_counters
from seqopt.pulseq.cartesian_plan import LINE_COUNTERS, line_definitions, line_labels
from seqopt.pulseq.events import Events, Receiver
from seqopt.pulseq.line_orders import NO_LINE
from seqopt.pulseq.timing import SequenceTiming
from seqopt.pulseq.tse_plan import Lobes, TsePlan, make_tse_plan


def build_tse(design: MaskDesign) -> tuple[SequenceBuilder, SequenceTiming]:
    """The sequence that plays the mask as a train of echoes after each excitation, and the timing it has.

    Per train and slice: 90 degrees, then for each echo a refocusing pulse between crushers, phase encoding, readout
    and rewinder. LIN is the line number, SEG the echo within the train (ECO and SET stay 0: all echoes make one image),
    REF and IMA mark calibration lines. Before them: labels set to 0, one noise readout, dummy trains.

    Raises ``SeqoptError`` where the design or its protocol does not fit the scanner.
    """
    plan = make_tse_plan(design)
    return _Trains(design, plan).build(), plan.timing


class _Trains:
    def __init__(self, design: MaskDesign, plan: TsePlan) -> None:
        self.design, self.plan = design, plan
        self.events = Events(design.scanner)
        self._gradients: dict[tuple[str, int], list[Any]] = {}

    def build(self) -> SequenceBuilder:
        plan, events = self.plan, self.events
        self._define()
        self.excite = events.pulse(plan.excite, "excitation")
        self.refocus = events.pulse(plan.refocus, "refocusing")
        self.select = {name: events.slice_gradient(getattr(plan, name)) for name in ("excite", "refocus")}
        self.readout = events.trapezoid("x", plan.readout.shape, plan.readout.amplitude_hz_per_m)
        receiver = Receiver(
            samples=plan.readout.samples, dwell_s=plan.readout.dwell_s, delay_s=plan.readout.adc_delay_s
        )
        self.adc = events.adc(receiver, 0.0)
        events.start(plan.noise_s, self.adc, with_calibration_counters(LINE_COUNTERS, self.design))
        play_calibration(events, self.design)
        dummies = self.design.play.dummy_trains
        for train in range(-dummies, len(plan.table)):
            for index in range(self.design.geometry.slices):
                self._train(index, plan.table[max(train, 0)].tolist(), read=train >= 0)
                if plan.slot_delay_s[index]:
                    events.add(plan.slot_delay_s[index])
        return events.sequence

    def _train(self, index: int, lines: list[int], *, read: bool) -> None:
        """One excitation of one slice and its echoes; an echo without line is played at k = 0 and not read."""
        plan, events = self.plan, self.events
        position = self.design.geometry.slice_positions_m()[index]
        centre = self.design.geometry.matrix[1] // 2
        excite = events.rf(self.excite, 0.0, plan.excite.select_hz_per_m * position)
        refocus = events.rf(self.refocus, np.pi / 2, plan.refocus.select_hz_per_m * position)
        events.sequence.begin_segment()
        events.add(plan.excite.block_s, excite, self.select["excite"])
        events.add(plan.first.block_s, *self._lobes("first", 0))
        for echo, line in enumerate(lines):
            encoded = centre if line == NO_LINE else line
            end = "last" if echo == len(lines) - 1 else "after"
            reading = [] if line == NO_LINE or not read else [self.adc, *self._labels(index, line, echo)]
            events.add(plan.refocus.block_s, refocus, self.select["refocus"])
            events.add(plan.before.block_s, *self._lobes("before", encoded))
            events.add(plan.readout_s, self.readout, *reading)
            events.add(getattr(plan, end).block_s, *self._lobes(end, encoded))

    def _lobes(self, name: str, row: int) -> list[Any]:
        if (name, row) not in self._gradients:
            lobes: Lobes = getattr(self.plan, name)
            self._gradients[name, row] = self.events.vector(lobes.shape, lobes.area_per_m[row])
        return self._gradients[name, row]

    def _labels(self, index: int, line: int, echo: int) -> list[Any]:
        return self.events.labels({**line_labels(self.design, line), "SEG": echo, "SLC": index})

    def _define(self) -> None:
        timing = self.plan.timing
        self.events.define(
            self.design.geometry,
            {
                "Name": self.design.name,
                "EchoTime": self._echo_times(),
                "RepetitionTime": timing.tr_s,
                "FlipAngle": 90.0,
                "RefocusingFlipAngle": round(float(np.degrees(self.design.play.refocus_rad)), 9),
                "EchoTrainLength": timing.echo_train,
                "EchoSpacing": timing.echo_spacing_s,
                "EchoSample": self.plan.readout.echo_sample,
                **line_definitions(self.design),
            },
        )

    def _echo_times(self) -> list[float]:
        """The echo time of k = 0; where a mask leaves that line out, of both lines beside it."""
        timing, centre = self.plan.timing, self.design.geometry.matrix[1] // 2
        distances = [abs(line - centre) for _, line in timing.order]
        echoes = {echo for echo, d in zip(timing.echoes, distances, strict=True) if d == min(distances)}
        spacing = timing.echo_spacing_s or 0.0
        return [round(timing.min_te_s + echo * spacing, 10) for echo in sorted(echoes)]
