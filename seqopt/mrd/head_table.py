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
from seqopt.mrd.heaps import REFERENCE, References

_MOST_READOUTS = 20_000_000  # 2 GB of headers; a damaged file may claim any number
_ROWS = 64  # with their samples, where these cannot be left out
_CHUNKS = 4096  # taken together: of some writers each holds one row


def read_heads(path: Path, data: h5py.Dataset) -> tuple[Heads, References | None]:
    """(readouts,) of the table ``data``, and (readouts, 2) where trajectory and samples lie, None if that is hidden.

    Raises `SeqoptError` for a table that is empty or claims more than there is.

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
    if not plain:
        return np.concatenate([compact(data[at : at + _ROWS]["head"]) for at in range(0, count, _ROWS)]), None
    heads, references = zip(
        *((compact(part["head"]), np.stack([part["traj"], part["data"]], 1)) for part in _stored(path, data, count)),
        strict=True,
    )
    return np.concatenate(heads), np.concatenate(references)


def _is_plain(data: h5py.Dataset) -> bool:
    """Whether the file's chunks are rows in a row: no filter, and a type of the size that numpy has for it."""
    filters = data.id.get_create_plist().get_nfilters()
    return bool(data.chunks and filters == 0 and data.dtype.itemsize == data.id.get_type().get_size())


def _stored(path: Path, data: h5py.Dataset, count: int) -> Iterator[npt.NDArray[Any]]:
    """Rows some chunks at a time: ``head``, and references to ``traj`` and ``data``."""
    fields = {name: data.dtype.fields[name][:2] for name in ("head", "traj", "data")}
    row = np.dtype(
        {
            "names": list(fields),
            "formats": [fields["head"][0], REFERENCE, REFERENCE],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": data.dtype.itemsize,
        }
    )
    step, sizes = int(data.chunks[0]), {}
    data.id.chunk_iter(lambda chunk: sizes.update({chunk.chunk_offset[0]: chunk.size}))  # looking each up takes n^2
    for first in range(0, count, step * _CHUNKS):
        chunks = []
        for start in range(first, min(first + step * _CHUNKS, count), step):
            if sizes.get(start) != step * row.itemsize:
                raise SeqoptError(f"{path}: acquisition {start} is not where the file says; it is truncated or damaged")
            chunks.append(data.id.read_direct_chunk((start,))[1])
        yield np.frombuffer(b"".join(chunks), row)[: count - first]
