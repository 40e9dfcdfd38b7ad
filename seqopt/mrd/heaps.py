"""The heaps of an HDF5 file in which samples and text of variable length lie, looked at before HDF5 follows them.

In a damaged heap HDF5 2.0 may search without end, or set aside whatever memory a length claims. Layout: HDF5 File
Format Specification 3.0, III.E (global heap), VIII.B (what refers to it).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
References = npt.NDArray[Any]
"""Of `REFERENCE`: how many values, and where."""
_COLLECTION = struct.Struct("<4sB3xQ")  # GCOL, version, bytes in all
_OBJECT = struct.Struct("<H6xQ")  # index, bytes


def check_heaps(path: Path, references: References, *, value_bytes: int) -> None:
    """Refuse references to anything but whole objects of the length that they state."""
    references = references.reshape(-1)
    wanted = references[references["length"] > 0].tolist()
    known: dict[int, dict[int, int]] = {}
    with path.open("rb", buffering=0) as stream:
        end = os.fstat(stream.fileno()).st_size
        for length, address, index in wanted:
            if address not in known:
                known[address] = _objects(stream.fileno(), address, end)
            if known[address].get(index) != length * value_bytes:
                raise SeqoptError(f"{path}: samples or text are not where the file says; it is truncated or damaged")


def _objects(file: int, address: int, end: int) -> dict[int, int]:
    """Index -> bytes of one collection's objects; none where any of them cannot be."""
    found: dict[int, int] = {}
    if address + _COLLECTION.size > end:
        return found
    mark, version, size = _COLLECTION.unpack(os.pread(file, _COLLECTION.size, address))
    if mark != b"GCOL" or version != 1 or address + size > end:
        return found
    place = _COLLECTION.size
    while place + _OBJECT.size <= size:
        index, count = _OBJECT.unpack(os.pread(file, _OBJECT.size, address + place))
        free = index == 0  # of which the header counts as well
        place += count if free else _OBJECT.size + -(-count // 8) * 8
        if place > size or index in found or (free and count < _OBJECT.size):
            return {}
        if not free:
            found[index] = count
    return found


def text_reference(data: h5py.Dataset) -> References | None:
    """Where the text of a data set lies; None where it holds the text itself, or in pieces or by a filter."""
    if data.dtype.kind != "O" or not data.size:
        return None
    offset = data.id.get_offset()
    if offset is None:
        return None
    with Path(os.fsdecode(data.file.filename)).open("rb") as stream:
        stream.seek(offset)
        return np.frombuffer(stream.read(REFERENCE.itemsize), REFERENCE)
