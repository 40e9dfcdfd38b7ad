"""Field of view, matrix and slices."""

from __future__ import annotations

from dataclasses import dataclass

from seqopt.errors import reject


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the image lies. In plane x is the readout axis of the scanner's gradient x, images are ``(y, x)``."""

    fov_m: tuple[float, float]
    """Field of view (x, y) in metres."""
    matrix: tuple[int, int]
    """Pixels (x, y)."""
    slices: int = 1
    slice_thickness_m: float = 0.005
    slice_gap_m: float = 0.0

    def __post_init__(self) -> None:
        for axis, fov in zip("xy", self.fov_m, strict=True):
            if not 0.005 <= fov <= 1.0:
                raise reject(
                    f"field of view along {axis}",
                    got=f"{fov:g} m",
                    expected="0.005..1 m",
                    remedy="was it given in mm where metres are due, or the other way round?",
                )
        for axis, size in zip("xy", self.matrix, strict=True):
            if not 8 <= size <= 4096:
                raise reject(
                    f"matrix along {axis}", got=size, expected="8..4096 pixels", remedy="give the pixels a side"
                )
            if size % 2:
                raise reject(f"matrix along {axis}", got=size, expected="an even number", remedy=f"use {size + 1}")
        if not 1 <= self.slices <= 1024:
            raise reject("slices", got=self.slices, expected="1..1024", remedy="give a whole number of slices")
        if not 1e-4 <= self.slice_thickness_m <= 0.5:
            raise reject(
                "slice thickness",
                got=f"{self.slice_thickness_m:g} m",
                expected="0.0001..0.5 m",
                remedy="was it given in mm where metres are due?",
            )
        if not 0.0 <= self.slice_gap_m <= 0.5:
            raise reject("slice gap", got=f"{self.slice_gap_m:g} m", expected="0..0.5 m", remedy="give it in metres")

    @property
    def voxel_m(self) -> tuple[float, float]:
        """Pixel size (x, y) in metres."""
        return self.fov_m[0] / self.matrix[0], self.fov_m[1] / self.matrix[1]

    @property
    def k_max_per_m(self) -> tuple[float, float]:
        """Half the extent of k-space (x, y) in 1/m: matrix / (2 FOV)."""
        return 0.5 * self.matrix[0] / self.fov_m[0], 0.5 * self.matrix[1] / self.fov_m[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Image shape (y, x)."""
        return self.matrix[1], self.matrix[0]

    def slice_positions_m(self) -> list[float]:
        """Centre of each slice along z in metres, symmetric about 0."""
        step = self.slice_thickness_m + self.slice_gap_m
        return [(index - (self.slices - 1) / 2) * step for index in range(self.slices)]
