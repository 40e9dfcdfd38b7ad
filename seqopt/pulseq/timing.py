"""What planned sequences have in common: their timing in numbers, pauses, and what an ADC must keep to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqopt.core import Scanner
from seqopt.core.segments import check_segments
from seqopt.errors import SeqoptError, reject
from seqopt.pulseq.trapezoid import ceil_to, on_raster

LABEL_BLOCK_S = 1e-3  # the first block, which sets every label to 0
SETTLE_S = 5e-3  # quiet time after the noise readout


@dataclass(frozen=True, kw_only=True)
class SequenceTiming:
    """When everything of a planned or written sequence happens."""

    te_s: float
    """RF centre to the centre of the echo sample; of an echo train the one that reads the centre of k-space."""
    tr_s: float
    """Between two excitations of one slice."""
    min_te_s: float
    min_tr_s: float
    """With the echo time above."""
    scan_time_s: float
    """Of the whole file, noise readout included."""
    excitations: int
    """Dummies included."""
    readouts: int
    """Imaging readouts; the noise readouts come before them."""
    order: tuple[tuple[int, int], ...]
    """(slice, shot) of each imaging readout in play order; of a mask (slice, line)."""
    noise_readouts: int
    md5: str
    """Signature of the written file; empty where nothing was written."""
    echo_train: int = 1
    """Echoes after each excitation."""
    echo_spacing_s: float | None = None
    """Between refocusing pulses; None without them."""
    echoes: tuple[int, ...] = ()
    """Place in its echo train, from 0, of each imaging readout in play order; empty without echo trains."""


def pause(name: str, wanted_s: float | None, shortest_s: float, raster_s: float) -> float:
    """What is to be waited for the wanted time, on the raster; raises with the shortest time in ms."""
    if wanted_s is None:
        return 0.0
    if wanted_s < shortest_s - 1e-9:
        raise reject(
            name,
            got=f"{wanted_s * 1e3:g} ms",
            expected=f"at least {shown_ms(shortest_s)} ms",
            remedy="lengthen it or leave it out",
        )
    return ceil_to(wanted_s - shortest_s, raster_s)


def shown_ms(shortest_s: float) -> str:
    """Milliseconds with three digits, rounded up, so that the shown time is one that fits."""
    return f"{np.ceil(shortest_s * 1e6 - 1e-6) / 1e3:.3f}"


def slice_pauses(tr_delay_s: float, slices: int, raster_s: float) -> tuple[float, ...]:
    """The pause of a repetition, spread over its slices in whole rasters."""
    whole, extra = divmod(round(tr_delay_s / raster_s), slices)
    return tuple((whole + (index < extra)) * raster_s for index in range(slices))


def start_s(noise_s: float, block_raster_s: float) -> float:
    """Labels, noise readout and the quiet time after it."""
    return ceil_to(LABEL_BLOCK_S, block_raster_s) + noise_s + ceil_to(SETTLE_S, block_raster_s)


def check_adc(scanner: Scanner, *, samples: int, dwell_s: float, delay_s: float, segments: int | None = None) -> None:
    """Refuse an ADC that the scanner cannot play, with the remedy; ``delay_s`` from its block's start.

    ``segments`` are its equal parts, None where it cannot be divided.
    """
    if delay_s < scanner.adc_dead_time_s - 1e-12:
        raise SeqoptError(
            f"the ADC opens {delay_s * 1e6:g} us after the waveform's start, scanner {scanner.name} needs "
            f"{scanner.adc_dead_time_s * 1e6:g} us of dead time; start the ADC at a later edge"
        )
    if not on_raster(delay_s, scanner.rf_raster_s):
        raise SeqoptError(
            f"the ADC opens at {delay_s * 1e6:g} us, off the raster of {scanner.rf_raster_s * 1e6:g} us; move its start"
        )
    if not on_raster(dwell_s, scanner.adc_raster_s):
        raise SeqoptError(
            f"dwell: got {dwell_s * 1e6:g} us, expected a multiple of {scanner.adc_raster_s * 1e6:g} us "
            f"(scanner {scanner.name}); change the bandwidth"
        )
    if segments is not None:
        check_segments(scanner, samples=samples, dwell_s=dwell_s, segments=segments)
    elif samples > scanner.adc_max_samples or samples % scanner.adc_samples_divisor:
        raise SeqoptError(
            f"samples a readout: got {samples}, expected at most {scanner.adc_max_samples} and a multiple of "
            f"{scanner.adc_samples_divisor} (scanner {scanner.name}); change the samples"
        )
