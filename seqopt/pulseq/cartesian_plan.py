"""The readout of a Cartesian line, its labels and definitions, in numbers; nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import MaskDesign, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.pulseq.events import COUNTERS
from seqopt.pulseq.timing import check_adc
from seqopt.pulseq.trapezoid import Trapezoid, ceil_to

FloatArray = npt.NDArray[np.float64]
LINE_COUNTERS = (*COUNTERS, "SEG", "REF", "IMA")


@dataclass(frozen=True, kw_only=True)
class LineReadout:
    """A trapezoid along x whose flat top spans the ADC; times in seconds from its start."""

    shape: Trapezoid
    amplitude_hz_per_m: float
    adc_delay_s: float
    samples: int
    dwell_s: float

    @property
    def echo_sample(self) -> int:
        """The sample that lies at k = 0."""
        return self.samples // 2

    @property
    def echo_s(self) -> float:
        """Centre of the echo sample."""
        return self.adc_delay_s + (self.echo_sample + 0.5) * self.dwell_s

    @property
    def adc_end_s(self) -> float:
        """When the ADC closes."""
        return self.adc_delay_s + self.samples * self.dwell_s

    @property
    def area_to_echo_per_m(self) -> float:
        """Moment up to the echo sample."""
        return self.amplitude_hz_per_m * (self.echo_s - self.shape.rise_s / 2)

    @property
    def area_per_m(self) -> float:
        """Moment of the whole trapezoid."""
        return self.amplitude_hz_per_m * (self.shape.flat_s + (self.shape.rise_s + self.shape.fall_s) / 2)


def line_readout(design: MaskDesign, *, echo_raster_s: float | None = None) -> LineReadout:
    """The readout of a mask; with ``echo_raster_s`` the echo sample's centre lies on that raster (to one RF raster).

    Without it the ADC opens on the gradient raster. Raises ``SeqoptError`` where dwell, samples or gradient do not fit.
    """
    scanner, raster = design.scanner, design.scanner.grad_raster_s
    amplitude = 1.0 / (design.geometry.fov_m[0] * design.dwell_s)
    share = amplitude / (scanner.max_grad_hz_per_m * scanner.margin)
    if share > 1:
        raise SeqoptError(
            f"dwell: {design.dwell_s * 1e6:g} us needs {share:.2f} times the readout gradient that scanner "
            f"{scanner.name} gives; use a dwell of at least {np.ceil(design.dwell_s * share * 1e7) / 10:g} us"
        )
    rise = max(ceil_to(amplitude / scanner.design_slew_hz_per_m_per_s, raster), raster)
    samples, dwell = design.oversampling * design.geometry.matrix[0], design.dwell_s / design.oversampling
    delay = ceil_to(max(rise, scanner.adc_dead_time_s), raster)
    if echo_raster_s is not None:
        to_echo = (samples // 2 + 0.5) * dwell
        delay = ceil_to(ceil_to(delay + to_echo, echo_raster_s) - to_echo, scanner.rf_raster_s)
    check_adc(scanner, samples=samples, dwell_s=dwell, delay_s=delay)
    shape = Trapezoid(rise, ceil_to(delay + samples * dwell - rise, raster), rise)
    return LineReadout(shape=shape, amplitude_hz_per_m=amplitude, adc_delay_s=delay, samples=samples, dwell_s=dwell)


def phase_moments(design: MaskDesign, lines: npt.NDArray[np.int64]) -> FloatArray:
    """(n,) line numbers -> (n,) ky in 1/m."""
    ky: FloatArray = (lines - design.geometry.matrix[1] // 2) / design.geometry.fov_m[1]
    return ky


def line_k(design: MaskDesign, lines: npt.NDArray[np.int64]) -> FloatArray:
    """(n,) line numbers -> (n, samples, 2) k in 1/m at the ADC samples."""
    samples = design.oversampling * design.geometry.matrix[0]
    kx = (np.arange(samples) - samples // 2) / (design.oversampling * design.geometry.fov_m[0])
    k = np.empty((len(lines), samples, 2))
    k[..., 0] = kx
    k[..., 1] = phase_moments(design, lines)[:, None]
    return k


def line_labels(design: MaskDesign, line: int) -> dict[str, int]:
    """Labels of one line; REF and IMA mark calibration lines that belong to the image as well."""
    calibration = int(line in design.calibration_lines)
    return {"LIN": line, "REF": calibration, "IMA": calibration}


def line_definitions(design: MaskDesign) -> dict[str, Any]:
    """Definitions for people and for readers that know them.

    AccelerationFactorPE, which some vendors' online reconstructions look for, is left out: it promises lines at regular
    distances, which a mask does not have.
    """
    return {
        "Lines": design.shots,
        "LineOrder": design.play.line_order,
        "MaskFamily": design.family,
        "kSpaceCenterLine": design.geometry.matrix[1] // 2,
        "ReadoutOversamplingFactor": design.oversampling,
    }


def as_trajectory(design: MaskDesign, lines: npt.NDArray[np.int64]) -> TrajectoryDesign:
    """The lines (n,) as shots in play order, so that the gradient echo of trajectories plays them."""
    readout = line_readout(design)
    raster = design.scanner.grad_raster_s
    corners = np.cumsum([0.0, readout.shape.rise_s, readout.shape.flat_s, readout.shape.fall_s])
    edges = np.arange(round(corners[-1] / raster) + 1)
    gradient = np.zeros((len(lines), len(edges), 2))
    gradient[..., 0] = readout.amplitude_hz_per_m * np.interp(edges, np.round(corners / raster), [0.0, 1.0, 1.0, 0.0])
    start = np.column_stack([np.full(len(lines), -readout.area_to_echo_per_m), phase_moments(design, lines)])
    k_per_m = line_k(design, lines)
    return TrajectoryDesign(
        name=design.name,
        family=design.family,
        geometry=design.geometry,
        scanner=design.scanner,
        protocol=design.protocol,
        dwell_s=readout.dwell_s,
        adc_start_edge=round(readout.adc_delay_s / raster),
        echo_sample=readout.echo_sample,
        gradient_hz_per_m=gradient,
        k_start_per_m=start,
        k_per_m=k_per_m,
        initial_k_per_m=k_per_m,
    )
