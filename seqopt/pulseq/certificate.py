"""Measure a Pulseq file, anyone's, against a scanner's limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seqopt.core import Certificate, Check, MaskDesign, Scanner, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.pulseq.bulk import uncollected
from seqopt.pulseq.checks_duty import duty_checks
from seqopt.pulseq.checks_echo import median_echo_time_s
from seqopt.pulseq.checks_format import format_checks, total_duration_check
from seqopt.pulseq.checks_gradients import gradient_checks
from seqopt.pulseq.checks_imaging import imaging_checks
from seqopt.pulseq.checks_pns import pns_checks
from seqopt.pulseq.checks_resonances import resonance_checks
from seqopt.pulseq.checks_rf import relative_sar, rf_checks
from seqopt.pulseq.checks_segments import segment_checks
from seqopt.pulseq.checks_shapes import broken_shapes
from seqopt.pulseq.checks_size import size_checks
from seqopt.pulseq.checks_timing import timing_checks
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.readout_table import ReadoutTable, image_from_block, serves_image
from seqopt.pulseq.references import undefined_references
from seqopt.pulseq.seqfile import read_seqfile
from seqopt.pulseq.seqtables import SeqFile

Measurement = Callable[[PlayedSequence, Scanner], tuple[list[Check], list[str]]]
"""Checks of what is played, and one text for each thing that this file or profile did not let it check."""

MEASUREMENTS: tuple[Measurement, ...] = (  # in the order of the certificate; a new kind of check is one line here
    duty_checks,
    pns_checks,
    resonance_checks,
    timing_checks,
    size_checks,
    rf_checks,
    segment_checks,
    # then ``imaging_checks``, of readouts that the summary needs, too
)

NEVER_CHECKED = (
    "specific absorption rate (SAR)",
    "whether the scanner plays the nominal gradient (delays, eddy currents)",
    "the vendor's own interpreter and coil limits",
)


def certify(path: Path, scanner: Scanner, *, design: TrajectoryDesign | MaskDesign | None = None) -> Certificate:
    """Measure the file and compare each number with the scanner's full limit; with a design, k-space too.

    A signed file that plays what it does not define, or shapes that are no numbers, cannot be played: then the
    certificate holds the checks of the text alone and says so. Raises ``SeqoptError`` for a file that cannot be
    understood, with the line number where it has one.
    """
    return certify_played(path, scanner, design=design)[0]


@uncollected
def certify_played(
    path: Path, scanner: Scanner, *, design: TrajectoryDesign | MaskDesign | None = None
) -> tuple[Certificate, PlayedSequence | None]:
    """The certificate, and what the file plays, for figures; None where it cannot be played."""
    file = read_seqfile(path)
    if file.signature is None:
        missing = undefined_references(file)
        if missing:  # unsigned and incomplete: its end is missing
            raise SeqoptError(f"{path}: {missing[0]} and the signature is absent; the file is truncated")
    checks = format_checks(file)
    if file.signature is None and (broken := broken_shapes(file)):
        raise SeqoptError(f"{path}: {broken[0]} and the signature is absent; the file is truncated or damaged")
    if not all(check.held for check in checks if check.name in ("format.references", "format.shapes")):
        left = ("all that is played: the file cannot be, see the checks that did not hold",)
        return _certificate(file, scanner, checks, left + NEVER_CHECKED, {}), None
    played = PlayedSequence(file)
    checks.append(total_duration_check(file, played.duration_s))
    gradients, largest = gradient_checks(played, scanner)
    checks += gradients
    skipped: list[str] = []
    for measure in MEASUREMENTS:
        found, left_out = measure(played, scanner)
        checks += found
        skipped += left_out
    table = ReadoutTable.of(played)
    found, left_out = imaging_checks(table)
    checks += found
    skipped += left_out
    if design is not None:
        from seqopt.pulseq.checks_design import design_checks  # plans the design anew, with what that imports

        checks += design_checks(played, design)
    else:
        skipped.append("k-space against a design: none was given")
    summary = {**_summary(table), **largest, **relative_sar(played)}
    return _certificate(file, scanner, checks, (*skipped, *NEVER_CHECKED), summary), played


def _certificate(
    file: SeqFile, scanner: Scanner, checks: list[Check], not_checked: tuple[str, ...], summary: dict[str, Any]
) -> Certificate:
    return Certificate(
        file=file.path.name,
        md5=file.md5,
        scanner=scanner.name,
        overrides=scanner.overrides,
        checks=tuple(checks),
        not_checked=not_checked,
        summary={"version": ".".join(map(str, file.version)), "size_bytes": file.size_bytes, **summary},
    )


def _summary(table: ReadoutTable) -> dict[str, Any]:
    """Measured numbers without a limit, in people's units."""
    played = table.played
    imaging = [readout for readout in played.readouts if serves_image(readout)]
    noise = sum(readout.is_noise for readout in played.readouts)
    summary: dict[str, Any] = {
        "name": played.definitions.get("Name", ""),
        "duration_s": round(played.duration_s, 9),
        "blocks": played.blocks,
        "excitations": len(played.excitations),
        "readouts": len(imaging),
        "noise_readouts": noise,
        "calibration_readouts": len(played.readouts) - len(imaging) - noise,
    }
    if imaging:
        summary["te_ms"] = round(median_echo_time_s(table) * 1e3, 6)
        summary["samples"] = imaging[0].samples
        summary["dwell_us"] = round(imaging[0].dwell_s * 1e6, 4)
        tr = _repetition_time_s(played)
        if tr is not None:
            summary["tr_ms"] = round(tr * 1e3, 6)
    return summary


def _repetition_time_s(played: PlayedSequence) -> float | None:
    """Median time between excitations of one slice (same frequency offset); None with fewer than two."""
    by_slice: dict[float, list[float]] = {}
    first = image_from_block(played)
    for pulse in played.excitations:
        if pulse.block < first:
            continue
        by_slice.setdefault(pulse.freq_hz, []).append(pulse.centre_s)
    gaps = [np.diff(times) for times in by_slice.values() if len(times) > 1]
    return float(np.median(np.concatenate(gaps))) if gaps else None
