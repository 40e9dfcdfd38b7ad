"""Version 1.5.1: shots that are rotations of one another are stored once, and play the same k."""

import re
from dataclasses import replace

import numpy as np
import pypulseq as pp
import pytest
from designs import radial_design
from scipy.spatial.transform import Rotation

from seqopt.pulseq.builder import SequenceBuilder
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.export import write_sequence
from seqopt.pulseq.gre import build_gre
from seqopt.pulseq.readback import read_sequence
from seqopt.pulseq.rotations import with_rotations

GOLDEN_RAD = np.pi * (3 - np.sqrt(5))


def golden_arms(shots, *, mirrored=0):
    """One bent spoke again and again, each turned by the golden angle from the one before; some are mirrored first."""
    one = radial_design(shots=1, wiggle=0.4, slices=1)

    def arms(values):
        complex_ = values[0, ..., 0] + 1j * values[0, ..., 1]
        turns = np.exp(1j * GOLDEN_RAD * np.arange(shots))
        many = turns.reshape(-1, *[1] * complex_.ndim) * complex_
        many[shots - mirrored :] = np.conj(many[shots - mirrored :])
        return np.stack([many.real, many.imag], axis=-1)

    names = ("gradient_hz_per_m", "k_start_per_m", "k_per_m", "initial_k_per_m")
    return replace(one, name="arms", **{name: arms(getattr(one, name)) for name in names})


def written(design, folder):
    """The file of each version."""
    sequence, _ = build_gre(design)
    paths = {version: folder / f"{version}.seq" for version in ("1.5.1", "1.5.0", "1.4.1")}
    for version, path in paths.items():
        write_sequence(sequence, path, version=version)
    return paths


def shapes_in(path):
    return path.read_text().count("shape_id")


def shape_bytes(path):
    return len(path.read_bytes().partition(b"[SHAPES]")[2])


@pytest.mark.parametrize("shots", [16, 300])
def test_golden_arms_are_stored_once_and_k_stays(shots, tmp_path):
    design = golden_arms(shots)
    paths = written(design, tmp_path)
    assert shapes_in(paths["1.5.0"]) - shapes_in(paths["1.5.1"]) == 2 * shots - 2
    single = tmp_path / "single"
    single.mkdir()
    assert shape_bytes(paths["1.5.1"]) == pytest.approx(shape_bytes(written(golden_arms(1), single)["1.5.0"]), abs=500)
    played = {version: read_sequence(path).readouts for version, path in paths.items()}
    fov = design.geometry.fov_m[0]
    for turned, plain in zip(played["1.5.1"], played["1.5.0"], strict=True):
        assert np.abs(turned.k_per_m - plain.k_per_m).max() * fov < 1e-5
        assert turned.labels == plain.labels
    for readout in (one for one in played["1.5.1"] if not one.is_noise):
        assert np.abs(readout.k_per_m[:, :2] - design.k_per_m[readout.labels["LIN"]]).max() * fov < 1e-5


def test_the_certificate_of_turned_shots_holds_with_their_design(tmp_path):
    design = golden_arms(16)
    certificate = certify(written(design, tmp_path)["1.5.1"], design.scanner, design=design)
    assert certificate.holds, certificate.failures
    assert certificate.summary["version"] == "1.5.1"


def test_readers_that_do_not_know_rotations_are_told_to_refuse(tmp_path):
    paths = written(golden_arms(4), tmp_path)
    assert read_sequence(paths["1.5.1"]).definitions["RequiredExtensions"] == "ROTATIONS"
    assert "RequiredExtensions" not in read_sequence(paths["1.5.0"]).definitions


def without_rotations(path, out):
    """The file as a reader of 1.5.0 takes it, and the quaternion (scalar first) of each of its blocks."""
    text = path.read_text().partition("\n[SIGNATURE]")[0].replace("revision 1", "revision 0")
    head, table = text.split("extension ROTATIONS ")
    kind, *rows = table.partition("\n\n")[0].splitlines()
    quaternions = {row.split()[0]: [float(part) for part in row.split()[1:]] for row in rows}
    entries = {}
    for row in re.search(r"\[EXTENSIONS\]\n(.*?)\n\n", head, re.DOTALL)[1].splitlines():
        number, type_, reference, following = row.split()
        entries[number] = (type_, reference, following)
    blocks = []
    for row in re.search(r"\[BLOCKS\]\n(.*?)\n\n", text, re.DOTALL)[1].splitlines():
        *columns, entry = row.split()
        turn = None
        if entries.get(entry, ("",))[0] == kind:
            _, reference, entry = entries[entry]
            turn = quaternions[reference]
        blocks.append((" ".join([*columns, entry]), turn))
    kept = [f"{number} {' '.join(entry)}" for number, entry in entries.items() if entry[0] != kind]
    text = re.sub(
        r"(\[BLOCKS\]\n).*?\n\n", lambda m: m[1] + "\n".join(row for row, _ in blocks) + "\n\n", text, flags=re.S
    )
    text = re.sub(r"(\[EXTENSIONS\]\n).*?\n\n", lambda m: m[1] + "\n".join(kept) + "\n\n", text, flags=re.S)
    text = re.sub(r"# id RotQuat0.*?\n\n", "", text, flags=re.S)
    out.write_text(text)
    return [turn for _, turn in blocks]


def test_pypulseq_and_scipy_turn_the_file_to_the_k_of_the_design(tmp_path):
    design = golden_arms(16)
    turns = without_rotations(written(design, tmp_path)["1.5.1"], tmp_path / "plain.seq")
    sequence = pp.Sequence()
    sequence.read(str(tmp_path / "plain.seq"))
    reading = [number for number, row in sequence.block_events.items() if row[5]][1:]  # without noise
    assert sum(turn is not None for turn in turns) >= 15
    k = sequence.calculate_kspace()[0][:, design.samples :].T.reshape(len(reading), design.samples, 3)
    for shot, block in enumerate(reading):
        turn = turns[block - 1]
        matrix = np.eye(3) if turn is None else Rotation.from_quat([*turn[1:], turn[0]]).as_matrix()
        moved = (k[shot] - k[shot][0]) @ matrix.T  # the prephaser lies in a block of its own
        expected = design.k_per_m[shot] - design.k_per_m[shot][0]
        assert np.abs(moved[:, :2] - expected).max() * design.geometry.fov_m[0] < 1e-3


def test_mirrored_arms_and_bent_ones_keep_their_shapes(tmp_path):
    design = golden_arms(12, mirrored=4)
    paths = written(design, tmp_path)
    assert shapes_in(paths["1.5.0"]) - shapes_in(paths["1.5.1"]) == 2 * 12 - 4
    bent = design.gradient_hz_per_m * (1 + 5e-6 * np.arange(12))[:, None, None]
    sequence, _ = build_gre(replace(design, gradient_hz_per_m=bent))
    write_sequence(sequence, tmp_path / "bent.seq", version="1.5.1")
    assert "ROTATIONS" not in (tmp_path / "bent.seq").read_text()


def test_waveforms_that_go_on_in_the_next_block_are_not_turned():
    design = golden_arms(3)
    builder, middle = SequenceBuilder(design.scanner), design.gradient_hz_per_m.shape[1] // 2
    halves = design.gradient_hz_per_m[:, : middle + 1], design.gradient_hz_per_m[:, middle:]
    for shot in zip(*map(builder.waveforms, halves), strict=True):
        for events in shot:
            builder.add_block(*events)
    assert with_rotations(builder) is builder


def test_versions_without_the_extension_hold_every_arm_as_before(tmp_path):
    paths = written(golden_arms(4), tmp_path)
    for version in ("1.5.0", "1.4.1"):
        assert "ROTATIONS" not in paths[version].read_text()
    straight = written(radial_design(shots=6), tmp_path)
    texts = [straight[version].read_text().partition("[SIGNATURE]")[0] for version in ("1.5.1", "1.5.0")]
    assert texts[0].replace("revision 1", "revision 0") == texts[1]
