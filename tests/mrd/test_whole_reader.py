"""Readouts that the receiver delivered in segments, joined with a .seq that plays them whole."""

from __future__ import annotations

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
from seqopt.mrd.header import write_scan
from seqopt.mrd.played_reader import PlayedReader
from seqopt.mrd.scan import content_of_trajectories
from seqopt.pulseq.played_scan import played_scan

SAMPLES, SEGMENTS = 96, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    design = radial_design(slices=2, shots=4, samples=SAMPLES, matrix=16, wiggle=1.0)
    folder = export(design, tmp_path_factory.mktemp("d") / "design")
    header = folder / f"{design.name}.mrd"
    count = len(read_raw(header).acquisitions)
    ramp = np.arange(SAMPLES) * 1j
    write_scan(folder / "scan.mrd", header, [np.tile(n + ramp, (2, 1)).astype(np.complex64) for n in range(count)])
    return folder


def delivered(folder: Path, target: Path, *, numbered: bool, change=lambda items: items) -> Path:
    """As a converter leaves it: an acquisition a segment, without trajectory and counters."""
    raw, items = read_raw(folder / "scan.mrd"), []
    for whole in raw.acquisitions:
        for segment, data in enumerate(np.split(whole.data, SEGMENTS, axis=1)):
            head = whole.getHead()
            head.trajectory_dimensions, head.scan_counter, head.flags = 0, len(items), head.flags if numbered else 0
            head.idx, head.number_of_samples = ismrmrd.EncodingCounters(), SAMPLES // SEGMENTS
            head.idx.segment = segment if numbered else 0
            items.append(ismrmrd.Acquisition(head, np.ascontiguousarray(data)))
    write_acquisitions(target, raw.xml, change(items))
    return target


def read(path: Path, folder: Path):
    with open_mrd(path) as reader:
        both = PlayedReader(reader, played_scan(next(folder.glob("*.seq"))))
        content = content_of_trajectories(both, path)
        source = BlockReader(path=path, reader=both, content=content, acquisitions=both.acquisitions)
        return both.notes, [(block.slices, source.trajectory(block, None, "per_m")) for block in content.blocks()]


@pytest.mark.parametrize("numbered", [True, False])
def test_segments_are_put_together_and_have_the_k_of_the_sequence(numbered, folder, tmp_path):
    design = radial_design(slices=2, shots=4, samples=SAMPLES, matrix=16, wiggle=1.0)
    notes, [(slices, scan)] = read(delivered(folder, tmp_path / "s.mrd", numbered=numbered), folder)
    assert notes[0] == "readouts were put together from 3 segments of 32 samples"
    assert np.abs(scan.kspace.k_per_m - design.k_per_m).max() * 0.22 < 0.005
    for place, slice_ in enumerate(slices):
        for shot in range(4):
            due = 1 + 2 * shot + slice_ + 1j * np.arange(SAMPLES)
            assert scan.kspace.samples[place, 0, shot] == pytest.approx(due)
    assert scan.kspace.noise.shape == (2, SAMPLES)


def test_segments_are_taken_in_the_order_of_acquisition(folder, tmp_path):
    straight = delivered(folder, tmp_path / "s.mrd", numbered=True)
    turned = delivered(folder, tmp_path / "t.mrd", numbered=True, change=lambda items: items[::-1])
    samples = [read(path, folder)[1][0][1].kspace.samples for path in (straight, turned)]
    assert np.array_equal(*samples)


@pytest.mark.parametrize("lost", [-8, -1])
def test_numbered_segments_of_a_readout_that_lost_one_are_left_out(folder, tmp_path, lost):
    cut = delivered(folder, tmp_path / "l.mrd", numbered=True, change=lambda items: items[:lost] + items[lost:][1:])
    with open_mrd(cut) as reader:
        both = PlayedReader(reader, played_scan(next(folder.glob("*.seq"))))
    assert both.notes[1] == "2 acquisitions are segments of no whole readout and were left out"
    assert "the scan is incomplete" in both.notes[2]


def test_segments_that_ask_for_samples_to_be_discarded_are_not_put_together(folder, tmp_path):
    def discarding(items):
        for item in items:
            item.discard_pre = 1
        return items

    with pytest.raises(SeqoptError, match=r"imaging readouts of 32 samples, but .* of 96"):
        read(delivered(folder, tmp_path / "s.mrd", numbered=True, change=discarding), folder)


def test_whole_readouts_are_left_alone(folder):
    notes, _ = read(folder / "scan.mrd", folder)
    assert not any("segments" in note for note in notes)
