"""Reading: tables at once as row by row, at the stated line where something is wrong, and as pypulseq reads."""

from __future__ import annotations

import re
import time

import numpy as np
import pypulseq as pp
import pytest
from designs import paper_scanner
from pypulseq_files import GOOD, spiral
from seqfiles import cartesian_gre, edit_row, edit_text, resign, rows

from seqopt.errors import SeqoptError
from seqopt.pulseq import seqnumbers
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.readback import read_sequence
from seqopt.pulseq.seqfile import read_seqfile


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {name: write(folder / f"{name}.seq") for name, write in GOOD.items()}


def check(path, name):
    return next(check for check in certify(path, paper_scanner()).checks if check.name == name)


@pytest.mark.parametrize("name", [name for name in GOOD if "by hand" not in name])
def test_k_and_times_of_every_good_file_are_pypulseq_s(files, name):
    sequence = pp.Sequence()
    sequence.read(str(files[name]), detect_rf_use="1.4.1" in name)  # which does not hold the use
    k, _, _, _, t_adc = sequence.calculate_kspace()
    played = read_sequence(files[name])
    assert np.abs(np.concatenate([r.k_per_m for r in played.readouts]).T - k).max() * 0.2 < 2e-3
    assert np.allclose(np.concatenate([r.times_s for r in played.readouts]), t_adc, atol=1e-9)
    assert played.duration_s == pytest.approx(sequence.duration()[0], abs=1e-9)


@pytest.mark.parametrize(
    "text", ["1 2\n3\n", "1 2 3\n", "1 -2\n", "1 2.0\n", "1 2\n3 4 5 6\n", "", "1 9999999999999999\n"]
)
def test_blocks_that_are_no_plain_table_are_left_to_the_slow_reader(text):
    assert seqnumbers.whole_table(text.encode(), 2) is None


def test_a_table_of_blocks_may_end_in_the_comment_of_the_next_section():
    table = seqnumbers.whole_table(b"1 20\n  2  30 \n\n# Format of RF events:\n# id ...\n", 2)
    assert table.tolist() == [[1, 20], [2, 30]]


@pytest.mark.parametrize(("old", "new"), [("0.1\n", "0.1x\n"), ("0.1\n", "abc\n"), ("0.1\n", "1_0\n")])
def test_a_sample_that_is_no_number_is_named_with_its_line(tmp_path, old, new):
    text = (GOOD["1.3.1 by hand"](tmp_path / "a.seq")).read_text()
    head, tail = text.split("shape_id 3", 1)
    (tmp_path / "b.seq").write_text(f"{head}shape_id 3{tail.replace(old, new, 1)}")
    line = next(at for at, (a, b) in enumerate(zip(text.split("\n"), (tmp_path / "b.seq").read_text().split("\n"),
                                                   strict=True), 1) if a != b)  # fmt: skip
    with pytest.raises(SeqoptError, match=f"line {line}: .*not a number"):
        read_seqfile(tmp_path / "b.seq")


def test_the_place_of_damage_after_comments_and_blank_lines_is_right(files, tmp_path):
    body = files["gre"].read_text().replace("[TRAP]\n", "[TRAP]\n\n# a comment\n\n", 1)
    first = rows(files["gre"].read_text(), "TRAP")[0]
    (tmp_path / "a.seq").write_text(body.replace(f"\n{first}\n", "\n1 oops 1 1 1 0\n", 1))
    line = (tmp_path / "a.seq").read_text().split("\n").index("1 oops 1 1 1 0") + 1
    with pytest.raises(SeqoptError, match=f"line {line}: 'oops'"):
        read_seqfile(tmp_path / "a.seq")


@pytest.mark.parametrize("head", ["[BLOCKS]\n", "[SHAPES]\n"])
def test_lines_of_255_characters_are_found_wherever_they_are(files, head, tmp_path):
    path = edit_text(files["gre"], head, f"{head}# {'x' * 253}\n", out=tmp_path / "a.seq")
    found = check(path, "format.line_ends")
    line = path.read_text().split("\n").index(f"# {'x' * 253}") + 1
    assert (found.held, found.where) == (False, f"line {line}: 255 characters in one line")
    path = edit_text(files["gre"], head, f"{head}# {'x' * 252}\n", out=tmp_path / "a.seq")
    assert check(path, "format.line_ends").held


def test_blocks_out_of_order_and_definitions_twice_are_found(files, tmp_path):
    assert not check(edit_row(files["gre"], "BLOCKS", 3, {0: 9}, out=tmp_path / "a.seq"), "format.blocks").held
    twice = edit_text(files["gre"], "Name gre", "Name gre\nName other", out=tmp_path / "b.seq")
    assert "twice" in check(twice, "format.definitions").where


def test_tabs_are_blanks_and_a_hash_in_capitals_is_the_same(files, tmp_path):
    body = files["gre"].read_text()
    tabbed = "\n".join(line if line.startswith(("#", "[")) else "\t".join(line.split()) for line in body.split("\n"))
    (tmp_path / "a.seq").write_text(tabbed)
    path = resign(tmp_path / "a.seq")
    body = path.read_text()
    path.write_text(body[:-33] + body[-33:].upper())
    certificate = certify(path, paper_scanner())
    assert certificate.holds, certificate.failures


@pytest.mark.parametrize(("old", "new"), [("100 2000\n", "1e+02 2000\n"), ("100 2000\n", "100 2e+03\n")])
def test_a_trigger_in_another_notation_is_found(tmp_path, old, new):
    trigger = "900 77 1 0\n\nextension TRIGGERS 77\n1 2 1 100 2000\n"
    plain = _with_extension(tmp_path, trigger)
    assert check(plain, "format.extensions").held
    found = check(edit_text(plain, old, new, out=tmp_path / "b.seq"), "format.extensions")
    assert found.where == "TRIGGERS 1 does not start with 4 plain integers"


@pytest.mark.parametrize("row", ["0 -3e+03 1 TE", "0 -3000 one TE", "0 -3000"])
def test_a_soft_delay_in_another_notation_is_found(tmp_path, row):
    listed = "900 77 1 0\n\nextension DELAYS 77\n1 {}\n"
    assert check(_with_extension(tmp_path, listed.format("0 -3000 1.5 TE")), "format.extensions").held
    assert (
        "2 plain integers and a number"
        in check(_with_extension(tmp_path, listed.format(row)), "format.extensions").where
    )


def test_shims_came_with_1_5_1_and_what_they_do_to_the_peak_is_not_checked(tmp_path):
    path = _with_extension(tmp_path, "900 77 1 0\n\nextension RF_SHIMS 77\n1 2 1 0 1 0\n")
    assert check(path, "format.extensions").where == "RF_SHIMS came with version 1.5.1"
    newer = edit_text(path, "revision 0", "revision 1", out=tmp_path / "b.seq")
    assert check(newer, "format.extensions").held
    assert any("RF_SHIMS" in text for text in certify(newer, paper_scanner()).not_checked)


def _with_extension(folder, text):
    """The plain GRE with one more extension, behind those that it has."""
    path = cartesian_gre(folder / "a.seq")
    body = path.read_text()
    listed = "\n".join(rows(body, "EXTENSIONS"))
    path.write_text(body.replace(listed, f"{listed}\n{text}", 1))
    return resign(path)


def test_a_centre_outside_the_pulse_is_found(files, tmp_path):
    assert check(files["gre"], "timing.rf_centre").held
    assert not check(edit_row(files["gre"], "RF", 0, {5: 2500}, out=tmp_path / "a.seq"), "timing.rf_centre").held


@pytest.mark.parametrize(
    ("section", "changes", "saying"),
    [("GRADIENTS", {4: 1}, None), ("RF", {4: 3}, "RF 1: its shapes have"), ("ADC", {8: 1}, "ADC 1: .* phases")],
)
def test_shapes_of_one_event_must_have_one_length(tmp_path, good, section, changes, saying):
    path = edit_row(good, section, 0, changes, out=tmp_path / "a.seq")
    found = check(path, "format.shapes")
    assert not found.held
    if saying:
        assert re.search(saying, found.where), found.where


def test_a_shape_that_nobody_plays_may_hold_more_than_1(files, tmp_path):
    spare = "[SHAPES]\n\nshape_id 900\nnum_samples 2\n3\n-7\n"
    assert check(edit_text(files["spiral"], "[SHAPES]\n", spare, out=tmp_path / "a.seq"), "format.shapes").held


def test_a_shape_of_another_length_than_it_states_is_named_with_its_line(files, tmp_path):
    text = files["spiral"].read_text()
    number = rows(text, "GRADIENTS")[0].split()[4]
    path = edit_text(files["spiral"], f"shape_id {number}\nnum_samples 400", f"shape_id {number}\nnum_samples 444",
                     out=tmp_path / "a.seq")  # fmt: skip
    line = path.read_text().split("\n").index(f"shape_id {number}") + 1
    assert f"line {line}" in check(path, "format.shapes").where
    unsigned = tmp_path / "b.seq"
    unsigned.write_bytes(path.read_bytes().split(b"\n[SIGNATURE]")[0])
    with pytest.raises(SeqoptError, match=f"line {line}.*truncated"):
        certify(unsigned, paper_scanner())


def test_a_rotation_that_is_none_is_found(files, tmp_path):
    text = files["gre"].read_text().replace("revision 0", "revision 1")
    listed = "\n".join(rows(text, "EXTENSIONS"))
    (tmp_path / "a.seq").write_text(
        text.replace(listed, f"{listed}\n900 77 1 0\n\nextension ROTATIONS 77\n1 1 1 0 0", 1)
    )
    assert "length 1" in check(resign(tmp_path / "a.seq"), "format.references").where


def test_a_sequence_of_too_many_bytes_fails_the_size_and_says_what_is_known(tmp_path, monkeypatch):
    from seqopt.pulseq import checks_size

    monkeypatch.setattr(checks_size, "LARGEST_BYTES", 1000)
    path = spiral(tmp_path / "a.seq")
    assert not check(path, "size.file").held
    assert check(path, "size.excitations").value == 4
    assert any("20 blocks" in text for text in certify(path, paper_scanner()).not_checked)


def test_first_of_a_1_4_spiral_is_zero_and_last_is_where_its_slope_leads(files):
    played = read_sequence(files["spiral as 1.4.1"])
    for axis in (3, 4):
        wave = played.waveform(int(played.file.blocks[2, axis]))
        assert wave.values_hz_per_m[0] == 0
        assert wave.values_hz_per_m[-1] == 0
    text = files["spiral as 1.4.1"].read_text()
    number = rows(text, "GRADIENTS")[0].split()[2]
    flat = text.split(f"shape_id {number}\n")[1].split("\n\n")[0].split("\n")
    level = "\n".join([*flat[:-30], *[flat[-30]] * 30])  # held to the end: then it is a step
    path = files["spiral as 1.4.1"].with_name("held.seq")
    path.write_text(text.replace("\n".join(flat), level, 1))
    assert not check(resign(path), "gradient.continuity").held


def test_a_million_lines_of_shapes_are_read_in_seconds(tmp_path):
    values = np.random.default_rng(1).uniform(-1, 1, (1000, 1000))
    shapes = "".join(f"shape_id {n + 1}\nnum_samples 1000\n" + "%.7g\n" * 1000 % tuple(row) + "\n"
                     for n, row in enumerate(values.tolist()))  # fmt: skip
    (tmp_path / "a.seq").write_text(
        f"[VERSION]\nmajor 1\nminor 4\nrevision 1\n[BLOCKS]\n1 1 0 0 0 0 0 0\n[SHAPES]\n{shapes}"
    )
    begin = time.process_time()
    file = read_seqfile(tmp_path / "a.seq")
    assert time.process_time() - begin < 3
    assert np.abs(np.array([file.shape(n) for n in range(1, 1001)]) - values).max() < 1e-6
