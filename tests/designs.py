"""Real designs for tests, made in closed form (no learning, no projection)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from seqopt.core import Geometry, Protocol, Scanner, TrajectoryDesign
from seqopt.gradients.waveform import k_at, sample_times
from seqopt.sampling.initial import InitialPath, Readouts, initial_trajectories
from seqopt.units import mt_per_m_to_hz_per_m, t_per_m_per_s_to_hz_per_m_per_s


def paper_scanner() -> Scanner:
    return Scanner(
        name="paper",
        source="Peng et al., CVPR 2022, section 4",
        vendor="none",
        max_grad_hz_per_m=mt_per_m_to_hz_per_m(50.0),
        max_slew_hz_per_m_per_s=t_per_m_per_s_to_hz_per_m_per_s(200.0),
        field_t=3.0,
    )


def echo_time_s(readout: Any) -> float:
    """From the centre of a played readout's excitation to the middle of its echo sample."""
    opened: float = readout.start_s - readout.excitation.centre_s
    return opened + (readout.echo_sample + 0.5) * readout.dwell_s


def readouts(geometry: Geometry, shots: int, samples: int, **changes: Any) -> Readouts:
    """What an initial trajectory is made for: the paper's scanner, a dwell of 4 us, and ``changes``."""
    standard = Readouts(geometry=geometry, scanner=paper_scanner(), shots=shots, samples=samples, dwell_s=4e-6)
    return replace(standard, **changes)


def radial_path(geometry: Geometry, shots: int, samples: int) -> InitialPath:
    return initial_trajectories["radial"](readouts(geometry, shots, samples))


def radial_design(
    *, shots: int = 8, samples: int = 512, matrix: int = 64, fov_m: float = 0.22, slices: int = 1, wiggle: float = 0.0
) -> TrajectoryDesign:
    """Spokes at constant speed with ramps of 10 rasters outside the ADC; `wiggle` bends them sideways (1/FOV)."""
    scanner = paper_scanner()
    geometry = Geometry(fov_m=(fov_m, fov_m), matrix=(matrix, matrix), slices=slices, slice_thickness_m=0.005)
    dwell_s, ramp = 4e-6, 10
    raster = scanner.grad_raster_s
    body = int(np.ceil(samples * dwell_s / raster - 1e-9))
    edges = ramp + body + ramp + 1
    speed = 2 * geometry.k_max_per_m[0] / (samples * dwell_s)
    envelope = np.interp(np.arange(edges), [0, ramp, ramp + body, edges - 1], [0.0, 1.0, 1.0, 0.0])
    t = np.arange(edges) * raster
    period = 1e-3
    sideways = wiggle / fov_m * 2 * np.pi / period * np.cos(2 * np.pi * t / period) * envelope
    angle = np.arange(shots) * np.pi / shots
    axis = np.stack([np.cos(angle), np.sin(angle)], -1)
    normal = np.stack([-np.sin(angle), np.cos(angle)], -1)
    gradient = speed * envelope[None, :, None] * axis[:, None] + sideways[None, :, None] * normal[:, None]
    times = sample_times(samples, dwell_s=dwell_s, adc_start_s=ramp * raster)
    integral = k_at(times, gradient, raster_s=raster)
    echo = samples // 2
    start = -integral[:, echo]
    k = integral + start[:, None]
    along = (np.arange(samples) - echo) / (samples / 2)
    initial = along[None, :, None] * axis[:, None] * geometry.k_max_per_m[0]
    return TrajectoryDesign(
        name=f"radial-{shots}",
        family="radial",
        geometry=geometry,
        scanner=scanner,
        protocol=Protocol(dummy_shots=2),
        dwell_s=dwell_s,
        adc_start_edge=ramp,
        echo_sample=echo,
        gradient_hz_per_m=gradient,
        k_start_per_m=start,
        k_per_m=k,
        initial_k_per_m=initial,
        provenance={"seed": 0},
    )
