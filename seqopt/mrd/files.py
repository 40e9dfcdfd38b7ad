"""Open anyone's MRD file: the header and the acquisitions as they lie there, or one line on why not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np

from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import GROUP
from seqopt.mrd.xml_header import parse_header

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_YARDL_MAGIC = b"yardl"


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """Header and acquisitions of an MRD file in the file's order."""

    xml: bytes
    header: Any
    """``ismrmrd.xsd.ismrmrdHeader``."""
    acquisitions: list[ismrmrd.Acquisition]


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


def read_raw(path: Path) -> RawFile:
    """Read every acquisition, read-only; raises `SeqoptError` for foreign, truncated or damaged files."""
    check_is_hdf5(path)
    try:
        with ismrmrd.File(str(path), "r") as file:
            group = _raw_group(file, path)
            xml = bytes(_dataset_xml(path, group))
            acquisitions = [_acquisition(item) for item in file[group].acquisitions.data[()]]
    except SeqoptError:
        raise
    except Exception as error:  # a damaged file may fail anywhere below h5py, numpy or ctypes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SeqoptError(f"{path} cannot be read as MRD ({reason}); it is truncated or damaged") from error
    if not acquisitions:
        raise SeqoptError(f"{path} holds no acquisitions; give the acquired data")
    return RawFile(xml=xml, header=parse_header(xml), acquisitions=acquisitions)


def _raw_group(file: ismrmrd.File, path: Path) -> str:
    groups = [GROUP] if GROUP in file else list(file)
    for group in groups:
        if file[group].has_acquisitions():
            names = file[group].acquisitions.data.dtype.names
            if names is None or set(names) != {"head", "traj", "data"}:
                raise SeqoptError(f"{path} is HDF5 but not MRD: {group}/data holds no acquisitions; convert it first")
            if not file[group].has_header():
                raise SeqoptError(f"{path} holds acquisitions but no XML header; it is damaged, export it again")
            return str(group)
    held = ", ".join(sorted(file.keys())) or "nothing"
    raise SeqoptError(f"{path} is HDF5 but not MRD raw data (it holds {held}); give a file with acquisitions")


def _dataset_xml(path: Path, group: str) -> bytes:
    with ismrmrd.Dataset(str(path), group, mode="r") as dataset:
        xml = dataset.read_xml_header()
    return xml.encode() if isinstance(xml, str) else bytes(xml)


def _acquisition(item: Any) -> ismrmrd.Acquisition:
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
