"""Readouts that are longer than a scanner's receiver takes at once: equal segments, each whole gradient rasters."""

from __future__ import annotations

from seqopt.core.scanner import Scanner
from seqopt.errors import SeqoptError, reject

MOST_SEGMENTS = 128
MOST_SAMPLES = 65535  # of a readout in MRD files, which hold 16 bits


def fitting_segments(scanner: Scanner, *, samples: int, dwell_s: float) -> list[int]:
    """Every number of equal segments into which a readout can be divided on this scanner; 1 is whole.

    Each is at most the receiver's limit, a multiple of its divisor and, of several, whole gradient rasters
    (the interpreters' rule; pypulseq's calc_adc_segments).
    """
    found = []
    for segments in range(1, MOST_SEGMENTS + 1):
        each, rest = divmod(samples, segments)
        rasters = each * dwell_s / scanner.grad_raster_s
        whole = segments == 1 or abs(rasters - round(rasters)) < 1e-6
        if rest == 0 and 0 < each <= scanner.adc_max_samples and each % scanner.adc_samples_divisor == 0 and whole:
            found.append(segments)
    return found


def check_segments(scanner: Scanner, *, samples: int, dwell_s: float, segments: int) -> None:
    """Refuse a readout that the scanner's receiver cannot take in so many segments, with what would."""
    divisor = scanner.adc_samples_divisor
    if samples % divisor:
        raise reject(
            "samples a readout",
            got=samples,
            expected=f"a multiple of {divisor} (scanner {scanner.name})",
            remedy="change the samples",
        )
    if samples > MOST_SAMPLES:
        raise reject(
            "samples a readout",
            got=samples,
            expected=f"at most {MOST_SAMPLES}, which MRD files hold",
            remedy="shorten the readout or lengthen the dwell",
        )
    possible = fitting_segments(scanner, samples=samples, dwell_s=dwell_s)
    if segments in possible:
        return
    if possible:
        remedy = f"use --adc-segments {possible[0]}" if possible[0] > 1 else "leave out --adc-segments"
        others = ", ".join(map(str, possible[:6]))
        raise SeqoptError(
            f"ADC segments: got {segments} for {samples} samples a readout of {dwell_s * 1e6:g} us, expected {others} "
            f"(scanner {scanner.name}: at most {scanner.adc_max_samples} samples each, in whole rasters); {remedy}"
        )
    raise SeqoptError(
        f"{samples} samples a readout of {dwell_s * 1e6:g} us do not divide into equal segments of at most "
        f"{scanner.adc_max_samples} samples on the gradient raster (scanner {scanner.name}); change the samples"
    )
