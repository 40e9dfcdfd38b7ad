"""Nerves, resonances and heating of whole files, against pypulseq and plain sums."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import pypulseq as pp
import pytest
from pypulseq.utils.safe_pns_prediction import safe_example_hw
from pypulseq_files import epi
from seqfiles import cartesian_gre, system

from seqopt.core import ForbiddenBand
from seqopt.gradients.asc import SAFE_EXAMPLE
from seqopt.gradients.pns import combined, stimulation
from seqopt.gradients.profiles import load_scanner
from seqopt.pulseq import rastered
from seqopt.pulseq.checks_duty import duty_checks, largest_rms
from seqopt.pulseq.checks_pns import measure_stimulation, orientations, pns_checks
from seqopt.pulseq.checks_resonances import resonance_checks
from seqopt.pulseq.rastered import pieces
from seqopt.pulseq.readback import read_sequence
from seqopt.units import hz_per_m_to_mt_per_m

RASTER_S = 10e-6
BANDS = (ForbiddenBand(590.0, 100.0), ForbiddenBand(1140.0, 220.0))
GUARDED = replace(load_scanner("paper"), stimulation=SAFE_EXAMPLE, bands=BANDS)


@pytest.fixture(scope="module")
def gre(tmp_path_factory):
    return cartesian_gre(tmp_path_factory.mktemp("safety") / "gre.seq", lines=24)


def read_by_pypulseq(path):
    sequence = pp.Sequence(system())
    sequence.read(str(path))
    return sequence


def with_pauses(path, *, pause_s, bursts=3):
    """Trapezoids on two axes between pauses."""
    sequence = pp.Sequence(system())
    lobes = [pp.make_trapezoid(axis, area=area, system=system()) for axis, area in (("x", 900), ("z", -700))]
    for _ in range(bursts):
        sequence.add_block(*lobes)
        sequence.add_block(pp.make_delay(pause_s))
    sequence.write(str(path))
    return path


def whole(played):
    """(3, n) Hz/m of the sequence at raster centres, from its corners alone."""
    times, values = played.gradient_corners()
    centres = (np.arange(round(played.duration_s / RASTER_S)) + 0.5) * RASTER_S
    return np.stack([np.interp(centres, times, axis) for axis in values.T])


def test_the_stimulation_of_a_file_is_what_pypulseq_predicts(gre):
    _, total, axes, times = read_by_pypulseq(gre).calculate_pns(safe_example_hw(), do_plots=False)
    found = measure_stimulation(read_sequence(gre), SAFE_EXAMPLE, raster_s=RASTER_S)
    assert found.peak == pytest.approx(total.max(), rel=1e-6)
    assert found.time_s == pytest.approx(times[np.argmax(total)], abs=RASTER_S)
    np.testing.assert_allclose(found.axes, axes[np.argmax(total)], rtol=1e-6)


@pytest.mark.parametrize("corners", [1, 30, 1000, 50_000])
def test_the_pieces_of_a_sequence_join_to_the_whole(gre, corners, monkeypatch):
    monkeypatch.setattr(rastered, "CORNERS", corners)
    monkeypatch.setattr(rastered, "SAMPLES", 777)
    played = read_sequence(gre)
    expected = whole(played)
    found = np.zeros((3, expected.shape[1] + 10))
    at = None
    for piece in pieces(played, raster_s=RASTER_S, rest_s=1.0):
        assert piece.after_rest == (at is None)
        assert at is None or piece.first == at
        at = piece.first + piece.gradient_hz_per_m.shape[1]
        found[:, piece.first : at] = piece.gradient_hz_per_m
    np.testing.assert_allclose(found[:, : expected.shape[1]], expected, atol=1e-6)


def test_rest_is_left_out_and_forgotten_rightly(tmp_path):
    path = with_pauses(tmp_path / "pauses.seq", pause_s=0.2)
    played = read_sequence(path)
    given = list(pieces(played, raster_s=RASTER_S, rest_s=0.1))
    assert [piece.after_rest for piece in given] == [True, True, True]
    assert sum(piece.gradient_hz_per_m.shape[1] for piece in given) < 1000
    full = combined(stimulation(whole(played) / 42.576e6, SAFE_EXAMPLE, raster_s=RASTER_S))
    found = measure_stimulation(played, SAFE_EXAMPLE, raster_s=RASTER_S)
    assert found.peak == pytest.approx(full.max(), rel=1e-9)


@pytest.mark.parametrize("together", [370, 5000])
def test_stimulation_is_the_same_however_the_sequence_is_cut(gre, together, monkeypatch):
    whole_at_once = measure_stimulation(read_sequence(gre), SAFE_EXAMPLE, raster_s=RASTER_S)
    monkeypatch.setattr(rastered, "SAMPLES", together)
    cut = measure_stimulation(read_sequence(gre), SAFE_EXAMPLE, raster_s=RASTER_S)
    assert (cut.peak, cut.time_s) == (pytest.approx(whole_at_once.peak, rel=1e-9), whole_at_once.time_s)


def lobe_on_each(path):
    """A lobe that stimulates on the weakest axis, and later a stronger one on another that bears more."""
    sequence = pp.Sequence(system())
    for axis, amplitude in (("y", 9e5), ("x", 1e6)):
        sequence.add_block(pp.make_trapezoid(axis, amplitude=amplitude, rise_time=2e-4, flat_time=1e-3))
        sequence.add_block(pp.make_delay(0.2))
    sequence.write(str(path))
    return path


@pytest.mark.parametrize("write", [lobe_on_each, epi])
def test_the_worst_orientation_is_that_of_the_whole_sequence_turned(write, tmp_path):
    played = read_sequence(write(tmp_path / "a.seq"))
    found = measure_stimulation(played, SAFE_EXAMPLE, raster_s=RASTER_S)
    gradient = whole(played) / 42.576e6
    turned = [combined(stimulation(turn @ gradient, SAFE_EXAMPLE, raster_s=RASTER_S)).max() for turn in orientations()]
    assert found.peak == pytest.approx(combined(stimulation(gradient, SAFE_EXAMPLE, raster_s=RASTER_S)).max(), rel=1e-9)
    assert found.worst_orientation == pytest.approx(max(turned), rel=0.005)  # only the highest peaks are turned


def test_hours_of_pauses_cost_nothing(tmp_path):
    played = read_sequence(with_pauses(tmp_path / "long.seq", pause_s=2000.0))
    started = time.perf_counter()
    checks = [*pns_checks(played, GUARDED)[0], *resonance_checks(played, GUARDED)[0]]
    duty_checks(played, GUARDED)
    assert time.perf_counter() - started < 5.0
    assert [check.held for check in checks] == [True, True, True]


def test_gradients_for_longer_than_can_be_computed_are_said_to_be_unchecked(gre, monkeypatch):
    monkeypatch.setattr("seqopt.pulseq.rastered.MOST_SAMPLES", 100)
    played = read_sequence(gre)
    for measure, name in ((pns_checks, "nerve"), (resonance_checks, "resonances")):
        checks, unchecked = measure(played, GUARDED)
        assert checks == []
        assert name in unchecked[0]
        assert "plays gradients for more than" in unchecked[0]


def test_gradients_of_minutes_in_a_block_of_milliseconds_is_not_looked_at_for_long(gre, tmp_path):
    text = gre.read_text()
    row = re.search(r"(?m)^\[TRAP\]\n(?:#.*\n)*( *\d+ +\S+ +\d+ +)(\d+)", text)
    damaged = tmp_path / "damaged.seq"
    damaged.write_text(text[: row.start(2)] + "100000000" + text[row.end(2) :])
    played = read_sequence(damaged)
    for measure in (pns_checks, resonance_checks):
        checks, unchecked = measure(played, GUARDED)
        assert checks == []
        assert "far beyond the ends of their blocks" in unchecked[0]


def test_orientations_are_rotations_and_hold_each_order_of_axes():
    turns = orientations()
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1.0)
    orders = {tuple(np.abs(turn).argmax(axis=1)) for turn in turns[:6]}
    assert len(orders) == 6


def test_the_worst_orientation_is_the_one_in_which_the_weakest_axis_is_driven(tmp_path):
    """One lobe on x; the example coil bears least on y, so that the turn of x onto y is worst."""
    sequence = pp.Sequence(system())
    sequence.add_block(pp.make_trapezoid("x", area=1500, system=system()))
    sequence.write(str(tmp_path / "one.seq"))
    played = read_sequence(tmp_path / "one.seq")
    found = measure_stimulation(played, SAFE_EXAMPLE, raster_s=RASTER_S)
    turned = whole(played)[[1, 0, 2]]
    onto_y = combined(stimulation(turned / 42.576e6, SAFE_EXAMPLE, raster_s=RASTER_S)).max()
    assert onto_y > 1.3 * found.peak
    assert onto_y <= found.worst_orientation * (1 + 1e-9)
    assert found.worst_orientation < 1.2 * onto_y


def test_a_file_that_only_another_orientation_takes_above_the_limit_says_so(tmp_path):
    sequence = pp.Sequence(system())
    sequence.add_block(pp.make_trapezoid("x", area=1500, system=system()))
    sequence.write(str(tmp_path / "one.seq"))
    played = read_sequence(tmp_path / "one.seq")
    found = measure_stimulation(played, SAFE_EXAMPLE, raster_s=RASTER_S)
    between = (found.peak + found.worst_orientation) / 2
    (check,), said = pns_checks(played, replace(GUARDED, stimulation_limit=between))
    assert check.held
    worst = f"{found.worst_orientation:.2f} in the worst of 24 tried; the scanner judges the one that is prescribed"
    assert said == [f"PNS in other slice orientations: {worst}"]
    assert pns_checks(played, replace(GUARDED, stimulation_limit=between, oblique="axis"))[1] == []
    assert pns_checks(played, replace(GUARDED, stimulation_limit=found.peak / 2))[1] == []


def test_a_limit_by_convention_says_so_and_a_profile_s_own_does_not(gre):
    for own in (False, True):
        checks, _ = resonance_checks(read_sequence(gre), replace(GUARDED, band_limit_is_own=own))
        assert [("convention" in check.where) for check in checks] == [not own] * len(BANDS)


def test_a_limit_that_is_passed_says_where_and_what_to_do(gre):
    strict = replace(GUARDED, stimulation_limit=0.1)
    (check,), unchecked = pns_checks(read_sequence(gre), strict)
    assert (check.name, check.held, check.limit) == ("pns.peak", False, 0.1)
    assert "ms, mostly" in check.where
    assert "--limit-pns" in check.remedy
    assert unchecked == []


def test_without_coefficients_the_example_is_a_number_and_no_check(gre):
    checks, (said,) = pns_checks(read_sequence(gre), load_scanner("prisma"))
    peak = measure_stimulation(read_sequence(gre), SAFE_EXAMPLE, raster_s=RASTER_S).peak
    assert checks == []
    assert f"would reach {peak:.2f}" in said
    assert "no real one" in said


def test_the_nerve_response_is_alike_in_every_orientation(gre):
    scanner = load_scanner("mr750")
    (check,), _ = pns_checks(read_sequence(gre), scanner)
    assert "the same in every slice orientation" in check.where
    assert 0 < check.value < 1


def test_the_spectrum_of_a_file_is_pypulseqs(gre):
    spectra, _, frequency, _ = read_by_pypulseq(gre).calculate_gradient_spectrum(plot=False)
    taper = np.hanning(5001)[:-1]
    scale = 2 / taper.sum() * np.sqrt((taper**2).sum() / RASTER_S)
    checks, _ = resonance_checks(read_sequence(gre), GUARDED)
    for check, band in zip(checks, BANDS, strict=True):
        inside = (frequency >= band.low_hz) & (frequency <= band.high_hz)
        theirs = hz_per_m_to_mt_per_m(scale * max(one[inside].max() for one in spectra))
        assert check.value == pytest.approx(theirs, rel=0.15)  # pypulseq has no windows over the file's ends
        assert check.held


@pytest.mark.parametrize("rest_s", [0.3, 0.03])
def test_a_train_of_echoes_in_a_band_is_found_where_it_plays(rest_s, tmp_path):
    """An alternating train with 847 us from lobe to lobe oscillates at 590 Hz; before it rest, or small gradients."""
    sequence = pp.Sequence(system())
    for _ in range(round(0.3 / rest_s)):
        sequence.add_block(pp.make_trapezoid("y", area=1, duration=rest_s, system=system()))
    lobe = pp.make_trapezoid("y", amplitude=6e5, rise_time=1.2e-4, flat_time=6.1e-4, system=system())
    for index in range(60):
        sequence.add_block(pp.scale_grad(lobe, 1 - 2 * (index % 2)))
    sequence.write(str(tmp_path / "train.seq"))
    (low, high), _ = resonance_checks(read_sequence(tmp_path / "train.seq"), GUARDED)
    assert (low.held, high.held) == (False, True)
    assert low.value == pytest.approx(4 / np.pi * hz_per_m_to_mt_per_m(6e5), rel=0.1)
    assert low.where.startswith("y at 58") or low.where.startswith("y at 59")
    start_ms = float(low.where.split(", ")[-1].split(" ")[0])
    assert 275 <= start_ms <= 351


def test_the_hardest_window_is_the_largest_of_plain_sums(gre):
    played = read_sequence(gre)
    window = 0.05
    fine = whole(played)
    power = np.cumsum(np.pad(fine**2, ((0, 0), (1, 0))), axis=1) * RASTER_S
    width = round(window / RASTER_S)
    expected = np.sqrt((power[:, width:] - power[:, :-width]).max(axis=1) / window)
    found, _ = largest_rms(played, window)
    np.testing.assert_allclose(found, expected, rtol=0.03)
    short, _ = largest_rms(played, 1e3)
    np.testing.assert_allclose(short, np.sqrt(power[:, -1] / played.duration_s), rtol=1e-3)


def test_heating_is_checked_where_the_profile_has_a_limit_and_a_number_where_not(gre):
    played = read_sequence(gre)
    checks, unchecked = duty_checks(played, load_scanner("paper"))
    assert checks == []
    assert "RMS over" in unchecked[0]
    limited = replace(load_scanner("paper"), max_rms_grad_hz_per_m=1e5)
    checks, unchecked = duty_checks(played, limited)
    assert {check.name: check.held for check in checks} == {
        "gradient.rms_x": True, "gradient.rms_y": True, "gradient.rms_z": False,
    }  # fmt: skip
    assert unchecked == []


def test_limits_of_single_axes_leave_the_vector_alone(tmp_path):
    from seqopt.pulseq.checks_gradients import gradient_checks

    played = read_sequence(epi(tmp_path / "epi.seq"))
    for oblique, count in (("vector", 9), ("axis", 7)):
        checks, largest = gradient_checks(played, replace(GUARDED, oblique=oblique))
        assert len(checks) == count
        assert "largest_slew_t_per_m_per_s_vector" in largest
