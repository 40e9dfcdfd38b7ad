"""Slice-selective Hann-sinc pulses in numbers: gradient, delays, centre and moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqopt.core import Geometry, Protocol, Scanner
from seqopt.errors import SeqoptError, reject
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to, on_raster


@dataclass(frozen=True, kw_only=True)
class SlicePulse:
    """One pulse with its gradient; times in seconds from the start of its block."""

    flip_rad: float
    duration_s: float
    time_bandwidth: float
    select: Trapezoid
    """Its flat top spans the RF pulse."""
    select_hz_per_m: float
    select_delay_s: float
    rf_delay_s: float
    block_s: float

    @property
    def centre_s(self) -> float:
        """Centre of the pulse."""
        return self.rf_delay_s + self.duration_s / 2

    @property
    def area_before_per_m(self) -> float:
        """Moment of the slice gradient up to the centre."""
        flat_start = round(self.select_delay_s + self.select.rise_s, 10)
        return self.select_hz_per_m * (self.centre_s - flat_start + self.select.rise_s / 2)

    @property
    def area_after_per_m(self) -> float:
        """Moment of the slice gradient from the centre on."""
        flat_start = round(self.select_delay_s + self.select.rise_s, 10)
        return self.select_hz_per_m * (flat_start + self.select.flat_s - self.centre_s + self.select.fall_s / 2)


def slice_pulse(
    scanner: Scanner,
    protocol: Protocol,
    geometry: Geometry,
    *,
    flip_rad: float,
    duration_s: float,
    centred: bool = False,
    late_s: float = 0.0,
) -> SlicePulse:
    """A pulse of ``duration_s`` that selects the slices of the geometry; ``centred`` puts its centre on a block raster.

    ``late_s``, on the RF raster, is by how much it comes later than its gradient allows, for an exact echo time.
    Raises ``SeqoptError`` where duration, gradient, B1 or frequency offset do not fit the scanner.
    """
    if not 1e-4 <= duration_s <= 0.1 or not on_raster(duration_s, scanner.rf_raster_s):
        raise reject(
            "RF duration",
            got=f"{duration_s * 1e3:g} ms",
            expected=f"0.1..100 ms on a raster of {scanner.rf_raster_s * 1e6:g} us",
            remedy="give the RF duration in seconds on that raster",
        )
    amplitude = protocol.rf_time_bandwidth / duration_s / geometry.slice_thickness_m
    limit = scanner.max_grad_hz_per_m * scanner.margin
    if amplitude > limit:
        raise SeqoptError(
            f"a slice of {geometry.slice_thickness_m * 1e3:g} mm needs {amplitude / limit:.2f} times the gradient that "
            f"scanner {scanner.name} gives; use a thicker slice or a longer RF pulse"
        )
    _check_rf(scanner, protocol, geometry, flip_rad, duration_s, amplitude)
    raster, block = scanner.grad_raster_s, scanner.block_raster_s
    rise = max(ceil_to(amplitude / scanner.design_slew_hz_per_m_per_s, raster), raster)
    delay = ceil_to(max(scanner.rf_dead_time_s - rise, 0.0), raster)
    flat_start = round(delay + rise, 10)
    rf_delay = round(flat_start + late_s, 10)
    if centred:
        rf_delay = ceil_to(ceil_to(flat_start + duration_s / 2, block) - duration_s / 2, scanner.rf_raster_s)
    select = Trapezoid(rise, ceil_to(rf_delay + duration_s - flat_start, raster), rise)
    rf_end = rf_delay + duration_s + scanner.rf_ringdown_time_s
    return SlicePulse(
        flip_rad=flip_rad,
        duration_s=duration_s,
        time_bandwidth=protocol.rf_time_bandwidth,
        select=select,
        select_hz_per_m=amplitude,
        select_delay_s=delay,
        rf_delay_s=rf_delay,
        block_s=ceil_to(max(rf_end, delay + select.duration_s), block),
    )


def _check_rf(
    scanner: Scanner, protocol: Protocol, geometry: Geometry, flip_rad: float, duration_s: float, select_hz_per_m: float
) -> None:
    peak = peak_b1_hz(flip_rad, duration_s, protocol.rf_time_bandwidth, scanner.rf_raster_s)
    if peak > scanner.max_b1_hz:
        raise SeqoptError(
            f"a flip of {np.degrees(flip_rad):g} degrees in {duration_s * 1e3:g} ms needs B1 of "
            f"{peak:.0f} Hz, scanner {scanner.name} gives {scanner.max_b1_hz:.0f} Hz; "
            "use a longer RF pulse or a smaller flip angle"
        )
    offset = select_hz_per_m * max(abs(z) for z in geometry.slice_positions_m())
    if offset > scanner.max_rf_offset_hz:
        raise SeqoptError(
            f"the outermost slice needs an RF offset of {offset / 1e3:.0f} kHz, scanner {scanner.name} gives "
            f"{scanner.max_rf_offset_hz / 1e3:.0f} kHz; use fewer slices, a smaller gap or a longer RF pulse"
        )


def peak_b1_hz(flip_rad: float, duration_s: float, time_bandwidth: float, raster_s: float) -> float:
    """Peak of a Hann-windowed sinc pulse in Hz for a flip in rad."""
    samples = round(duration_s / raster_s)
    t = ((np.arange(samples) + 0.5) / samples - 0.5) * duration_s
    shape = (0.5 + 0.5 * np.cos(2 * np.pi * t / duration_s)) * np.sinc(time_bandwidth / duration_s * t)
    return float(np.abs(shape).max() * flip_rad / (2 * np.pi * abs(shape.sum()) * raster_s))
