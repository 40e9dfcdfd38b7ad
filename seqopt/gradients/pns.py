"""Peripheral nerve stimulation of a gradient waveform, in pieces of any length with the state carried over.

SAFE: three first-order low-pass filters of the slew rate on each physical axis (Hebrank & Gebhardt, ISMRM 2000, 2007;
in the discrete form of the public safe_pns_prediction by Szczepankiewicz & Witzel). Nerve impulse response: the slew
rate convolved with c / (c + t)^2 (IEC 60601-2-33:2022, eq. AA.21), integrated exactly over each raster.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seqopt.core import NerveResponse, SafeAxis, SafeModel, Scanner, StimulationModel
from seqopt.errors import SeqoptError, reject
from seqopt.units import GAMMA_HZ_PER_T

FloatArray = npt.NDArray[np.float64]
SAFE_MEMORY = 25.0
"""Longest time constants after which a filter has forgotten its start: exp(-25) is 1e-11."""
LIMIT_MARGIN = 0.9
"""Share of a wanted limit that training and ramps aim at: the rest of the sequence adds to each of them."""
LEAST_SLEW_SHARE = 0.05
"""Of the slew rate that prephasers and rewinders are left: slower ones would take most of a TR."""
RESPONSE_MEMORY = 60.0
"""Chronaxies after which the impulse response is cut. What is left out is below Gmax / (60^2 c) of the threshold."""


class StimulationFilter(Protocol):
    """Slew rates in, stimulation out, one piece after the other."""

    memory_s: float
    """After so much rest nothing is left of what was before."""

    def feed(self, slew_t_per_m_per_s: FloatArray) -> FloatArray:
        """The next (3, n) T/m/s of the physical axes, one value a raster -> (3, n) shares of the limit."""
        ...


def memory_s(model: StimulationModel) -> float:
    """Seconds of rest after which nothing is left of what was before."""
    if isinstance(model, NerveResponse):
        return RESPONSE_MEMORY * model.chronaxie_s
    return SAFE_MEMORY * max(max(axis.tau_s) for axis in model.axes)


def stimulation_filter(model: StimulationModel, raster_s: float) -> StimulationFilter:
    """A filter at rest."""
    return _Response(model, raster_s) if isinstance(model, NerveResponse) else _Safe(model, raster_s)


def combined(stimulation: FloatArray) -> FloatArray:
    """(3, n) shares of the axes -> (n,): their root sum of squares, as both models combine them."""
    return np.asarray(np.sqrt(np.einsum("an,an->n", stimulation, stimulation)))


def stimulation(gradient_t_per_m: FloatArray, model: StimulationModel, *, raster_s: float) -> FloatArray:
    """Whole waveform at once: (3, n) T/m, zero before -> (3, n) shares of the limit after each raster."""
    slew = np.diff(gradient_t_per_m, prepend=0.0, axis=1) / raster_s
    return stimulation_filter(model, raster_s).feed(slew)


def gentle_slew_share(scanner: Scanner, limit: float) -> float:
    """Share of the slew rate (with margin) at which a ramp from 0 to the largest gradient stimulates by ``limit``.

    On the axis that bears least; 1 where the full slew rate does not. Raises ``SeqoptError`` without coefficients, and
    where even a twentieth of the slew rate stimulates more.
    """
    model, raster = scanner.stimulation, scanner.grad_raster_s
    if model is None:
        raise SeqoptError(f"scanner {scanner.name} has no nerve stimulation coefficients; give --asc FILE of its coil")
    grad_t_per_m = scanner.margin * scanner.max_grad_hz_per_m / GAMMA_HZ_PER_T
    full_slew = scanner.margin * scanner.max_slew_hz_per_m_per_s / GAMMA_HZ_PER_T

    def of_ramp(share: float) -> float:
        rasters = max(1, round(grad_t_per_m / (share * full_slew * raster)))
        slew = np.full((3, rasters), share * full_slew)
        return float(stimulation_filter(model, raster).feed(slew).max())

    if of_ramp(1.0) <= limit:
        return 1.0
    if (least := of_ramp(LEAST_SLEW_SHARE)) > limit:
        raise SeqoptError(
            f"scanner {scanner.name}: a ramp at {LEAST_SLEW_SHARE * full_slew:.3g} T/m/s, the slowest used, stimulates "
            f"nerves by {least:.3g} of the limit where {limit:.3g} may be; allow more, or lower the scanner's gradient"
        )
    low, high = LEAST_SLEW_SHARE, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if of_ramp(middle) <= limit else (low, middle)
    return low


def limited(scanner: Scanner, limit: float) -> Scanner:
    """The scanner with a limit of its own on stimulation, and prephasers and rewinders gentle enough for it."""
    if not 0.05 <= limit <= 1.0:
        raise reject("--limit-pns", got=f"{limit:g}", expected="0.05..1 of the model's limit", remedy="0.8 is usual")
    share = min(scanner.connection_slew_share, gentle_slew_share(scanner, LIMIT_MARGIN * limit))
    said = (*scanner.overrides, f"--limit-pns {limit:g}")
    return replace(
        scanner,
        stimulation_limit=limit,
        connection_slew_share=share,
        most_connection_slew_share=scanner.connection_slew_share,
        overrides=said,
    )


def response_kernel(model: NerveResponse, raster_s: float, length: int) -> FloatArray:
    """(length,) shares of the threshold that one raster of 1 T/m/s adds after 0, 1, ... further rasters."""
    edges = np.arange(length + 1) * raster_s
    return np.asarray(-np.diff(model.chronaxie_s / (model.chronaxie_s + edges)) / model.threshold_t_per_m_per_s)


def decay(tau_s: float, raster_s: float) -> float:
    """Share of a SAFE filter's value that is left after one raster."""
    return tau_s / (tau_s + raster_s)


class _Safe:
    def __init__(self, model: SafeModel, raster_s: float) -> None:
        self.memory_s = memory_s(model)
        self._axes = [(axis, [_LowPass(decay(tau, raster_s)) for tau in axis.tau_s]) for axis in model.axes]

    def feed(self, slew_t_per_m_per_s: FloatArray) -> FloatArray:
        pairs = zip(self._axes, slew_t_per_m_per_s, strict=True)
        return np.stack([_safe(axis, filters, slew) for (axis, filters), slew in pairs])


def _safe(axis: SafeAxis, filters: list[_LowPass], slew: FloatArray) -> FloatArray:
    first, second, third = filters
    out = axis.weights[0] * np.abs(first(slew))
    out += axis.weights[1] * second(np.abs(slew))
    out += axis.weights[2] * np.abs(third(slew))
    out *= axis.scale / axis.limit_t_per_m_per_s
    return np.asarray(out)


class _LowPass:
    def __init__(self, keep: float) -> None:
        self._b, self._a = np.array([1.0 - keep]), np.array([1.0, -keep])
        self._state = np.zeros(1)

    def __call__(self, values: FloatArray) -> FloatArray:
        from scipy import signal  # half a second to import, which no design without coefficients needs

        out, self._state = signal.lfilter(self._b, self._a, values, zi=self._state)
        return np.asarray(out)


class _Response:
    def __init__(self, model: NerveResponse, raster_s: float) -> None:
        self.memory_s = memory_s(model)
        self._kernel = response_kernel(model, raster_s, max(2, round(self.memory_s / raster_s)))
        self._tail = np.zeros((3, 0))
        self._transform: tuple[int, Any] = (0, None)  # of the kernel, for pieces of one length

    def feed(self, slew_t_per_m_per_s: FloatArray) -> FloatArray:
        from scipy import fft

        count = slew_t_per_m_per_s.shape[1]
        whole = count + len(self._kernel) - 1
        size = fft.next_fast_len(whole, real=True)
        if self._transform[0] != size:
            self._transform = (size, fft.rfft(self._kernel, size))
        full = fft.irfft(fft.rfft(slew_t_per_m_per_s, size) * self._transform[1], size)[:, :whole]
        full[:, : self._tail.shape[1]] += self._tail  # never longer than what follows a piece
        self._tail = full[:, count:].copy()
        return np.asarray(np.abs(full[:, :count]))
