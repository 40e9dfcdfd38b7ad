"""Each fault, alone in an otherwise good file, is found by the check that names it."""

import numpy as np
import pypulseq as pp
import pytest
from designs import paper_scanner
from seqfiles import cartesian_gre, edit_row, edit_text, resign, rows, system

from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner
from seqopt.pulseq.certificate import certify


def failed(path, scanner=None, design=None):
    return {check.name for check in certify(path, scanner or paper_scanner(), design=design).failures}


def test_our_file_holds_with_its_design(good, design):
    certificate = certify(good, design.scanner, design=design)
    assert certificate.holds, certificate.failures
    k = next(check for check in certificate.checks if check.name == "design.k")
    assert k.value < 1e-5


@pytest.mark.parametrize("v141", [False, True])
def test_a_plain_pypulseq_gre_holds(tmp_path, v141):
    certificate = certify(cartesian_gre(tmp_path / "gre.seq", v141=v141), paper_scanner())
    assert certificate.holds, certificate.failures


def test_the_summary_measures_the_file(gre):
    summary = certify(gre, paper_scanner()).summary
    assert (summary["blocks"], summary["readouts"], summary["excitations"]) == (40, 8, 8)
    assert summary["samples"] == 32
    assert summary["dwell_us"] == 20
    sequence = pp.Sequence()
    sequence.read(str(gre))
    assert summary["duration_s"] == pytest.approx(sequence.duration()[0])
    centres = sequence.calculate_kspace()[2]
    assert summary["tr_ms"] == pytest.approx(float(np.diff(centres)[0]) * 1e3)
    assert summary["largest_gradient_mt_per_m_x"] == pytest.approx(32 / 0.2 / (32 * 20e-6) / 42576, rel=1e-4)


def test_what_is_not_checked_is_said(gre):
    text = " ".join(certify(gre, paper_scanner()).not_checked)
    for word in ("PNS", "resonances", "SAR"):
        assert word in text


def test_every_failure_has_a_remedy_and_the_json_is_plain(good, out):
    import json

    edit_row(good, "TRAP", 0, {1: 5e6}, out=out, sign=False)
    certificate = certify(out, paper_scanner())
    assert certificate.failures
    assert all(check.remedy for check in certificate.failures)
    assert json.loads(json.dumps(certificate.to_dict()))["holds"] is False


# (section, row, {column: value}) in the Cartesian GRE -> the checks that fail, all of them
EDITS = {
    "amplitude over its limit": ("TRAP", 0, {1: 3e6, 2: 1000, 4: 1000}, {"gradient.axis_amplitude_z"}),
    "slew over its limit": ("TRAP", 0, {2: 20, 4: 20}, {"gradient.axis_slew_z"}),
    "ADC dwell off its raster": ("ADC", 0, {2: 20010}, {"timing.adc_raster", "timing.adc_equal"}),
    "ADC start off the microsecond": ("ADC", 0, {3: 13.5}, {"timing.adc_raster", "format.integers"}),
    "rise time off the raster": ("TRAP", 0, {2: 143}, {"timing.gradient_raster"}),
    "samples not a multiple of four": ("ADC", 0, {1: 30}, {"timing.adc_divisor"}),
    "too many samples for its block": ("ADC", 0, {1: 8200}, {"timing.block_duration", "timing.adc_equal"}),
    "too many samples for equal segments": ("ADC", 0, {1: 8209}, {"timing.adc_samples"}),
    "RF inside its dead time": ("RF", 0, {6: 20}, {"timing.rf_dead_time"}),
    "RF amplitude below zero": ("RF", 0, {1: -50}, {"format.shapes"}),
    "RF use undefined": ("RF", 0, {11: "u"}, {"rf.use"}),
    "B1 over its limit": ("RF", 0, {1: 900}, {"rf.peak_b1"}),
    "frequency offset over its limit": ("RF", 0, {9: 300000}, {"rf.frequency_offset"}),
    "ADC inside its dead time": ("ADC", 0, {3: 0}, {"timing.adc_dead_time_before"}),
    "block shorter than its events": ("BLOCKS", 0, {1: 100}, {"timing.block_duration", "timing.rf_ringdown"}),
    "RF delay in another notation": ("RF", 0, {6: "1.5e+02"}, {"format.integers"}),
    "trap missing": ("BLOCKS", 1, {3: 77}, {"format.references"}),
}


@pytest.mark.parametrize("fault", EDITS)
def test_a_fault_in_one_event_is_found_by_its_check(gre, out, fault):
    section, row, changes, due = EDITS[fault]
    found = failed(edit_row(gre, section, row, changes, out=out))
    assert due <= found
    unrelated = {name for name in found if name.split(".")[0] in ("format", "rf") and name not in due}
    assert unrelated <= {"format.total_duration"}


TEXT_EDITS = {
    "duration": ("TotalDuration 0.", "TotalDuration 1.", "format.total_duration"),
    "FOV in mm": ("FOV 0.2 0.2 0.005", "FOV 200 200 5", "imaging.fov"),
    "FOV of one value": ("FOV 0.2 0.2 0.005", "FOV 0.2", "imaging.fov"),
    "k and FOV of different units": ("FOV 0.2 0.2 0.005", "FOV 200 200 5", "imaging.k_extent"),
    "reserved definition": ("Name gre", "Name gre\nTE 0.005", "format.definitions"),
    "raster missing": ("GradientRasterTime 1e-05", "", "format.definitions"),
    "raster of another vendor": ("BlockDurationRaster 1e-05", "BlockDurationRaster 4e-06", "timing.rasters"),
    "echo elsewhere": ("EchoTime 0.00", "EchoTime 0.01", "imaging.echo"),
    "unknown label": (" LIN\n", " LINE\n", "format.extensions"),
    "unknown extension": ("extension LABELSET", "extension LABELPUT", "format.extensions"),
    "unknown section": ("[SHAPES]", "[WHATEVER]\n1 2 3\n\n[SHAPES]", "format.sections"),
    "newer version": ("revision 0", "revision 7", "format.version"),
}


@pytest.mark.parametrize("fault", TEXT_EDITS)
def test_a_fault_in_the_text_is_found_by_its_check(gre, out, fault):
    old, new, due = TEXT_EDITS[fault]
    assert due in failed(edit_text(gre, old, new, out=out))


def test_a_changed_and_an_unsigned_file_fail_the_signature_alone(gre, out):
    edit_text(gre, "Name gre", "Name grf", out=out, sign=False)
    assert failed(out) == {"format.signature"}
    out.write_bytes(gre.read_bytes()[: gre.read_bytes().rfind(b"\n[SIGNATURE]")])
    assert failed(out) == {"format.signature"}


def test_windows_line_ends_are_found(gre, out):
    out.write_bytes(gre.read_bytes().replace(b"\n", b"\r\n"))
    assert "format.line_ends" in failed(out)


def test_a_file_without_version_is_refused(gre, out):
    with pytest.raises(SeqoptError, match="VERSION"):
        certify(edit_text(gre, "[VERSION]\nmajor 1\nminor 5\nrevision 0\n", "", out=out), paper_scanner())


def test_nan_and_too_large_samples_are_found_in_shapes(good, out):
    first = rows(good.read_text(), "SHAPES")
    assert first == []  # a blank line follows the section head
    lines = good.read_text().split("\n")
    at = lines.index("[SHAPES]") + 12
    for value, due in (("nan", {"format.shapes"}), ("1.7", {"format.shapes"})):
        out.write_text("\n".join([*lines[:at], value, *lines[at + 1 :]]))
        assert failed(resign(out)) == due


def test_one_sample_of_a_waveform_off_breaks_the_slew_and_the_design(good, out, design):
    text = good.read_text()
    gx = rows(text, "GRADIENTS")[2].split()  # x of the second shot
    head, tail = text.split(f"shape_id {gx[4]}\n", 1)
    lines = tail.split("\n")
    end = lines.index("")
    is_packed = int(lines[0].split()[1]) > end - 1  # then the lines are differences
    at = next(i for i in range(end // 2, end) if len(set(lines[i - 2 : i + 4])) == 6)
    lines[at] = f"{float(lines[at]) - 0.9:.9g}"
    if is_packed:
        lines[at + 1] = f"{float(lines[at + 1]) + 0.9:.9g}"
    out.write_text(head + f"shape_id {gx[4]}\n" + "\n".join(lines))
    found = failed(resign(out), design=design)
    assert {"gradient.vector_slew", "design.k"} <= found
    assert "format.shapes" not in found


def diagonal(path, *, share):
    """x, y and z each at a share of the limits at once."""
    limits = system()
    seq = pp.Sequence(limits)
    peak, ramp = share * paper_scanner().max_grad_hz_per_m, 1e-3
    seq.add_block(*(pp.make_trapezoid(a, amplitude=peak, flat_time=1e-3, rise_time=ramp, system=pp.Opts(
        max_grad=1e9, max_slew=1e12)) for a in "xyz"))  # fmt: skip
    seq.write(str(path))
    return path


def test_what_is_legal_on_each_axis_but_not_as_a_vector_is_found(tmp_path):
    assert "gradient.vector_amplitude" in failed(diagonal(tmp_path / "a.seq", share=0.7))
    assert "gradient.axis_amplitude_x" not in failed(diagonal(tmp_path / "a.seq", share=0.7))
    assert "gradient.vector_amplitude" not in failed(diagonal(tmp_path / "b.seq", share=0.57))


def test_counts_say_how_many_corners_are_over(tmp_path):
    check = next(
        c for c in certify(diagonal(tmp_path / "a.seq", share=0.7), paper_scanner()).checks
        if c.name == "gradient.vector_amplitude"
    )  # fmt: skip
    assert "2 of 4 over" in check.where
    assert check.value == pytest.approx(0.7 * 50 * np.sqrt(3), rel=1e-4)


def stepped(path, *, first, last):
    """Two raster gradients that meet in mid-air: the second starts at `first`, the first ends at `last`."""
    limits = pp.Opts(max_grad=1e7, max_slew=1e12)
    seq = pp.Sequence(limits)
    ramp = np.linspace(0, last, 21)
    seq.add_block(pp.make_arbitrary_grad("x", (ramp[1:] + ramp[:-1]) / 2, first=0.0, last=last, system=limits))
    fall = np.linspace(first, 0, 21)
    seq.add_block(pp.make_arbitrary_grad("x", (fall[1:] + fall[:-1]) / 2, first=first, last=0.0, system=limits))
    seq.write(str(path))
    return path


def test_a_step_between_blocks_is_found_from_one_hertz_on(tmp_path):
    assert "gradient.continuity" not in failed(stepped(tmp_path / "a.seq", first=50000.0, last=50000.0))
    assert "gradient.continuity" in failed(stepped(tmp_path / "b.seq", first=50000.0, last=49990.0))


def test_a_gradient_left_open_at_the_end_is_found(tmp_path):
    limits = pp.Opts(max_grad=1e7, max_slew=1e12)
    seq = pp.Sequence(limits)
    seq.add_block(pp.make_extended_trapezoid("y", amplitudes=np.array([0.0, 5e4]), times=[0, 1e-3], system=limits))
    seq.write(str(tmp_path / "a.seq"), check_timing=False)
    check = next(c for c in certify(tmp_path / "a.seq", paper_scanner()).failures if c.name == "gradient.continuity")
    assert check.value == pytest.approx(5e4)
    assert "end of the file" in check.where


def test_first_that_contradicts_the_corners_is_found(good, out):
    assert "format.edges" in failed(edit_row(good, "GRADIENTS", 0, {2: 5000}, out=out))


def test_unequal_adcs_rf_with_adc_and_missing_labels_are_found(tmp_path):
    limits = pp.Opts(rf_dead_time=100e-6, rf_ringdown_time=30e-6, adc_dead_time=10e-6)
    seq = pp.Sequence(limits)
    rf = pp.make_block_pulse(0.2, duration=1e-3, delay=1e-4, use="excitation", system=limits)
    seq.add_block(rf, pp.make_adc(8, dwell=1e-5, delay=1e-5, system=limits))
    seq.add_block(pp.make_adc(16, dwell=1e-5, delay=1e-5, system=limits), pp.make_delay(1e-3))
    seq.write(str(tmp_path / "a.seq"))
    assert {"timing.adc_equal", "timing.rf_and_adc_apart", "imaging.labels"} <= failed(tmp_path / "a.seq")


def test_a_counter_that_the_first_block_does_not_set_is_told_and_no_fault(gre, out):
    certificate = certify(edit_row(gre, "BLOCKS", 0, {7: 0}, out=out), paper_scanner())
    assert certificate.holds, certificate.failures
    assert any("LIN not SET in the first block" in text for text in certificate.not_checked)
    assert not any("first block" in text for text in certify(gre, paper_scanner()).not_checked)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("9 7 LIN", "9 -1 LIN", "LIN is -1 at readout 8"),
        ("9 7 LIN", "9 65536 LIN", "LIN is 65536 at readout 8"),
        ("9 7 LIN", "9 2 REV", "REV is 2 at readout 8"),
    ],
)
def test_a_label_that_no_header_can_hold_is_found(gre, out, old, new, where):
    checks = certify(edit_text(gre, old, new, out=out), paper_scanner()).checks
    [check] = [check for check in checks if check.name == "imaging.labels"]
    assert not check.held
    assert where in check.where


def test_a_flag_that_is_incremented_is_found(gre, out):
    counted = edit_text(gre, "extension LABELSET", "extension LABELINC", out=out)
    flag = edit_text(counted, "9 7 LIN", "9 1 NAV", out=out)
    [check] = [check for check in certify(flag, paper_scanner()).checks if check.name == "imaging.labels"]
    assert check.where == "the flag NAV is incremented"


def test_an_unequal_spoiler_is_found(gre, out):
    number = rows(gre.read_text(), "BLOCKS")[8].split()[5]  # z of the second TR's spoiler block
    assert number != "0"
    assert "imaging.spoiling" in failed(edit_row(gre, "BLOCKS", 8, {5: 0}, out=out))


def test_another_design_s_file_is_found(good, design, change):
    moved = change(design, k_per_m=design.k_per_m + 0.02 / 0.22)
    assert failed(good, design=moved) == {"design.k"}
    assert "design.order" in failed(good, design=change(design, "geometry", slices=3))
    assert "design.readouts" in failed(good, design=change(design, "geometry", slices=3))


def test_a_path_that_crosses_zero_again_still_has_its_echo_at_te(design, change, tmp_path):
    """Out and back: k = 0 at the echo sample and at a second one."""
    from seqopt.gradients.waveform import k_at, sample_times
    from seqopt.pulseq.gre import write_gre

    edges, raster = design.gradient_hz_per_m.shape[1], design.scanner.grad_raster_s
    wave = np.sin(2 * np.pi * np.arange(edges) / (edges - 1)) * 1e5
    wave[-1] = 0.0
    gradient = np.zeros_like(design.gradient_hz_per_m)
    gradient[..., 0] = gradient[..., 1] = wave
    times = sample_times(design.samples, dwell_s=design.dwell_s, adc_start_s=design.adc_start_edge * raster)
    k = k_at(times, gradient, raster_s=raster)
    start = -k[:, 200]
    moved = change(design, echo_sample=200, gradient_hz_per_m=gradient, k_start_per_m=start, k_per_m=k + start[:, None])
    write_gre(moved, tmp_path / "a.seq")
    assert "imaging.echo" not in failed(tmp_path / "a.seq", design=moved)
    late = change(moved, echo_sample=203)
    write_gre(late, tmp_path / "b.seq")
    assert "imaging.echo" in failed(tmp_path / "b.seq", design=late)


def test_a_file_without_the_design_s_shots_fails_in_words(good, design, change):
    fewer = change(
        design, k_per_m=design.k_per_m[:2], gradient_hz_per_m=design.gradient_hz_per_m[:2],
        k_start_per_m=design.k_start_per_m[:2], initial_k_per_m=design.initial_k_per_m[:2],
    )  # fmt: skip
    check = next(c for c in certify(good, design.scanner, design=fewer).failures if c.name == "design.k")
    assert check.value == "no such shot"


def test_a_siemens_file_does_not_hold_on_ge(good):
    found = failed(good, load_scanner("mr750"))
    assert {"timing.rasters", "timing.adc_dead_time_after"} <= found
