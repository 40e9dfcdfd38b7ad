"""Echo, extent, moments, phases and labels: right numbers, faults found, and no alarm at other kinds of sequences."""

import numpy as np
import pypulseq as pp
import pytest
import sequence_kinds as kinds
from designs import paper_scanner
from seqfiles import cartesian_gre, edit_row, edit_text, rows

from seqopt.pulseq.certificate import certify
from seqopt.pulseq.checks_imaging import imaging_checks
from seqopt.pulseq.readback import read_sequence
from seqopt.pulseq.readout_table import ReadoutTable


def checks(path):
    return {check.name: check for check in imaging_checks(ReadoutTable.of(read_sequence(path)))[0]}


def failed(path):
    return {name for name, check in checks(path).items() if not check.held}


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_no_kind_of_sequence_raises_a_false_alarm(kind, out):
    certificate = certify(kinds.KINDS[kind](out), paper_scanner())
    assert certificate.holds, certificate.failures


@pytest.mark.parametrize("kind", [kind for kind in kinds.KINDS if kind != "free induction"])
def test_k_at_each_sample_is_that_of_pypulseq(kind, out):
    played = read_sequence(kinds.KINDS[kind](out))
    sequence = pp.Sequence()
    sequence.read(str(out))
    theirs = sequence.calculate_kspace()[0].T
    ours = np.concatenate([readout.k_per_m for readout in played.readouts])
    assert np.abs(theirs - ours).max() * kinds.FOV_M < 1e-4


def test_what_does_not_apply_is_said_and_not_checked(out):
    found, skipped = imaging_checks(ReadoutTable.of(read_sequence(kinds.free_induction(out))))
    assert {check.name for check in found}.isdisjoint({"imaging.k_extent", "imaging.echo", "imaging.receiver_phase"})
    text = " ".join(skipped)
    for words in ("spectroscopy", "EchoTime", "receiver phase", "train", "REF"):
        assert words in text


def test_a_spin_echo_s_time_is_measured_from_its_pulses(out):
    check = checks(kinds.spin_echo(out))["imaging.echo"]
    assert check.value == pytest.approx(16.0, abs=0.02)  # between two samples
    assert "spin echo at 16.0000 ms" in check.where


@pytest.mark.parametrize("kind", ["spin echo", "turbo spin echo", "EPI", "balanced SSFP"])
def test_an_echo_elsewhere_is_found_in_every_kind(kind, out):
    path = kinds.KINDS[kind](out)
    te = float(read_sequence(path).definitions["EchoTime"])
    text = path.read_text()
    line = next(line for line in text.split("\n") if line.startswith("EchoTime"))
    assert failed(edit_text(path, line, f"EchoTime {te + 1e-4:.9f}", out=out)) == {"imaging.echo"}
    assert failed(edit_text(path, f"EchoTime {te + 1e-4:.9f}", "EchoTime 1e308", out=out)) == {"imaging.echo"}
    assert failed(edit_text(path, "EchoTime 1e308", "EchoTime soon", out=out)) == {"imaging.echo"}


def test_an_extent_that_does_not_fit_the_matrix_is_found(out):
    path = kinds.epi(out)
    reach = checks(path)["imaging.k_max"]
    assert reach.held
    assert reach.value == pytest.approx(1.0, abs=0.01)
    for wrong in ("64 64", "8 8"):
        assert failed(edit_text(path, "MatrixSize 16 8", f"MatrixSize {wrong}", out=path)) == {"imaging.k_max"}
        edit_text(path, f"MatrixSize {wrong}", "MatrixSize 16 8", out=path)


def test_partitions_that_reach_beyond_the_slab_s_matrix_are_found(out):
    lines = [{"ky": n - 2, "kz": m - 2, "LIN": n, "PAR": m} for m in range(4) for n in range(4)]
    path = labelled(out, lines, start=("LIN", "PAR"))
    path = edit_text(path, "[DEFINITIONS]\n", "[DEFINITIONS]\nFOV 0.1 0.1 0.1\nMatrixSize 10 4 4\n", out=out)
    assert checks(path)["imaging.k_max"].held
    found = checks(edit_text(path, "FOV 0.1 0.1 0.1", "FOV 0.1 0.1 0.2", out=out))["imaging.k_max"]
    assert (found.held, found.value) == (False, pytest.approx(2.0, abs=1e-3))
    assert found.where.startswith("z, readout")


def test_gradients_in_tesla_per_metre_leave_k_at_zero_and_are_found(out):
    path = cartesian_gre(out)
    for row, line in enumerate(rows(path.read_text(), "TRAP")):
        edit_row(path, "TRAP", row, {1: float(line.split()[1]) / 42.576e6}, out=path)
    assert "imaging.k_extent" in failed(path)


def test_the_worst_place_of_k_names_axis_sample_block_and_time(out):
    where = checks(kinds.epi(out))["imaging.k_extent"].where
    for word in ("x, readout", "sample", "block", "ms"):
        assert word in where


def test_a_balanced_axis_that_is_not_rewound_is_found(out):
    good = checks(kinds.balanced_ssfp(out))["imaging.rewound"]
    assert good.held
    assert good.value < 1e-3
    bad = checks(kinds.balanced_ssfp(out, left=(0,)))["imaging.rewound"]
    assert not bad.held
    assert bad.value == pytest.approx(4.0, abs=0.01)  # the outermost line's moment in 1/FOV
    assert bad.where.startswith("y after excitation 1,")
    assert "imaging.spoiling" in failed(kinds.balanced_ssfp(out, left=tuple(range(8))))


def test_a_pause_in_the_scan_hides_no_unequal_tr(out):
    """Moments are compared from excitation to excitation, but over a pause in which the magnetisation recovers."""
    cartesian_gre(out)
    edit_row(out, "BLOCKS", 4, {1: 200_000}, out=out)  # 2 s after the first TR
    edit_row(out, "BLOCKS", 3, {4: 0}, out=out)  # before which nothing is rewound
    assert "imaging.rewound" not in failed(out)
    edit_row(out, "BLOCKS", 28, {4: 0}, out=out)
    assert "after excitation 6" in checks(out)["imaging.rewound"].where


def test_moments_are_compared_inside_a_prepared_train_and_not_across_its_preparation(out):
    cartesian_gre(out)
    pulse = rows(out.read_text(), "RF")[0].split()
    edit_text(out, "[RF]\n", "[RF]\n" + " ".join(["900", *pulse[1:11], "s"]) + "\n", out=out)
    for block in (4, 19):  # saturated after the first TR and after the fourth
        edit_row(out, "BLOCKS", block, {1: 300, 2: 900}, out=out)
        edit_row(out, "BLOCKS", block - 1, {4: 0}, out=out)
    assert checks(out)["imaging.rewound"].held
    edit_row(out, "BLOCKS", 13, {4: 0}, out=out)
    assert "after excitation 3" in checks(out)["imaging.rewound"].where


def test_an_echo_train_that_is_not_rewound_is_found(out):
    assert not failed(kinds.spin_echo_train(out, echoes=4, lines=8))
    assert "imaging.echo_train" in failed(kinds.spin_echo_train(out, echoes=4, lines=8, rewind=False))


def test_the_third_echo_of_a_train_lies_at_six_times_the_time_to_the_first_pulse(out):
    path = kinds.spin_echo_train(out, echoes=4, lines=12)
    te_ms = 1e3 * float(read_sequence(path).definitions["EchoTime"])
    assert f"spin echo at {te_ms:.4f} ms" in checks(path)["imaging.echo"].where


def test_a_spoiler_that_turns_with_the_spoke_is_no_alarm_and_is_named(out):
    check = checks(kinds.centre_out(out))["imaging.spoiling"]
    assert check.held
    assert "turning" in check.where


def test_a_rewinder_that_is_a_little_too_small_is_found_beside_a_strong_spoiler(out):
    """The spoiler's size, 160 cycles a field of view, hides 1 cycle across it: hypot(160, 1) is 160.003."""
    cartesian_gre(out)
    edit_row(out, "BLOCKS", 28, {4: 0}, out=out)
    check = checks(out)["imaging.rewound"]
    assert not check.held
    assert check.value == pytest.approx(1.0, abs=1e-3)


def test_a_receiver_that_does_not_follow_the_pulse_is_found(out):
    path = cartesian_gre(out)
    good = checks(path)["imaging.receiver_phase"]
    assert good.held
    assert "RF spoiling by 117 degrees" in good.where
    adc = rows(path.read_text(), "ADC")[2].split()
    edit_row(path, "ADC", 2, {7: float(adc[7]) + 0.5}, out=path)
    bad = checks(path)["imaging.receiver_phase"]
    assert not bad.held
    assert bad.value == pytest.approx(0.5, abs=0.01)


def test_a_receiver_that_does_not_alternate_with_the_pulse_is_no_shift_of_the_field_of_view(out):
    """A phase of 180 degrees from line to line is linear in k, but nobody shifts by the phase of the pulse."""
    kinds.balanced_ssfp(out)
    assert checks(out)["imaging.receiver_phase"].held
    for row in range(len(rows(out.read_text(), "ADC"))):
        edit_row(out, "ADC", row, {7: 0}, out=out)
    check = checks(out)["imaging.receiver_phase"]
    assert not check.held
    assert check.value == pytest.approx(np.pi / 2, abs=0.01)  # from the median, midway between the two phases


def test_a_shift_of_the_field_of_view_by_phase_is_no_alarm(out):
    shift = 2 * np.pi * 0.031 * 10.0  # 31 mm at lines 10/m apart
    lines = [{"ky": n - 8, "LIN": n, "phase": shift * (n - 8) % (2 * np.pi)} for n in range(16)]
    check = checks(labelled(out, lines))["imaging.receiver_phase"]
    assert check.held
    assert "shifted" in check.where
    lines[3]["phase"] += 0.3
    assert failed(labelled(out, lines)) == {"imaging.receiver_phase"}


def labelled(path, counts, start=("LIN", "SLC", "REF", "IMA")):
    """Lines of a GRE, a dictionary of labels a readout, with the `ky` and `kz` that it plays and its ADC's `phase`."""
    limits = pp.Opts(rf_dead_time=100e-6, rf_ringdown_time=30e-6, adc_dead_time=10e-6)
    seq = pp.Sequence(limits)
    seq.add_block(*(pp.make_label(name, "SET", 0) for name in start), pp.make_delay(1e-3))
    rf = pp.make_block_pulse(0.2, duration=1e-3, delay=1e-4, use="excitation", system=limits)
    gx = pp.make_trapezoid("x", flat_area=100, flat_time=1e-3, system=limits)
    adc = pp.make_adc(16, dwell=6e-5, delay=gx.rise_time, system=limits)
    for values in counts:
        area, adc.phase_offset = 10.0 * values["ky"], values.get("phase", 0.0)
        counters = {name: value for name, value in values.items() if name not in ("ky", "kz", "phase")}
        seq.add_block(rf)
        seq.add_block(
            pp.make_trapezoid("x", area=-gx.area / 2, duration=1e-3, system=limits),
            pp.make_trapezoid("y", area=area, duration=1e-3, system=limits),
            pp.make_trapezoid("z", area=10.0 * values.get("kz", 0), duration=1e-3, system=limits),
        )
        seq.add_block(gx, adc, *(pp.make_label(name, "SET", value) for name, value in counters.items()))
        seq.add_block(
            pp.make_trapezoid("y", area=-area, duration=1e-3, system=limits),
            pp.make_trapezoid("z", area=-10.0 * values.get("kz", 0), duration=1e-3, system=limits),
        )
    seq.write(str(path))
    return path


def test_lines_that_overwrite_each_other_and_slices_that_differ_are_found(out):
    lines = [{"ky": line - 2, "LIN": line, "SLC": index} for index in range(2) for line in range(4)]
    assert not failed(labelled(out, lines))
    twice = checks(labelled(out, [*lines, lines[0]]))["imaging.counters"]
    assert not twice.held
    assert twice.where.startswith("readout 1,")
    short = checks(labelled(out, lines[:-1]))["imaging.counters"]
    assert "slice 1 lacks LIN 3" in short.where


def test_reference_lines_must_be_neighbours_about_the_centre(out):
    def marked(*reference):
        return [{"ky": n - 3, "LIN": n, "REF": int(n in reference), "IMA": int(n in reference)} for n in range(6)]

    assert not failed(labelled(out, marked(2, 3, 4)))
    assert "leave out LIN 3" in checks(labelled(out, marked(2, 4)))["imaging.reference"].where
    apart = [{"ky": n, "LIN": n, "SET": 1, "REF": 1} for n in (1, 2)]  # of a set that has no line at the centre
    assert not failed(labelled(out, [*marked(), *apart], start=("LIN", "SLC", "REF", "IMA", "SET")))
    assert "nearer to k = 0" in checks(labelled(out, marked(1, 2)))["imaging.reference"].where
