"""Whether a file's readouts are Cartesian lines: by its header, and by the trajectory that some writers add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.cartesian_grid import grid_of_header
from seqopt.mrd.files import RawFile, Reader
from seqopt.mrd.heads import VOLUME_COUNTERS, encodes_image, heads_of, imaging_space, kept_samples
from seqopt.mrd.trajectory import read_trajectory
from seqopt.mrd.trajectory_units import Space

_EVEN = 0.05  # of a line or sample, by which a stored k may lie off the grid
_SHIFTED = 0.55  # by so much all of them may: k in the middle of a dwell time; it changes an image's phase only


def is_cartesian_file(reader: Reader, units: str | None = None) -> bool:
    """Whether the header says so, and readouts hold no trajectory or one on the lines that their counters number.

    Of trajectories, in ``units`` (`trajectory_units`) where these are known, the first slice's are looked at.
    """
    space = imaging_space(reader.heads)
    raw = RawFile.of(reader, space)
    if str(raw.encoding.trajectory.value) != "cartesian":
        return False
    rows = np.flatnonzero(encodes_image(reader.heads) & (reader.heads["encoding_space_ref"] == space))
    if not reader.heads["trajectory_dimensions"][rows].any():
        return True
    counters = reader.heads[rows][["slice", *VOLUME_COUNTERS]]
    rows = rows[counters == counters[0]]
    return _on_lines(replace(raw, acquisitions=reader.acquisitions(rows)), reader.path, units)


def is_cartesian(raw: RawFile, path: Path) -> bool:
    """The same of acquisitions that were read, noise among them."""
    if str(raw.encoding.trajectory.value) != "cartesian":
        return False
    heads = heads_of(raw.acquisitions)
    wanted = np.flatnonzero(encodes_image(heads) & (heads["encoding_space_ref"] == raw.space))
    image = [raw.acquisitions[place] for place in wanted]
    return not heads["trajectory_dimensions"][wanted].any() or _on_lines(replace(raw, acquisitions=image), path)


def centre_sample(item: ismrmrd.Acquisition) -> int:
    """Where kx = 0 lies among the samples that are kept, in the order of acquisition; the middle where none says it."""
    length = int(item.number_of_samples - item.discard_pre - item.discard_post)
    return int(item.center_sample) - int(item.discard_pre) if states_centre(item) else length // 2


def states_centre(item: ismrmrd.Acquisition) -> bool:
    """Whether the centre sample is one of those that are kept; 0 means that it was never set."""
    end = item.number_of_samples - item.discard_post
    return bool(0 < item.center_sample and item.discard_pre <= item.center_sample < end)


def _on_lines(raw: RawFile, path: Path, units: str | None = None) -> bool:
    """Whether every trajectory says what the line's counter, the centre sample and the flag of reversal say."""
    if len(np.unique(kept_samples(heads_of(raw.acquisitions)))) > 1:
        return False
    try:
        centre_line = grid_of_header(raw, path, [], slices=1).centre_line
        k_per_m = read_trajectory(path, raw, [raw.acquisitions], [], units=units).k_per_m
    except SeqoptError:  # what is wrong with a trajectory is said where it is used
        return False
    off = k_per_m * Space.of(raw.encoding.encodedSpace).fov_m - _said(raw.acquisitions, k_per_m.shape[1], centre_line)
    return bool(np.ptp(off, axis=(0, 1)).max() < 2 * _EVEN and np.abs(off.mean(axis=(0, 1))).max() < _SHIFTED)


def _said(items: Sequence[ismrmrd.Acquisition], samples: int, centre_line: int) -> npt.NDArray[np.float64]:
    """(readouts, samples, 2) k in 1/(encoded FOV) by the headers alone."""
    said = np.empty((len(items), samples, 2))
    for place, item in enumerate(items):
        direction = -1 if item.isFlagSet(ismrmrd.ACQ_IS_REVERSE) else 1
        said[place, :, 0] = direction * (np.arange(samples) - centre_sample(item))
        said[place, :, 1] = item.idx.kspace_encode_step_1 - centre_line
    return said
