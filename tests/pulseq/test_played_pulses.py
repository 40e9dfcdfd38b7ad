"""Pulses as they are played: use, centre, length, flip angle, and the gradient and moment under them."""

from pathlib import Path

import numpy as np
import pytest
from seqfiles import cartesian_gre, edit_row, rows

from seqopt.pulseq.readback import PlayedSequence, read_sequence
from seqopt.pulseq.seqtables import PackedShape, RfEvent, SeqFile


@pytest.mark.parametrize(("degrees", "use"), [(88.0, "e"), (93.0, "r")])
def test_before_1_5_pulses_of_more_than_90_degrees_refocus(degrees, use, tmp_path):
    path = cartesian_gre(tmp_path / "gre.seq", v141=True)
    amplitude = float(rows(path.read_text(), "RF")[0].split()[1])
    edit_row(path, "RF", 0, {1: amplitude * degrees / 12}, out=path)
    assert read_sequence(path).pulses[0].use == use


def pulse_of(magnitude, times=None):
    """What a pulse of these magnitudes, at times in us or at the centres of each, is without a stated centre."""
    shapes = {1: magnitude, 2: times} if times else {1: magnitude}
    file = SeqFile(
        path=Path("a.seq"), size_bytes=1, version=(1, 4, 1), definitions={},
        blocks=np.array([[1, 1, 1, 0, 0, 0, 0, 0]]),
        rf={1: RfEvent(1e5, 1, 0, 2 if times else 0, None, 1e-4, 0.0, 0.0, 0.0, 0.0, "")},
        shapes={n: PackedShape(n, len(values), np.array(values, dtype=float)) for n, values in shapes.items()},
    )  # fmt: skip
    return PlayedSequence(file).pulses[0]


def test_the_centre_of_a_pulse_is_that_of_its_peak_and_its_length_that_of_its_rasters():
    sampled = pulse_of([0.0, 0.95, 1.0, 1.0, 0.5])
    assert sampled.centre_s - sampled.start_s == pytest.approx(3e-6)
    assert sampled.end_s - sampled.start_s == pytest.approx(5e-6)
    assert sampled.flip_rad == pytest.approx(2 * np.pi * 1e5 * 3.45e-6)
    timed = pulse_of([0.0, 1.0, 0.5], [0.0, 2.0, 2.5])
    assert timed.centre_s - timed.start_s == pytest.approx(2e-6)
    assert timed.end_s - timed.start_s == pytest.approx(3e-6)
    assert timed.flip_rad == pytest.approx(2 * np.pi * 1e5 * 1.375e-6)


def test_a_rotation_turns_the_gradient_under_a_pulse_and_its_moment(tmp_path):
    """About x by 90 degrees: what selected along z selects along minus y."""
    plain = read_sequence(cartesian_gre(tmp_path / "gre.seq"))
    text = (tmp_path / "gre.seq").read_text().partition("\n[SIGNATURE]")[0].replace("revision 0", "revision 1")
    first = rows(text, "BLOCKS")[0]
    text = text.replace(f"\n{first}\n", "\n" + " ".join([*first.split()[:7], "900"]) + "\n")
    listed, half = "\n".join(rows(text, "EXTENSIONS")), np.sqrt(0.5)
    turn = f"extension ROTATIONS 77\n1 {half:.12f} {half:.12f} 0 0"
    (tmp_path / "turned.seq").write_text(text.replace(listed, f"{listed}\n900 77 1 0\n\n{turn}", 1))
    turned = read_sequence(tmp_path / "turned.seq")
    before, after = plain.excitations[0], turned.excitations[0]
    assert after.gradient_hz_per_m == pytest.approx([0.0, -before.gradient_hz_per_m[2], 0.0], abs=1e-3)
    event = plain.file.gradients[plain.block_key(0)[2]]
    left = event.amplitude_hz_per_m * (event.flat_s + event.fall_s) / 2  # from the centre on
    moved = turned.readouts[0].offset_per_m - plain.readouts[0].offset_per_m
    assert moved == pytest.approx([0.0, -left, -left], rel=1e-3, abs=1e-3)
