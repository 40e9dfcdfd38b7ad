"""Field of view, and how far k reaches: against the FOV's unit and against the matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.core import Check
from seqopt.pulseq.readback import AXES, PlayedSequence
from seqopt.pulseq.readout_table import ReadoutTable

FloatArray = npt.NDArray[np.float64]

REACH_CYCLES = (1.0, 4096.0)
REACH_SHARE = (0.5, 1.15)  # a mask may leave the outer lines out on one axis; learned paths step a little over
_MATRIX_KEYS = ("MatrixSize", "Matrix", "BaseResolution", "matrix")


def numbers_of(played: PlayedSequence, key: str) -> list[float] | None:
    """A definition as finite numbers, None where it is absent or no list of numbers."""
    try:
        values = [float(token) for token in played.definitions[key].split()]
    except (KeyError, ValueError):
        return None
    return values if values and np.isfinite(values).all() else None


def fov_of(played: PlayedSequence) -> list[float] | None:
    """The definition FOV as numbers, None where it is absent or not a list of numbers."""
    return numbers_of(played, "FOV")


def extent_m(played: PlayedSequence) -> float:
    """The length by which moments count as cycles: the wider side of the FOV, 250 mm where it is not known."""
    fov = fov_of(played)
    return max(fov[:2]) if fov and 0.001 <= max(fov[:2]) <= 1.0 else 0.25


def extent_checks(table: ReadoutTable) -> tuple[list[Check], list[str]]:
    """FOV in metres, k in a plausible number of cycles per FOV, and k-max against the matrix where one is defined."""
    played = table.played
    if "FOV" not in played.definitions:
        return [], ["field of view and k against it: the file has no FOV"]
    fov = fov_of(played)
    good = fov is not None and len(fov) == 3 and all(0.001 <= value <= 1.0 for value in fov)
    checks = [
        Check(
            name="imaging.fov", held=good, value=played.definitions["FOV"], limit="3 values of 0.001..1", unit="m",
            remedy="" if good else "give three values in metres, not in mm",
        )
    ]  # fmt: skip
    if fov is None or len(fov) < 2 or min(fov[:2]) <= 0:
        return checks, ["k against the field of view: FOV holds no two positive numbers"]
    if not table.encoded_axes.any():
        return checks, ["k against the field of view: no gradient encodes (spectroscopy of one voxel)"]
    checks.append(_extent(table, fov))
    sizes = next((found for key in _MATRIX_KEYS if (found := numbers_of(played, key))), None)
    if sizes is None or min(sizes[:2]) < 2:
        return checks, ["largest k against the resolution: the file defines no MatrixSize"]
    return [*checks, _reach(table, fov, sizes)], []


def _farthest(table: ReadoutTable, axis: int) -> tuple[float, int]:
    """Largest |k| along an axis in 1/m, and its readout."""
    reach = np.maximum(np.abs(table.lowest_per_m[:, axis]), np.abs(table.highest_per_m[:, axis]))
    at = int(np.argmax(reach))
    return float(reach[at]), at


def _place(table: ReadoutTable, number: int, axis: int) -> str:
    readout = table.readouts[number]
    k = readout.local_moment_per_m[:, axis] + readout.offset_per_m[axis]
    return f"{AXES[axis]}, {table.place(number, int(np.argmax(np.abs(k))))}"


def _axes(table: ReadoutTable, count: int) -> list[int]:
    """In plane, and along z where it encodes and the file says how wide it is."""
    return [0, 1, 2] if count > 2 and table.encoded_axes[2] else [0, 1]


def _extent(table: ReadoutTable, fov_m: list[float]) -> Check:
    reached = {axis: _farthest(table, axis) for axis in _axes(table, len(fov_m))}
    worst = max(reached, key=lambda axis: reached[axis][0] * fov_m[axis])
    cycles = reached[worst][0] * fov_m[worst]
    held = REACH_CYCLES[0] <= cycles <= REACH_CYCLES[1]
    return Check(
        name="imaging.k_extent", held=held, value=round(cycles, 4), limit="{:g}..{:g}".format(*REACH_CYCLES),
        unit="1/FOV", where=_place(table, reached[worst][1], worst),
        remedy="" if held else "k does not fit the FOV: were gradients given in T/m, or the FOV in mm?",
    )  # fmt: skip


def _reach(table: ReadoutTable, fov_m: list[float], matrix: list[float]) -> Check:
    """Largest |k| over matrix / (2 FOV) of the axis where it is most; a matrix of one number counts for x and y."""
    sizes = matrix if len(matrix) > 1 else matrix * 2
    axes = _axes(table, min(len(fov_m), len(sizes)))
    reached = {axis: _farthest(table, axis) for axis in axes if sizes[axis] > 1}
    share = {axis: k * fov_m[axis] / (sizes[axis] / 2) for axis, (k, _) in reached.items()}
    worst = max(share, key=lambda axis: share[axis])
    held = REACH_SHARE[0] <= share[worst] <= REACH_SHARE[1]
    return Check(
        name="imaging.k_max", held=held, value=round(share[worst], 5), limit="{:g}..{:g}".format(*REACH_SHARE),
        unit="of matrix / (2 FOV)", where=_place(table, reached[worst][1], worst),
        remedy="" if held else "gradients, FOV and matrix do not fit together: correct the one that is wrong",
    )  # fmt: skip
