"""The exact integral of piecewise-linear gradients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from seqopt.gradients.waveform import k_at, reach, sample_times, slew, worst_vector

RASTER, EDGES = 10e-6, 13


def gradient(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1e6, EDGES)


def integral(values: np.ndarray, time: float) -> float:
    """scipy's adaptive quadrature, told where the corners are."""
    edges = np.arange(EDGES) * RASTER
    corners = edges[(edges > 0) & (edges < time)]
    result, _ = quad(lambda t: np.interp(t, edges, values), 0.0, time, points=corners, limit=100, epsrel=1e-12)
    return float(result)


def drawn(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    return k_at(times, values[:, None], raster_s=RASTER)[:, 0]


@pytest.mark.parametrize("time", [0.0, 3e-6, 10e-6, 12.5e-6, 55e-6, 60e-6, 99.9e-6, 110e-6, 117e-6, 120e-6])
def test_the_moment_is_the_integral_of_the_waveform(time):
    """Inside the first piece, on an edge, between edges, in the last piece and at the end."""
    values = gradient()
    k = drawn(np.array([time]), values)
    assert k.shape == (1,)
    assert abs(float(k[0]) - integral(values, time)) < 1e-9 * np.abs(values).max() * EDGES * RASTER


def test_many_times_agree_with_a_dense_sum():
    times = np.random.default_rng(1).uniform(0, (EDGES - 1) * RASTER, 50)
    values = gradient(2)
    fine = np.linspace(0, (EDGES - 1) * RASTER, 120_001)
    played = np.interp(fine, np.arange(EDGES) * RASTER, values)
    running = np.concatenate([[0.0], np.cumsum((played[1:] + played[:-1]) / 2) * (fine[1] - fine[0])])
    truth = np.interp(times, fine, running)
    k = drawn(times, values)
    assert np.abs(k - truth).max() < 1e-6 * np.abs(truth).max()


def test_a_constant_gradient_draws_a_straight_line():
    times = sample_times(20, dwell_s=4e-6, adc_start_s=20e-6)
    k = drawn(times, np.full(EDGES, 5e5))
    assert np.allclose(k, 5e5 * times, rtol=1e-12)


def test_samples_lie_at_the_centres_of_their_dwell():
    times = sample_times(3, dwell_s=4e-6, adc_start_s=20e-6)
    assert np.allclose(times, [22e-6, 26e-6, 30e-6], rtol=1e-12)


def test_a_step_takes_effect_at_once_and_no_later():
    """The hat function about one edge: nothing before, half its area at its peak, all of it after."""
    values = np.zeros(EDGES)
    values[4] = 1.0
    k = drawn(np.array([30e-6, 40e-6, 50e-6, 120e-6]), values)
    assert np.allclose(k / RASTER, [0.0, 0.5, 1.0, 1.0], atol=1e-12)


def test_slew_is_the_difference_over_the_raster():
    waveform = np.zeros((1, 4, 2))
    waveform[0, :, 0] = [0.0, 1e4, 1e4, -2e4]
    assert np.allclose(slew(waveform, raster_s=RASTER)[0, :, 0], [1e9, 0.0, -3e9])
    assert slew(waveform, raster_s=RASTER).shape == (1, 3, 2)


def test_the_worst_vector_is_longer_than_either_component():
    assert worst_vector(np.array([[[3.0, 4.0], [-4.5, 0.0]]])) == pytest.approx(5.0)


@pytest.mark.parametrize("shots", [1, 31, 32, 33, 100])
def test_the_reach_of_many_shots_is_that_of_their_vectors_with_the_slice_gradient(shots):
    generator = np.random.default_rng(shots)
    waves, z = generator.normal(size=(shots, EDGES, 2)), generator.normal(size=EDGES)
    whole = np.concatenate([waves, np.broadcast_to(z[:, None], (shots, EDGES, 1))], axis=2)
    found = reach(waves, raster_s=RASTER, along_z_hz_per_m=z)
    assert found == pytest.approx((worst_vector(whole), worst_vector(slew(whole, raster_s=RASTER))), rel=1e-12)
    alone = reach(waves, raster_s=RASTER)
    assert alone == pytest.approx((worst_vector(waves), worst_vector(slew(waves, raster_s=RASTER))), rel=1e-12)
