"""K-space by the gradient response against systems whose answer is known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from designs import radial_design
from exported import export
from scipy.spatial.transform import Rotation

from seqopt.core import TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.pulseq.asked_gradients import asked_gradients
from seqopt.pulseq.delayed import played_k_and_time
from seqopt.pulseq.readback import read_sequence
from seqopt.pulseq.readout_table import serves_image
from seqopt.recon import girf as recon_girf
from seqopt.recon.girf import Girf, asked_of_design, read_girf
from seqopt.recon.gradient_delays import delayed_k

FREQUENCY_HZ = np.linspace(0, 100_000, 10_001)


def response_of(*axes: np.ndarray) -> Girf:
    return Girf(FREQUENCY_HZ, np.stack(axes).astype(complex))


def played_k(k_per_m: np.ndarray, design: TrajectoryDesign, girf: Girf, directions: np.ndarray | None = None):
    return recon_girf.played_k(k_per_m, asked_of_design(design), girf, design.geometry.fov_m, directions)


def lag(delay_s: float) -> np.ndarray:
    return np.exp(-2j * np.pi * FREQUENCY_HZ * delay_s)


def test_a_perfect_system_plays_what_it_is_asked_for():
    design = radial_design(samples=128)
    perfect = response_of(np.ones(10_001), np.ones(10_001))
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
        design.k_per_m,
        design,
        response_of(lag(0.0), lag(5e-6)),
        np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    )
    straight = played_k(design.k_per_m, design, response_of(lag(5e-6), lag(0.0)))
    assert np.allclose(turned, straight)
    with pytest.raises(SeqoptError, match="oblique"):
        played_k(
            design.k_per_m, design, response_of(lag(0), lag(0)), np.array([[0, 0, 1.0], [0, 1.0, 0], [-1.0, 0, 0]])
        )


def test_an_oblique_slice_sees_the_lags_of_all_three_axes():
    """The path along the physical axes, each of which is late by its own time."""
    design, lags = radial_design(samples=256), (4e-6, -3e-6, 7e-6)
    frame = Rotation.from_euler("xyz", [0.5, -0.8, 1.1]).as_matrix()
    physical = design.k_per_m @ frame[:2]
    truth = np.stack([delayed_k(physical[..., [n, n]], (one, one), 4e-6)[..., 0] for n, one in enumerate(lags)], -1)
    asked = asked_of_design(design)
    found = recon_girf.played_k(design.k_per_m, asked, response_of(*map(lag, lags)), (0.3, 0.15), frame)
    moved = np.abs(truth @ frame[:2].T - design.k_per_m)[:, 3:-3].max()
    assert np.abs(found - truth @ frame[:2].T)[:, 3:-3].max() < 0.03 * moved


def test_nothing_is_played_beyond_the_frequencies_of_the_table():
    """A table that ends says what one of zeros beyond says."""
    design, end = radial_design(samples=128, shots=2), 201
    short = Girf(FREQUENCY_HZ[:end], np.ones((2, end), complex))
    cut = response_of(*[np.arange(len(FREQUENCY_HZ)) < end] * 2)
    found, wanted = (played_k(design.k_per_m, design, girf) for girf in (short, cut))
    moved = np.abs(wanted - design.k_per_m).max()
    assert moved > 0.3
    assert np.abs(found - wanted).max() < 0.01 * moved


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


def test_shots_find_their_waveforms_by_where_they_sample():
    """Some of the shots, in another order."""
    design, response = radial_design(samples=128), response_of(lag(4e-6), lag(-3e-6))
    every = played_k(design.k_per_m, design, response)
    assert np.array_equal(played_k(design.k_per_m[[5, 2, 7]], design, response), every[[5, 2, 7]])
    with pytest.raises(SeqoptError, match="shot 7 is other than those of the sequence; give the one"):
        played_k(design.k_per_m + 10.0, design, response)
    with pytest.raises(SeqoptError, match="100 samples are"):
        played_k(design.k_per_m[:, :100], design, response)


@pytest.fixture(scope="module")
def sequence(tmp_path_factory) -> Path:
    folder = export(radial_design(samples=128, shots=6, slices=2), tmp_path_factory.mktemp("d"))
    return next(folder.glob("*.seq"))


def test_a_lagging_system_plays_the_whole_sequence_late(sequence):
    """The prephaser and the gradient during excitation lag, too, as in the simulation of delays."""
    played = read_sequence(sequence)
    lags = (7e-6, -4e-6)
    truth = [k[:, :2] for k, _ in played_k_and_time(played, (*lags, 0.0))]
    serving = [number for number, readout in enumerate(played.readouts) if serves_image(readout)]
    nominal = np.stack([played.readouts[number].k_per_m[:, :2] for number in serving])
    found = recon_girf.played_k(nominal, asked_gradients(sequence), response_of(*map(lag, lags)), (0.22, 0.22))
    moved = np.abs(nominal - np.stack([truth[number] for number in serving])).max()
    assert np.abs(found - np.stack([truth[number] for number in serving])).max() < 0.01 * moved


def test_eddy_currents_of_everything_before_the_readout_count(sequence):
    """Each axis lacks a share that decays in 1 ms: the whole file convolved, sample by sample, without a transform."""
    played, tau_s, share, step_s = read_sequence(sequence), 1e-3, 0.05, 5e-6
    times_s, corners = played.gradient_corners()
    readout = next(readout for readout in played.readouts if serves_image(readout) and readout.labels["LIN"] == 3)
    grid_s = np.arange(0.0, readout.times_s[-1] + 2 * step_s, step_s)
    asked = np.stack([np.interp(grid_s, times_s, axis) for axis in corners.T[:2]], -1)
    lacking, state = np.zeros_like(asked), np.zeros(2)
    decay = np.exp(-step_s / tau_s)
    for edge in range(1, len(grid_s)):  # the exact answer of a first-order high pass to linear pieces
        slope = (asked[edge] - asked[edge - 1]) / step_s
        state = state * decay + slope * tau_s * (1 - decay)
        lacking[edge] = share * state
    integral = np.concatenate([np.zeros((1, 2)), np.cumsum((lacking[1:] + lacking[:-1]) / 2 * step_s, axis=0)])
    reached = np.stack([np.interp(readout.times_s, grid_s, axis) for axis in integral.T], -1)
    start = np.array([np.interp(readout.excitation.centre_s, grid_s, axis) for axis in integral.T])
    truth = readout.k_per_m[:, :2] - (reached - start)
    hz = FREQUENCY_HZ
    high_pass = 2j * np.pi * hz * tau_s / (1 + 2j * np.pi * hz * tau_s)
    girf = Girf(hz, np.stack([1 - share * high_pass] * 2))
    nominal = readout.k_per_m[None, :, :2]
    found = recon_girf.played_k(nominal, asked_gradients(sequence), girf, (0.22, 0.22))[0]
    moved = np.abs(truth - nominal[0]).max()
    assert np.abs(found - truth).max() < 0.02 * moved
    design = radial_design(samples=128, shots=6, slices=2)
    alone = recon_girf.played_k(nominal, asked_of_design(design), girf, (0.22, 0.22))[0]
    assert np.abs(alone - truth).max() > 0.1 * moved


@pytest.mark.parametrize("lags", [(6e-6, -3e-6), (0.9e-3, 0.8e-3)], ids=["before it", "about it"])
def test_refocusing_turns_what_gradients_before_it_added(tmp_path, lags):
    """Spin-echo spokes by pypulseq, whose prephaser comes before the refocusing pulse, and late in part after it."""
    import pypulseq as pp

    system = pp.Opts(max_grad=30, grad_unit="mT/m", max_slew=120, slew_unit="T/m/s", rf_dead_time=1e-4)
    sequence = pp.Sequence(system)
    pulses = [
        pp.make_block_pulse(flip, duration=1e-3, system=system, use=use, delay=1e-4)
        for flip, use in ((np.pi / 2, "excitation"), (np.pi, "refocusing"))
    ]
    for angle in (0.1, 0.9, 1.7):
        spoke = [
            pp.make_trapezoid(axis, flat_area=64 / 0.22 * share, flat_time=1.28e-3, system=system)
            for axis, share in (("x", np.cos(angle)), ("y", np.sin(angle)))
        ]
        ahead = [pp.make_trapezoid(one.channel, area=one.area / 2, duration=1e-3, system=system) for one in spoke]
        adc = pp.make_adc(128, duration=1.28e-3, delay=max(one.rise_time for one in spoke), system=system)
        for events in ([pulses[0]], ahead, [pulses[1]], [*spoke, adc], [pp.make_delay(5e-3)]):
            sequence.add_block(*events)
    sequence.write(str(tmp_path / "spin_echo.seq"))
    played = read_sequence(tmp_path / "spin_echo.seq")
    truth = np.stack([k[:, :2] for k, _ in played_k_and_time(played, (*lags, 0.0))])
    nominal = np.stack([readout.k_per_m[:, :2] for readout in played.readouts])
    asked = asked_gradients(tmp_path / "spin_echo.seq")
    found = recon_girf.played_k(nominal, asked, response_of(*map(lag, lags)), (0.22, 0.22))
    assert np.abs(found - truth).max() < 0.01 * np.abs(truth - nominal).max()
