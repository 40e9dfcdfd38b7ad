"""Reconstructions as they stand inside training: from a ``Measurement`` to a magnitude image, differentiable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from seqopt.encoding.acquisition import Measurement
from seqopt.errors import SeqoptError
from seqopt.recon.cg_sense import DEFAULT_ITERATIONS, DEFAULT_REGULARISATION, conjugate_gradients
from seqopt.recon.registry import root_sum_of_squares
from seqopt.recon.trainable import InLoop, Stored, arrays_of, load_arrays, magnitude
from seqopt.recon.unet import UNet
from seqopt.recon.unrolled import Unrolled
from seqopt.registry import Registry

in_loop: Registry[type[InLoop]] = Registry("reconstruction in training")


def make_in_loop(name: str, *, iterations: int, regularisation: float, channels: int) -> InLoop:
    """A reconstruction by name, from the numbers of a recipe: CG iterations, regularisation, network channels."""
    return in_loop[name].of_recipe(iterations=iterations, regularisation=regularisation, channels=channels)


def stored(module: nn.Module) -> Stored | None:
    """Offline method and weights that a design keeps of a reconstruction; None where nothing was learned."""
    return module.stored() if isinstance(module, InLoop) else None


def load_stored(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Give a reconstruction the weights that ``stored`` gave, say of an earlier design.

    Raises `SeqoptError` where it has no weights, or others.
    """
    if not isinstance(module, InLoop):
        raise SeqoptError(f"{type(module).__name__} is no reconstruction with weights; known: {', '.join(in_loop)}")
    module.load(weights)


@in_loop.register("cg-sense")
class CgSense(InLoop):
    """CG-SENSE with known maps; nothing to learn but the sampling."""

    def __init__(self, iterations: int = DEFAULT_ITERATIONS, regularisation: float = DEFAULT_REGULARISATION) -> None:
        super().__init__()
        self.iterations, self.regularisation = iterations, regularisation

    @classmethod
    def of_recipe(cls, *, iterations: int, regularisation: float, channels: int) -> Self:
        """The recipe's iterations and regularisation; it has no channels."""
        return cls(iterations, regularisation)

    def forward(self, measurement: Measurement) -> Tensor:
        """Magnitude (batch, y, x)."""
        estimate = conjugate_gradients(
            measurement.combined(),
            measurement.spectrum,
            measurement.shifted,
            iterations=self.iterations,
            regularisation=self.regularisation,
        )
        return magnitude(estimate)


@in_loop.register("adjoint+unet")
class AdjointUnet(InLoop):
    """RSS of the density-compensated adjoint, restored by a U-Net (Peng et al., CVPR 2022, eq. 15)."""

    def __init__(self, channels: int = 16, levels: int = 4) -> None:
        super().__init__()
        self.unet = UNet(channels=channels, levels=levels)

    @classmethod
    def of_recipe(cls, *, iterations: int, regularisation: float, channels: int) -> Self:
        """The recipe's channels; it has no iterations."""
        return cls(channels)

    def stored(self) -> Stored:
        """The U-Net's weights, for the offline method 'unet'."""
        return "unet", arrays_of(self.unet)

    def load(self, weights: Mapping[str, Any]) -> None:
        """Take the weights of a U-Net of the same size."""
        load_arrays(self.unet, weights, method="unet")

    def forward(self, measurement: Measurement) -> Tensor:
        """Magnitude (batch, y, x)."""
        restored: Tensor = self.unet(root_sum_of_squares(measurement.coil_images()))
        return restored


in_loop.register("unrolled")(Unrolled)
