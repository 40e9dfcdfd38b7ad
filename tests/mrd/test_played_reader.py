"""Data without a trajectory of their own, joined with the .seq that was played: in play order, by labels, or begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from designs import radial_design
from exported import export

from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import write_acquisitions
from seqopt.mrd.blocks import BlockReader
from seqopt.mrd.files import open_mrd, read_raw
from seqopt.mrd.header import planned_signatures, write_scan
from seqopt.mrd.played_reader import PlayedReader
from seqopt.mrd.scan import content_of_trajectories
from seqopt.pulseq.played_scan import played_scan

COUNTERS = ("kspace_encode_step_1", "slice", "repetition", "contrast", "set", "average", "phase", "segment")


@pytest.fixture(scope="module")
def design():
    return radial_design(slices=2, shots=5, samples=64, matrix=16, wiggle=1.0)


@pytest.fixture(scope="module")
def folder(design, tmp_path_factory) -> Path:
    return export(design, tmp_path_factory.mktemp("d") / "design")


@pytest.fixture(scope="module")
def played(folder):
    return played_scan(next(folder.glob("*.seq")))


@pytest.fixture(scope="module")
def scan(design, folder) -> Path:
    """Every readout holds its number in play order."""
    header = folder / f"{design.name}.mrd"
    count = len(read_raw(header).acquisitions)
    write_scan(folder / "scan.mrd", header, [np.full((2, 64), n + 1j, np.complex64) for n in range(count)])
    return folder / "scan.mrd"


def bare(scan: Path, target: Path, change=lambda items: items) -> Path:
    """As a converter leaves it that knows no trajectory."""
    raw = read_raw(scan)
    items = []
    for item in raw.acquisitions:
        head = item.getHead()
        head.trajectory_dimensions = 0
        items.append(ismrmrd.Acquisition(head, item.data.copy()))
    write_acquisitions(target, raw.xml, change(items))
    return target


def nameless(items):
    """Counters, flags and scan counters that were never set."""
    for item in items:
        item.scan_counter = 0
        item.clearAllFlags()
        for name in COUNTERS:
            setattr(item.idx, name, 0)
    return items


def joined(path: Path, played):
    with open_mrd(path) as reader:
        both = PlayedReader(reader, played)
        content = content_of_trajectories(both, path)
        source = BlockReader(path=path, reader=both, content=content, acquisitions=both.acquisitions)
        scans = [(block.slices, source.trajectory(block, None, "per_m")) for block in content.blocks()]
        return both.notes, scans


def numbers_of(scans) -> dict[int, list[int]]:
    return {
        slice_: scan.kspace.samples[place, 0, :, 0].real.astype(int).tolist()
        for slices, scan in scans
        for place, slice_ in enumerate(slices)
    }


DUE = {0: [1, 3, 5, 7, 9], 1: [2, 4, 6, 8, 10]}


def test_the_sequence_gives_k_of_every_readout(scan, design, played, tmp_path):
    notes, scans = joined(bare(scan, tmp_path / "b.mrd"), played)
    assert numbers_of(scans) == DUE
    ((_, whole),) = scans
    assert np.abs(whole.kspace.k_per_m - design.k_per_m).max() < 0.005 / 0.22
    assert whole.kspace.noise.shape == (2, 64)
    assert "11 readouts were joined" in notes[0] and "in play order" in notes[0]


def test_data_without_any_counter_are_sorted_by_the_sequences_labels(scan, played, tmp_path):
    _, scans = joined(bare(scan, tmp_path / "n.mrd", nameless), played)
    assert numbers_of(scans) == DUE


def test_a_converter_that_leaves_out_noise_is_understood(scan, played, tmp_path):
    notes, scans = joined(bare(scan, tmp_path / "q.mrd", lambda items: nameless(items[1:])), played)
    assert numbers_of(scans) == DUE
    assert "10 readouts were joined" in notes[0]


def test_a_file_in_another_order_is_put_in_the_order_of_acquisition(scan, played, tmp_path):
    _, scans = joined(
        bare(scan, tmp_path / "o.mrd", lambda items: [items[i] for i in (3, 0, 7, 1, 2, 9, 4, 5, 6, 10, 8)]), played
    )
    assert numbers_of(scans) == DUE


def test_where_readouts_are_missing_the_labels_tell_which(scan, played, tmp_path):
    notes, scans = joined(bare(scan, tmp_path / "l.mrd", lambda items: [*items[:4], *items[6:]]), played)
    assert numbers_of(scans) == {0: [1, 3, 7, 9], 1: [2, 6, 8, 10]}
    assert "by their labels" in notes[0]


def test_an_aborted_scan_without_counters_is_the_beginning(scan, played, tmp_path):
    notes, scans = joined(bare(scan, tmp_path / "a.mrd", lambda items: nameless(items[:-2])), played)
    assert numbers_of(scans) == {0: DUE[0][:4], 1: DUE[1][:4]}
    assert "the scan is incomplete: its 9 readouts" in notes[0]


def test_another_sequence_is_refused_with_both_sizes(scan, tmp_path):
    def refused(saying: str, **other) -> None:
        folder = export(radial_design(slices=2, matrix=16, **other), tmp_path / f"d{len(saying)}")
        with pytest.raises(SeqoptError, match=saying):
            joined(bare(scan, tmp_path / "x.mrd"), played_scan(next(folder.glob("*.seq"))))

    refused("10 imaging readouts of 64 samples, but radial-5_v1.5.0.seq plays 10 of 128; give", shots=5, samples=128)
    refused("holds 10 imaging readouts of 64 samples, but radial-3.* plays 6 of 64", shots=3, samples=64)


def notes_of(scan: Path, sequence: Path) -> list[str]:
    with open_mrd(scan) as reader:
        return PlayedReader(reader, played_scan(sequence)).notes


def named(scan: Path, target: Path, md5: str) -> Path:
    """The file with another name of its sequence."""
    raw = read_raw(scan)
    mine = planned_signatures(scan)
    assert len(mine) == 1
    write_acquisitions(target, raw.xml.replace(min(mine).encode(), md5.encode()), raw.acquisitions)
    return target


def test_the_sequence_that_the_data_name_needs_no_note(scan, folder, tmp_path):
    sequence = next(folder.glob("*.seq"))
    assert len(notes_of(scan, sequence)) == 1
    loud = named(scan, tmp_path / "u.mrd", min(planned_signatures(scan)).upper())
    assert len(notes_of(loud, sequence)) == 1


def test_another_name_is_said_and_another_name_with_another_k_is_refused(scan, folder, tmp_path):
    sequence = next(folder.glob("*.seq"))
    other = named(scan, tmp_path / "o.mrd", "f" * 32)
    assert notes_of(other, sequence)[1] == (
        f"the data name the sequence ffffffff, {sequence.name} is {min(planned_signatures(scan))[:8]}: "
        "was it exported anew?"
    )
    bent = export(radial_design(slices=2, shots=5, samples=64, matrix=16, wiggle=4.0), tmp_path / "bent")
    with pytest.raises(
        SeqoptError, match=r"is of the sequence .*, and its trajectory is \d\.\d+ cycles/FOV away; give"
    ):
        notes_of(scan, next(bent.glob("*.seq")))


def test_a_trajectory_of_the_file_gives_way_to_the_sequence_with_a_note(scan, folder, tmp_path):
    """No name in the file; its k is off by 2 cycles/FOV, or of no use at all."""
    sequence = next(folder.glob("*.seq"))

    def spoilt(target: Path, change) -> Path:
        raw = read_raw(named(scan, target, "x"))
        for item in raw.acquisitions[1:]:
            item.traj[:] = change(item.traj)
        write_acquisitions(target, raw.xml.replace(b"seq_signature", b"other"), raw.acquisitions)
        return target

    notes = notes_of(spoilt(tmp_path / "s.mrd", lambda k: k + 2 / 16), sequence)
    assert notes[1].startswith("the file's own trajectory is 2 cycles/FOV away")
    assert len(notes_of(spoilt(tmp_path / "n.mrd", lambda k: k * np.nan), sequence)) == 1


def test_calibration_scans_of_the_sequence_are_left_out_of_the_image(tmp_path):
    made = radial_design(slices=1, shots=3, samples=64, matrix=16)
    design = replace(made, protocol=replace(made.protocol, calibrate=("maps", "delays")))
    folder = export(design, tmp_path / "d")
    header = folder / f"{design.name}.mrd"
    count = len(read_raw(header).acquisitions)
    write_scan(folder / "s.mrd", header, [np.full((2, 64), n + 1j, np.complex64) for n in range(count)])
    played = played_scan(next(folder.glob("*.seq")))
    assert played.image.sum() == 3
    _, scans = joined(bare(folder / "s.mrd", tmp_path / "b.mrd", nameless), played)
    assert numbers_of(scans) == {0: [count - 3, count - 2, count - 1]}


def test_a_sequence_that_encodes_z_or_images_nothing_is_refused(tmp_path):
    pypulseq = pytest.importorskip("pypulseq")

    def sequence(axis: str | None) -> Path:
        system = pypulseq.Opts()
        seq = pypulseq.Sequence(system)
        for _ in range(3):
            if axis is not None:
                seq.add_block(pypulseq.make_block_pulse(0.1, duration=1e-3, system=system, use="excitation"))
                gradient = pypulseq.make_trapezoid(axis, flat_area=100, flat_time=640e-6, system=system)
                seq.add_block(gradient, pypulseq.make_adc(64, dwell=10e-6, delay=gradient.rise_time, system=system))
            else:
                seq.add_block(pypulseq.make_adc(64, dwell=10e-6, system=system))
        seq.write(str(tmp_path / f"{axis}.seq"))
        return tmp_path / f"{axis}.seq"

    with pytest.raises(SeqoptError, match="encodes along z"):
        played_scan(sequence("z"))
    with pytest.raises(SeqoptError, match="plays no readout that serves an image"):
        played_scan(sequence(None))
    assert played_scan(sequence("x")).counters["kspace_encode_step_1"].tolist() == [0, 1, 2]  # it has no labels
