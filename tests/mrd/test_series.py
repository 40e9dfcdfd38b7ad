"""What of a file belongs to which image, from the headers alone; other people's layouts and damaged ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from changed_scans import changed
from designs import radial_design
from exported import header_only

from seqopt.errors import SeqoptError
from seqopt.mrd import head_table, series
from seqopt.mrd.blocks import BlockReader
from seqopt.mrd.files import open_mrd, read_raw
from seqopt.mrd.header import write_scan
from seqopt.mrd.missing import missing_notes
from seqopt.mrd.scan import content_of_trajectories, read_scan
from seqopt.mrd.series import SeriesKey, content_of


@pytest.fixture(scope="module")
def design():
    return radial_design(slices=3, shots=4, samples=64, matrix=16)


@pytest.fixture(scope="module")
def scan(design, tmp_path_factory) -> Path:
    """Readout n holds the number n in every sample; number 0 is noise, then shot by shot all slices."""
    folder = tmp_path_factory.mktemp("scan")
    header = header_only(design, folder / "header.mrd")
    write_scan(folder / "scan.mrd", header, [np.full((2, 64), n + 1j, np.complex64) for n in range(13)])
    return folder / "scan.mrd"


def blocks(path: Path, design=None):
    """(key, slices, first sample of each (slice, shot)) of every block."""
    with open_mrd(path) as reader:
        content = content_of_trajectories(reader, path, design)
        source = BlockReader(path=path, reader=reader, content=content, acquisitions=reader.acquisitions)
        return [
            (block.key, block.slices, source.trajectory(block, design, None).kspace.samples[:, 0, :, 0].real)
            for block in content.blocks()
        ]


def again(items, *, factor: float = 1.0, **counters):
    """Copies of the imaging readouts with other counters."""
    copies = [ismrmrd.Acquisition(item.getHead(), factor * item.data, item.traj.copy()) for item in items[1:]]
    for item in copies:
        for name, value in counters.items():
            setattr(item.idx, name, value)
    return copies


def test_every_series_is_read_and_none_is_mixed_with_another(scan, tmp_path):
    def add(items):
        return [*items, *again(items, factor=2.0, repetition=1), *again(items, factor=3.0, contrast=1, set=2)]

    found = blocks(changed(scan, tmp_path / "s.mrd", add))
    assert [key for key, _, _ in found] == [SeriesKey(), SeriesKey(repetition=1), SeriesKey(contrast=1, set=2)]
    numbers = np.array([[1, 4, 7, 10], [2, 5, 8, 11], [3, 6, 9, 12]])
    for factor, (_, slices, values) in zip((1, 2, 3), found, strict=True):
        assert slices == (0, 1, 2)
        assert np.array_equal(values, factor * numbers)


def test_blocks_carry_the_time_of_their_first_readout(scan, tmp_path):
    def timed(items):
        for place, item in enumerate(items):
            item.acquisition_time_stamp = 1000 + place
        return [*items, *again(items, repetition=1)]

    path = changed(scan, tmp_path / "s.mrd", timed)
    with open_mrd(path) as reader:
        content = content_of(reader.heads, path)
        first, *_ = content.blocks()
    assert first.time_stamp == 1001
    assert content.part(first, {1, 2}).time_stamp == 1002


def test_slices_are_read_a_few_at_a_time_and_give_the_same_samples(scan, monkeypatch):
    whole = np.concatenate([values for _, _, values in blocks(scan)])
    monkeypatch.setattr(series, "BLOCK_BYTES", 1)
    single = blocks(scan)
    assert [slices for _, slices, _ in single] == [(0,), (1,), (2,)]
    assert np.array_equal(np.concatenate([values for _, _, values in single]), whole)


def test_slices_that_lack_shots_are_blocks_of_their_own_and_what_is_missing_is_named(scan, design, tmp_path):
    path = changed(scan, tmp_path / "m.mrd", lambda items: items[:-2])
    for given in (None, design):
        found = blocks(path, given)
        assert [(slices, values.shape) for _, slices, values in found] == [((0,), (1, 4)), ((1, 2), (2, 3))]
    with open_mrd(path) as reader:
        content = content_of_trajectories(reader, path, design)
        (note,) = missing_notes(content, word="shot", slices=range(3), steps=range(4))
    assert "2 of 12 shots are missing" in note
    assert "slice 1 lacks shot 3" in note


def test_a_slice_that_is_missing_altogether_is_counted(scan, design, tmp_path):
    path = changed(scan, tmp_path / "m.mrd", lambda items: [item for item in items if item.idx.slice != 2])
    with open_mrd(path) as reader:
        content = content_of_trajectories(reader, path, design)
        (note,) = missing_notes(content, word="shot", slices=range(3), steps=range(4))
    assert "1 of 3 slices are missing" in note


def test_a_readout_that_was_recorded_again_replaces_the_first(scan, tmp_path):
    def repeat(items):
        return [*items, *again(items[:2], factor=5.0)]

    path = changed(scan, tmp_path / "r.mrd", repeat)
    ((_, _, values),) = blocks(path)
    assert values[0, 0] == 5.0
    with open_mrd(path) as reader:
        assert "1 readouts were recorded again" in content_of(reader.heads, path).notes[0]


def test_few_readouts_beyond_the_design_are_left_out_and_many_are_another_design(scan, design, tmp_path):
    def more(count):
        def add(items):
            extra = again(items)[:count]
            for item in extra:
                item.idx.kspace_encode_step_1 = 4
            return [*items, *extra]

        return add

    path = changed(scan, tmp_path / "a.mrd", more(1))
    with open_mrd(path) as reader:
        assert "left out 1 readouts" in content_of_trajectories(reader, path, design).notes[0]
    assert read_scan(path, design).kspace.samples.shape == (3, 2, 4, 64)
    with pytest.raises(SeqoptError, match=r"holds 15 readouts \(3 slices, 5 shots\), but the design radial-4 has 12"):
        blocks(changed(scan, tmp_path / "b.mrd", more(3)), design)


def test_the_encoding_space_of_most_imaging_readouts_is_reconstructed(scan, tmp_path):
    def move(items):
        for item in items[1:]:
            item.encoding_space_ref = 1
        extra = again(items)[:2]
        for item in extra:
            item.encoding_space_ref = 0
        return [*items, *extra]

    path = changed(scan, tmp_path / "e.mrd", move)
    with open_mrd(path) as reader:
        content = content_of(reader.heads, path)
    assert content.space == 1
    assert len(content.rows) == 12
    assert content.notes == ("encoding space 1 was reconstructed; 2 readouts of others were left out",)


def test_navigators_and_dummies_are_no_image(scan, tmp_path):
    def flag(items):
        extra = again(items)[:3]
        kinds = ismrmrd.ACQ_IS_NAVIGATION_DATA, ismrmrd.ACQ_IS_DUMMYSCAN_DATA, ismrmrd.ACQ_IS_PHASECORR_DATA
        for item, kind in zip(extra, kinds, strict=True):
            item.setFlag(kind)
        return [*extra, *items]

    path = changed(scan, tmp_path / "n.mrd", flag)
    ((_, _, values),) = blocks(path)
    assert np.array_equal(values, blocks(scan)[0][2])
    with open_mrd(path) as reader:
        assert "left out 3 readouts" in content_of(reader.heads, path).notes[0]


def test_a_number_of_coils_that_changes_midway_is_named(scan, tmp_path):
    def shrink(items):
        head = items[6].getHead()
        head.active_channels = 1
        items[6] = ismrmrd.Acquisition(head, items[6].data[:1].copy(), items[6].traj.copy())

    with pytest.raises(SeqoptError, match="readout 6 has 1 coils, those before it 2"):
        blocks(changed(scan, tmp_path / "c.mrd", shrink))


def test_of_several_data_sets_one_is_chosen_by_name(scan, tmp_path):
    path = tmp_path / "two.mrd"
    shutil.copy(scan, path)
    with h5py.File(path, "r+") as file:
        file.copy("dataset", "later")
    with open_mrd(path) as reader:
        assert reader.notes == ["took the data set dataset; the file also holds later (--dataset)"]
    with open_mrd(path, "later") as reader:
        assert len(reader.heads) == 13
        assert reader.notes == []
    with pytest.raises(SeqoptError, match="no data set 'last'; --dataset can be dataset, later"):
        read_raw(path, "last")
    with h5py.File(path, "r+") as file:
        file.move("dataset", "earlier")
    with pytest.raises(SeqoptError, match="holds the data sets earlier, later; say which one"):
        read_raw(path)


def test_a_table_that_claims_more_than_the_file_holds_is_refused(scan, tmp_path):
    path = tmp_path / "claims.mrd"
    shutil.copy(scan, path)
    with h5py.File(path, "r+") as file:
        file["dataset/data"].resize(10_000_000, axis=0)
    with pytest.raises(SeqoptError, match="claims 10000000 acquisitions but holds"):
        read_raw(path)


def test_the_series_of_a_file_are_told_once(scan):
    """There is a block for each, and telling them goes through all readouts: the time grew with their square."""
    with open_mrd(scan) as reader:
        content = content_of(reader.heads, scan)
        assert content.series is content.series
        assert content.slices is content.slices


@pytest.mark.parametrize("rows", [1, 5])
def test_headers_are_read_some_chunks_at_a_time(scan, tmp_path, monkeypatch, rows):
    """Of chunks of one row or of five, of which the last is not full."""
    whole = read_raw(scan)
    path = shutil.copy(scan, tmp_path / "c.mrd")
    with h5py.File(path, "r+") as file:
        table = file["dataset/data"][()]
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=table, chunks=(rows,), maxshape=(None,))
    monkeypatch.setattr(head_table, "_CHUNKS", 2)
    with open_mrd(path) as reader:
        assert reader.heads["scan_counter"].tolist() == [item.scan_counter for item in whole.acquisitions]
        found = reader.acquisitions(range(len(reader.heads)))
    assert all(np.array_equal(one.data, other.data) for one, other in zip(found, whole.acquisitions, strict=True))
