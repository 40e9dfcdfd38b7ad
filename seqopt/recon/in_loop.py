"""Reconstructions as they stand inside training: from a ``Measurement`` to a magnitude image, differentiable."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from seqopt.encoding.acquisition import Measurement
from seqopt.recon.cg_sense import conjugate_gradients
from seqopt.recon.registry import DEFAULT_ITERATIONS, DEFAULT_REGULARISATION, root_sum_of_squares
from seqopt.recon.unet import UNet
from seqopt.registry import Registry

in_loop: Registry[Callable[[], nn.Module]] = Registry("reconstruction in training")


@in_loop.register("cg-sense")
class CgSense(nn.Module):
    """CG-SENSE with known maps; nothing to learn but the sampling."""

    def __init__(self, iterations: int = DEFAULT_ITERATIONS, regularisation: float = DEFAULT_REGULARISATION) -> None:
        super().__init__()
        self.iterations, self.regularisation = iterations, regularisation

    def forward(self, measurement: Measurement) -> Tensor:
        """Magnitude (batch, y, x)."""
        estimate = conjugate_gradients(
            measurement.combined(),
            measurement.spectrum,
            measurement.maps4,
            iterations=self.iterations,
            regularisation=self.regularisation,
        )
        return (estimate.real.square() + estimate.imag.square() + 1e-10).sqrt()


@in_loop.register("adjoint+unet")
class AdjointUnet(nn.Module):
    """RSS of the density-compensated adjoint, restored by a U-Net (Peng et al., CVPR 2022, eq. 15)."""

    def __init__(self, channels: int = 16, levels: int = 4) -> None:
        super().__init__()
        self.unet = UNet(channels=channels, levels=levels)

    def forward(self, measurement: Measurement) -> Tensor:
        """Magnitude (batch, y, x)."""
        restored: Tensor = self.unet(root_sum_of_squares(measurement.coil_images()))
        return restored
