"""The soft limits of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import assert_derivative

from seqopt.core import ForbiddenBand
from seqopt.gradients.asc import SAFE_EXAMPLE
from seqopt.gradients.penalty import (
    kinematic_penalty,
    resonance_penalty,
    soft_shrink_excess,
    soft_stimulation,
    stimulation_penalty,
    with_ramps,
)
from seqopt.gradients.pns import combined, stimulation
from seqopt.gradients.profiles import load_scanner
from seqopt.gradients.resonances import BandMeter

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


MODELS = {"SAFE": SAFE_EXAMPLE, "nerve response": load_scanner("mr750").stimulation}
BAND = (ForbiddenBand(590.0, 100.0),)


def wobbling(frequency_hz: float, amplitude_hz_per_m: float, *, edges: int = 401) -> torch.Tensor:
    """(1, edges, 2) k of a gradient that oscillates along y."""
    time = torch.arange(edges, dtype=torch.float64) * LIMITS["raster_s"]
    turns = 2 * torch.pi * frequency_hz
    return torch.stack([torch.zeros_like(time), -amplitude_hz_per_m / turns * (turns * time).cos()], -1)[None]


@pytest.mark.parametrize("name", MODELS)
def test_stimulation_in_training_is_that_of_the_certificate(name):
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(3, 500, 2, generator=generator, dtype=torch.float64).cumsum(1) * 5e4
    found = soft_stimulation(gradient, MODELS[name], raster_s=1e-5)
    for shot, ours in zip(gradient.numpy(), found.numpy(), strict=True):
        played = np.vstack([shot.T, np.zeros((1, 500))]) / 42.576e6
        expected = combined(stimulation(played, MODELS[name], raster_s=1e-5))
        assert expected.max() > 0.05
        np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_ramps_bring_the_readout_from_rest_within_the_slew_rate():
    gradient = torch.full((2, 10, 2), 1e6, dtype=torch.float64)
    ramped = with_ramps(gradient, raster_s=1e-5, slew_hz_per_m_per_s=8e9)
    assert (ramped[:, 0] == 0).all()
    assert (ramped[:, -1] == 0).all()
    assert (ramped.diff(dim=1).norm(dim=-1) / 1e-5).max() <= 8e9
    still = with_ramps(0 * gradient, raster_s=1e-5, slew_hz_per_m_per_s=8e9)
    assert still.shape[1] == 12


@pytest.mark.parametrize("name", MODELS)
def test_stimulation_below_the_limit_costs_nothing_and_above_it_pulls_back(name):
    settings = {"raster_s": 1e-5, "max_slew_hz_per_m_per_s": 8e9}
    k = wobbling(800.0, 1.2e6)
    at = (
        stimulation_penalty(k, MODELS[name], limit=10.0, **settings),
        stimulation_penalty(k, MODELS[name], limit=0.3, **settings),
    )
    assert at[0] == 0
    assert at[1] > 0.1
    k = k + 20.0 * torch.randn(k.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert_derivative(
        lambda v: stimulation_penalty(v, MODELS[name], limit=0.3, **settings), k, step=1e-5, tolerance=1e-4
    )


def test_a_resonance_is_charged_inside_the_band_only():
    settings = {"raster_s": 1e-5, "period_s": 5e-3, "limit_hz_per_m": 4e5, "max_slew_hz_per_m_per_s": 8e9}
    assert resonance_penalty(wobbling(590.0, 1e6), BAND, **settings) > 0.5
    assert resonance_penalty(wobbling(1400.0, 1e6), BAND, **settings) == 0
    k = wobbling(560.0, 1e6)
    assert_derivative(lambda v: resonance_penalty(v, BAND, **settings), k, step=1e-5, tolerance=1e-4)


def test_the_charge_for_a_resonance_is_the_excess_that_the_certificate_measures():
    """A readout of 4 ms that is repeated each 5.09 ms, three periods of the band's middle."""
    k, period_s = wobbling(590.0, 1e6), 5.09e-3
    gradient = k.diff(dim=1) / 1e-5
    ramped = with_ramps(gradient, raster_s=1e-5, slew_hz_per_m_per_s=8e9)[0].T.numpy()
    once = np.zeros((3, 509))
    once[:2, : ramped.shape[1]] = ramped
    meter = BandMeter(BAND, 1e-5)
    meter.feed(np.tile(once, 40))
    measured = meter.finish()[0].amplitude
    settings = {"raster_s": 1e-5, "period_s": period_s, "max_slew_hz_per_m_per_s": 8e9}
    assert resonance_penalty(k, BAND, limit_hz_per_m=1.1 * measured, **settings) < 0.05
    assert resonance_penalty(k, BAND, limit_hz_per_m=0.5 * measured, **settings) > 0.9
