"""Calibration scans before the image: certified, on the planned k, told apart by their labels."""

from dataclasses import replace

import numpy as np
import pypulseq as pp
import pytest
from designs import radial_design
from mask_designs import mask_design

from seqopt.core import CALIBRATION_SETS
from seqopt.errors import SeqoptError
from seqopt.pulseq.calibration_plan import DUMMIES, SPOKE_REPEATS
from seqopt.pulseq.calibration_scans import planned_calibration
from seqopt.pulseq.cartesian import write_mask
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.delayed import played_k_and_time
from seqopt.pulseq.gre import write_gre
from seqopt.pulseq.readback import read_sequence
from seqopt.pulseq.readout_table import serves_image


def calibrated(design, *kinds):
    return replace(design, protocol=replace(design.protocol, calibrate=kinds))


@pytest.fixture(scope="module")
def radial():
    return calibrated(radial_design(slices=2, shots=5, samples=256, matrix=64), "b0", "delays", "maps")


@pytest.fixture(scope="module")
def written(radial, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "a.seq"
    return path, write_gre(radial, path)


def of_calibration(played):
    return [readout for readout in played.readouts if not readout.is_noise and not serves_image(readout)]


def test_the_certificate_holds_and_the_timing_counts_them(radial, written):
    path, timing = written
    certificate = certify(path, radial.scanner, design=radial)
    assert certificate.holds, certificate.failures
    assert certificate.summary["duration_s"] == pytest.approx(timing.scan_time_s)
    assert certificate.summary["excitations"] == timing.excitations
    assert certificate.summary["readouts"] == 10
    assert certificate.summary["tr_ms"] == pytest.approx(1e3 * timing.tr_s)
    assert certificate.summary["te_ms"] == pytest.approx(1e3 * timing.te_s, abs=1e-3)


def test_the_spoiling_of_the_image_is_told_apart_from_that_of_the_calibration(radial, written):
    certificate = certify(written[0], radial.scanner)
    (phase,) = [check for check in certificate.checks if check.name == "imaging.receiver_phase"]
    assert "RF spoiling by 117 degrees" in phase.where


def test_calibration_ramps_keep_the_slew_rate_that_nerves_allow(radial, tmp_path):
    gentle = replace(radial, scanner=replace(radial.scanner, connection_slew_share=0.25))
    write_gre(gentle, tmp_path / "a.seq")
    played = read_sequence(tmp_path / "a.seq")
    blocks = played.file.blocks[[readout.block for readout in of_calibration(played)], 3:6]
    ramps = [played.file.gradients[number] for number in np.unique(blocks) if number]
    steepest = max(abs(ramp.amplitude_hz_per_m) / ramp.rise_s for ramp in ramps)
    assert 0.5 < steepest / gentle.scanner.design_slew_hz_per_m_per_s <= 1.0


@pytest.mark.parametrize("sequence", ["gre", "tse"])
def test_masks_are_calibrated_too_and_hold(sequence, tmp_path):
    design = calibrated(mask_design(sequence), "maps", "b0")
    timing = write_mask(design, tmp_path / "a.seq")
    certificate = certify(tmp_path / "a.seq", design.scanner, design=design)
    assert certificate.holds, certificate.failures
    assert certificate.summary["duration_s"] == pytest.approx(timing.scan_time_s)
    assert certificate.summary["tr_ms"] == pytest.approx(1e3 * timing.tr_s)


def test_the_played_k_is_the_planned_one_by_our_reader_and_by_pypulseq(radial, written):
    path, _ = written
    due = planned_calibration(radial)
    played = read_sequence(path)
    mine = of_calibration(played)
    assert len(mine) == len(due)
    for readout, wanted in zip(mine, due, strict=True):
        assert np.abs(readout.k_per_m[:, :2] - wanted.k_per_m).max() < 1e-4
        assert np.abs(readout.k_per_m[:, 2]).max() < 1e-4
        place = (readout.labels["SET"], readout.labels["LIN"], readout.labels["ECO"], readout.labels["SLC"])
        assert place == (CALIBRATION_SETS[wanted.kind], wanted.line, wanted.echo, wanted.slice)
    sequence = pp.Sequence()
    sequence.read(str(path))
    theirs = sequence.calculate_kspace()[0].T.reshape(len(played.readouts), -1, 3)
    first = next(n for n, readout in enumerate(played.readouts) if readout.labels.get("SET"))
    assert np.abs(theirs[first : first + len(due), :, :2] - np.array([one.k_per_m for one in due])).max() < 1e-3


def test_kinds_are_played_in_order_with_their_flags_and_image_labels_are_clean(written):
    played = read_sequence(written[0])
    mine = of_calibration(played)
    sets = [readout.labels["SET"] for readout in mine]
    assert sets == sorted(sets)
    assert set(sets) == {1, 2, 3}
    assert all((r.labels["REF"], r.labels["NAV"]) == ((1, 0) if r.labels["SET"] == 1 else (0, 1)) for r in mine)
    names = ("SET", "REF", "NAV", "ECO", "AVG", "NOISE")
    assert {readout.labels[n] for readout in played.readouts if serves_image(readout) for n in names} == {0}


def test_the_delays_are_spokes_to_and_fro_in_one_slice(radial):
    spokes = [one for one in planned_calibration(radial) if one.kind == "delays"]
    assert len(spokes) == 4 * SPOKE_REPEATS
    assert {one.slice for one in spokes} == {1}
    for to, fro in ((0, 1), (2, 3)):
        assert np.allclose(spokes[to].k_per_m, -spokes[fro].k_per_m)
        assert np.abs(spokes[to].k_per_m).max() == pytest.approx(radial.geometry.k_max_per_m[0])
        assert not spokes[to].k_per_m[spokes[to].echo_sample].any()


def test_the_second_echo_is_later_by_what_the_plan_says(radial, written):
    """Fat and water in phase at 3 T: 2.24 ms."""
    played = read_sequence(written[0])
    times = [time for _, time in played_k_and_time(played)]
    echoes = {0: set(), 1: set()}
    for readout, time in zip(played.readouts, times, strict=True):
        if readout.labels.get("SET") == CALIBRATION_SETS["b0"]:
            echoes[readout.labels["ECO"]].add(round(float(time[readout.echo_sample]), 9))
    assert len(echoes[0]) == len(echoes[1]) == 1
    later = echoes[1].pop() - echoes[0].pop()
    assert later == pytest.approx(2.24e-3, abs=1e-5)
    assert {round(one.later_s - later, 9) for one in planned_calibration(radial) if one.echo} == {0.0}


def test_excitations_come_in_a_steady_beat_within_a_kind(written):
    played = read_sequence(written[0])
    first = next(r for r in played.readouts if r.labels.get("SET") == CALIBRATION_SETS["b0"])
    last = [r for r in played.readouts if r.labels.get("SET") == CALIBRATION_SETS["b0"]][-1]
    index = {id(pulse): number for number, pulse in enumerate(played.excitations)}
    span = slice(index[id(first.excitation)] - 2 * DUMMIES, index[id(last.excitation)] + 1)
    centres = [pulse.centre_s for pulse in played.excitations[span]]
    assert np.ptp(np.diff(centres)) < 1e-9


def test_a_design_without_calibration_is_played_as_before(tmp_path, radial):
    plain = calibrated(radial)
    write_gre(plain, tmp_path / "a.seq")
    played = read_sequence(tmp_path / "a.seq")
    assert planned_calibration(plain) == []
    assert not of_calibration(played)
    assert "NAV" not in {label for _, _, label, _ in played.label_history}


def test_unknown_kinds_and_delays_of_a_mask_are_refused(radial):
    with pytest.raises(SeqoptError, match="got 'shim', expected maps, delays, b0"):
        calibrated(radial, "shim")
    with pytest.raises(SeqoptError, match="a Cartesian mask needs none"):
        calibrated(mask_design("gre"), "delays")


@pytest.mark.parametrize("sequence", ["gre", "tse"])
def test_without_delays_k_is_the_readers_and_time_is_since_the_echo(sequence, tmp_path):
    design = mask_design(sequence)
    write_mask(design, tmp_path / "a.seq")
    played = read_sequence(tmp_path / "a.seq")
    for readout, (k, time) in zip(played.readouts, played_k_and_time(played), strict=True):
        if not readout.is_noise:
            assert np.abs(k - readout.k_per_m).max() < 1e-6
            if sequence == "tse":  # the field has refocused on the echo sample
                assert abs(time[readout.samples // 2]) < 2e-6
            else:
                since = readout.times_s - readout.excitation.centre_s
                assert np.allclose(time, since, atol=1e-9)


def test_a_lag_of_the_gradients_is_a_shift_of_time_and_not_of_the_slice(radial, written):
    played = read_sequence(written[0])
    lagging = played_k_and_time(played, (3e-6, -2e-6, 0.0))
    shot = 3
    number = next(n for n, r in enumerate(played.readouts) if serves_image(r) and r.labels["LIN"] == shot)
    k = lagging[number][0] - played.readouts[number].k_per_m
    speed = np.gradient(played.readouts[number].k_per_m, radial.dwell_s, axis=0)
    inside = slice(10, -10)
    assert np.allclose(k[inside, 0], -3e-6 * speed[inside, 0], atol=1e-2)
    assert np.allclose(k[inside, 1], 2e-6 * speed[inside, 1], atol=1e-2)
    assert np.abs(k[:, 2]).max() < 1e-6
