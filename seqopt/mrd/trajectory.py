"""The trajectory inside an MRD file, in 1/m."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile
from seqopt.mrd.readouts import Key
from seqopt.mrd.trajectory_units import Space, factors
from seqopt.mrd.xml_header import UNIT_NAME, user_string

Units = str | npt.NDArray[np.float64] | None
_TURNED_PER_FOV = 0.05  # by which averages of one readout may differ
_FLAT = 1e-3  # of the trajectory's extent, by which kz may change in a slice
FARTHEST_PER_FOV = 0.5  # by which a file's trajectory may lie off the one that was planned; beyond, it is another's


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """K-space of one scan."""

    k_per_m: npt.NDArray[np.float64]
    """(shots, samples, 2), or (slices, shots, samples, 2) where slices differ."""
    weights: npt.NDArray[np.float64] | None = None
    """(shots, samples) density compensation that came as a third column, of mean 1."""
    to_per_m: npt.NDArray[np.float64] | None = None
    """(2,) what turned the file's numbers into 1/m."""


def read_trajectory(
    path: Path, raw: RawFile, order: list[list[ismrmrd.Acquisition]], notes: list[str], *, units: Units = None
) -> Trajectory:
    """Trajectory of the readouts ``order`` (slices, shots) in 1/m; notes say what was assumed of its unit.

    ``units``, a name or what turns the numbers into 1/m, come before what the header states. Raises `SeqoptError` for
    a trajectory that is absent, not finite, 3-D, out of range, or of a unit that cannot be told.
    """
    dimensions = {item.trajectory_dimensions for row in order for item in row}
    if len(dimensions) != 1:
        raise SeqoptError(f"{path}: only some readouts hold a trajectory; give the design with --design")
    if dimensions.pop() < 2:
        raise SeqoptError(f"{path} holds no trajectory; give the design with --design, or the sequence with --seq")
    whole = np.stack([np.stack([_kept(item) for item in row]) for row in order]).astype(float)
    if not np.isfinite(whole).all():
        raise SeqoptError(f"{path}: the trajectory holds NaN or infinity; give the design with --design")
    encoded = raw.encoding.encodedSpace
    if encoded.matrixSize.z > 1 and whole.shape[-1] > 2 and _leaves_the_plane(whole):
        raise SeqoptError(f"{path} is encoded in 3-D (its trajectory has a kz); seqopt reconstructs 2-D slices")
    spaces = [Space.of(encoded), Space.of(raw.encoding.reconSpace)]
    if any(not (space.fov_m > 0).all() or not (space.matrix > 0).all() for space in spaces):
        raise SeqoptError(f"{path}: the header's matrix or field of view is 0; the file is damaged")
    unit = user_string(raw.header, UNIT_NAME) if units is None else units
    to_per_m = factors(path, whole[..., :2], unit, spaces, notes, asked=units is not None)
    k_per_m = whole[..., :2] * to_per_m
    weights = _weights(whole, encoded.matrixSize.z, notes)
    if np.array_equal(k_per_m, np.broadcast_to(k_per_m[:1], k_per_m.shape)):
        k_per_m = k_per_m[0]
    return Trajectory(k_per_m=k_per_m, weights=weights, to_per_m=to_per_m)


def apart_if_turned(
    path: Path,
    raw: RawFile,
    groups: dict[Key, list[ismrmrd.Acquisition]],
    notes: list[str],
    *,
    units: Units,
) -> dict[Key, list[ismrmrd.Acquisition]]:
    """(slice, shot) -> averages, as further shots where their trajectories differ: an angle that goes on turning.

    ``notes`` on averages are those of `sorted_readouts`, and replaced then.
    """
    every = [item for items in groups.values() for item in items]
    if len(every) == len(groups) or len({(item.trajectory_dimensions, len(item.traj)) for item in every}) > 1:
        return groups
    k_per_m = read_trajectory(path, raw, [every], [], units=units).k_per_m
    firsts = np.repeat(np.cumsum([0, *map(len, groups.values())])[:-1], list(map(len, groups.values())))
    space = Space.of(raw.encoding.reconSpace)
    if np.abs((k_per_m - k_per_m[firsts]) * space.fov_m).max() < _TURNED_PER_FOV:
        return groups
    notes[:] = ["averages of one shot have trajectories of their own, so they were taken as further shots"]
    shots = 1 + max(shot for _, shot in groups)
    return {
        (slice_, shot + shots * place): [item]
        for (slice_, shot), items in groups.items()
        for place, item in enumerate(items)
    }


def _leaves_the_plane(whole: npt.NDArray[np.float64]) -> bool:
    return bool(np.ptp(whole[..., 2]) > _FLAT * np.abs(whole[..., :2]).max())


def _kept(item: ismrmrd.Acquisition) -> npt.NDArray[np.float32]:
    path: npt.NDArray[np.float32] = item.traj[item.discard_pre : item.number_of_samples - item.discard_post]
    return path


def _weights(whole: npt.NDArray[np.float64], matrix_z: int, notes: list[str]) -> npt.NDArray[np.float64] | None:
    """A third column in a 2-D scan is a density weight (as Gadgetron has it)."""
    if whole.shape[-1] < 3 or matrix_z > 1:
        return None
    column = whole[0, ..., 2]
    if column.min() < 0 or column.mean() <= 0:
        return None
    notes.append("the trajectory's third column holds density weights; density = 'file' in recon.toml would use them")
    weights: npt.NDArray[np.float64] = column / column.mean()
    return weights
