import time
from pathlib import Path

import numpy as np
import pypulseq as pp
import pytest
from designs import radial_design
from seqfiles import cartesian_gre, edit_row, edit_text, system

from seqopt.errors import SeqoptError
from seqopt.pulseq.readback import read_sequence


def test_a_plain_pypulseq_file_has_pypulseq_s_k_space(tmp_path):
    path = cartesian_gre(tmp_path / "gre.seq")
    sequence = pp.Sequence()
    sequence.read(str(path))
    k, _, t_excitation, _, t_adc = sequence.calculate_kspace()
    played = read_sequence(path)
    assert np.abs(np.concatenate([r.k_per_m for r in played.readouts]).T - k).max() * 0.2 < 1e-3
    assert np.allclose(np.concatenate([r.times_s for r in played.readouts]), t_adc, atol=1e-9)
    assert np.allclose([pulse.centre_s for pulse in played.excitations], t_excitation, atol=1e-9)
    assert [r.labels["LIN"] for r in played.readouts] == list(range(8))


def test_a_1_4_1_file_plays_as_its_1_5_0_twin(tmp_path):
    new, old = (read_sequence(cartesian_gre(tmp_path / f"{v}.seq", v141=v)) for v in (False, True))
    assert old.file.version == (1, 4, 1)
    for a, b in zip(new.readouts, old.readouts, strict=True):
        assert np.abs(a.k_per_m - b.k_per_m).max() < 1e-6
    assert [pulse.use for pulse in old.pulses] == ["e"] * 8


def arbitrary(path, waveform, *, first, last):
    limits = system()
    seq = pp.Sequence(limits)
    rf = pp.make_block_pulse(0.2, duration=1e-3, delay=1e-4, use="excitation", system=limits)
    seq.add_block(rf)
    adc = pp.make_adc(len(waveform), dwell=10e-6, delay=10e-6, system=limits)
    seq.add_block(pp.make_arbitrary_grad("x", waveform, first=first, last=last, delay=10e-6, system=limits), adc)
    seq.write(str(path))
    return path


def test_samples_of_an_arbitrary_gradient_lie_at_raster_centres(tmp_path):
    waveform = 1e5 * np.sin(np.linspace(0.05, np.pi - 0.05, 20)) ** 2
    played = read_sequence(arbitrary(tmp_path / "a.seq", waveform, first=0.0, last=0.0))
    times, gradient = played.corners_of(played.block_key(1))
    assert np.allclose(times, 10e-6 + np.concatenate([[0], np.arange(20) + 0.5, [20]]) * 1e-5)
    assert np.allclose(gradient[1:-1, 0], waveform, atol=1.0)
    # k at the centres, by the same corners and the trapezoidal rule
    k = np.interp(played.readouts[0].times_s - played.starts_s[1], times, np.r_[0, np.cumsum(
        np.diff(times) * (gradient[1:, 0] + gradient[:-1, 0]) / 2)])  # fmt: skip
    assert np.allclose(played.readouts[0].k_per_m[:, 0], k, atol=1e-9)


def spin_echo(path):
    """Rectangular pulses by hand: 90, x moment 10/m, 180, ADC: k starts at -10/m."""
    limits = pp.Opts(max_grad=1e6, max_slew=1e12, rf_dead_time=0, rf_ringdown_time=0)
    seq = pp.Sequence(limits)
    gx = pp.make_trapezoid("x", area=10, duration=1e-3, system=limits)
    seq.add_block(pp.make_block_pulse(np.pi / 2, duration=1e-3, use="excitation", system=limits))
    seq.add_block(gx)
    seq.add_block(pp.make_block_pulse(np.pi, duration=1e-3, use="refocusing", system=limits))
    seq.add_block(gx, pp.make_adc(2, dwell=5e-4, system=limits), pp.make_label("LIN", "INC", 3))
    seq.add_block(pp.make_adc(2, dwell=5e-4, system=limits), pp.make_label("LIN", "INC", 2))
    seq.write(str(path), check_timing=False)
    return path


def test_refocusing_negates_k_and_labels_accumulate(tmp_path):
    played = read_sequence(spin_echo(tmp_path / "se.seq"))
    first, second = played.readouts
    assert first.offset_per_m[0] == pytest.approx(-10, abs=1e-4)
    assert second.k_per_m[:, 0] == pytest.approx(0.0, abs=1e-4)
    assert [first.labels["LIN"], second.labels["LIN"]] == [3, 5]
    assert [pulse.use for pulse in played.pulses] == ["e", "r"]
    assert played.pulses[1].flip_rad == pytest.approx(np.pi, rel=1e-4)


def mprage(path, *, lines=6, partitions=4):
    """As Pulseq's MPRAGE: y and z encode in the block of the ADC and rewind in that of the next pulse, under it."""
    limits = system()
    seq = pp.Sequence(limits)
    read = pp.make_trapezoid("x", amplitude=1e5, flat_time=1.6e-3, delay=4e-4, system=limits)
    back = pp.make_trapezoid("x", area=-read.area / 2, duration=1.2e-3, system=limits)
    for partition in range(partitions):
        for line in range(lines):
            phase = np.radians(117 * line * (line + 1) / 2 % 360)
            rf = pp.make_block_pulse(
                0.2, duration=4e-4, delay=2e-4, use="excitation", phase_offset=phase, system=limits
            )
            adc = pp.make_adc(32, dwell=5e-5, delay=4e-4 + read.rise_time, phase_offset=phase, system=limits)
            areas = {"y": (line - lines / 2) / 0.2, "z": (partition - partitions / 2) / 0.2}
            encode = [
                pp.make_trapezoid(axis, area=area + 1, duration=4e-4, system=limits) for axis, area in areas.items()
            ]
            rewind = [
                pp.make_trapezoid(axis, area=-area - 1, duration=1e-3, system=limits) for axis, area in areas.items()
            ]
            seq.add_block(rf, back, *(rewind if line else []))
            seq.add_block(read, adc, *encode, pp.make_label("LIN", "SET", line), pp.make_label("PAR", "SET", partition))
    seq.write(str(path), check_timing=False)
    return path


def test_encodings_under_pulses_and_readouts_give_pypulseq_s_k_space_in_every_combination(tmp_path):
    path = mprage(tmp_path / "mprage.seq")
    sequence = pp.Sequence()
    sequence.read(str(path))
    theirs, _, centres, _, times = sequence.calculate_kspace()
    played = read_sequence(path)
    assert np.abs(np.concatenate([r.k_per_m for r in played.readouts]).T - theirs).max() * 0.2 < 1e-3
    assert np.allclose([pulse.centre_s for pulse in played.excitations], centres, atol=1e-9)
    assert np.allclose(np.concatenate([r.times_s for r in played.readouts]), times, atol=1e-9)
    assert len({id(readout.local_moment_per_m) for readout in played.readouts}) == 24
    assert [(r.labels["PAR"], r.labels["LIN"]) for r in played.readouts] == [(p, n) for p in range(4) for n in range(6)]


def test_a_readout_that_differs_in_phase_alone_shares_its_moments(tmp_path):
    played = read_sequence(cartesian_gre(tmp_path / "gre.seq"))
    assert len({readout.phase_rad for readout in played.readouts}) > 1
    assert len({id(readout.local_moment_per_m) for readout in played.readouts}) == 1


def test_rf_phase_is_given_at_the_centre(tmp_path, good):
    played = read_sequence(good)
    pulse, event = played.excitations[0], next(iter(played.file.rf.values()))
    assert pulse.phase_rad == pytest.approx(event.phase_rad + 2 * np.pi * event.freq_hz * 1e-3)


V131 = """# made by hand
[VERSION]
major 1
minor 3
revision 1

[BLOCKS]
1 0 1 0 0 0 0 0
2 1 0 1 0 0 0 0
3 0 0 2 0 0 1 0

[RF]
1 250 1 2 100 0 0

[TRAP]
1 -10000 100 800 100 0

[GRADIENTS]
2 20000 3 0

[ADC]
1 4 100000 0 0 0

[DELAYS]
1 2000

[SHAPES]

shape_id 1
num_samples 1000
1
0
0
997

shape_id 2
num_samples 1000
0
0
998

shape_id 3
num_samples 40
0.5
0.5
0
0
0
36
"""


def test_a_1_3_1_file_by_hand_plays_as_calculated(tmp_path):
    path = tmp_path / "v131.seq"
    path.write_text(V131)
    played = read_sequence(path)
    assert played.durations_s == pytest.approx([1.1e-3, 2e-3, 4e-4])
    assert played.excitations[0].flip_rad == pytest.approx(np.pi / 2, rel=1e-9)
    # prephaser -10000 * 0.9 ms = -9; ramp from 0 over half a raster to 0.5, then 1: see shape 3
    values = 20000 * np.concatenate([[0.0], [0.5], np.ones(39), [1.0]])
    times = np.concatenate([[0.0], np.arange(40) + 0.5, [40]]) * 1e-5
    at = (np.arange(4) + 0.5) * 1e-4
    k = np.concatenate([[0], np.cumsum(np.diff(times) * (values[1:] + values[:-1]) / 2)])
    assert played.readouts[0].k_per_m[:, 0] == pytest.approx(-9 + np.interp(at, times, k), abs=1e-9)
    times, gradient = played.gradient_corners()
    area = (np.diff(times) * (gradient[1:, 0] + gradient[:-1, 0]) / 2).sum()
    assert area == pytest.approx(-9 + k[-1], abs=1e-9)


def test_a_rotation_turns_the_gradients_of_its_block(good, tmp_path):
    text = good.read_text().replace("revision 0", "revision 1", 1)
    readout_ext = max(int(line.split()[7]) for line in text.split("[BLOCKS]\n")[1].split("\n\n")[0].splitlines())
    half = np.sqrt(0.5)
    text = text.replace("extension LABELSET", "extension LABELSET", 1)
    head, tail = text.split("[EXTENSIONS]\n", 1)
    listed, rest = tail.split("\n\n", 1)
    listed = "\n".join(
        line if line.split()[3] != "0" or int(line.split()[0]) > readout_ext else " ".join([*line.split()[:3], "900"])
        for line in listed.splitlines()
    )
    rotated = f"{listed}\n900 77 1 0\n\nextension ROTATIONS 77\n1 {half:.12f} 0 0 {half:.12f}\n\n"
    (tmp_path / "turned.seq").write_text(f"{head}[EXTENSIONS]\n{rotated}{rest}")
    plain, turned = read_sequence(good), read_sequence(tmp_path / "turned.seq")
    block = plain.readouts[-1].block
    (_, before), (_, after) = (p.corners_of(p.block_key(block)) for p in (plain, turned))
    assert np.allclose(after, np.stack([-before[:, 1], before[:, 0], before[:, 2]], axis=1), atol=1e-6)
    local = plain.readouts[-1].local_moment_per_m
    assert np.allclose(turned.readouts[-1].local_moment_per_m[:, 0], -local[:, 1], atol=1e-9)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_truncated_file_is_refused_with_a_reason(good, tmp_path, share):
    raw = good.read_bytes()
    (tmp_path / "cut.seq").write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(SeqoptError, match=r"truncated|damaged|VERSION") as caught:
        read_sequence(tmp_path / "cut.seq")
    assert "\n" not in str(caught.value)


def test_truncation_at_any_byte_never_ends_in_another_error(good, tmp_path):
    raw = good.read_bytes()
    for end in np.random.default_rng(1).integers(0, len(raw), 60):
        (tmp_path / "cut.seq").write_bytes(raw[:end])
        try:
            read_sequence(tmp_path / "cut.seq")
        except SeqoptError:
            pass


def test_damage_anywhere_never_ends_in_another_error(good, tmp_path):
    raw = good.read_bytes()
    random = np.random.default_rng(2)
    for _ in range(150):
        damaged = bytearray(raw)
        at = int(random.integers(0, len(raw)))
        damaged[at : at + int(random.integers(0, 3))] = random.choice([b"9", b"-", b"x", b"\n", b" ", b"1e9", b"nan"])
        (tmp_path / "bad.seq").write_bytes(bytes(damaged))
        try:
            read_sequence(tmp_path / "bad.seq")
        except SeqoptError:
            pass


@pytest.mark.parametrize(
    ("section", "column", "value", "saying"),
    [
        ("TRAP", 1, "abc", "line .*'abc' is not a number"),
        ("TRAP", 1, "inf", "line .*not a finite number"),
        ("RF", 2, "99", "shape 99, which is not defined"),
        ("BLOCKS", 6, "55", "ADC 55, which is not defined"),
        ("BLOCKS", 1, "-4", "negative"),
        ("ADC", 1, "99999999999", "samples"),
    ],
)
def test_damage_is_named_with_its_line(good, tmp_path, section, column, value, saying):
    with pytest.raises(SeqoptError, match=saying):
        read_sequence(edit_row(good, section, 0, {column: value}, out=tmp_path / "a.seq"))


def test_columns_of_another_version_are_refused(good, tmp_path):
    with pytest.raises(SeqoptError, match=r"columns, expected .*another version"):
        read_sequence(edit_text(good, "minor 5", "minor 4", out=tmp_path / "a.seq"))


def test_a_shape_that_claims_too_many_samples_is_refused_before_memory_is_taken(good, tmp_path):
    text = good.read_text()
    samples = text.split("num_samples ")[1].split()[0]
    bad = edit_text(good, f"num_samples {samples}", "num_samples 900000000000", out=tmp_path / "a.seq")
    with pytest.raises(SeqoptError, match=r"line .* samples"):
        read_sequence(bad)


def test_what_is_no_file_and_a_binary_file_are_refused(tmp_path):
    for path in (tmp_path / "none.seq", tmp_path, Path("/dev/zero")):
        with pytest.raises(SeqoptError, match="cannot read"):
            read_sequence(path)
    (tmp_path / "b.seq").write_bytes(bytes(range(256)))
    with pytest.raises(SeqoptError, match="binary"):
        read_sequence(tmp_path / "b.seq")


def test_a_real_sized_file_is_written_and_read_in_seconds(tmp_path):
    from seqopt.pulseq.certificate import certify
    from seqopt.pulseq.gre import write_gre

    design = radial_design(shots=16, samples=1000, slices=8, matrix=192, wiggle=0.5)
    begin = time.perf_counter()
    write_gre(design, tmp_path / "a.seq")
    certificate = certify(tmp_path / "a.seq", design.scanner, design=design)
    assert certificate.holds, certificate.failures
    assert time.perf_counter() - begin < 10


def test_a_label_that_one_block_sets_and_increments_is_set_first(tmp_path):
    seq = pp.Sequence(system())
    for labels in ([("INC", 2), ("SET", 5)], [("SET", 5), ("INC", 2)]):
        events = [pp.make_label("LIN", kind, value) for kind, value in labels]
        seq.add_block(pp.make_adc(4, dwell=1e-5, delay=1e-5, system=system()), *events)
    seq.write(str(tmp_path / "a.seq"))
    assert [readout.labels["LIN"] for readout in read_sequence(tmp_path / "a.seq").readouts] == [7, 7]


@pytest.mark.parametrize(("delay_us", "first"), [(0, 5e4), (20, 0.0)])
def test_a_gradient_of_1_4_goes_on_where_the_last_ended_unless_it_waits(delay_us, first, tmp_path):
    limits = pp.Opts(max_grad=1e7, max_slew=1e12)
    seq, ramp = pp.Sequence(limits), np.linspace(0, 5e4, 21)
    centres = (ramp[1:] + ramp[:-1]) / 2
    seq.add_block(pp.make_arbitrary_grad("x", centres, first=0.0, last=5e4, system=limits))
    seq.add_block(pp.make_arbitrary_grad("x", centres[::-1], first=5e4, last=0.0, system=limits))
    path = tmp_path / "a.seq"
    seq.write(str(path), v141_compat=True, check_timing=False)
    played = read_sequence(edit_row(path, "GRADIENTS", 1, {4: delay_us}, out=path))
    assert played.waveform(2).values_hz_per_m[0] == pytest.approx(first, abs=1.0)
