"""K-space by the gradient response against systems whose answer is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from designs import radial_design

from seqopt.errors import SeqoptError
from seqopt.recon.girf import Girf, played_k, read_girf
from seqopt.recon.gradient_delays import delayed_k

FREQUENCY_HZ = np.linspace(0, 50_000, 5001)


def response_of(*axes: np.ndarray) -> Girf:
    return Girf(FREQUENCY_HZ, np.stack(axes).astype(complex))


def lag(delay_s: float) -> np.ndarray:
    return np.exp(-2j * np.pi * FREQUENCY_HZ * delay_s)


def test_a_perfect_system_plays_what_it_is_asked_for():
    design = radial_design(samples=128)
    perfect = response_of(np.ones(5001), np.ones(5001))
    assert np.abs(played_k(design.k_per_m, design, perfect) - design.k_per_m).max() < 1e-9


def test_a_system_that_lags_gives_the_delayed_path():
    design = radial_design(samples=256)
    found = played_k(design.k_per_m, design, response_of(lag(4e-6), lag(-3e-6)))
    truth = delayed_k(design.k_per_m, (4e-6, -3e-6), design.dwell_s)
    step = np.linalg.norm(np.diff(design.k_per_m, axis=1), axis=-1).max()
    assert np.abs(truth - design.k_per_m).max() > 0.7 * step
    assert np.abs(found - truth)[:, 3:-3].max() < 0.02 * step


def test_a_low_pass_of_first_order_acts_as_its_differential_equation():
    """dg/dt = (asked - g) / tau, stepped finely without any Fourier transform."""
    design, tau_s = radial_design(samples=128, shots=2), 40e-6
    low_pass = 1 / (1 + 2j * np.pi * FREQUENCY_HZ * tau_s)
    found = played_k(design.k_per_m, design, response_of(low_pass, low_pass))
    raster_s, fine = design.scanner.grad_raster_s, 50
    edges = np.arange(design.gradient_hz_per_m.shape[1]) * raster_s
    time = np.arange((len(edges) - 1) * fine + 1) * raster_s / fine
    for shot in range(2):
        asked = np.stack([np.interp(time, edges, design.gradient_hz_per_m[shot, :, axis]) for axis in range(2)], -1)
        actual, k = np.zeros(2), design.k_start_per_m[shot].copy()
        path = [k.copy()]
        for value in asked[1:]:
            following = value + (actual - value) * np.exp(-raster_s / fine / tau_s)
            k = k + (actual + following) / 2 * raster_s / fine
            actual = following
            path.append(k.copy())
        at = design.adc_start_edge * raster_s + (np.arange(design.samples) + 0.5) * design.dwell_s
        truth = np.stack([np.interp(at, time, np.array(path)[:, axis]) for axis in range(2)], -1)
        moved = np.abs(truth - design.k_per_m[shot]).max()
        assert np.abs(found[shot] - truth).max() < 0.03 * moved


def test_the_response_belongs_to_the_physical_axes():
    """An image whose x lies along the physical y sees the response of y on its x."""
    design = radial_design(samples=128)
    turned = played_k(
        design.k_per_m, design, response_of(lag(0.0), lag(5e-6)), np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    )
    straight = played_k(design.k_per_m, design, response_of(lag(5e-6), lag(0.0)))
    assert np.allclose(turned, straight)
    with pytest.raises(SeqoptError, match="oblique"):
        played_k(design.k_per_m, design, response_of(lag(0), lag(0)), np.array([[0, 0, 1.0], [0, 1.0, 0]]))


def test_the_table_is_read_and_checked(tmp_path):
    path = tmp_path / "girf.csv"
    path.write_text("frequency_hz,x_re,x_im,y_re,y_im\n0,1,0,1,0\n1000,0.9,-0.1,0.8,-0.2\n")
    girf = read_girf(path)
    assert girf.response.shape == (2, 2)
    assert girf.response[1, 1] == 0.8 - 0.2j
    for text, saying in (
        ("f,x\n0,1\n", "expected frequency_hz,x_re"),
        ("frequency_hz,x_re,x_im,y_re,y_im\n0,1,0,1\n", "columns|cannot be read"),
        ("frequency_hz,x_re,x_im,y_re,y_im\n5,1,0,1,0\n9,1,0,1,0\n", "ascend from 0 Hz"),
        ("frequency_hz,x_re,x_im,y_re,y_im\n0,30,0,1,0\n9,1,0,1,0\n", "about 1"),
        ("", "cannot be read"),
    ):
        path.write_text(text)
        with pytest.raises(SeqoptError, match=saying):
            read_girf(path)
    with pytest.raises(SeqoptError, match="cannot be read"):
        read_girf(tmp_path / "none.csv")


def test_data_of_other_shots_are_refused():
    design = radial_design(samples=128)
    with pytest.raises(SeqoptError, match="give their --design"):
        played_k(design.k_per_m[:3], design, response_of(lag(0), lag(0)))
