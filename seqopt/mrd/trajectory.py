"""The trajectory inside an MRD file, in 1/m."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile
from seqopt.mrd.trajectory_units import Space, factors
from seqopt.mrd.xml_header import UNIT_NAME, user_string


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """K-space of one scan."""

    k_per_m: npt.NDArray[np.float64]
    """(shots, samples, 2), or (slices, shots, samples, 2) where slices differ."""
    weights: npt.NDArray[np.float64] | None = None
    """(shots, samples) density compensation that came as a third column, of mean 1."""


def read_trajectory(
    path: Path, raw: RawFile, order: list[list[ismrmrd.Acquisition]], notes: list[str], *, units: str | None = None
) -> Trajectory:
    """Trajectory of the readouts ``order`` (slices, shots) in 1/m; notes say what was assumed of its unit.

    ``units`` come before what the header states. Raises `SeqoptError` for a trajectory that is absent, not finite, out
    of range, or of a unit that cannot be told.
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
    spaces = [Space.of(encoded), Space.of(raw.encoding.reconSpace)]
    if any(not (space.fov_m > 0).all() or not (space.matrix > 0).all() for space in spaces):
        raise SeqoptError(f"{path}: the header's matrix or field of view is 0; the file is damaged")
    unit = units or user_string(raw.header, UNIT_NAME)
    k_per_m = whole[..., :2] * factors(path, whole[..., :2], unit, spaces, notes, asked=units is not None)
    weights = _weights(whole, encoded.matrixSize.z, notes)
    if np.array_equal(k_per_m, np.broadcast_to(k_per_m[:1], k_per_m.shape)):
        k_per_m = k_per_m[0]
    return Trajectory(k_per_m=k_per_m, weights=weights)


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
