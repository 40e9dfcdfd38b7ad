"""TRID labels: GE's interpreter replays the first segment of a number, so those of one number must be alike."""

import re
from dataclasses import replace

import numpy as np
import pypulseq as pp
import pytest
from designs import paper_scanner, radial_design
from mask_designs import mask_design
from pypulseq_files import GOOD
from seqfiles import cartesian_gre, edit_text, rows

from seqopt.gradients.profiles import load_scanner
from seqopt.gradients.waveform import k_at, sample_times
from seqopt.pulseq.builder import SequenceBuilder
from seqopt.pulseq.cartesian import build_mask
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.export import write_sequence
from seqopt.pulseq.gre import build_gre
from seqopt.pulseq.rotations import with_rotations
from seqopt.pulseq.segments import turns_as_a_whole, with_segments

GE = load_scanner("ge-premier")


def spokes(*, shots=6, calibrate=(), scanner=GE, prephase=True):
    """Bent spokes turned by equal angles on GE's raster of 4 us, at half its slew rate."""
    base = radial_design(shots=1, samples=64, matrix=16, fov_m=0.4, slices=2)
    raster, dwell, ramp, body = scanner.grad_raster_s, 2e-5, 100, 320
    t = np.arange(2 * ramp + body + 1) * raster
    envelope = np.interp(np.arange(len(t)), [0, ramp, ramp + body, len(t) - 1], [0.0, 1.0, 1.0, 0.0])
    speed = 2 * base.geometry.k_max_per_m[0] / (64 * dwell)
    one = speed * envelope * (1 + 0.3j * np.sin(2 * np.pi * t / t[-1]))
    arms = one * np.exp(2j * np.pi * np.arange(shots)[:, None] / (2 * shots + 1))
    gradient = np.stack([arms.real, arms.imag], axis=-1)
    k = k_at(sample_times(64, dwell_s=dwell, adc_start_s=ramp * raster), gradient, raster_s=raster)
    start = -k[:, 32]
    return replace(
        base, scanner=scanner, dwell_s=dwell, adc_start_edge=ramp, gradient_hz_per_m=gradient, k_start_per_m=start,
        k_per_m=k + start[:, None], initial_k_per_m=k, protocol=replace(base.protocol, calibrate=calibrate),
    )  # fmt: skip


def segments(path):
    """(TRID, blocks) of each segment as pypulseq reads them: duration, and of each event what GE keeps."""
    sequence = pp.Sequence()
    sequence.read(str(path))
    out = []
    for number in sequence.block_events:
        block = sequence.get_block(number)
        labels = list((block.label or {}).values()) if hasattr(block, "label") else []
        out += [(label.value, []) for label in labels if label.label == "TRID"]
        kept = (
            [] if block.rf is None else [np.round(np.abs(block.rf.signal) / np.abs(block.rf.signal).max(), 6).tobytes()]
        )
        for gradient in (block.gx, block.gy, block.gz):
            kind = None if gradient is None else gradient.type
            if kind == "trap":
                kind = (kind, gradient.rise_time, gradient.flat_time, gradient.fall_time, gradient.delay)
            elif kind == "grad":
                peak = gradient.waveform[np.argmax(np.abs(gradient.waveform))]
                kind = (kind, np.round(gradient.waveform / peak, 5).tolist(), gradient.tt.tolist())
            kept.append(kind)
        adc = block.adc and (block.adc.num_samples, block.adc.dwell, block.adc.delay)
        out[-1][1].append((round(block.block_duration, 9), kept, adc))
    return out


def write(built, path, version="1.5.0"):
    write_sequence(built[0], path, version=version)
    return path


@pytest.mark.parametrize("kind", ["trajectory", "gre", "tse"])
def test_segments_of_one_number_are_alike_to_pypulseq_and_others_differ(kind, tmp_path):
    if kind == "trajectory":
        design = spokes(calibrate=("maps", "delays", "b0"))
        path = write(build_gre(design), tmp_path / "a.seq")
    else:
        te_s = 0.02 if kind == "tse" else 0.006
        design = replace(mask_design(kind, scanner="ge-premier", protocol={"te_s": te_s, "tr_s": 0.3}), dwell_s=2e-5)
        path = write(build_mask(design), tmp_path / "a.seq")
    found, first = segments(path), {}
    assert found[0][0] == 1
    for number, blocks in found:
        assert first.setdefault(number, blocks) == blocks
    assert len(first) == max(first) == len({str(blocks) for blocks in first.values()})
    assert len(found) > len(first) > 2
    certificate = certify(path, design.scanner, design=design)
    assert certificate.holds, certificate.failures
    assert "imaging.segments" in {check.name for check in certificate.checks}


def test_pulses_at_different_times_of_their_blocks_are_segments_of_their_own():
    builder = SequenceBuilder(GE)
    for delay_s in (1e-4, 1.2e-4, 1e-4):
        builder.begin_segment()
        builder.add_block(pp.make_block_pulse(0.2, duration=1e-3, delay=delay_s, use="excitation"), duration_s=2e-3)
    assert list(with_segments(builder).labels["LABELSET"]) == [(1, "TRID"), (2, "TRID")]


def test_files_for_other_vendors_have_no_such_labels(good):
    assert "TRID" not in good.read_text()
    assert "imaging.segments" not in {check.name for check in certify(good, paper_scanner()).checks}


def segment_check(path):
    return next(check for check in certify(path, GE).checks if check.name == "imaging.segments")


def test_a_file_without_segments_is_found_for_ge(tmp_path):
    assert segment_check(cartesian_gre(tmp_path / "a.seq")).where == "no TRID label"


def test_dummies_under_the_number_of_readouts_are_found(tmp_path):
    path = write(build_gre(spokes()), tmp_path / "a.seq")
    labels = re.findall(r"^(\d+) (\d+) TRID$", path.read_text(), re.MULTILINE)
    (_, dummy), (label, image) = labels[1], labels[-1]
    one = edit_text(path, f"\n{label} {image} TRID", f"\n{label} {dummy} TRID", out=tmp_path / "b.seq")
    assert f"TRID {dummy} has other blocks" in segment_check(one).where


def test_arms_that_are_rotations_are_one_segment_where_nothing_beside_them_must_turn(tmp_path):
    design = spokes()
    plain, turned = (write(build_gre(design), tmp_path / f"{v}.seq", version=v) for v in ("1.5.0", "1.5.1"))
    assert "ROTATIONS" not in turned.read_text(), "prephasers lie in blocks of their own"
    assert plain.read_text().count(" TRID") == turned.read_text().count(" TRID")
    out_and_back = np.concatenate([design.gradient_hz_per_m, -design.gradient_hz_per_m[:, 1:]], axis=1)
    design = replace(
        design, k_start_per_m=np.zeros((6, 2)), k_per_m=design.k_per_m - design.k_start_per_m[:, None],
        gradient_hz_per_m=np.pad(out_and_back, [(0, 0), (200, 200), (0, 0)]), adc_start_edge=300, echo_sample=0,
    )  # fmt: skip
    plain, turned = (write(build_gre(design), tmp_path / f"{v}.seq", version=v) for v in ("1.5.0", "1.5.1"))
    assert "ROTATIONS" in turned.read_text()
    assert (plain.read_text().count(" TRID"), turned.read_text().count(" TRID")) == (1 + 2 + 6, 1 + 1 + 1)
    assert segment_check(turned).held


def test_a_rotation_of_one_block_inside_a_segment_is_found(tmp_path):
    turned = with_rotations(build_gre(spokes())[0])
    assert not turns_as_a_whole(turned)
    forced = replace(with_segments(turned), scanner=replace(GE, vendor="none"))
    write_sequence(forced, tmp_path / "a.seq", version="1.5.1")
    assert "rotations differ inside TRID" in segment_check(tmp_path / "a.seq").where


def numbered_segments(path, *, pause=300, read=None):
    """A TR of a GRE twice under one TRID; the later pause and readout may last longer."""
    text = cartesian_gre(path, lines=2).read_text().partition("\n[SIGNATURE]")[0]
    old = rows(text, "BLOCKS")
    new = [[str(at + 1), *old[at % 5].split()[1:7], "900" if at % 5 == 0 else "0"] for at in range(10)]
    new[9][1] = str(pause)
    new[7][1] = str(read or new[7][1])
    text = text.replace("\n".join(old), "\n".join(" ".join(row) for row in new))
    head, tail = text.split("[EXTENSIONS]\n", 1)
    kind = re.search(r"extension LABELSET (\d+)\n", tail)
    tail = tail.replace(kind[0], f"{kind[0]}900 1 TRID\n")
    path.write_text(f"{head}[EXTENSIONS]\n900 {kind[1]} 900 0\n{tail}")
    return path


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({}, ""),
        ({"pause": 500}, ""),
        ({"read": 999}, "TRID 1 has other blocks"),
    ],
)
def test_segments_of_one_number_may_differ_in_their_pauses_alone(changes, saying, tmp_path):
    found = segment_check(numbered_segments(tmp_path / "a.seq", **changes))
    assert (found.held, saying in found.where) == (not saying, True)


def test_a_segment_that_begins_at_a_gradient_is_found(tmp_path):
    path = GOOD["gradient over three blocks"](tmp_path / "a.seq")
    text = path.read_text().partition("\n[SIGNATURE]")[0]
    last = rows(text, "BLOCKS")[-1]  # the ramp down
    first = re.search(r"extension LABELSET (\d+)\n", text)
    text = text.replace(f"\n{last}\n", "\n" + " ".join([*last.split()[:7], "900"]) + "\n")
    text = text.replace("[EXTENSIONS]\n", f"[EXTENSIONS]\n900 {first[1]} 900 0\n")
    path.write_text(text.replace(first[0], f"{first[0]}900 1 TRID\n"))
    assert segment_check(path).value == "2 found"  # and what is played before it has no label
