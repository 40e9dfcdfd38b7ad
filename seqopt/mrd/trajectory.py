"""The trajectory inside an MRD file, whose unit the format leaves open: stated in the header, or told by its extent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile
from seqopt.mrd.xml_header import CYCLES_PER_FOV, CYCLES_PER_SAMPLE, UNIT_NAME, user_string
from seqopt.units import cycles_to_k

_SLACK = 1.1  # gradient delays and learned paths may step a little over k-max


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """K-space of one scan."""

    k_per_m: npt.NDArray[np.float64]
    """(shots, samples, 2), or (slices, shots, samples, 2) where slices differ."""
    weights: npt.NDArray[np.float64] | None = None
    """(shots, samples) density compensation that came as a third column, of mean 1."""


def read_trajectory(path: Path, raw: RawFile, order: list[list[ismrmrd.Acquisition]], notes: list[str]) -> Trajectory:
    """Trajectory of the readouts ``order`` (slices, shots) in 1/m; notes say what was assumed of its unit."""
    dimensions = {item.trajectory_dimensions for row in order for item in row}
    if len(dimensions) != 1:
        raise SeqoptError(f"{path}: only some readouts hold a trajectory; give the design with --design")
    if dimensions.pop() < 2:
        raise SeqoptError(f"{path} holds no trajectory; give the design with --design")
    whole = np.stack([np.stack([_kept(item) for item in row]) for row in order]).astype(float)
    if not np.isfinite(whole).all():
        raise SeqoptError(f"{path}: the trajectory holds NaN or infinity; give the design with --design")
    space = raw.header.encoding[0].encodedSpace
    matrix = np.array([space.matrixSize.x, space.matrixSize.y], dtype=float)
    fov_m = 1e-3 * np.array([space.fieldOfView_mm.x, space.fieldOfView_mm.y])
    k_per_m = _to_k_per_m(path, whole[..., :2], user_string(raw.header, UNIT_NAME), matrix, fov_m, notes)
    weights = _weights(whole, space.matrixSize.z, notes)
    if np.array_equal(k_per_m, np.broadcast_to(k_per_m[:1], k_per_m.shape)):
        k_per_m = k_per_m[0]
    return Trajectory(k_per_m=k_per_m, weights=weights)


def _kept(item: ismrmrd.Acquisition) -> npt.NDArray[np.float32]:
    path: npt.NDArray[np.float32] = item.traj[item.discard_pre : item.number_of_samples - item.discard_post]
    return path


def _to_k_per_m(
    path: Path,
    found: npt.NDArray[np.float64],
    unit: str | None,
    matrix: npt.NDArray[np.float64],
    fov_m: npt.NDArray[np.float64],
    notes: list[str],
) -> npt.NDArray[np.float64]:
    extent = np.abs(found).max(axis=(0, 1, 2))
    if unit is None:
        if (extent <= 0.5 * _SLACK).all():
            unit = CYCLES_PER_SAMPLE
        elif (extent <= 0.5 * matrix * _SLACK).all():
            unit = CYCLES_PER_FOV
        else:
            raise SeqoptError(
                f"{path}: the trajectory reaches {extent.max():.4g}, neither cycles per sample (0.5) nor cycles/FOV "
                f"({0.5 * matrix.max():g}); give the design with --design"
            )
        notes.append(f"the file does not state its trajectory's unit; its extent {extent.max():.3g} tells {unit}")
    if unit == CYCLES_PER_SAMPLE:
        return cycles_to_k(found, fov_m / matrix)
    if unit == CYCLES_PER_FOV:
        return cycles_to_k(found, fov_m)
    raise SeqoptError(
        f"{path}: unknown trajectory_unit {unit!r}; known: {CYCLES_PER_SAMPLE}, {CYCLES_PER_FOV}; "
        "give the design with --design"
    )


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
