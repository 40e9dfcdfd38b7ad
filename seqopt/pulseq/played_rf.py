"""The RF pulses of a Pulseq file: their shapes, and what each play of one pulse has in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.played_gradients import PlayedGradients
from seqopt.pulseq.seqtables import RfEvent, SeqFile

FloatArray = npt.NDArray[np.float64]
_LARGEST_EXCITATION_RAD = np.radians(90.5)
"""Before version 1.5 the use of a pulse is not in the file."""


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What pulses of one size and shape have in common."""

    flip_rad: float
    centre_s: float
    length_s: float
    use: str


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """A distinct pulse together with the gradient of its block."""

    event: RfEvent
    flip_rad: float
    centre_s: float
    """From the start of its shape."""
    length_s: float
    use: str
    gradient_hz_per_m: FloatArray
    """(3,) at the centre."""
    moment_per_m: FloatArray
    """(3,) from the block's start to the centre."""


class PlayedRf:
    """Pulses by their ids."""

    def __init__(self, file: SeqFile, raster_s: float) -> None:
        self._file, self._raster_s = file, raster_s
        self._shapes: dict[int, FloatArray] = {}
        self._forms: dict[tuple[object, ...], _Form] = {}
        self._instants: dict[tuple[int, float], tuple[float, float]] = {}

    def shape(self, event: RfEvent) -> tuple[FloatArray, npt.NDArray[np.complex128]]:
        """Times (n,) s from the shape's start and the complex B1 (n,) in Hz, frequency and phase offset left out."""
        magnitude = self._samples(event.magnitude_shape) * event.amplitude_hz
        phase = self._samples(event.phase_shape) if event.phase_shape else np.zeros_like(magnitude)
        if event.time_shape:
            times = self._samples(event.time_shape) * self._raster_s
        else:
            times = (np.arange(len(magnitude), dtype=float) + 0.5) * self._raster_s
        if not len(phase) == len(magnitude) == len(times):
            raise SeqoptError(
                f"{self._file.path}: line {self._file.shapes[event.magnitude_shape].line}: RF shapes have "
                f"{len(magnitude)} magnitudes, {len(phase)} phases and {len(times)} times; damaged file"
            )
        return times, magnitude * np.exp(2j * np.pi * phase)

    def duration_s(self, event: RfEvent) -> float:
        """Length of the shape: whole rasters, or up to the last time of its time shape."""
        if event.time_shape:
            return float(np.ceil(self._samples(event.time_shape)[-1] - 1e-9) * self._raster_s)
        return self._file.shapes[event.magnitude_shape].samples * self._raster_s

    def pulse(self, number: int, key: tuple[int, ...], gradients: PlayedGradients) -> Pulse:
        """One pulse as it is played with the gradients of a block."""
        event = self._file.rf[number]
        form = self._form(event)
        at_s = event.delay_s + form.centre_s
        played = np.array([self._instant(axis, at_s, gradients) for axis in key[:3]])
        if key[3]:
            played = gradients.rotation(key[3]) @ played
        return Pulse(
            event=event,
            flip_rad=form.flip_rad,
            centre_s=form.centre_s,
            length_s=form.length_s,
            use=form.use,
            gradient_hz_per_m=played[:, 0],
            moment_per_m=played[:, 1],
        )

    def _form(self, event: RfEvent) -> _Form:
        shapes = event.magnitude_shape, event.phase_shape, event.time_shape
        key = (event.amplitude_hz, *shapes, event.centre_s, event.use)
        if key not in self._forms:
            times, signal = self.shape(event)
            if event.time_shape:
                area = (np.diff(times) * (signal[1:] + signal[:-1]) / 2).sum()
            else:
                area = signal.sum() * self._raster_s
            flip = 2 * np.pi * float(abs(area))
            magnitude = np.abs(signal)
            peaks = times[magnitude >= 0.99999 * magnitude.max()]
            self._forms[key] = _Form(
                flip_rad=flip,
                centre_s=event.centre_s if event.centre_s is not None else float(peaks[0] + peaks[-1]) / 2,
                length_s=self.duration_s(event),
                use=event.use if event.use in tuple("erispo") else ("e" if flip < _LARGEST_EXCITATION_RAD else "r"),
            )
        return self._forms[key]

    def _instant(self, gradient: int, at_s: float, gradients: PlayedGradients) -> tuple[float, float]:
        """Gradient in Hz/m and moment in 1/m of one event at a time from its block's start."""
        if not gradient:
            return 0.0, 0.0
        if (gradient, at_s) not in self._instants:
            wave, at = gradients.waveform(gradient), np.array([at_s])
            self._instants[gradient, at_s] = float(wave.at(at)[0]), float(wave.moment(at)[0])
        return self._instants[gradient, at_s]

    def _samples(self, number: int) -> FloatArray:
        if number not in self._shapes:
            self._shapes[number] = self._file.shape(number)
        return self._shapes[number]
