"""Reconstructions inside the choice of lines: from a ``CartesianMeasurement`` to a magnitude, differentiable."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from seqopt.encoding.cartesian import CartesianMeasurement
from seqopt.errors import reject
from seqopt.recon.trainable import InLoop, magnitude
from seqopt.registry import Registry

DEFAULT_ITERATIONS = 6
"""Of CG inside the choice of lines: each is kept for the way back."""
DEFAULT_REGULARISATION = 0.01
CONVERGED = 1e-10
"""Share of the right-hand side's energy below which CG stands still: float32 has only rounding left to improve."""

cartesian_in_loop: Registry[type[InLoop]] = Registry("reconstruction of lines")


@cartesian_in_loop.register("zero-filled")
class ZeroFilled(InLoop):
    """Lines that were not acquired are zero; coils are combined by their maps (IGS: Razumov et al., 2022)."""

    @classmethod
    def of_recipe(cls, *, iterations: int, regularisation: float, channels: int) -> Self:
        """It needs none of these."""
        return cls()

    def forward(self, measurement: CartesianMeasurement) -> Tensor:
        """Magnitude (batch, y, x)."""
        return magnitude(measurement.combined())


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

    Out: complex (batch, y, x), differentiable in the weights through every iteration. An image that has converged
    stands still, or the way back would follow rounding errors: with one coil the first iteration is exact.
    Source: Pruessmann et al., MRM 46:638 (2001).
    """
    right_hand_side = measurement.combined()
    estimate, residual, direction = torch.zeros_like(right_hand_side), right_hand_side, right_hand_side
    energy = _inner(residual, residual)
    enough = CONVERGED * energy.detach()
    for _ in range(iterations):
        moving = energy > enough
        image = measurement.gram(direction) + regularisation * direction
        step = _ratio(energy, _inner(direction, image), moving)
        estimate = estimate + step * direction
        residual = residual - step * image
        fresh = _inner(residual, residual)
        direction = residual + _ratio(fresh, energy, moving) * direction
        energy = fresh
    return estimate


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """Real inner product of each image, (batch, 1, 1)."""
    return (left.real * right.real + left.imag * right.imag).sum((1, 2), keepdim=True)


def _ratio(above: Tensor, below: Tensor, moving: Tensor) -> Tensor:
    """The quotient where an image still moves, zero elsewhere, with a finite derivative in both cases."""
    return torch.where(moving, above / torch.where(moving, below, 1.0), 0.0)
