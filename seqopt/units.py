"""Every factor between the units that people read and the SI and Pulseq units inside. Gamma appears here only."""

from __future__ import annotations

import math
from typing import TypeVar

GAMMA_HZ_PER_T = 42.576e6  # 1H as pypulseq has it; packages differ by up to 235 ppm, one file must use one value

T = TypeVar("T")  # float or array


def mt_per_m_to_hz_per_m(gradient_mt_per_m: T) -> T:
    """Gradient mT/m -> Hz/m."""
    return gradient_mt_per_m * (1e-3 * GAMMA_HZ_PER_T)  # type: ignore[operator,no-any-return]


def hz_per_m_to_mt_per_m(gradient_hz_per_m: T) -> T:
    """Gradient Hz/m -> mT/m."""
    return gradient_hz_per_m / (1e-3 * GAMMA_HZ_PER_T)  # type: ignore[operator,no-any-return]


def t_per_m_per_s_to_hz_per_m_per_s(slew_t_per_m_per_s: T) -> T:
    """Slew rate T/m/s -> Hz/m/s."""
    return slew_t_per_m_per_s * GAMMA_HZ_PER_T  # type: ignore[operator,no-any-return]


def hz_per_m_per_s_to_t_per_m_per_s(slew_hz_per_m_per_s: T) -> T:
    """Slew rate Hz/m/s -> T/m/s."""
    return slew_hz_per_m_per_s / GAMMA_HZ_PER_T  # type: ignore[operator,no-any-return]


def k_to_radians(k_per_m: T, voxel_m: T | float) -> T:
    """k-space 1/m -> rad/voxel (finufft, torchkbnufft)."""
    return 2.0 * math.pi * k_per_m * voxel_m  # type: ignore[operator,no-any-return]


def k_to_cycles(k_per_m: T, voxel_m: T | float) -> T:
    """k-space 1/m -> cycles per voxel, [-0.5, 0.5] inside k-max (the ISMRMRD reference generator, Gadgetron)."""
    return k_per_m * voxel_m  # type: ignore[operator,no-any-return]


def cycles_to_k(k_cycles: T, voxel_m: T | float) -> T:
    """k-space cycles per voxel -> 1/m."""
    return k_cycles / voxel_m  # type: ignore[operator,no-any-return]
