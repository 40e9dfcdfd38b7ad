"""Masks as .seq files: written to disk, read back by our reader and by pypulseq."""

from dataclasses import replace

import numpy as np
import pypulseq as pp
import pytest
from designs import echo_time_s
from mask_designs import mask_design

from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner
from seqopt.pulseq import checks_lines, tse
from seqopt.pulseq.builder import ADC
from seqopt.pulseq.cartesian import mask_sequences, plan_mask, write_mask
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.readback import read_sequence

SEQUENCES = tuple(mask_sequences)


def imaging(played):
    return [readout for readout in played.readouts if not readout.is_noise]


def grid_per_m(design, line):
    """(samples, 3) k of a line, from the definition alone."""
    samples = 2 * design.geometry.matrix[0]
    kx = (np.arange(samples) - samples / 2) / (2 * design.geometry.fov_m[0])
    ky = (line - design.geometry.matrix[1] / 2) / design.geometry.fov_m[1]
    return np.stack([kx, np.full(samples, ky), np.zeros(samples)], -1)


@pytest.fixture(scope="module", params=SEQUENCES)
def design(request):
    return mask_design(request.param)


@pytest.fixture(scope="module")
def path(design, tmp_path_factory):
    made = tmp_path_factory.mktemp("mask") / f"{design.name}.seq"
    write_mask(design, made)
    return made


def test_there_are_a_gradient_echo_and_a_turbo_spin_echo():
    assert SEQUENCES == ("gre", "tse")


@pytest.mark.parametrize("version", ["1.5.0", "1.4.1"])
def test_each_line_lies_on_the_cartesian_grid(design, version, tmp_path):
    write_mask(design, tmp_path / "a.seq", version=version)
    readouts = imaging(read_sequence(tmp_path / "a.seq"))
    assert len(readouts) == 2 * 11
    for readout in readouts:
        apart = readout.k_per_m - grid_per_m(design, readout.labels["LIN"])
        assert np.abs(apart).max() * 0.22 < 1e-3
    for slice_ in range(2):
        lines = [readout.labels["LIN"] for readout in readouts if readout.labels["SLC"] == slice_]
        assert sorted(lines) == design.lines.tolist()


def test_pypulseq_finds_each_line_on_the_grid(path, design):
    sequence = pp.Sequence()
    sequence.read(str(path))
    samples = 2 * design.geometry.matrix[0]
    k = sequence.calculate_kspace()[0].T.reshape(-1, samples, 3)[1:]  # without the noise readout
    order = plan_mask(design).order
    assert len(k) == len(order) == 22
    for found, (_, line) in zip(k, order, strict=True):
        assert np.abs(found - grid_per_m(design, line)).max() * 0.22 < 1e-3


@pytest.mark.parametrize("scanner", ["paper", "prisma", "ge-premier", "osi2-one"])
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_the_certificate_holds_on_each_scanner(sequence, scanner, tmp_path):
    te_s = 0.02 if sequence == "tse" else 0.006
    design = mask_design(sequence, scanner=scanner, protocol={"te_s": te_s, "tr_s": 0.3})
    design = replace(design, dwell_s=2e-5)
    write_mask(design, tmp_path / "a.seq")
    certificate = certify(tmp_path / "a.seq", design.scanner, design=design)
    assert certificate.holds, certificate.failures
    names = {check.name for check in certificate.checks}
    assert {"design.k", "design.order", "design.flags", "imaging.echo"} <= names
    only = {"train.moments", "train.times", "train.phases"}
    assert names & only == (only if sequence == "tse" else set())


def test_the_labels_tell_slice_line_and_calibration(path, design):
    readouts = imaging(read_sequence(path))
    assert [(r.labels["SLC"], r.labels["LIN"]) for r in readouts] == list(plan_mask(design).order)
    assert {r.labels["LIN"] for r in readouts if r.labels["REF"]} == {10, 11, 12, 13}
    assert all(r.labels["REF"] == r.labels["IMA"] for r in readouts)
    assert all(r.labels["ECO"] == r.labels["SET"] == r.labels["NOISE"] == 0 for r in readouts)
    echoes = list(plan_mask(design).echoes) or [0] * 22
    assert [r.labels["SEG"] for r in readouts] == echoes


def test_every_counter_is_set_to_zero_in_the_first_block_and_noise_comes_first(path):
    played = read_sequence(path)
    first = {(label, value) for block, word, label, value in played.label_history if block == 0 and word == "SET"}
    assert {("LIN", 0), ("SLC", 0), ("ECO", 0), ("SET", 0), ("SEG", 0), ("REF", 0), ("IMA", 0)} <= first
    assert {value for _, value in first} == {0}
    noise = played.readouts[0]
    assert noise.labels["NOISE"] == 1
    assert noise.excitation is None
    assert noise.samples == played.readouts[1].samples


def test_te_tr_and_scan_time_are_the_planned_ones(path, design):
    timing, played = plan_mask(design), read_sequence(path)
    at_centre = [r for r in imaging(played) if r.labels["LIN"] == 12]
    assert len(at_centre) == 2
    for readout in at_centre:
        assert readout.echo_sample == readout.samples // 2
        assert echo_time_s(readout) == pytest.approx(timing.te_s, abs=1e-9)
    assert np.diff([pulse.centre_s for pulse in played.excitations][::2]) == pytest.approx(timing.tr_s, abs=1e-9)
    assert len(played.excitations) == timing.excitations
    assert played.duration_s == pytest.approx(timing.scan_time_s, abs=1e-9)


def test_two_writes_are_byte_identical(path, design, tmp_path):
    write_mask(design, tmp_path / "again.seq")
    assert (tmp_path / "again.seq").read_bytes() == path.read_bytes()


def test_the_readout_is_one_trapezoid_whose_flat_top_spans_the_adc(path):
    played = read_sequence(path)
    for readout in imaging(played):
        times, gradient = played.corners_of(played.block_key(readout.block))
        assert len(times) == 4
        inside = readout.times_s - played.starts_s[readout.block]
        assert inside[0] - readout.dwell_s / 2 >= times[1] - 1e-9
        assert inside[-1] + readout.dwell_s / 2 <= times[2] + 1e-9
        assert gradient[1, 0] == pytest.approx(1 / (0.22 * 8e-6), rel=1e-6)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_te_below_the_shortest_is_refused_with_the_shortest(sequence):
    design = mask_design(sequence)
    shortest = plan_mask(design).min_te_s
    assert plan_mask(replace(design, protocol=replace(design.protocol, te_s=shortest))).te_s == pytest.approx(shortest)
    with pytest.raises(SeqoptError, match=rf"echo time: got 1 ms, expected at least {shortest * 1e3:.3f} ms"):
        plan_mask(replace(design, protocol=replace(design.protocol, te_s=1e-3)))


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_tr_below_the_shortest_is_refused_with_the_shortest(sequence):
    design = mask_design(sequence)
    with pytest.raises(SeqoptError, match=rf"at least {plan_mask(design).min_tr_s * 1e3:.3f} ms"):
        plan_mask(replace(design, protocol=replace(design.protocol, tr_s=1e-3)))


def test_a_te_beyond_the_echo_train_is_refused():
    spacing = plan_mask(mask_design("tse")).echo_spacing_s
    with pytest.raises(SeqoptError, match=rf"at most {4 * spacing * 1e3:.3f} ms, the last of 4 echoes"):
        plan_mask(mask_design("tse", protocol={"te_s": 5 * spacing}))


@pytest.mark.parametrize(("te_ms", "echo"), [(None, 0), (6.0, 0), (12.0, 1), (15.0, 2), (21.0, 3), (24.0, 3)])
@pytest.mark.parametrize("order", ["nested", "linear", "centre-out"])
def test_the_centre_is_read_at_the_echo_nearest_the_wanted_te(te_ms, echo, order):
    wanted = {} if te_ms is None else {"te_s": te_ms * 1e-3}
    timing = plan_mask(mask_design("tse", protocol=wanted, line_order=order))
    assert timing.echo_spacing_s == pytest.approx(5.5e-3, abs=2e-4)  # what the table above is for
    assert {timing.echoes[at] for at, (_, line) in enumerate(timing.order) if line == 12} == {echo}
    assert timing.te_s == pytest.approx((echo + 1) * timing.echo_spacing_s, abs=1e-6)


def test_the_refocusing_pulse_is_lengthened_where_b1_is_short(tmp_path):
    design = mask_design("tse", slices=1)
    write_mask(design, tmp_path / "a.seq")
    played = read_sequence(tmp_path / "a.seq")
    excite, refocus = played.pulses[:2]
    assert refocus.end_s - refocus.start_s > excite.end_s - excite.start_s == pytest.approx(2e-3)
    assert (excite.flip_rad, refocus.flip_rad) == (pytest.approx(np.pi / 2, rel=1e-4), pytest.approx(np.pi, rel=1e-4))
    check = next(c for c in certify(tmp_path / "a.seq", design.scanner).checks if c.name == "rf.peak_b1")
    assert 0.9 * check.limit < check.value <= check.limit


def test_slices_are_excited_and_refocused_at_their_places(tmp_path):
    design = mask_design("tse", slices=3)
    write_mask(design, tmp_path / "a.seq")
    for at, pulse in enumerate(read_sequence(tmp_path / "a.seq").pulses):
        place = design.geometry.slice_positions_m()[at // 5 % 3]
        assert pulse.freq_hz / pulse.gradient_hz_per_m[2] == pytest.approx(place, abs=1e-8)


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"dwell_s": 1e-6}, "dwell of at least"),
        ({"dwell_s": 8.1e-6}, "dwell: got 4.05 us, expected a multiple of 0.1 us"),
        ({"scanner": replace(load_scanner("paper"), adc_max_samples=32)}, "samples a readout: got 64"),
    ],
)
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_readout_that_does_not_fit_the_scanner_is_refused(sequence, changes, saying):
    with pytest.raises(SeqoptError, match=saying):
        plan_mask(replace(mask_design(sequence), **changes))


def test_unknown_sequences_orders_and_trains_are_refused():
    with pytest.raises(SeqoptError, match="unknown sequence 'epi'; known: gre, tse"):
        plan_mask(mask_design("epi"))
    with pytest.raises(SeqoptError, match="unknown line order 'zigzag'; known: nested, linear, centre-out"):
        plan_mask(mask_design("gre", line_order="zigzag"))
    with pytest.raises(SeqoptError, match=r"echo train: got 12, expected 1\.\.11"):
        plan_mask(mask_design("tse", echo_train=12))


def failing(path, design):
    return {check.name for check in certify(path, design.scanner, design=design).failures}


def test_the_certificate_notices_another_mask_order_or_calibration(path, design):
    assert failing(path, design) == set()
    other = replace(design, order=np.concatenate([design.order[:8], design.order[:7:-1]]))
    assert {"design.order", "design.k"} <= failing(path, other)
    assert failing(path, replace(design, play=replace(design.play, line_order="linear"))) == {"design.order"}
    assert failing(path, replace(design, calibration=0)) == {"design.flags"}
    shifted = replace(design, geometry=replace(design.geometry, fov_m=(0.22, 0.21)))
    assert "design.k" in failing(path, shifted)


def lobes_changed(plan, name, axis, per_m):
    lobes = getattr(plan, name)
    area = lobes.area_per_m.copy()
    area[:, axis] += per_m
    return replace(plan, **{name: replace(lobes, area_per_m=area)})


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda plan: lobes_changed(plan, "after", 0, 30.0), {"train.moments", "train.times", "design.k"}),
        (lambda plan: lobes_changed(plan, "after", 2, 30.0), {"train.moments", "design.k"}),
        (lambda plan: lobes_changed(plan, "before", 1, 2.0), {"train.moments", "design.k"}),
        (lambda plan: replace(plan, first=replace(plan.first, block_s=plan.first.block_s + 1e-4)), {"train.times"}),
        (lambda plan: replace(plan, before=replace(plan.before, block_s=plan.before.block_s + 1e-5)), {"train.times"}),
    ],
)
def test_the_certificate_notices_a_broken_echo_train(change, names, tmp_path, monkeypatch):
    design = mask_design("tse")
    monkeypatch.setattr(tse, "make_tse_plan", lambda design, made=tse.make_tse_plan: change(made(design)))
    write_mask(design, tmp_path / "a.seq")
    assert names <= failing(tmp_path / "a.seq", design) <= names | {"imaging.echo", "imaging.k_max"}


def test_the_certificate_notices_refocusing_pulses_in_phase(tmp_path, monkeypatch):
    design = mask_design("tse")
    made = tse.Events.rf
    monkeypatch.setattr(tse.Events, "rf", lambda self, pulse, phase_rad, freq_hz: made(self, pulse, 0.0, freq_hz))
    write_mask(design, tmp_path / "a.seq")
    assert failing(tmp_path / "a.seq", design) == {"train.phases"}
    assert checks_lines.PHASE_LIMIT_RAD < 0.01


@pytest.mark.parametrize(
    ("turn_rad", "names"),
    [
        (lambda echo, slice_: 0.7, set()),
        (lambda echo, slice_: 0.7 * slice_, set()),
        (lambda echo, slice_: np.pi * (echo % 2), {"train.phases"}),
        (lambda echo, slice_: 0.01 * echo, {"train.phases"}),
    ],
)
def test_the_certificate_notices_a_receiver_phase_that_varies_with_the_echo(turn_rad, names, tmp_path, monkeypatch):
    design, events, receivers, current = mask_design("tse"), tse.Events, [], {}
    made, added, labelled = events.adc, events.add, events.labels

    def adc(self, receiver, phase_rad):
        receivers.append(receiver)
        return made(self, receiver, phase_rad)

    def labels(self, values):
        current.update(values)
        return labelled(self, values)

    def add(self, duration_s, *played):
        if current and any(event.column == ADC for event in played):
            turned = made(self, receivers[0], turn_rad(current["SEG"], current["SLC"]))
            played = [turned if event.column == ADC else event for event in played]
        added(self, duration_s, *played)

    monkeypatch.setattr(tse.Events, "labels", labels)
    monkeypatch.setattr(tse.Events, "adc", adc)
    monkeypatch.setattr(tse.Events, "add", add)
    write_mask(design, tmp_path / "a.seq")
    phases = {readout.phase_rad for readout in imaging(read_sequence(tmp_path / "a.seq"))}
    wanted = {turn_rad(echo, slice_) for echo in range(4) for slice_ in range(2)}
    assert sorted(phases) == pytest.approx(sorted(wanted), abs=1e-8)
    assert failing(tmp_path / "a.seq", design) == names
