"""Every factor between the units that people read and the SI and Pulseq units inside. Gamma appears here only."""

from __future__ import annotations

import math
from typing import Any, TypeVar

GAMMA_HZ_PER_T = 42.576e6  # 1H as pypulseq has it; packages differ by up to 235 ppm, one file must use one value

T = TypeVar("T")  # float, numpy array or torch tensor


def mt_per_m_to_hz_per_m(gradient_mt_per_m: T) -> T:
    """Gradient mT/m -> Hz/m."""
    return _times(gradient_mt_per_m, 1e-3 * GAMMA_HZ_PER_T)


def hz_per_m_to_mt_per_m(gradient_hz_per_m: T) -> T:
    """Gradient Hz/m -> mT/m."""
    return _over(gradient_hz_per_m, 1e-3 * GAMMA_HZ_PER_T)


def t_per_m_per_s_to_hz_per_m_per_s(slew_t_per_m_per_s: T) -> T:
    """Slew rate T/m/s -> Hz/m/s."""
    return _times(slew_t_per_m_per_s, GAMMA_HZ_PER_T)


def hz_per_m_per_s_to_t_per_m_per_s(slew_hz_per_m_per_s: T) -> T:
    """Slew rate Hz/m/s -> T/m/s."""
    return _over(slew_hz_per_m_per_s, GAMMA_HZ_PER_T)


def k_to_radians(k_per_m: T, voxel_m: T | float) -> T:
    """k-space 1/m -> rad/voxel (finufft, torchkbnufft)."""
    return _times(_times(k_per_m, 2.0 * math.pi), voxel_m)


def k_to_cycles(k_per_m: T, voxel_m: T | float) -> T:
    """k-space 1/m -> cycles per voxel, [-0.5, 0.5] inside k-max (the ISMRMRD reference generator, Gadgetron)."""
    return _times(k_per_m, voxel_m)


def cycles_to_k(k_cycles: T, voxel_m: T | float) -> T:
    """k-space cycles per voxel -> 1/m."""
    return _over(k_cycles, voxel_m)


def _times(value: T, factor: Any) -> T:
    number: Any = value  # whatever multiplies, in its own precision
    product: T = number * factor
    return product


def _over(value: T, divisor: Any) -> T:
    number: Any = value
    quotient: T = number / divisor
    return quotient
