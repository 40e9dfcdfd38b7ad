"""Measure a Pulseq file, anyone's, against a scanner's limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seqopt.core import Certificate, Check, MaskDesign, Scanner, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.pulseq.checks_design import design_checks
from seqopt.pulseq.checks_format import format_checks, total_duration_check
from seqopt.pulseq.checks_gradients import gradient_checks
from seqopt.pulseq.checks_imaging import echo_readouts, imaging_checks, rf_checks
from seqopt.pulseq.checks_timing import timing_checks
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.references import undefined_references
from seqopt.pulseq.seqfile import read_seqfile
from seqopt.pulseq.seqtables import SeqFile

NEVER_CHECKED = (
    "peripheral nerve stimulation (PNS)",
    "mechanical resonances and forbidden frequency bands",
    "specific absorption rate (SAR)",
    "gradient duty cycle and heating",
    "whether the scanner plays the nominal gradient (delays, eddy currents)",
    "the vendor's own interpreter and coil limits",
)


def certify(path: Path, scanner: Scanner, *, design: TrajectoryDesign | MaskDesign | None = None) -> Certificate:
    """Measure the file and compare each number with the scanner's full limit; with a design, k-space too.

    A signed file that plays what it does not define, or shapes that are no numbers, cannot be played: then the
    certificate holds the checks of the text alone and says so. Raises ``SeqoptError`` for a file that cannot be
    understood, with the line number where it has one.
    """
    file = read_seqfile(path)
    if file.signature is None:
        missing = undefined_references(file)
        if missing:  # unsigned and incomplete: its end is missing
            raise SeqoptError(f"{path}: {missing[0]} and the signature is absent; the file is truncated")
    checks = format_checks(file)
    if not all(check.held for check in checks if check.name in ("format.references", "format.shapes")):
        left = ("timing, gradients, RF and imaging: the file cannot be played, see the checks that did not hold",)
        return _certificate(file, scanner, checks, left + NEVER_CHECKED, {})
    played = PlayedSequence(file)
    checks.append(total_duration_check(file, played.duration_s))
    checks += timing_checks(played, scanner)
    gradients, largest = gradient_checks(played, scanner)
    checks += gradients + rf_checks(played, scanner)
    imaging, skipped = imaging_checks(played)
    checks += imaging
    if design is not None:
        checks += design_checks(played, design)
    else:
        skipped.append("k-space against a design: none was given")
    return _certificate(file, scanner, checks, (*skipped, *NEVER_CHECKED), {**_summary(played), **largest})


def _certificate(
    file: SeqFile, scanner: Scanner, checks: list[Check], not_checked: tuple[str, ...], summary: dict[str, Any]
) -> Certificate:
    return Certificate(
        file=file.path.name,
        md5=file.md5,
        scanner=scanner.name,
        checks=tuple(checks),
        not_checked=not_checked,
        summary={"version": ".".join(map(str, file.version)), "size_bytes": file.size_bytes, **summary},
    )


def _summary(played: PlayedSequence) -> dict[str, Any]:
    """Measured numbers without a limit, in people's units."""
    imaging = [readout for readout in played.readouts if not readout.is_noise]
    summary: dict[str, Any] = {
        "name": played.definitions.get("Name", ""),
        "duration_s": round(played.duration_s, 9),
        "blocks": played.blocks,
        "excitations": len(played.excitations),
        "readouts": len(imaging),
        "noise_readouts": len(played.readouts) - len(imaging),
    }
    if imaging:
        echoes = [readout.echo_time_s for _, readout in echo_readouts(played)]
        summary["te_ms"] = round(float(np.median(echoes)) * 1e3, 6)
        summary["samples"] = imaging[0].samples
        summary["dwell_us"] = round(imaging[0].dwell_s * 1e6, 4)
        tr = _repetition_time_s(played)
        if tr is not None:
            summary["tr_ms"] = round(tr * 1e3, 6)
    return summary


def _repetition_time_s(played: PlayedSequence) -> float | None:
    """Median time between excitations of one slice (same frequency offset); None with fewer than two."""
    by_slice: dict[float, list[float]] = {}
    for pulse in played.excitations:
        by_slice.setdefault(pulse.freq_hz, []).append(pulse.centre_s)
    gaps = [np.diff(times) for times in by_slice.values() if len(times) > 1]
    return float(np.median(np.concatenate(gaps))) if gaps else None
