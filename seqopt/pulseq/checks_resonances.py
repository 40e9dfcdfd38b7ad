"""Mechanical resonances: how strongly a sequence drives the forbidden frequency bands of a scanner."""

from __future__ import annotations

from seqopt.core import Check, Scanner
from seqopt.gradients.resonances import WINDOW_S, BandMeter, BandPeak
from seqopt.pulseq.rastered import pieces, too_long
from seqopt.pulseq.readback import AXES, PlayedSequence
from seqopt.units import hz_per_m_to_mt_per_m

_NAME = "mechanical resonances and forbidden frequency bands"


def resonance_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], list[str]]:
    """One check a band: the largest steady oscillation inside it, on any axis, against the profile's limit."""
    if scanner.bands is None:
        return [], [f"{_NAME}: profile {scanner.name} has none, give --asc FILE of its coil"]
    raster = scanner.grad_raster_s
    if why := too_long(played, raster):
        return [], [f"{_NAME}: {why}"]
    meter = BandMeter(scanner.bands, raster)
    window_starts: dict[int, float] = {}
    for piece in pieces(played, raster_s=raster, rest_s=WINDOW_S):
        if piece.after_rest:
            window_starts[meter.restart()] = piece.first * raster
        meter.feed(piece.gradient_hz_per_m)
    return [_check(peak, meter, window_starts, scanner) for peak in meter.finish()], []


def _check(peak: BandPeak, meter: BandMeter, window_starts: dict[int, float], scanner: Scanner) -> Check:
    limit = scanner.max_band_hz_per_m
    base = max((window for window in window_starts if window <= peak.window), default=0)
    start = max(0.0, window_starts.get(base, 0.0) + (peak.window - base - 1) * meter.hop_s)
    return Check(
        name=f"resonance.{peak.band.centre_hz:g}_hz",
        held=peak.amplitude <= limit,
        value=round(hz_per_m_to_mt_per_m(peak.amplitude), 4),
        limit=round(hz_per_m_to_mt_per_m(limit), 4),
        unit="mT/m",
        where=f"{AXES[peak.axis]} at {peak.frequency_hz:.0f} Hz (band {peak.band.low_hz:g} to {peak.band.high_hz:g}), "
        f"{start * 1e3:.1f} to {(start + WINDOW_S) * 1e3:.1f} ms"
        + ("" if scanner.band_limit_is_own else "; the limit is a convention and not published"),
        remedy="" if peak.amplitude <= limit else "change TR, echo spacing or readout so that it moves out of the band",
    )
