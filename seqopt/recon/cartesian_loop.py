"""Reconstructions inside the choice of lines: from a ``CartesianMeasurement`` to a magnitude, differentiable."""

from __future__ import annotations

from typing import Self

from torch import Tensor

from seqopt.encoding.cartesian import CartesianMeasurement
from seqopt.errors import reject
from seqopt.recon.cg_sense import solve
from seqopt.recon.registry import root_sum_of_squares
from seqopt.recon.trainable import InLoop, magnitude
from seqopt.registry import Registry

DEFAULT_ITERATIONS = 6
"""Of CG inside the choice of lines: each is kept for the way back."""
DEFAULT_REGULARISATION = 0.01

cartesian_in_loop: Registry[type[InLoop]] = Registry("reconstruction of lines")


@cartesian_in_loop.register("zero-filled")
class ZeroFilled(InLoop):
    """Lines that were not acquired are zero; coils are combined by their maps (IGS: Razumov et al., 2022).

    Where a scan gives no maps, for want of calibration lines, they are combined by root sum of squares.
    """

    def __init__(self, *, by_maps: bool = True) -> None:
        super().__init__()
        self.by_maps = by_maps

    @classmethod
    def of_recipe(cls, *, iterations: int, regularisation: float, channels: int) -> Self:
        """It needs none of these."""
        return cls()

    def forward(self, measurement: CartesianMeasurement) -> Tensor:
        """Magnitude (batch, y, x)."""
        return magnitude(measurement.combined()) if self.by_maps else root_sum_of_squares(measurement.coil_images())


@cartesian_in_loop.register("cg-sense")
class CartesianCgSense(InLoop):
    """CG-SENSE with known maps, its iterations unrolled; nothing to learn but the lines."""

    def __init__(self, iterations: int = DEFAULT_ITERATIONS, regularisation: float = DEFAULT_REGULARISATION) -> None:
        super().__init__()
        if iterations < 1:
            raise reject("CG iterations", got=iterations, expected="1 or more", remedy=f"{DEFAULT_ITERATIONS} is usual")
        if not regularisation > 0:  # without it the derivative in a line that is not acquired has no bound
            raise reject(
                "regularisation", got=regularisation, expected="above 0", remedy=f"{DEFAULT_REGULARISATION} is usual"
            )
        self.iterations, self.regularisation = iterations, regularisation

    @classmethod
    def of_recipe(cls, *, iterations: int, regularisation: float, channels: int) -> Self:
        """The recipe's iterations and regularisation; it has no channels."""
        return cls(iterations, regularisation)

    def forward(self, measurement: CartesianMeasurement) -> Tensor:
        """Magnitude (batch, y, x)."""
        return magnitude(sense(measurement, iterations=self.iterations, regularisation=self.regularisation))


def sense(measurement: CartesianMeasurement, *, iterations: int, regularisation: float) -> Tensor:
    """Solve (S^H A^H W A S + regularisation) x = S^H A^H W y by conjugate gradients from zero.

    Out: complex (batch, y, x), differentiable in the weights through every iteration.
    Source: Pruessmann et al., MRM 46:638 (2001).
    """
    return solve(measurement.gram, measurement.combined(), iterations=iterations, regularisation=regularisation)
