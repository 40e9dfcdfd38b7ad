"""MRD acquisitions: readouts in play order to a file, in one pass and through ismrmrd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.core import CALIBRATION_SETS
from seqopt.errors import SeqoptError
from seqopt.mrd.placement import Placement

GROUP = "dataset"


@dataclass(frozen=True, kw_only=True)
class PlannedReadout:
    """One readout as it is played."""

    samples: int
    dwell_s: float
    slice: int = 0
    shot: int = 0
    echo_sample: int = 0
    k_cycles: npt.NDArray[np.float32] | None = None
    """(samples, 2) kx, ky in cycles per encoded sample; None for a noise readout and for a Cartesian line."""
    cartesian: bool = False
    """A line of a Cartesian scan: its number, ``shot``, says all of its k."""
    segment: int = 0
    """Place in its echo train."""
    calibration: bool = False
    """It serves the coil maps as well as the image."""
    scan: int = 0
    """Kind of calibration scan (`CALIBRATION_SETS`); 0 for the image."""
    contrast: int = 0
    average: int = 0

    @property
    def is_noise(self) -> bool:
        """Whether nothing is excited or encoded."""
        return self.k_cycles is None and not self.cartesian


def plan_acquisitions(
    readouts: Sequence[PlannedReadout], placement: Placement, *, coils: int
) -> list[ismrmrd.Acquisition]:
    """Acquisitions with complete headers and zero data, flags by their place in play order."""
    acquisitions = [_acquisition(readout, placement, coils) for readout in readouts]
    imaging = [index for index, readout in enumerate(readouts) if not readout.is_noise and not readout.scan]
    if not imaging:
        raise SeqoptError("an MRD file needs at least one imaging readout; the order is empty")
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for index in imaging:
        first.setdefault(readouts[index].slice, index)
        last[readouts[index].slice] = index
    for index in first.values():
        acquisitions[index].setFlag(ismrmrd.ACQ_FIRST_IN_SLICE)
    for index in last.values():
        acquisitions[index].setFlag(ismrmrd.ACQ_LAST_IN_SLICE)
    acquisitions[imaging[0]].setFlag(ismrmrd.ACQ_FIRST_IN_REPETITION)
    acquisitions[imaging[-1]].setFlag(ismrmrd.ACQ_LAST_IN_REPETITION)
    acquisitions[imaging[-1]].setFlag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    for counter, acquisition in enumerate(acquisitions):
        acquisition.scan_counter = counter + 1
    return acquisitions


def _acquisition(readout: PlannedReadout, placement: Placement, coils: int) -> ismrmrd.Acquisition:
    acquisition = ismrmrd.Acquisition()
    acquisition.version = 1
    acquisition.resize(readout.samples, coils, 0 if readout.k_cycles is None else 2)
    acquisition.data[:] = 0
    mark_channels(acquisition, coils)
    acquisition.sample_time_us = 1e6 * readout.dwell_s
    acquisition.read_dir[:] = placement.read_dir
    acquisition.phase_dir[:] = placement.phase_dir
    acquisition.slice_dir[:] = placement.slice_dir
    acquisition.position[:] = 1e3 * placement.positions_m[readout.slice]
    acquisition.idx.slice = readout.slice
    acquisition.idx.kspace_encode_step_1 = readout.shot
    acquisition.idx.segment = readout.segment
    acquisition.idx.contrast = readout.contrast
    acquisition.idx.average = readout.average
    acquisition.idx.set = readout.scan
    if readout.is_noise:
        acquisition.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    else:
        acquisition.center_sample = readout.echo_sample
    if readout.k_cycles is not None:
        acquisition.traj[:] = readout.k_cycles
    if readout.scan:
        is_reference = readout.scan == CALIBRATION_SETS["maps"]
        acquisition.encoding_space_ref = 1
        acquisition.setFlag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION if is_reference else ismrmrd.ACQ_IS_NAVIGATION_DATA)
    if readout.calibration:
        acquisition.setFlag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    return acquisition


def mark_channels(acquisition: ismrmrd.Acquisition, coils: int) -> None:
    """State that channels 0 .. coils - 1 exist and are active."""
    acquisition.available_channels = coils
    for channel in range(coils):
        acquisition.setChannelActive(channel)


def write_acquisitions(path: Path, xml: bytes, acquisitions: Iterable[ismrmrd.Acquisition]) -> None:
    """Header and acquisitions to a new HDF5 file; call it within ``replacing``."""
    every = list(acquisitions)
    reserve(path, len(xml) + sum(one.data.nbytes + one.traj.nbytes + 1024 for one in every))
    with ismrmrd.Dataset(str(path), GROUP, mode="w") as dataset:
        dataset.write_xml_header(xml)
    with ismrmrd.File(str(path), "r+") as file:
        file[GROUP].acquisitions = every


def reserve(path: Path, size_bytes: int) -> None:
    """Find out that the disk is too full by a plain write: inside HDF5 the same would crash the process."""
    chunk = bytes(1 << 20)
    with path.open("wb") as stream:
        for _ in range(int(1.2 * size_bytes + (1 << 18)) // len(chunk) + 1):
            stream.write(chunk)
