"""The page of a certificate: checks, what was not checked, and what the file plays."""

from __future__ import annotations

import numpy as np

from seqopt.core import Certificate, Scanner
from seqopt.pulseq.readback import PlayedSequence
from seqopt.report import LimitRow, ReportFigure, render_certificate, to_png_bytes
from seqopt.report.played_figures import PlayedPiece, played_figure, readouts_figure

MOST_READOUTS = 256
LONGEST_PIECE_S = 0.1
_LIMITS = ("vector_amplitude", "vector_slew", "pns", "rms", "peak_b1", "resonance")


def certificate_page(certificate: Certificate, scanner: Scanner, played: PlayedSequence | None) -> str:
    """HTML with everything in it; without figures where the file cannot be played."""
    rows = [
        LimitRow(check.name, check.value, check.limit, check.unit)
        for check in certificate.checks
        if any(word in check.name for word in _LIMITS) and not isinstance(check.value, str)
    ]
    return render_certificate(
        certificate,
        lead=(
            f"{len(certificate.checks)} numbers measured on the file, each against its limit, for the scanner profile "
            f"{certificate.against} ({scanner.source}). What was not checked is listed below."
        ),
        limits=rows,
        figures=[] if played is None else _figures(played, scanner),
    )


def _figures(played: PlayedSequence, scanner: Scanner) -> list[ReportFigure]:
    imaging = [readout for readout in played.readouts if not readout.is_noise]
    out = []
    if played.duration_s > 0:
        begin, end = _window_s(played)
        piece = _piece(played, scanner, begin, end)
        caption = f"From {begin * 1e3:.3f} to {end * 1e3:.3f} ms, around the middle readout of the file."
        out.append(ReportFigure("What is played", caption, to_png_bytes(played_figure(piece))))
    if imaging:
        shown = np.unique(np.linspace(0, len(imaging) - 1, min(MOST_READOUTS, len(imaging))).round().astype(int))
        paths = [imaging[at].k_per_m[:, :2] for at in shown.tolist()]
        caption = "k at the samples of the ADC, from the centre of the excitation, evenly chosen over the scan."
        out.append(ReportFigure("Readouts in k-space", caption, to_png_bytes(readouts_figure(paths, len(imaging)))))
    return out


def _window_s(played: PlayedSequence) -> tuple[float, float]:
    """From an excitation in the middle of the file to the next, or the start of the file; in whole blocks."""
    begin, end = 0.0, played.duration_s
    if played.excitations:
        middle = len(played.excitations) // 2
        begin = float(played.starts_s[played.excitations[middle].block])
        if middle + 1 < len(played.excitations):
            end = float(played.starts_s[played.excitations[middle + 1].block])
    return begin, min(end, begin + LONGEST_PIECE_S)


def _piece(played: PlayedSequence, scanner: Scanner, begin_s: float, end_s: float) -> PlayedPiece:
    first, last = np.searchsorted(played.starts_s, [begin_s + 1e-9, end_s - 1e-9])
    times, values = [np.array([begin_s])], [np.zeros((1, 3))]
    for block in range(max(int(first) - 1, 0), min(int(last), played.blocks)):
        corners, gradient = played.corners_of(played.block_key(block))
        times.append(played.starts_s[block] + corners)
        values.append(gradient)
    readouts = [(r.start_s, r.start_s + r.samples * r.dwell_s) for r in played.readouts]
    return PlayedPiece(
        times_s=np.concatenate(times),
        gradient_hz_per_m=np.concatenate(values),
        rf_s=[(p.start_s, p.end_s) for p in played.pulses if begin_s <= p.start_s < end_s],
        adc_s=[span for span in readouts if begin_s <= span[0] < end_s],
        max_grad_hz_per_m=scanner.max_grad_hz_per_m,
        max_slew_hz_per_m_per_s=scanner.max_slew_hz_per_m_per_s,
    )
