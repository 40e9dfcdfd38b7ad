"""What a design would play, as far as it is known before anything is learned; no file is left."""

from __future__ import annotations

from dataclasses import dataclass

from seqopt.core import Certificate, MaskDesign, TrajectoryDesign
from seqopt.pulseq.builder import SequenceBuilder
from seqopt.pulseq.calibration_scans import planned_calibration
from seqopt.pulseq.cartesian import build_mask
from seqopt.pulseq.export import VERSIONS, sequence_bytes, sequence_name
from seqopt.pulseq.gre import build_gre
from seqopt.pulseq.shapes import printed
from seqopt.pulseq.timing import SequenceTiming
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m
from seqopt.workflows.certified import certify_unwritten
from seqopt.workflows.design import check_timing
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.mask_request import MaskRequest

_BYTES_A_SAMPLE = 10  # of a learned waveform in the file: six to nine digits, half of them with a sign
_WORD = 4  # of a gradient sample in an interpreter's memory


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """Numbers in rows, and the certificate of the sequence that they belong to."""

    rows: tuple[tuple[str, str, str], ...]
    """What, of the sequence that is known, and once it is learned: as limits where it is not known."""
    certificate: Certificate
    known: str
    """Which sequence is known."""


@dataclass(frozen=True)
class _Learned:
    """What learned waveforms add to those of the baseline, all of them distinct and none packed."""

    bytes: int = 0
    """Of the file."""
    samples: int = 0
    """In an interpreter's memory, unpacked."""


def dry_run_trajectory(request: DesignRequest) -> DryRun:
    """Play the fixed baseline in memory; raises ``SeqoptError`` for what `design` would refuse before its training."""
    fixed = request.baseline()
    check_timing(fixed)
    sequence, timing = build_gre(fixed)
    return _dry_run(request, fixed, sequence, timing, _learned(fixed, sequence), "fixed baseline")


def dry_run_mask(request: MaskRequest) -> DryRun:
    """Play the outermost lines in memory, which no choice exceeds; raises ``SeqoptError`` as `design` would."""
    design = request.slowest()
    sequence, timing = build_mask(design)
    return _dry_run(request, design, sequence, timing, _Learned(), "mask of the outermost lines")


def _learned(fixed: TrajectoryDesign, sequence: SequenceBuilder) -> _Learned:
    shots, edges, axes = fixed.gradient_hz_per_m.shape
    baseline = sequence.waveform_shapes(edges)
    samples = axes * shots * edges
    return _Learned(
        bytes=_BYTES_A_SAMPLE * samples - sum(map(len, printed(baseline))), samples=samples - edges * len(baseline)
    )


def _dry_run(
    request: DesignRequest | MaskRequest,
    design: TrajectoryDesign | MaskDesign,
    sequence: SequenceBuilder,
    timing: SequenceTiming,
    learned: _Learned,
    known: str,
) -> DryRun:
    certificate = certify_unwritten(sequence, design)
    measured = {check.name: check for check in certificate.checks}
    scanner, protocol = design.scanner, design.protocol
    learns = isinstance(design, TrajectoryDesign)
    rows = [
        (name, shown, shown if not learns or kept else "the shortest of its own")
        for name, shown, kept in (
            ("TE", f"{1e3 * timing.te_s:.6g} ms", protocol.te_s is not None),
            ("TR", f"{1e3 * timing.tr_s:.6g} ms", protocol.tr_s is not None),
            ("scan time", f"{timing.scan_time_s:.6g} s", protocol.tr_s is not None),
        )
    ]
    limits = (
        f"{hz_per_m_to_mt_per_m(scanner.max_grad_hz_per_m * scanner.margin):.4g} mT/m",
        f"{hz_per_m_per_s_to_t_per_m_per_s(scanner.max_slew_hz_per_m_per_s * scanner.margin):.4g} T/m/s",
    )
    for name, key, limit in zip(
        ("gradient", "slew rate"), ("gradient.vector_amplitude", "gradient.vector_slew"), limits, strict=True
    ):
        rows.append((f"largest {name}", f"{measured[key].value} {measured[key].unit}", limit))
    nerves = [check for name, check in measured.items() if name.startswith("pns.")]
    rows += [(check.name, f"{check.value} {check.unit}", f"limit {check.limit}") for check in nerves]
    if not nerves:
        rows.append(("nerve stimulation", "not computed: the profile has no model", "-"))
    for version in request.pulseq_versions:
        size = sequence_bytes(sequence, version)
        plain = size if version in VERSIONS else sequence_bytes(sequence, VERSIONS[0])  # learned shots are distinct
        rows.append((sequence_name(design.name, version), _mb(size), _mb(plain + learned.bytes)))
    samples = sum(shape.samples for shape in sequence.shapes)
    rows.append(("memory for shapes", _mb(_WORD * samples), _mb(_WORD * (samples + learned.samples))))
    return DryRun(rows=(*rows, *_receiver_rows(request, design, timing)), certificate=certificate, known=known)


def _receiver_rows(
    request: DesignRequest | MaskRequest, design: TrajectoryDesign | MaskDesign, timing: SequenceTiming
) -> list[tuple[str, str, str]]:
    """Samples of a readout, and the raw data of all of them, noise and calibration included."""
    samples = _samples(design)
    raw = 8 * request.coils * (timing.readouts + timing.noise_readouts + len(planned_calibration(design))) * samples
    later = isinstance(request, DesignRequest) and request.time_optimal
    known = "known once learned, as --time-optimal chooses them"
    return [
        ("samples of a readout", f"{samples}", known if later else f"{samples}"),
        (f"raw data of {request.coils} coils", _bytes(raw), "known with the samples" if later else _bytes(raw)),
    ]


def _samples(design: TrajectoryDesign | MaskDesign) -> int:
    if isinstance(design, MaskDesign):
        return design.oversampling * design.geometry.matrix[0]
    return design.samples


def _bytes(size: int) -> str:
    return f"{_mb(size)} ({size} bytes)"


def _mb(size: int) -> str:
    return f"{size / 1e6:.3g} MB"
