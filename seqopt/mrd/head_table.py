"""The headers in an MRD file's table, read apart from the samples beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.heads import Heads, compact

_MOST_READOUTS = 20_000_000  # 2 GB of headers; a damaged file may claim any number
_ROWS = 64  # with their samples, where these cannot be left out


def read_heads(path: Path, data: h5py.Dataset) -> Heads:
    """(readouts,) of the table ``data``; raises `SeqoptError` for one that is empty or claims more than there is.

    To read one field of rows that hold variable-length samples, HDF5 reads these too and never frees them (2.0); so
    the rows are taken as they lie in the file, in which the samples are references, or else whole and few at a time.
    """
    count = int(data.shape[0]) if len(data.shape) == 1 else 0
    held = data.id.get_storage_size() // data.id.get_type().get_size()
    plain = _is_plain(data)
    if count > min(_MOST_READOUTS, held if plain else 1000 * held):
        raise SeqoptError(f"{path} claims {count} acquisitions but holds {held}; it is truncated or damaged")
    if not count:
        raise SeqoptError(f"{path} holds no acquisitions; give the acquired data")
    parts = _stored(path, data, count) if plain else (data[start : start + _ROWS] for start in range(0, count, _ROWS))
    return np.concatenate([compact(part["head"]) for part in parts])


def _is_plain(data: h5py.Dataset) -> bool:
    """Whether the file's chunks are rows in a row: no filter, and a type of the size that numpy has for it."""
    filters = data.id.get_create_plist().get_nfilters()
    return bool(data.chunks and filters == 0 and data.dtype.itemsize == data.id.get_type().get_size())


def _stored(path: Path, data: h5py.Dataset, count: int) -> Iterator[npt.NDArray[Any]]:
    """Rows chunk by chunk, of which only the field ``head`` means anything."""
    head, offset = data.dtype.fields["head"][:2]
    row = np.dtype({"names": ["head"], "formats": [head], "offsets": [offset], "itemsize": data.dtype.itemsize})
    step = int(data.chunks[0])
    for start in range(0, count, step):
        if data.id.get_chunk_info_by_coord((start,)).size != step * row.itemsize:
            raise SeqoptError(f"{path}: acquisition {start} is not where the file says; it is truncated or damaged")
        rows = np.frombuffer(data.id.read_direct_chunk((start,))[1], row)
        yield rows[: count - start]
