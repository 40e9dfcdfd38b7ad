"""Damaged heaps are refused before HDF5 follows them: it may do so without end, or fill the memory."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian
from designs import radial_design
from exported import header_only

from seqopt.errors import SeqoptError
from seqopt.mrd.files import read_raw
from seqopt.mrd.header import write_scan

SAYING = "samples or text are not where the file says"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """One row a chunk with a heap for many rows, and rows written at once."""
    folder = tmp_path_factory.mktemp("heaps")
    lines = write_cartesian(folder / "lines.mrd", (phantom(16, 16) * ring_maps(2, 16, 16))[None])
    header = header_only(radial_design(slices=2, shots=4, samples=64, matrix=16), folder / "header.mrd")
    write_scan(folder / "radial.mrd", header, [np.full((2, 64), n + 1j, np.complex64) for n in range(9)])
    return [lines, folder / "radial.mrd"]


def heaps_of(whole: bytes) -> list[int]:
    places, start = [], whole.find(b"GCOL")
    while start >= 0:
        places.append(start)
        start = whole.find(b"GCOL", start + 4)
    return places


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, b"GCOX"),
        (4, b"\x02"),
        (8, struct.pack("<Q", 4096 + 127)),  # HDF5 searches the rest of such a collection without end
        (8, struct.pack("<Q", 1 << 60)),
        (16, struct.pack("<H", 77)),
        (16, struct.pack("<H6xQ", 0, 0)),  # free space of no size leads nowhere
        (24, struct.pack("<Q", 0)),
        (24, struct.pack("<Q", (1 << 64) - 1)),
    ],
)
def test_a_damaged_collection_is_refused_at_once(files, tmp_path, offset, value):
    for path in files:
        whole = path.read_bytes()
        for heap in heaps_of(whole):
            damaged = bytearray(whole)
            damaged[heap + offset : heap + offset + len(value)] = value
            (tmp_path / "d.mrd").write_bytes(damaged)
            with pytest.raises(SeqoptError, match=SAYING) as caught:
                read_raw(tmp_path / "d.mrd")
            assert "\n" not in str(caught.value)


def test_a_length_that_no_object_has_sets_aside_no_memory(files, tmp_path):
    """The table's own reference claims 16 GB."""
    for path in files:
        with h5py.File(path) as file:
            table = file["dataset/data"]
            place = table.id.get_chunk_info(0).byte_offset + table.dtype.fields["data"][1]
        damaged = bytearray(path.read_bytes())
        damaged[place : place + 4] = struct.pack("<I", (1 << 32) - 1)
        (tmp_path / "d.mrd").write_bytes(damaged)
        with pytest.raises(SeqoptError, match=SAYING):
            read_raw(tmp_path / "d.mrd")


def test_a_header_of_other_types_is_refused_before_hdf5_converts_it(files, tmp_path):
    """Of a number in the table's type one byte: the bias of an exponent. HDF5 2.0 died of it."""
    for path in files:
        whole, found = path.read_bytes(), 0
        single = struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 0x1F, 0, 4, 0, 32, 23, 8, 0, 23, 127)
        place = whole.find(single)
        while place >= 0:
            found += 1
            damaged = bytearray(whole)
            damaged[place + len(single) - 4] = 255
            (tmp_path / "d.mrd").write_bytes(damaged)
            with pytest.raises(SeqoptError, match=r"laid out as ISMRMRD's|cannot be read as MRD"):
                read_raw(tmp_path / "d.mrd")
            place = whole.find(single, place + 1)
        assert found > 5


def test_whole_files_of_every_writer_at_hand_are_read(files):
    mrbabel = pytest.importorskip("mrbabel_data")
    for path in (*files, Path(mrbabel.testdata("ismrmrd"))):
        assert len(read_raw(path).acquisitions) > 8
