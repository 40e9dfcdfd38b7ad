"""Off-resonance in simulated data: a smooth map of the field, and the signal that it dephases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from seqopt.encoding.off_resonance import field_phase

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex64]
_STEP_RAD = 0.1  # between two time segments: linear interpolation is then right to 0.1 %


def smooth_field_hz(shape: tuple[int, int], peak_hz: float) -> FloatArray:
    """(y, x) a shim-like field, linear and quadratic in position, whose largest size is ``peak_hz``."""
    y, x = np.meshgrid(*(np.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    field = 0.6 * x + 0.3 * y + 0.5 * (x * x - y * y) - 0.2 * x * y
    return np.asarray(field * (peak_hz / np.abs(field).max()))


def dephased_signal(
    signal_of: Callable[[ComplexArray], ComplexArray], image: ComplexArray, field_hz: FloatArray, times_s: FloatArray
) -> ComplexArray:
    """Signal (coils, samples) of an image (y, x) whose spins precess by ``field_hz`` (y, x) while it is read.

    In: ``signal_of`` an image's signal without off-resonance, ``times_s`` (samples,). By time segmentation: signals at
    a few times, between which each sample interpolates (Noll et al., IEEE Trans Med Imaging 10:629, 1991).
    """
    span = float(np.ptp(times_s)) * 2 * np.pi * float(np.abs(field_hz).max(initial=0.0))
    segments = np.linspace(times_s.min(), times_s.max(), max(2, int(np.ceil(span / _STEP_RAD)) + 1))
    out = None
    for number, time in enumerate(segments):
        share = np.interp(times_s, segments, np.eye(len(segments))[number])
        part = signal_of((image * field_phase(field_hz, time)).astype(np.complex64)) * share
        out = part if out is None else out + part
    return np.asarray(out, dtype=np.complex64)
