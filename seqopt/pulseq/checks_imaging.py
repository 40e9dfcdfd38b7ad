"""Checks of what a sequence images: labels, field of view, extent of k, echo, moments and phases."""

from __future__ import annotations

from seqopt.core import Check
from seqopt.pulseq.checks_echo import echo_check
from seqopt.pulseq.checks_extent import extent_checks
from seqopt.pulseq.checks_labels import label_checks
from seqopt.pulseq.checks_moments import moment_checks
from seqopt.pulseq.checks_phases import phase_check
from seqopt.pulseq.readout_table import ReadoutTable


def imaging_checks(table: ReadoutTable) -> tuple[list[Check], list[str]]:
    """Checks, and one text for each that does not apply to this kind of sequence or to what the file says of itself."""
    played = table.played
    if not len(table):
        remedy = "play an ADC after an excitation"
        return [Check(name="imaging.readouts", held=False, value=0, limit="at least 1", remedy=remedy)], []
    parts = [
        label_checks(played),
        extent_checks(table),
        echo_check(table),
        moment_checks(played),
        phase_check(table),
    ]
    return [check for checks, _ in parts for check in checks], [text for _, skipped in parts for text in skipped]
