"""RF: peak, offset and power against numbers worked out by hand."""

import numpy as np
import pypulseq as pp
import pytest
from designs import paper_scanner

from seqopt.pulseq.certificate import certify
from seqopt.pulseq.checks_rf import relative_sar, rf_checks
from seqopt.pulseq.readback import read_sequence


def checks(path, scanner=None):
    return {check.name: check for check in rf_checks(read_sequence(path), scanner or paper_scanner())[0]}


def power(path):
    return relative_sar(read_sequence(path))["relative_sar_1ms_180_pulses_per_s"]


def pulses(path, trains, **options):
    """Block pulses of (flip, duration), one every `gap_s`."""
    gap_s = options.pop("gap_s", 0.1)
    limits = pp.Opts(rf_dead_time=100e-6, rf_ringdown_time=30e-6, B0=3.0)
    seq = pp.Sequence(limits)
    for flip, duration in trains:
        rf = pp.make_block_pulse(
            np.radians(flip), duration=duration, delay=1e-4, use="excitation", system=limits, **options
        )
        seq.add_block(rf, pp.make_delay(gap_s))
    seq.write(str(path))
    return path


def test_a_hard_180_a_tenth_of_a_second_counts_as_ten_a_second(out):
    assert power(pulses(out, [(180, 1e-3)] * 20)) == pytest.approx(10.0, rel=1e-6)
    assert power(pulses(out, [(90, 1e-3)] * 20)) == pytest.approx(2.5, rel=1e-5)  # a quarter of the power
    assert power(pulses(out, [(180, 2e-3)] * 20)) == pytest.approx(5.0, rel=1e-5)  # a quarter for twice the time


def test_the_power_is_that_of_the_worst_ten_seconds(out):
    quiet, loud = [(18, 1e-3)] * 30, [(180, 1e-3)] * 20
    assert power(pulses(out, [*quiet, *loud, *quiet], gap_s=0.5)) == pytest.approx(2.0, rel=1e-5)
    assert "10 s from block 31 at 15000.000 ms" in relative_sar(read_sequence(out))["relative_sar_where"]


def test_the_power_is_in_the_summary_and_is_no_check_since_nothing_limits_it(out):
    certificate = certify(pulses(out, [(180, 1e-3)] * 20), paper_scanner())
    assert certificate.summary["relative_sar_1ms_180_pulses_per_s"] == pytest.approx(10.0, rel=1e-6)
    assert not any("sar" in check.name for check in certificate.checks)
    assert any("SAR" in text for text in certificate.not_checked)


def test_a_sampled_pulse_s_power_is_its_sum_of_squares(out):
    limits = pp.Opts(rf_dead_time=100e-6, rf_ringdown_time=30e-6)
    seq = pp.Sequence(limits)
    rf = pp.make_sinc_pulse(0.3, duration=2e-3, time_bw_product=4, delay=1e-4, use="excitation", system=limits)
    seq.add_block(rf, pp.make_delay(0.01))
    seq.write(str(out))
    due = (np.abs(rf.signal) ** 2).sum() * 1e-6 / 250.0 / 0.01
    assert power(out) == pytest.approx(due, rel=1e-5)


def test_peak_and_its_place_are_measured_on_the_shape(out):
    limits = pp.Opts(rf_dead_time=100e-6, rf_ringdown_time=30e-6)
    seq = pp.Sequence(limits)
    seq.add_block(pp.make_delay(0.05))
    rf = pp.make_sinc_pulse(3.1, duration=2e-3, time_bw_product=4, delay=1e-4, use="refocusing", system=limits)
    seq.add_block(rf)
    seq.write(str(out))
    check = checks(out)["rf.peak_b1"]
    assert check.value == pytest.approx(np.abs(rf.signal).max(), rel=1e-5)
    assert not check.held
    assert "block 2 at 51.1" in check.where
    assert f"{np.abs(rf.signal).max() / 42.576:.3f} uT" in check.where


def test_an_offset_in_ppm_counts_at_the_scanner_s_field(out):
    check = checks(pulses(out, [(90, 1e-3)], freq_ppm=-3.45))["rf.frequency_offset"]
    assert check.value == pytest.approx(3.45 * 42.576 * 3.0, rel=1e-4)
    assert check.held
    assert not checks(pulses(out, [(90, 1e-3)], freq_offset=260e3))["rf.frequency_offset"].held
    back = pulses(out, [(90, 1e-3)], freq_ppm=-3.45, freq_offset=3.45 * 42.576 * 3.0)
    assert checks(back)["rf.frequency_offset"].value == pytest.approx(0.0, abs=0.01)


def test_two_point_pulses_of_several_lengths_are_found_and_of_one_length_are_not(out):
    assert checks(pulses(out, [(90, 1e-3), (45, 1e-3)]))["rf.block_pulses"].held
    mixed = checks(pulses(out, [(90, 1e-3), (90, 5e-4)]))["rf.block_pulses"]
    assert not mixed.held
    assert "two samples" in mixed.where


def test_a_file_without_rf_and_adc_has_no_check_of_them_and_says_so(out):
    seq = pp.Sequence()
    seq.add_block(pp.make_delay(1e-2))
    seq.write(str(out))
    certificate = certify(out, paper_scanner())
    names = [check.name for check in certificate.checks]
    assert not [name for name in names if name.startswith("rf.") or "dead_time" in name or "timing.adc_s" in name]
    assert not any(check.value == "none played" for check in certificate.checks)
    assert sum("is played" in text for text in certificate.not_checked) == 2
    assert "relative_sar_1ms_180_pulses_per_s" not in certificate.summary
