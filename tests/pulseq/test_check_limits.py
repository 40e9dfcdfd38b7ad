"""Limits of the checks: each holds at its value and fails a small step beyond it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pypulseq as pp
import pytest
from designs import paper_scanner
from mask_designs import mask_design
from pypulseq_files import GOOD
from seqfiles import cartesian_gre, edit_row, edit_text, rows, system

from seqopt.pulseq import checks_design, checks_lines, checks_size
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.checks_shapes import shape_problems
from seqopt.pulseq.played import Excitation
from seqopt.pulseq.seqtables import GradEvent, PackedShape, RfEvent, SeqFile


def check(path, name, scanner=None, design=None):
    """One check; None where it was not made."""
    made = certify(path, scanner or paper_scanner(), design=design).checks
    return next((check for check in made if check.name == name), None)


def number(path, section, row, column):
    return float(rows(path.read_text(), section)[row].split()[column])


GRADIENT = paper_scanner().max_grad_hz_per_m
SLEW = paper_scanner().max_slew_hz_per_m_per_s
# check, section, row, column, the last value that holds, the first that does not; texts are added to what stands there
EDITS = [
    ("timing.rf_dead_time", "RF", 3, 6, 100, 99),
    ("timing.adc_dead_time_before", "ADC", 3, 3, 10, 9),
    ("timing.adc_raster", "ADC", 3, 3, 13, 13.5),
    ("timing.adc_raster", "ADC", 3, 2, 20000, 0),
    ("timing.block_duration", "BLOCKS", 1, 1, 100, 99),
    ("gradient.axis_amplitude_z", "TRAP", 0, 1, GRADIENT * (1 + 5e-6), GRADIENT * (1 + 5e-4)),
    ("gradient.continuity", "TRAP", 0, 2, 100, 0),
    ("rf.frequency_offset", "RF", 0, 9, 250e3, 250.1e3),
    ("imaging.receiver_phase", "ADC", 2, 7, "+0.008", "+0.03"),
]


@pytest.mark.parametrize(("name", "section", "row", "column", "good", "bad"), EDITS)
def test_one_step_beyond_a_limit_is_found(gre, out, name, section, row, column, good, bad):
    for value, held in ((good, True), (bad, False)):
        if isinstance(value, str):
            value = number(gre, section, row, column) + float(value)
        assert check(edit_row(gre, section, row, {column: value}, out=out), name).held == held


def test_a_slew_rate_half_a_thousandth_over_its_limit_is_found(gre, out):
    for over, held in ((5e-6, True), (5e-4, False)):
        ramp = {1: SLEW * 1e-4 * (1 + over), 2: 100, 4: 100}
        assert check(edit_row(gre, "TRAP", 0, ramp, out=out), "gradient.axis_slew_z").held == held


def test_the_time_left_after_pulse_and_readout_is_measured_in_microseconds(gre, out):
    block = rows(gre.read_text(), "BLOCKS")[0].split()
    for rest, held in ((30, True), (29, False)):
        found = check(edit_row(gre, "RF", 0, {6: int(block[1]) * 10 - 2000 - rest}, out=out), "timing.rf_ringdown")
        assert (found.held, found.value, found.limit, found.unit) == (held, rest, 30, "us")
    block = rows(gre.read_text(), "BLOCKS")[2].split()
    for rest, held in ((10, True), (9, False)):
        delay = int(block[1]) * 10 - 640 - rest
        found = check(edit_row(gre, "ADC", 0, {3: delay}, out=out), "timing.adc_dead_time_after")
        assert (found.held, found.value, found.limit, found.unit) == (held, rest, 10, "us")


@pytest.mark.parametrize(
    ("samples", "dwell_ns", "most", "held"),
    [
        (32, 20000, 32, True),
        (36, 20000, 32, True),  # two of 18
        (50, 400, 20, False),  # of 25 samples to a raster, which are too many
        (50, 400, 25, True),
        (34, 1000, 32, False),  # two of 17 us, off the gradient's raster though on that of RF
        (1024, 10000, 8, True),  # 128 of 8
        (1032, 10000, 8, False),  # 129 of 8
    ],
)
def test_long_readouts_split_into_at_most_128_parts_of_whole_gradient_rasters(gre, out, samples, dwell_ns, most, held):
    scanner = replace(paper_scanner(), adc_max_samples=most)
    path = gre
    for row in range(len(rows(gre.read_text(), "ADC"))):
        path = edit_row(path, "ADC", row, {1: samples, 2: dwell_ns}, out=out)
    assert check(path, "timing.adc_samples", scanner).held == held


def test_pulses_of_another_raster_than_the_scanner_s_are_found(out):
    limits = system()
    seq = pp.Sequence(limits)
    seq.add_block(pp.make_block_pulse(0.2, duration=1.01e-3, delay=1e-4, use="excitation", system=limits))
    seq.write(str(out))
    assert check(out, "timing.rf_raster").held
    coarse = replace(paper_scanner(), rf_raster_s=20e-6)
    assert "RF 1: 1010 us" in check(out, "timing.rf_raster", coarse).where
    raster = edit_text(out, "RadiofrequencyRasterTime 1e-06", "RadiofrequencyRasterTime 1.5e-06", out=out)
    assert "RadiofrequencyRasterTime is 1.5 us" in check(raster, "timing.rasters").where


def test_corners_off_the_gradient_raster_are_found(out):
    limits = pp.Opts(grad_raster_time=5e-6, max_grad=1e7, max_slew=1e12)
    seq = pp.Sequence(limits)
    corners = {"amplitudes": np.array([0.0, 1e4, 1e4, 0.0]), "times": np.array([0, 2e-4, 3.05e-4, 5e-4])}
    seq.add_block(pp.make_extended_trapezoid("x", system=limits, **corners))
    seq.write(str(out))
    assert "gradient 1: 305 us" in check(out, "timing.gradient_raster").where


def test_a_pause_of_version_1_3_off_the_block_raster_is_found(out):
    path = GOOD["1.3.1 by hand"](out)
    assert check(path, "timing.block_duration").held
    path.write_text(path.read_text().replace("3 1130", "3 1133"))
    assert "lasts 1133 us, off the block raster" in check(path, "timing.block_duration").where


def ramps(path, *, axis="x", second=5e4, before_s=0.0, after_s=0.0):
    """A ramp up to 50 kHz/m on x, a pause in its block; in the next a pause, and a ramp down on an axis."""
    limits = pp.Opts(max_grad=1e7, max_slew=1e12)
    seq = pp.Sequence(limits)
    for channel, values, delay_s, rest_s in (("x", [0.0, 5e4], 0.0, before_s), (axis, [second, 0.0], after_s, 0.0)):
        wave = pp.make_extended_trapezoid(
            channel, amplitudes=np.array(values), times=np.array([0, 1e-3]), system=limits
        )
        wave.delay = delay_s
        seq.add_block(wave, pp.make_delay(1e-3 + delay_s + rest_s))
    seq.write(str(path), check_timing=False)
    return path


def test_gradients_that_meet_across_a_pause_step_on_either_side_of_it(out):
    assert check(ramps(out), "gradient.continuity").held
    for pause in ({"before_s": 2e-5}, {"after_s": 2e-5}):
        found = check(ramps(out, **pause), "gradient.continuity")
        assert (found.held, found.value) == (False, pytest.approx(5e4))


@pytest.mark.parametrize(("sign", "held"), [(-1.0, True), (1.0, False)])
def test_a_block_continues_another_where_its_rotation_brings_it(out, sign, held):
    """Turned by 90 degrees about z, minus y plays along x."""
    path = ramps(out, axis="y", second=sign * 5e4)
    text = path.read_text().partition("\n[SIGNATURE]")[0].replace("revision 0", "revision 1")
    last = rows(text, "BLOCKS")[-1]
    text = text.replace(f"\n{last}\n", "\n" + " ".join([*last.split()[:7], "1"]) + "\n")
    half = np.sqrt(0.5)
    table = f"[EXTENSIONS]\n1 7 1 0\n\nextension ROTATIONS 7\n1 {half:.12f} 0 0 {half:.12f}\n"
    path.write_text(f"{text}\n{table}")
    found = check(path, "gradient.continuity")
    assert found.held == held
    assert held or found.value == pytest.approx(1e5)
    largest = certify(path, paper_scanner()).summary
    assert largest["largest_gradient_mt_per_m_y"] < 1e-6 < largest["largest_gradient_mt_per_m_x"]


def test_first_may_differ_from_its_corner_by_the_rounding_of_six_digits(good, out):
    size = abs(number(good, "GRADIENTS", 0, 1))
    for off, held in ((0.9 + 1e-5 * size, True), (1.1 + 1e-5 * size, False)):
        assert check(edit_row(good, "GRADIENTS", 0, {2: f"{off:.6f}"}, out=out), "format.edges").held == held


def test_the_total_duration_is_compared_to_the_microsecond(gre, out):
    line = re.search(r"TotalDuration (\S+)", gre.read_text())
    for off, held in ((5e-7, True), (3e-6, False)):
        changed = edit_text(gre, line[0], f"TotalDuration {float(line[1]) + off:.9f}", out=out)
        assert check(changed, "format.total_duration").held == held


SHAPES = {1: [0.0, 0.5, 1.0], 2: [0.0, 0.5, 0.25], 3: [0.0, 1.0, 2.0], 4: [0.0, -1.0, 1.0], 5: [0.0, 2.0, 4.0]}


@pytest.mark.parametrize(
    ("shape", "values", "saying"),
    [
        (0, [], None),
        (1, [-0.1, 0.5, 1.0], "RF magnitude and reaches -0.1 at sample 0"),
        (1, [0.0, 0.5, 1.1], "reaches 1.1 at sample 2"),
        (2, [-0.1, 0.5, 0.2], "outside 0..1 turns"),
        (3, [0.0, 2.0, 1.0], "does not increase"),
        (3, [-1.0, 1.0, 2.0], "does not increase"),
        (4, [0.0, -1.1, 1.0], "reaches -1.1 at sample 1"),
        (5, [0.0, 4.0, 4.0], "does not increase"),
    ],
)
def test_each_shape_keeps_to_the_range_of_what_it_is(shape, values, saying):
    """Magnitude, phase and times of a pulse, values and times of a gradient."""
    shapes = {n: PackedShape(n, 3, np.array(values if n == shape else known)) for n, known in SHAPES.items()}
    file = SeqFile(
        path=Path("a.seq"), size_bytes=1, version=(1, 5, 0), definitions={}, blocks=np.zeros((1, 8), dtype=np.int64),
        rf={1: RfEvent(100.0, 1, 2, 3, 1e-6, 1e-4, 0.0, 0.0, 0.0, 0.0, "e")},
        gradients={1: GradEvent(1e5, 0.0, 0.0, 4, 5, 0.0)}, shapes=shapes,
    )  # fmt: skip
    found = shape_problems(file)
    assert len(found) == (saying is not None)
    assert saying is None or saying in found[0]


@pytest.mark.parametrize(("times", "made"), [(6.5, True), (7.0, False)])
def test_equal_moments_are_asked_of_small_flip_angles_alone(gre, out, times, made):
    """Of 12 degrees, times what brings it to 78 or to 84."""
    bright = edit_row(gre, "RF", 0, {1: times * number(gre, "RF", 0, 1)}, out=out)
    assert (check(bright, "imaging.spoiling") is not None) == made


@pytest.mark.parametrize(("rasters", "made"), [(98_000, True), (100_000, False)])
def test_equal_moments_are_asked_of_short_repetition_times_alone(out, rasters, made):
    cartesian_gre(out, lines=3)
    assert (check(edit_row(out, "BLOCKS", 4, {1: rasters}, out=out), "imaging.spoiling") is not None) == made


def test_the_published_sizes_that_interpreters_took_are_the_limits():
    assert (checks_size.LARGEST_BYTES, checks_size.MOST_EXCITATIONS) == (40_000_000, 140_000)
    assert checks_size.LARGEST_ID == 2**31 - 1


def test_k_and_dwell_of_a_design_are_compared_finely(good, design, change):
    for cycles, held in ((0.9e-3, True), (1.1e-3, False)):
        moved = change(design, k_per_m=design.k_per_m + np.array([cycles / design.geometry.fov_m[0], 0.0]))
        assert check(good, "design.k", design=moved).held == held
    assert checks_design.K_LIMIT_CYCLES == 1e-3
    assert check(good, "design.adc", design=design).held
    other = SimpleNamespace(samples=design.samples, dwell_s=design.dwell_s + 1e-7)
    assert len(checks_design._adc([SimpleNamespace(samples=design.samples, dwell_s=design.dwell_s)], other)) == 1


def train(centres_s, phases_rad):
    """An excitation and its refocusing pulses."""
    pairs = zip(centres_s, phases_rad, strict=True)
    return [
        Excitation(
            block=at, start_s=centre - 1e-3, centre_s=centre, end_s=centre + 1e-3, flip_rad=1.0, use="r" if at else "e",
            freq_hz=0.0, phase_rad=phase, gradient_hz_per_m=np.zeros(3),
        )
        for at, (centre, phase) in enumerate(pairs)
    ]  # fmt: skip


@pytest.mark.parametrize(("late_s", "held"), [(0.0, True), (0.9e-6, True), (1.2e-6, False)])
def test_refocusing_pulses_may_be_late_by_a_raster_of_rf(late_s, held):
    pulses = train([0.0, 5e-3, 15e-3 + late_s], np.zeros(3))
    assert checks_lines._times(SimpleNamespace(readouts=[]), mask_design("tse"), [pulses]).held == held


@pytest.mark.parametrize(("off_rad", "held"), [(0.0, True), (np.pi, True), (0.9e-3, True), (1.2e-3, False)])
def test_refocusing_pulses_lie_90_degrees_from_their_excitation(off_rad, held):
    pulses = train([0.0, 5e-3, 15e-3], [0.4, 0.4 + np.pi / 2, 0.4 + np.pi / 2 + off_rad])
    assert checks_lines._phases(SimpleNamespace(readouts=[]), [pulses]).held == held


def test_moments_that_do_not_return_to_zero_in_each_repetition_are_found(good, design, out):
    """The lobe after the last readout but one, on x, plays a hundredth too much."""
    blocks = [row.split() for row in rows(good.read_text(), "BLOCKS")]
    reading = [at for at, block in enumerate(blocks) if block[6] != "0"]
    lobe = blocks[reading[-2] + 1][3]
    (row,) = (at for at, line in enumerate(rows(good.read_text(), "TRAP")) if line.split()[0] == lobe)
    more = {1: 1.01 * number(good, "TRAP", row, 1)}
    found = check(edit_row(good, "TRAP", row, more, out=out), "design.rewound", design=design)
    assert found.value > checks_design.K_LIMIT_CYCLES
    assert not found.held
    assert check(good, "design.rewound", design=design).held
