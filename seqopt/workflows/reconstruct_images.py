"""What the reconstruction of one block of slices brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seqopt.core import CartesianData, Geometry, KspaceData
from seqopt.mrd.placement import Placement


class SliceMethod(Protocol):
    """Samples of one slice, as `Looked` has them, -> image (y, x), with its maps and settings."""

    def __call__(self, samples: npt.NDArray[np.complex64], residuals: list[float] | None = None) -> npt.NDArray[Any]:
        """``residuals`` collects one number an iteration."""
        ...


@dataclass(frozen=True, kw_only=True)
class Looked:
    """One slice with all that its reconstruction used, for a closer look at its quality."""

    image: npt.NDArray[Any]
    """(y, x)."""
    samples: npt.NDArray[np.complex64]
    """(coils, shots, samples), or (coils, y, x) of lines, as they were reconstructed."""
    maps: npt.NDArray[np.complex64] | None
    """(coils, y, x)."""
    residuals: tuple[float, ...]
    """Of each iteration; empty where the method has none."""
    data: KspaceData | CartesianData
    """The block's, after all steps."""
    reconstruct: SliceMethod
    """As the image was made."""
    averages: npt.NDArray[np.int64]
    """(shots,), or (matrix y,) of lines: of how many readouts each is the mean."""
    k_per_m: npt.NDArray[np.float64] | None = None
    """(shots, samples, 2); None for lines."""
    weights: npt.NDArray[Any] | None = None
    """(shots, samples) cell areas in (1/FOV)^2; None for lines."""
    mask: npt.NDArray[np.bool_] | None = None
    """(matrix y,); None along a trajectory."""

    @classmethod
    def at(
        cls,
        place: int,
        data: KspaceData | CartesianData,
        reconstruct: SliceMethod,
        samples: npt.NDArray[np.complex64],
        **used: npt.NDArray[Any] | None,
    ) -> Looked:
        """The slice at ``place`` of the data's, reconstructed; ``used`` are maps, and k with weights or the mask."""
        residuals: list[float] = []
        image = reconstruct(samples, residuals)
        return cls(
            image=image,
            samples=samples,
            residuals=tuple(residuals),
            data=data,
            reconstruct=reconstruct,
            averages=data.averages_of(place),
            **used,
        )

    @property
    def strongest_coil(self) -> npt.NDArray[np.complex64]:
        """Samples of the coil with the most energy."""
        return np.asarray(self.samples[int((np.abs(self.samples) ** 2).sum((1, 2)).argmax())])


@dataclass(frozen=True, kw_only=True)
class BlockImages:
    """Images of some slices of one series, and how they were made."""

    images: npt.NDArray[Any]
    """(slices, y, x), complex where the method gives it."""
    geometry: Geometry
    """Of the image."""
    placement: Placement
    """Of these slices."""
    coils: int
    shots: int
    """Readouts a slice: shots of a trajectory, lines of a Cartesian scan."""
    samples: int
    whitened: bool
    signature: str | None
    """MD5 of the .seq that was played, where the file names it."""
    cross_check: dict[str, float] | None
    record: Mapping[str, Any]
    """What ``recon.json`` says of the method."""
    notes: tuple[str, ...]
    looked: Looked | None = None
    line_of_zero: int = 0
    """Number of the Cartesian line whose counter is 0."""
