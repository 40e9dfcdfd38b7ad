"""Shapes as they are written, against pypulseq's decompression, its writer and its k-space; none of it shares code."""

from types import SimpleNamespace

import numpy as np
import pypulseq as pp
import pytest
from designs import paper_scanner
from pypulseq.decompress_shape import decompress_shape

from seqopt.errors import SeqoptError
from seqopt.pulseq.builder import GX, SequenceBuilder
from seqopt.pulseq.export import sequence_bytes, write_sequence
from seqopt.pulseq.readback import read_sequence
from seqopt.pulseq.shapes import pack, printed, quantise, shape_of

RASTER_S = 1e-5


def smooth(generator, edges, *, peak=1e6):
    """(edges,) Hz/m from 0 to 0."""
    t = np.linspace(0, 1, edges)
    wave = sum(generator.normal() * np.sin(np.pi * n * t + 0) / n for n in range(1, 9))
    wave[[0, -1]] = 0.0
    return peak * wave / np.abs(wave).max()


def unpacked(text, samples):
    """(samples,) what pypulseq makes of a printed shape."""
    lines = text.decode().split()
    assert lines[:2] == ["shape_id", "1"]
    assert int(lines[3]) == samples
    return decompress_shape(SimpleNamespace(num_samples=samples, data=np.array(lines[4:], dtype=float)))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("digits", [0, 3, 6, 9])
def test_pypulseq_unpacks_what_is_printed(seed, digits):
    generator = np.random.default_rng(seed)
    pieces = [np.repeat(generator.uniform(-1, 1), generator.integers(1, 40)) for _ in range(generator.integers(1, 9))]
    pieces += [np.linspace(*generator.uniform(-1, 1, 2), generator.integers(2, 30)) for _ in range(3)]
    values = np.concatenate([pieces[place] for place in generator.permutation(len(pieces))])
    values = np.round(values * 50) if digits == 0 else values
    shape = shape_of(values, digits)
    assert len(shape.counts) <= len(values)
    found = unpacked(b"".join(printed([shape])), len(values))
    assert np.abs(found - np.round(values, digits)).max() < 1e-12 + 1e-9 * (digits == 9)


def test_a_trapezoid_packs_to_a_few_numbers():
    trapezoid = np.interp(np.arange(500), [0, 20, 480, 499], [0, 1, 1, 0])
    assert len(shape_of(trapezoid, 9).counts) < 60
    assert len(shape_of(np.arange(500), 0).counts) == 4


def test_two_equal_numbers_at_the_end_of_a_shape_are_no_run_without_length():
    for values in ([0, 1, 2, 3, 3.5, 3.5, 3.5], [5, 5, 5, 5, 5], [1, 2, 4, 8, 16, 32]):
        found = unpacked(b"".join(printed([shape_of(np.array(values, dtype=float), 3)])), len(values))
        np.testing.assert_allclose(found, values)


def test_rounding_keeps_the_integral_to_half_a_step_at_every_edge():
    waves = np.stack([smooth(np.random.default_rng(seed), 2001) for seed in range(8)])
    rows = quantise(waves, digits=6, silent=1e-3)
    written = rows.counts * rows.amplitudes[:, None] * 1e-6
    drift = np.cumsum((written[:, 1:] + written[:, :-1] - waves[:, 1:] - waves[:, :-1]) / 2, axis=1)
    assert np.abs(drift).max() <= 1.01e-6 * np.abs(rows.amplitudes).max()  # plain rounding drifts 10 times as far
    assert np.abs(written - waves).max() <= 1.01e-6 * np.abs(rows.amplitudes).max()
    assert np.abs(rows.counts).max() <= 10**6


def test_rows_of_one_form_are_equal_whatever_their_size_and_sign():
    wave = smooth(np.random.default_rng(1), 700)
    rows = quantise(np.stack([wave, -0.3 * wave, wave * np.cos(1.1), wave[::-1] * 0]), digits=6, silent=1e-3)
    assert (rows.counts[0] == rows.counts[1]).all()
    assert (rows.counts[0] == rows.counts[2]).all()
    assert rows.amplitudes[1] / rows.amplitudes[0] == pytest.approx(-0.3)
    assert rows.amplitudes[3] == 0


def test_shots_turned_by_quarter_turns_share_their_shapes():
    x, y = (smooth(np.random.default_rng(seed), 400) for seed in (1, 2))
    turned = [np.stack(pair, -1) for pair in ((x, y), (-y, x), (-x, -y), (y, -x))]
    builder = SequenceBuilder(paper_scanner())
    shots = builder.waveforms(np.stack(turned))
    assert len(builder.shapes) == 3  # x, y and the times
    assert len(builder.gradients) == 4
    assert [event.column for event in shots[1]] == [GX, GX + 1]


def learned(shots=6, edges=300):
    generator = np.random.default_rng(7)
    # within the paper's limits: at most 0.05 * 8.5e9 Hz/m/s times the period
    return np.stack([[smooth(generator, edges, peak=3e5) for _ in range(2)] for _ in range(shots)]).transpose(0, 2, 1)


def test_pypulseq_s_own_sequence_of_the_same_blocks_reads_back_to_the_same_gradients_and_k(tmp_path):
    waves = learned()
    scanner = paper_scanner()
    limits = pp.Opts(
        max_grad=scanner.max_grad_hz_per_m, max_slew=scanner.max_slew_hz_per_m_per_s, rf_dead_time=100e-6,
        rf_ringdown_time=30e-6, adc_dead_time=10e-6,
    )  # fmt: skip
    theirs, builder = pp.Sequence(limits), SequenceBuilder(scanner)
    rf, gz, _ = pp.make_sinc_pulse(
        0.3, duration=2e-3, slice_thickness=5e-3, delay=100e-6, use="excitation", return_gz=True, system=limits
    )
    block = pp.make_block_pulse(0.1, duration=1e-3, delay=100e-6, use="preparation", system=limits)
    adc = pp.make_adc(500, dwell=5e-6, delay=2e-4, phase_offset=1.25, system=limits)
    times = np.arange(waves.shape[1]) * RASTER_S
    for shot, (wave, ours) in enumerate(zip(waves, builder.waveforms(waves), strict=True)):
        labels = [pp.make_label("LIN", "SET", shot), pp.make_label("REP", "INC", 1)]
        shaped = [
            pp.make_extended_trapezoid(axis, amplitudes=values, times=times, system=limits)
            for axis, values in zip("xy", wave.T, strict=True)
        ]
        for events in ([block], [rf, gz], [pp.make_delay(5e-4)], [*shaped, adc, *labels]):
            theirs.add_block(*events)
        for events in ([block], [rf, gz], [pp.make_delay(5e-4)], [*ours, adc, *labels]):
            builder.add_block(*events)
    theirs.write(str(tmp_path / "theirs.seq"))
    read = {"theirs": pp.Sequence(limits), "ours": pp.Sequence(limits)}
    for version in ("1.5.0", "1.4.1"):
        write_sequence(builder, tmp_path / "ours.seq", version=version)
        for name, sequence in read.items():
            sequence.read(str(tmp_path / f"{name}.seq"))
        for number in theirs.block_events:
            one, other = (read[name].get_block(number) for name in read)
            for part in ("gx", "gy"):
                if getattr(one, part, None) is not None:
                    mine, his = getattr(other, part), getattr(one, part)
                    np.testing.assert_allclose(mine.waveform, his.waveform, atol=2.0)  # Hz/m, of 3e5
                    np.testing.assert_allclose(mine.tt, his.tt, atol=1e-12)
            if one.rf is not None:
                np.testing.assert_allclose(other.rf.signal, one.rf.signal, atol=1e-4 * np.abs(one.rf.signal).max())
                np.testing.assert_allclose(other.rf.t, one.rf.t, atol=1e-9)
                assert other.rf.delay == pytest.approx(one.rf.delay)
            assert other.block_duration == pytest.approx(one.block_duration)
        k = [sequence.calculate_kspace()[0] for sequence in read.values()]
        assert k[0].shape == k[1].shape
        assert np.abs(k[0] - k[1]).max() < 0.001 / 0.22
        labels = [sequence.evaluate_labels(evolution="adc") for sequence in read.values()]
        assert all((labels[0][name] == labels[1][name]).all() for name in ("LIN", "REP"))


def test_our_reader_finds_k_of_every_shot_to_a_hundred_thousandth_of_a_cycle(tmp_path):
    waves = learned(shots=40)
    builder = SequenceBuilder(paper_scanner())
    adc = pp.make_adc(500, dwell=5e-6, delay=2e-4)
    for events in builder.waveforms(waves):
        builder.add_block(*events, adc)
    write_sequence(builder, tmp_path / "a.seq")
    played = read_sequence(tmp_path / "a.seq")
    times = 2e-4 + (np.arange(500) + 0.5) * 5e-6
    edges = np.arange(waves.shape[1]) * RASTER_S
    for readout, wave in zip(played.readouts, waves, strict=True):
        fine = np.linspace(0, edges[-1], 50 * (len(edges) - 1) + 1)
        values = np.stack([np.interp(fine, edges, axis) for axis in wave.T], -1)
        integral = np.concatenate([np.zeros((1, 2)), np.cumsum((values[1:] + values[:-1]) / 2, axis=0) * fine[1]])
        wanted = np.stack([np.interp(times, fine, axis) for axis in integral.T], -1)
        assert np.abs(readout.local_moment_per_m[:, :2] - wanted).max() * 0.5 < 1e-5 + 1e-5


def test_a_waveform_that_goes_on_in_the_next_block_meets_it_within_a_hertz_per_metre(tmp_path):
    wave = learned(shots=1, edges=401)
    halves = wave[:, :201], wave[:, 200:]
    builder = SequenceBuilder(paper_scanner())
    for half in halves:
        builder.add_block(*builder.waveforms(half)[0])
    write_sequence(builder, tmp_path / "a.seq")
    played = read_sequence(tmp_path / "a.seq")
    (_, first), (_, second) = (played.corners_of(played.block_key(block)) for block in (0, 1))
    assert np.abs(first[-1, :2]).min() > 1000
    assert np.abs(first[-1] - second[0]).max() < 1.0


def test_two_writes_are_equal_and_the_size_is_known_before(tmp_path):
    sizes = []
    for name in ("a", "b"):
        builder = SequenceBuilder(paper_scanner())
        builder.define("Name", "x")
        for events in builder.waveforms(learned()):
            builder.add_block(*events)
        for version in ("1.5.0", "1.4.1"):
            write_sequence(builder, tmp_path / f"{name}{version}", version=version)
            sizes.append((sequence_bytes(builder, version), (tmp_path / f"{name}{version}").stat().st_size))
    assert all(told == real for told, real in sizes)
    for version in ("1.5.0", "1.4.1"):
        assert (tmp_path / f"a{version}").read_bytes() == (tmp_path / f"b{version}").read_bytes()


@pytest.mark.parametrize(
    ("event", "saying"),
    [
        (lambda: SimpleNamespace(type="soft_delay"), "soft_delay"),
        (lambda: pp.make_arbitrary_grad("x", np.sin(np.linspace(0, np.pi, 50)) * 1e4), "corners"),
        (lambda: pp.make_delay(1.23456e-3), "off the raster"),
        (lambda: pp.make_label("LIN", "SET", 1), "lengthen the block"),
    ],
)
def test_what_a_file_could_not_say_is_refused(event, saying):
    with pytest.raises(SeqoptError, match=saying):
        SequenceBuilder(paper_scanner()).add_block(event())


def test_two_gradients_of_one_axis_in_a_block_are_refused():
    gx = pp.make_trapezoid("x", area=100)
    with pytest.raises(SeqoptError, match="two events of one kind"):
        SequenceBuilder(paper_scanner()).add_block(gx, gx)


def test_numbers_that_no_shape_can_hold_are_refused():
    for values in ([0.0, np.nan, 1, 2, 3], [1e30] * 6):
        with pytest.raises(SeqoptError, match="NaN"):
            shape_of(np.array(values), 6)
    assert pack(np.zeros(3, np.int32), 6).packed is False


def test_receivers_and_pulses_that_differ_in_time_only_stay_apart():
    from seqopt.core import Geometry, Protocol
    from seqopt.pulseq.events import Events, Receiver
    from seqopt.pulseq.slice_selection import slice_pulse

    events, geometry = Events(paper_scanner()), Geometry(fov_m=(0.2, 0.2), matrix=(32, 32))
    early, late = (
        slice_pulse(paper_scanner(), Protocol(), geometry, flip_rad=0.2, duration_s=2e-3, late_s=late_s)
        for late_s in (0.0, 7e-6)
    )
    rf = {events.rf(events.pulse(planned, "excitation"), 0.0, 100.0).number for planned in (early, late, early)}
    adc = {events.adc(Receiver(samples=64, dwell_s=4e-6, delay_s=d), 0.0).number for d in (1e-4, 2e-4, 1e-4)}
    assert len(rf) == len(adc) == 2
