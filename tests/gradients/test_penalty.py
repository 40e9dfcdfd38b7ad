"""The soft limits of training."""

from __future__ import annotations

import pytest
import torch
from laws import assert_derivative

from seqopt.gradients.penalty import kinematic_penalty, soft_shrink_excess

LIMITS = {"raster_s": 10e-6, "max_grad_hz_per_m": 2e6, "max_slew_hz_per_m_per_s": 8e9}


def line(speed_hz_per_m: float, *, edges: int = 20, angle: float = 0.5) -> torch.Tensor:
    """(1, edges, 2) k along a straight line."""
    direction = torch.tensor([torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))], dtype=torch.float64)
    time = torch.arange(edges, dtype=torch.float64) * LIMITS["raster_s"]
    return (speed_hz_per_m * time)[None, :, None] * direction


def test_within_the_limits_nothing_is_charged():
    gradient, slew = kinematic_penalty(line(1.99e6), **LIMITS)
    assert gradient == 0
    assert slew == 0


def test_the_charge_is_the_excess_as_a_share_of_the_limit():
    gradient, slew = kinematic_penalty(line(3e6), **LIMITS)
    assert gradient.item() == pytest.approx(0.5, rel=1e-6)
    assert slew == 0


def test_the_length_of_the_vector_counts_not_its_components():
    """Legal on each axis, illegal once the slice is turned."""
    values = torch.tensor([[[0.8, 0.8]]], dtype=torch.float64)
    assert soft_shrink_excess(values, 1.0).item() == pytest.approx(0.8 * 2**0.5 - 1, rel=1e-6)
    gradient, _ = kinematic_penalty(line(2.2e6, angle=0.785), **LIMITS)
    assert gradient > 0


def test_a_corner_is_charged_to_the_slew_rate():
    k = line(1.5e6)
    k[:, 10:, 1] = k[:, 10 : 10 + 1, 1] - (k[:, 10:, 1] - k[:, 10 : 10 + 1, 1])  # turns round in y
    gradient, slew = kinematic_penalty(k, **LIMITS)
    change = 2 * 1.5e6 * torch.sin(torch.tensor(0.5, dtype=torch.float64)) / LIMITS["raster_s"]
    assert gradient == 0
    assert slew.item() == pytest.approx(((change / LIMITS["max_slew_hz_per_m_per_s"] - 1) / 18).item(), rel=1e-6)


def test_the_derivative_agrees_with_finite_differences_and_exists_at_rest():
    generator = torch.Generator().manual_seed(0)
    k = torch.randn(2, 15, 2, generator=generator, dtype=torch.float64).cumsum(1) * 15.0
    gradient, slew = kinematic_penalty(k, **LIMITS)
    assert gradient > 0
    assert slew > 0
    assert_derivative(lambda v: sum(kinematic_penalty(v, **LIMITS)), k, step=1e-5, tolerance=1e-5)
    still = torch.zeros(1, 5, 2, requires_grad=True)
    sum(kinematic_penalty(still, **LIMITS)).backward()
    assert bool(torch.isfinite(still.grad).all())
