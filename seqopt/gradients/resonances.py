"""How strongly a gradient waveform drives forbidden frequency bands.

Windows of 50 ms, each half over the last, without their mean and under a Hann taper, on a three times finer frequency
grid: as in pypulseq's ``calculate_gradient_spectrum``. The value is the amplitude of the steady oscillation that would
show the same peak, so that it compares with the amplitude of an echo-planar train.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from seqopt.core import ForbiddenBand

FloatArray = npt.NDArray[np.float64]
WINDOW_S = 0.05
FINER = 3
_AT_ONCE = 16


@dataclass(frozen=True)
class BandPeak:
    """The strongest oscillation inside one band."""

    band: ForbiddenBand
    amplitude: float
    """In the unit of the waveform."""
    axis: int
    frequency_hz: float
    window: int
    """Number of the window, in hops of half its width."""


class BandMeter:
    """Takes a waveform (3, n) in pieces and remembers the strongest oscillation in each band."""

    def __init__(self, bands: tuple[ForbiddenBand, ...], raster_s: float, *, window_s: float = WINDOW_S) -> None:
        self.width = 2 * max(1, round(window_s / raster_s / 2))
        self.hop_s = self.width // 2 * raster_s
        self._length = fft.next_fast_len(FINER * self.width, real=True)
        self._frequency_hz = np.fft.rfftfreq(self._length, raster_s)
        self._taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.width) / self.width)
        self._bins = [self._inside(band) for band in bands]
        self.peaks = [BandPeak(band, 0.0, 0, band.centre_hz, 0) for band in bands]
        self._rest = np.zeros((3, self.width // 2))  # the first samples lie under the taper's middle
        self._next = 0

    def feed(self, waveform: FloatArray) -> None:
        """The next (3, n) values, one a raster."""
        waves = np.concatenate([self._rest, waveform], axis=1)
        hop = self.width // 2
        count = max(0, (waves.shape[1] - self.width) // hop + 1)
        for first, windows in _groups(waves, count, self.width, hop):
            self._measure(self._next + first, windows)
        self._next += count
        self._rest = waves[:, count * hop :]

    def finish(self) -> list[BandPeak]:
        """The peaks, what is left measured too, followed by rest; another waveform may come."""
        self.feed(np.zeros((3, self.width)))
        self._rest = np.zeros((3, self.width // 2))
        return self.peaks

    def restart(self) -> int:
        """Measure what is left, then rest; the number of the window in whose middle the next waveform starts."""
        self.finish()
        return self._next

    def _measure(self, first: int, windows: FloatArray) -> None:
        """Windows (count, 3, width)."""
        tapered = (windows - windows.mean(axis=2, keepdims=True)) * self._taper
        spectrum = fft.rfft(tapered.astype(np.float32), self._length, axis=2)
        for index, (low, high) in enumerate(self._bins):
            part = np.abs(spectrum[:, :, low:high]) * (2.0 / self._taper.sum())
            value = float(part.max(initial=0.0))
            if value > self.peaks[index].amplitude:
                window, axis, at = np.unravel_index(int(np.argmax(part)), part.shape)
                self.peaks[index] = BandPeak(
                    self.peaks[index].band,
                    value,
                    int(axis),
                    float(self._frequency_hz[low + int(at)]),
                    first + int(window),
                )

    def _inside(self, band: ForbiddenBand) -> tuple[int, int]:
        """Grid frequencies in the band; the nearest one for a band between two."""
        low = int(np.searchsorted(self._frequency_hz, band.low_hz - 1e-9))
        high = int(np.searchsorted(self._frequency_hz, band.high_hz + 1e-9))
        if high > low:
            return low, high
        nearest = int(np.argmin(np.abs(self._frequency_hz - band.centre_hz)))
        return nearest, nearest + 1


def _groups(waves: FloatArray, count: int, width: int, hop: int) -> Iterator[tuple[int, FloatArray]]:
    """Windows in groups (some, 3, width) that fit the cache; those at rest are left out."""
    views = np.lib.stride_tricks.sliding_window_view(waves, width, axis=1)[:, ::hop] if count else waves[:, :0, None]
    for start in range(0, count, _AT_ONCE):
        group = views[:, start : min(start + _AT_ONCE, count)].transpose(1, 0, 2)
        if group.any():
            yield start, group
