"""Open anyone's MRD file: the header, a table of its acquisitions, and their samples on demand; or one line why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import ismrmrd
import numpy as np
import numpy.typing as npt
from ismrmrd.hdf5 import acquisition_header_dtype

from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import GROUP
from seqopt.mrd.head_table import read_heads
from seqopt.mrd.heads import Heads
from seqopt.mrd.heaps import check_heaps, text_reference
from seqopt.mrd.lenient_header import read_header

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_YARDL_MAGIC = b"yardl"
_CHUNK = 4096  # readouts read at a time
_SAMPLE_BYTES = 4  # of trajectories and of the parts of samples
_LARGEST_XML = 64 << 20


class Reader(Protocol):
    """An open file: `MrdReader`, or one that was joined with what a sequence plays."""

    path: Path
    xml: bytes
    header: Any
    """``ismrmrd.xsd.ismrmrdHeader``."""
    heads: Heads
    notes: list[str]
    """What choosing and joining decided."""

    def acquisitions(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> list[ismrmrd.Acquisition]:
        """Acquisitions of these rows, ascending; raises `SeqoptError` where one is damaged."""


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """Header and acquisitions of an MRD file, all or some of them, in the file's order."""

    xml: bytes
    header: Any
    """``ismrmrd.xsd.ismrmrdHeader``."""
    acquisitions: list[ismrmrd.Acquisition]
    space: int = 0
    """Number of the encoding space that is reconstructed."""

    @property
    def encoding(self) -> Any:
        """``ismrmrd.xsd.encodingType`` of that space."""
        return self.header.encoding[min(self.space, len(self.header.encoding) - 1)]

    @classmethod
    def of(cls, reader: Reader, space: int) -> RawFile:
        """The header alone, with no acquisitions."""
        return cls(xml=reader.xml, header=reader.header, acquisitions=[], space=space)


class MrdReader:
    """An open file. Made by `open_mrd`."""

    def __init__(self, path: Path, file: h5py.File, group: str, notes: list[str]) -> None:
        self.path = path
        self.notes = notes
        self._data = file[group]["data"]
        self.xml = _xml(path, file[group])
        self.header = read_header(self.xml, notes)
        self.heads: Heads
        self.heads, self._references = read_heads(path, self._data)

    def acquisitions(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> list[ismrmrd.Acquisition]:
        """See `Reader`."""
        out: list[ismrmrd.Acquisition] = []
        with _damage(self.path):
            for first, last in _runs(np.asarray(rows, dtype=np.int64)):
                for start in range(first, last, _CHUNK):
                    part = slice(start, min(start + _CHUNK, last))
                    if self._references is not None:
                        check_heaps(self.path, self._references[part], value_bytes=_SAMPLE_BYTES)
                    out += [acquisition_of(item) for item in self._data[part]]
        return out

    def raw(self, rows: Sequence[int] | npt.NDArray[np.int64], *, space: int = 0) -> RawFile:
        """The file as if it held these rows only."""
        return RawFile(xml=self.xml, header=self.header, acquisitions=self.acquisitions(rows), space=space)


def check_is_hdf5(path: Path) -> None:
    """Refuse what is missing, a directory, or no HDF5 file."""
    if not path.is_file():
        raise SeqoptError(f"no MRD file at {path}; give an .mrd or .h5 file of raw data")
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(_YARDL_MAGIC):
        raise SeqoptError(f"{path} is an MRD version 2 stream; convert it to ISMRMRD HDF5 (version 1) first")
    if start != _HDF5_MAGIC:
        raise SeqoptError(f"{path} is not an HDF5 file; expected ISMRMRD raw data (.mrd or .h5)")


@contextmanager
def open_mrd(path: Path, dataset: str | None = None) -> Iterator[MrdReader]:
    """Open read-only, headers read and samples not; raises `SeqoptError` for foreign, truncated or damaged files."""
    check_is_hdf5(path)
    with _damage(path):
        file = h5py.File(path, "r")
    with file:
        with _damage(path):
            notes: list[str] = []
            reader = MrdReader(path, file, _dataset(file, path, dataset, notes), notes)
        yield reader


def read_raw(path: Path, dataset: str | None = None) -> RawFile:
    """Read every acquisition, read-only; raises `SeqoptError` for foreign, truncated or damaged files."""
    with open_mrd(path, dataset) as reader:
        return reader.raw(np.arange(len(reader.heads)))


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except SeqoptError:
        raise
    except Exception as error:  # a damaged file may fail anywhere below h5py, numpy or ctypes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SeqoptError(f"{path} cannot be read as MRD ({reason}); it is truncated or damaged") from error


def _dataset(file: h5py.File, path: Path, wanted: str | None, notes: list[str]) -> str:
    """The group that is asked for; or the usual one, or the only one with acquisitions."""
    held = [name for name in file if isinstance(file[name], h5py.Group) and "data" in file[name]]
    if wanted is not None:
        if wanted not in held:
            raise SeqoptError(f"{path} holds no data set {wanted!r}; --dataset can be {', '.join(held) or 'nothing'}")
        return _checked(file, path, wanted)
    if not held:
        names = ", ".join(sorted(file)) or "nothing"
        raise SeqoptError(f"{path} is HDF5 but not MRD raw data (it holds {names}); give a file with acquisitions")
    if GROUP not in held and len(held) > 1:
        raise SeqoptError(f"{path} holds the data sets {', '.join(held)}; say which one with --dataset")
    chosen = GROUP if GROUP in held else held[0]
    others = [name for name in held if name != chosen]
    if others:
        notes.append(f"took the data set {chosen}; the file also holds {', '.join(others)} (--dataset)")
    return _checked(file, path, chosen)


def _checked(file: h5py.File, path: Path, group: str) -> str:
    names = getattr(file[group]["data"], "dtype", np.dtype(float)).names
    if names is None or set(names) != {"head", "traj", "data"}:
        raise SeqoptError(f"{path} is HDF5 but not MRD: {group}/data holds no acquisitions; convert it first")
    if not _laid_out(file[group]["data"].dtype):
        raise SeqoptError(f"{path}: {group}/data is not laid out as ISMRMRD's acquisitions are; the file is damaged")
    if "xml" not in file[group]:
        raise SeqoptError(f"{path} holds acquisitions but no XML header; it is damaged, export it again")
    return group


def _laid_out(table: np.dtype[Any]) -> bool:
    """Whether headers and samples have the types of the format; HDF5 may crash where it converts others."""
    samples = (h5py.check_vlen_dtype(table[name]) for name in ("traj", "data"))
    return bool(table["head"] == acquisition_header_dtype and all(one == np.float32 for one in samples))


def _xml(path: Path, group: h5py.Group) -> bytes:
    table = group["xml"]
    if not isinstance(table, h5py.Dataset) or len(table.shape) > 1 or 0 in table.shape:
        raise SeqoptError(f"{path}: its XML header is no text; the file is damaged")
    place = text_reference(table)
    if place is not None:
        check_heaps(path, place, value_bytes=1)
    text = table[0] if table.shape else table[()]  # one of those that a damaged file claims
    xml = text.encode() if isinstance(text, str) else bytes(text)
    if len(xml) > _LARGEST_XML:
        raise SeqoptError(f"{path}: its XML header has {len(xml) >> 20} MiB; the file is damaged")
    return xml


def _runs(rows: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ascending rows as [first, last) of neighbours: HDF5 reads those at once, and picks single ones slowly."""
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts, lasts = [0, *(breaks + 1).tolist()], [*breaks.tolist(), len(rows) - 1]
    return [(int(rows[first]), int(rows[last]) + 1) for first, last in zip(firsts, lasts, strict=True)]


def acquisition_of(item: Any) -> ismrmrd.Acquisition:
    """One row of the HDF5 table -> an acquisition; sizes must agree with its own header."""
    head = item["head"]
    channels, samples = int(head["active_channels"]), int(head["number_of_samples"])
    if item["data"].size != 2 * channels * samples:  # before memory is set aside for what the header claims
        raise SeqoptError(
            f"readout {int(head['scan_counter'])} claims {channels} channels x {samples} samples but holds "
            f"{item['data'].size // 2} values; the file is damaged, export it again"
        )
    acquisition = ismrmrd.Acquisition(head)
    acquisition.data[:] = item["data"].view(np.complex64).reshape(channels, samples)
    if acquisition.trajectory_dimensions:
        acquisition.traj[:] = item["traj"].reshape(samples, acquisition.trajectory_dimensions)
    return acquisition
