"""The amplitude of oscillations inside forbidden bands."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import spectrogram

from seqopt.core import ForbiddenBand
from seqopt.gradients.resonances import BandMeter

RASTER_S = 10e-6
BANDS = (ForbiddenBand(590.0, 100.0), ForbiddenBand(1140.0, 220.0))


def tone(frequency_hz: float, *, amplitude: float = 1.0, seconds: float = 0.3, axis: int = 1) -> np.ndarray:
    times = np.arange(round(seconds / RASTER_S)) * RASTER_S
    wave = np.zeros((3, len(times)))
    wave[axis] = amplitude * np.sin(2 * np.pi * frequency_hz * times)
    return wave


def measured(wave: np.ndarray, *cuts: int):
    meter = BandMeter(BANDS, RASTER_S)
    for part in np.split(wave, cuts, axis=1):
        meter.feed(part)
    return meter.finish()


def test_a_steady_oscillation_reads_its_own_amplitude_frequency_and_axis():
    first, second = measured(tone(603.0, amplitude=7.0))
    assert first.amplitude == pytest.approx(7.0, rel=0.02)  # the grid is 6.7 Hz wide
    assert first.frequency_hz == pytest.approx(603.0, abs=4.0)
    assert first.axis == 1
    assert second.amplitude < 0.02 * 7.0


def test_outside_the_bands_nothing_is_read():
    first, second = measured(tone(300.0, amplitude=30.0))
    assert max(first.amplitude, second.amplitude) < 0.03 * 30.0


def test_the_spectrum_is_scipys():
    """Of the same windows; scipy scales to densities, which is undone here."""
    wave = np.random.default_rng(0).normal(size=(3, 60_000)).cumsum(axis=1)
    width = 5000
    frequency, _, found = spectrogram(
        np.pad(wave, ((0, 0), (width // 2, width))), fs=1 / RASTER_S, mode="magnitude", nperseg=width,
        noverlap=width // 2, nfft=15_000, detrend="constant", window=("tukey", 1),
    )  # fmt: skip
    taper = np.hanning(width + 1)[:-1]
    scale = 2 / taper.sum() * np.sqrt((taper**2).sum() / RASTER_S)
    for peak in measured(wave, 12_345, 12_346, 40_000):
        inside = (frequency >= peak.band.low_hz) & (frequency <= peak.band.high_hz)
        assert peak.amplitude == pytest.approx(scale * found[:, inside].max(), rel=2e-3)


def test_pieces_give_what_the_whole_gives():
    wave = np.random.default_rng(1).normal(size=(3, 30_000))
    whole, parts = measured(wave), measured(wave, 1, 77, 9_999, 21_000)
    for one, other in zip(whole, parts, strict=True):
        assert one == other


def test_a_burst_at_the_start_counts_as_much_as_one_later():
    burst = tone(590.0, amplitude=5.0, seconds=0.02)
    later = np.concatenate([np.zeros((3, 7500)), burst, np.zeros((3, 5000))], axis=1)
    assert measured(burst)[0].amplitude == pytest.approx(measured(later)[0].amplitude, rel=0.2)


def test_a_narrow_band_between_two_grid_frequencies_is_still_measured():
    meter = BandMeter((ForbiddenBand(601.0, 0.5),), RASTER_S)
    meter.feed(tone(601.0, amplitude=2.0))
    assert meter.finish()[0].amplitude == pytest.approx(2.0, rel=0.05)
