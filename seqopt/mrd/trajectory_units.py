"""The unit of a trajectory, which the MRD format leaves open: stated, asked for, or told by the trajectory's extent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.xml_header import CYCLES_PER_FOV, CYCLES_PER_SAMPLE
from seqopt.registry import Registry

FloatArray = npt.NDArray[np.float64]
_LEAST, _MOST = 0.6, 1.1  # extent over k-max of a file that states no unit: learned paths step a little over
_FARTHEST = 4.0  # times k-max of the header's matrix, beyond which a unit is wrong


@dataclass(frozen=True, kw_only=True)
class Space:
    """An encoding or reconstruction space of the header."""

    matrix: FloatArray
    """(2,) x, y."""
    fov_m: FloatArray
    """(2,)."""

    @classmethod
    def of(cls, space: Any) -> Space:
        """From ``ismrmrd.xsd.encodingSpaceType``."""
        return cls(
            matrix=np.array([space.matrixSize.x, space.matrixSize.y], dtype=float),
            fov_m=1e-3 * np.array([space.fieldOfView_mm.x, space.fieldOfView_mm.y]),
        )

    @property
    def k_max_per_m(self) -> FloatArray:
        """(2,)."""
        return 0.5 * self.matrix / self.fov_m


Unit = Callable[[Space], FloatArray]
"""Space -> (2,) that turns the file's numbers into 1/m."""
trajectory_units: Registry[Unit] = Registry("trajectory unit")


@trajectory_units.register(CYCLES_PER_SAMPLE)
def _cycles_per_sample(space: Space) -> FloatArray:
    """-0.5 to 0.5 over the matrix: ISMRMRD's own generator, Gadgetron, seqopt."""
    return np.asarray(space.matrix / space.fov_m)


@trajectory_units.register(CYCLES_PER_FOV)
def _cycles_per_fov(space: Space) -> FloatArray:
    """-N/2 to N/2: mrpro, mrseq, BART, sigpy."""
    return np.asarray(1.0 / space.fov_m)


@trajectory_units.register("per_m")
def _per_m(space: Space) -> FloatArray:
    """Pulseq."""
    return np.ones(2)


@trajectory_units.register("rad_per_m")
def _rad_per_m(space: Space) -> FloatArray:
    """MATLAB tools that integrate gamma in rad/s/T."""
    return np.full(2, 0.5 / np.pi)


@trajectory_units.register("rad_per_encoded_sample")
def _rad_per_sample(space: Space) -> FloatArray:
    """-pi to pi: what NUFFT libraries take."""
    return np.asarray(space.matrix / space.fov_m / (2 * np.pi))


@trajectory_units.register("normalised")
def _normalised(space: Space) -> FloatArray:
    """-1 to 1, each axis by its own k-max."""
    return np.asarray(space.k_max_per_m)


def factors(
    path: Path, found: FloatArray, unit: str | FloatArray | None, spaces: list[Space], notes: list[str], *, asked: bool
) -> FloatArray:
    """(2,) that turn ``found`` (..., 2) into 1/m; ``unit`` by name or just these; ``spaces`` the encoded one first.

    Notes say what was found. Raises `SeqoptError` for an unknown unit, one that cannot be told, and a trajectory that
    leaves the matrix far behind or stays at 0.
    """
    extent = np.abs(found).reshape(-1, 2).max(axis=0)
    if not extent.any():
        raise SeqoptError(f"{path}: the trajectory is 0 everywhere; give the design with --design or --seq")
    if isinstance(unit, np.ndarray):
        scale = unit
    elif unit is not None:
        if unit not in trajectory_units:
            raise SeqoptError(
                f"{path}: unknown trajectory_unit {unit!r}; known: {', '.join(trajectory_units)}; "
                "say which with --trajectory-units, or give the design with --design"
            )
        scale = trajectory_units[unit](spaces[0])
        if asked:
            reach = _reach(extent, scale, spaces)
            notes.append(f"the trajectory was read as {unit}; it reaches {reach} k-max")
    else:
        unit, space = _told(path, extent, spaces)
        scale = trajectory_units[unit](space)
        notes.append(f"the file does not state its trajectory's unit; its extent {extent.max():.3g} tells {unit}")
    if (extent * scale > _FARTHEST * spaces[0].k_max_per_m).any():
        raise SeqoptError(
            f"{path}: the trajectory is out of range, as {unit} it reaches {_reach(extent, scale, spaces)} times the "
            "k-max of the header's matrix; correct it, say --trajectory-units, or give --design or --seq"
        )
    return scale


def _reach(extent: FloatArray, scale: FloatArray, spaces: list[Space]) -> str:
    return f"{(extent * scale / spaces[0].k_max_per_m).max():.3g}"


def _told(path: Path, extent: FloatArray, spaces: list[Space]) -> tuple[str, Space]:
    """The unit in which the trajectory reaches just about k-max of the header's encoded, else its image's, matrix."""
    for space in spaces:
        fitting = []
        for name in trajectory_units:
            reached = extent * trajectory_units[name](space) / space.k_max_per_m
            if (reached > _LEAST).all() and (reached < _MOST).all():
                fitting.append((float(np.abs(np.log(reached)).max()), name))
        if fitting:
            return min(fitting)[1], space
    for name in (CYCLES_PER_SAMPLE, CYCLES_PER_FOV):  # a part of k-space only
        if (extent * trajectory_units[name](spaces[0]) < _MOST * spaces[0].k_max_per_m).all():
            return name, spaces[0]
    raise SeqoptError(
        f"{path}: the trajectory reaches {extent.max():.4g}, neither cycles per sample (0.5) nor cycles/FOV "
        f"({0.5 * spaces[0].matrix.max():g}) nor 1/m ({spaces[0].k_max_per_m.max():.4g}); "
        "say its unit with --trajectory-units, or give the design with --design"
    )
