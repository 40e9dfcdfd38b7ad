import re
from dataclasses import replace

import numpy as np
import pypulseq as pp
import pytest
from designs import echo_time_s, paper_scanner, radial_design

from seqopt.errors import SeqoptError
from seqopt.pulseq.gre import plan_gre, write_gre
from seqopt.pulseq.readback import read_sequence


def imaging(played):
    return [readout for readout in played.readouts if not readout.is_noise]


def test_k_of_the_file_is_k_of_the_design_to_a_thousandth_of_a_cycle(good, design):
    fov = design.geometry.fov_m[0]
    for readout in imaging(read_sequence(good)):
        k = readout.k_per_m * fov
        assert np.abs(k[:, :2] - design.k_per_m[readout.labels["LIN"]] * fov).max() < 1e-5
        assert np.abs(k[:, 2]).max() < 1e-5


def test_pypulseq_reads_the_same_k_from_the_file(good, design):
    sequence = pp.Sequence()
    sequence.read(str(good))
    k = sequence.calculate_kspace()[0][:, design.samples :]  # without the noise readout
    mine = np.concatenate([readout.k_per_m for readout in imaging(read_sequence(good))]).T
    assert np.abs(k - mine).max() * design.geometry.fov_m[0] < 1e-3


def test_pypulseq_finds_no_timing_error(good, design):
    scanner = design.scanner
    sequence = pp.Sequence(
        pp.Opts(
            rf_dead_time=scanner.rf_dead_time_s,
            rf_ringdown_time=scanner.rf_ringdown_time_s,
            adc_dead_time=scanner.adc_dead_time_s,
        )
    )
    sequence.read(str(good))
    ok, errors = sequence.check_timing()
    assert ok, errors


def test_the_echo_lies_at_te_on_the_design_s_echo_sample(good, design):
    timing = plan_gre(design)
    for readout in imaging(read_sequence(good)):
        assert readout.echo_sample == design.echo_sample
        assert echo_time_s(readout) == pytest.approx(timing.te_s, abs=1e-9)


def test_order_counts_and_durations_are_the_planned_ones(good, design):
    timing, played = plan_gre(design), read_sequence(good)
    assert tuple((r.labels["SLC"], r.labels["LIN"]) for r in imaging(played)) == timing.order
    assert timing.order[:3] == ((0, 0), (1, 0), (0, 1))
    assert len(played.excitations) == timing.excitations == (2 + 4) * 2
    assert len(imaging(played)) == timing.readouts == 8
    assert [r.is_noise for r in played.readouts].index(False) == timing.noise_readouts == 1
    assert played.duration_s == pytest.approx(timing.scan_time_s, abs=1e-9)
    assert float(played.definitions["TotalDuration"]) == pytest.approx(played.duration_s, abs=1e-9)


def test_the_noise_readout_has_the_adc_of_imaging_and_no_gradient_before_it(good):
    played = read_sequence(good)
    noise, image = played.readouts[0], played.readouts[1]
    assert noise.labels["NOISE"] == 1
    assert image.labels["NOISE"] == 0
    assert (noise.samples, noise.dwell_s) == (image.samples, image.dwell_s)
    assert noise.excitation is None
    assert np.abs(noise.local_moment_per_m).max() == 0


def test_slice_positions_are_told_in_the_order_of_their_label_and_where_the_pulses_are(good, design):
    played = read_sequence(good)
    positions = [float(part) for part in played.definitions["SlicePositions"].split()]
    gap, thickness = (float(played.definitions[name]) for name in ("SliceGap", "SliceThickness"))
    assert positions == pytest.approx([-(gap + thickness) / 2, (gap + thickness) / 2])
    for readout in imaging(played):
        pulse = readout.excitation
        assert pulse.freq_hz / pulse.gradient_hz_per_m[2] == pytest.approx(positions[readout.labels["SLC"]], abs=1e-6)


@pytest.mark.parametrize(("slices", "told"), [(1, False), (24, True), (80, False)])
def test_slice_positions_are_left_out_for_one_slice_and_where_a_line_would_be_too_long(slices, told, design, tmp_path):
    geometry = replace(design.geometry, slices=slices)
    write_gre(replace(design, geometry=geometry), tmp_path / "a.seq")
    text = (tmp_path / "a.seq").read_text()
    assert ("SlicePositions" in text) is told
    assert max(map(len, text.splitlines())) <= 254


def test_every_counter_is_set_to_zero_in_the_first_block(good):
    first = {(label, value) for block, word, label, value in read_sequence(good).label_history if block == 0}
    assert first == {(name, 0) for name in ("LIN", "SLC", "REP", "ECO", "SET", "AVG", "NOISE")}


def test_each_slice_is_excited_at_its_place_with_the_spoiling_phase_at_its_centre(good, design):
    positions = design.geometry.slice_positions_m()
    increment = design.protocol.rf_spoil_increment_rad
    for index, pulse in enumerate(read_sequence(good).excitations):
        repetition, slice_index = divmod(index, len(positions))
        assert pulse.freq_hz / pulse.gradient_hz_per_m[2] == pytest.approx(positions[slice_index], abs=1e-8)
        wanted = 0.5 * increment * repetition * (repetition + 1)
        assert np.abs(np.exp(1j * pulse.phase_rad) - np.exp(1j * wanted)) < 1e-6
        assert pulse.flip_rad == pytest.approx(design.protocol.flip_rad, rel=1e-4)
        assert pulse.use == "e"


def test_the_receiver_follows_the_transmitter(good):
    for readout in imaging(read_sequence(good)):
        assert np.abs(np.exp(1j * readout.phase_rad) - np.exp(1j * readout.excitation.phase_rad)) < 1e-6


def test_moments_return_to_zero_and_the_spoiler_is_equal_in_each_tr(good, design):
    from seqopt.pulseq.checks_moments import moments_between_excitations

    moments = moments_between_excitations(read_sequence(good))
    assert np.abs(moments[:, :2]).max() * design.geometry.fov_m[0] < 1e-5
    spoil = design.protocol.spoil_cycles / design.geometry.slice_thickness_m
    # the slice selection's first half of the next TR adds its equal share
    assert np.ptp(moments[:, 2]) < 1e-3
    assert moments[0, 2] > spoil


def test_two_writes_are_byte_identical(design, good, tmp_path):
    write_gre(design, tmp_path / "again.seq")
    assert (tmp_path / "again.seq").read_bytes() == good.read_bytes()


def test_the_file_is_written_to_exactly_the_given_path(design, tmp_path):
    timing = write_gre(design, tmp_path / ".name.seq.partial")
    assert [path.name for path in tmp_path.iterdir()] == [".name.seq.partial"]
    assert read_sequence(tmp_path / ".name.seq.partial").file.signature == timing.md5


def test_version_1_4_1_plays_the_same_k(design, tmp_path):
    write_gre(design, tmp_path / "old.seq", version="1.4.1")
    played = read_sequence(tmp_path / "old.seq")
    assert played.file.version == (1, 4, 1)
    for readout in imaging(played):
        assert np.abs(readout.k_per_m[:, :2] - design.k_per_m[readout.labels["LIN"]]).max() * 0.22 < 1e-4


def test_equal_shapes_are_stored_once(tmp_path):
    few, many = radial_design(shots=2), radial_design(shots=16)
    for design in (few, many):
        write_gre(design, tmp_path / design.name)
    counts = [len(read_sequence(tmp_path / design.name).file.shapes) for design in (few, many)]
    assert counts == [4, 4]  # RF magnitude and phase, one spoke, one time


def test_definitions_are_in_metres_and_seconds_without_te_and_tr(good, design):
    definitions = read_sequence(good).definitions
    assert [float(value) for value in definitions["FOV"].split()] == [0.22, 0.22, 0.0113]
    assert float(definitions["EchoTime"]) == plan_gre(design).te_s
    assert float(definitions["RepetitionTime"]) == plan_gre(design).tr_s
    assert not {"TE", "TR"} & definitions.keys()


def test_a_wanted_te_and_tr_are_kept(design, change, tmp_path):
    shortest = plan_gre(design)
    wanted = change(design, "protocol", te_s=shortest.te_s + 1e-3, tr_s=0.05)
    timing = write_gre(wanted, tmp_path / "a.seq")
    assert timing.te_s == pytest.approx(shortest.te_s + 1e-3, abs=1e-9)
    assert timing.tr_s == pytest.approx(0.05, abs=1e-5 + 1e-9)
    played = read_sequence(tmp_path / "a.seq")
    assert echo_time_s(imaging(played)[0]) == pytest.approx(timing.te_s, abs=1e-9)
    starts = [pulse.centre_s for pulse in played.excitations]
    assert np.allclose(np.diff(starts[::2]), timing.tr_s, atol=1e-9)


@pytest.mark.parametrize(("field", "word"), [("te_s", "echo time"), ("tr_s", "repetition time")])
def test_a_time_that_does_not_fit_states_the_shortest_in_ms(design, change, field, word):
    shortest = plan_gre(design)
    wanted = {"te_s": shortest.min_te_s, "tr_s": shortest.min_tr_s}[field]
    plan_gre(change(design, "protocol", **{field: wanted}))
    with pytest.raises(SeqoptError, match=rf"{word}.*at least {wanted * 1e3:.3f} ms"):
        plan_gre(change(design, "protocol", **{field: wanted - 2e-5}))


@pytest.mark.parametrize(
    ("part", "fields", "saying"),
    [
        ("protocol", {"flip_rad": np.pi / 2, "rf_duration_s": 6e-4}, "longer RF pulse or a smaller flip"),
        ("geometry", {"slice_thickness_m": 5e-4}, "thicker slice"),
        ("geometry", {"slices": 600}, "fewer slices"),
        ("scanner", {"adc_dead_time_s": 2e-4}, "dead time"),
        ("scanner", {"adc_raster_s": 3e-6}, "dwell"),
        ("scanner", {"adc_max_samples": 128}, "samples a readout"),
        ("protocol", {"rf_duration_s": 1.00037e-3}, "RF duration"),
    ],
)
def test_what_does_not_fit_the_scanner_is_refused_with_a_remedy(design, change, part, fields, saying):
    with pytest.raises(SeqoptError, match=saying):
        plan_gre(change(design, part, **fields))


def test_a_design_beyond_the_vector_limit_is_refused(design, change, tmp_path):
    weak = change(design, "scanner", max_slew_hz_per_m_per_s=design.scanner.max_slew_hz_per_m_per_s / 10)
    with pytest.raises(SeqoptError, match="project it"):
        write_gre(weak, tmp_path / "a.seq")
    assert not list(tmp_path.iterdir())


def test_an_unknown_version_is_refused(design, tmp_path):
    with pytest.raises(SeqoptError, match=r"1\.5\.0, 1\.4\.1"):
        write_gre(design, tmp_path / "a.seq", version="1.6.0")


def test_integer_fields_stay_plain_integers_beyond_a_million(tmp_path):
    from seqopt.pulseq.builder import SequenceBuilder
    from seqopt.pulseq.export import write_sequence

    limits = pp.Opts(rf_dead_time=100e-6, adc_dead_time=10e-6)
    sequence = SequenceBuilder(paper_scanner())
    rf = pp.make_block_pulse(0.2, delay=1.234567, duration=1e-3, use="excitation", system=limits)
    sequence.add_block(rf, pp.make_delay(2.0))
    adc = pp.make_adc(4, dwell=1.2345e-3, delay=3.456789, system=limits)
    sequence.add_block(adc, pp.make_delay(12.0))
    gx = pp.make_trapezoid("x", amplitude=1234.56789, rise_time=1.5, flat_time=10.00001, system=limits)
    sequence.add_block(gx)
    write_sequence(sequence, tmp_path / "long.seq")
    text = (tmp_path / "long.seq").read_text()
    body = text[text.index("[BLOCKS]") : text.index("[SHAPES]")]
    assert not re.search(r"\d[eE][+-]?\d", body), body
    file = read_sequence(tmp_path / "long.seq").file
    assert file.findings == ()
    assert file.signature == file.md5
    assert file.rf[1].delay_s == pytest.approx(1.234567, abs=1e-12)
    assert file.adc[1].delay_s == pytest.approx(3.456789, abs=1e-12)
    assert file.adc[1].dwell_s == pytest.approx(1.2345e-3, abs=1e-12)
    assert file.gradients[1].amplitude_hz_per_m == pytest.approx(1234.56789, abs=1e-5)
    assert sum(file.blocks[:, 1]) * 1e-5 == pytest.approx(float(file.definitions["TotalDuration"]), abs=1e-9)


@pytest.mark.parametrize("name", ["mr750", "freemax", "osi2-one"])
def test_other_scanners_rasters_and_dead_times_are_kept(name, tmp_path):
    from designs import radial_design as make

    from seqopt.gradients.profiles import load_scanner
    from seqopt.pulseq.certificate import certify

    scanner = load_scanner(name)
    base = make(shots=2, samples=64, matrix=16, fov_m=0.4)
    design = _on(scanner, base)
    write_gre(design, tmp_path / "a.seq")
    certificate = certify(tmp_path / "a.seq", scanner, design=design)
    assert certificate.holds, certificate.failures


def _on(scanner, base):
    """Spokes on another scanner's raster: the same integral, drawn anew."""
    from dataclasses import replace

    from seqopt.gradients.waveform import k_at, sample_times

    raster, samples, dwell, ramp = scanner.grad_raster_s, base.samples, 10e-6, 60
    body = round(samples * dwell / raster)
    edges = ramp + body + ramp + 1
    envelope = np.interp(np.arange(edges), [0, ramp, ramp + body, edges - 1], [0.0, 1.0, 1.0, 0.0])
    speed = 2 * base.geometry.k_max_per_m[0] / (samples * dwell)
    axis = np.array([[1.0, 0.0], [0.0, 1.0]])
    gradient = speed * envelope[None, :, None] * axis[:, None]
    times = sample_times(samples, dwell_s=dwell, adc_start_s=ramp * raster)
    k = k_at(times, gradient, raster_s=raster)
    start = -k[:, samples // 2]
    return replace(
        base, scanner=scanner, dwell_s=dwell, adc_start_edge=ramp, gradient_hz_per_m=gradient,
        k_start_per_m=start, k_per_m=k + start[:, None],
    )  # fmt: skip
