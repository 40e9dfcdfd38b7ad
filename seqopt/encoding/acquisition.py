"""The acquisition inside the learning loop: images seen through coils, a trajectory and noise, in Gram form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqopt.core import Geometry
from seqopt.encoding.density import pipe_menon, pipe_menon_torch
from seqopt.encoding.gram import GramKernel, coil_gram, sense_gram, shifted_maps
from seqopt.encoding.nufft import Nufft


@dataclass(frozen=True)
class Measurement:
    """What a reconstruction may use of one batch; the images hide behind A^H W A."""

    _images: Tensor
    spectrum: Tensor
    maps: Tensor
    shifted: Tensor
    noise: Tensor
    """A^H W n (batch, coils, y, x)."""

    def coil_images(self) -> Tensor:
        """A^H W (A S x + n) of each coil, (batch, coils, y, x)."""
        return coil_gram(self._images, self.spectrum, self.shifted) + self.noise

    def combined(self) -> Tensor:
        """S^H A^H W (A S x + n), the right-hand side of CG-SENSE, (batch, y, x)."""
        return sense_gram(self._images, self.spectrum, self.shifted) + (self.noise * self.maps.conj()).sum(1)


class Acquisition:
    """Coils, noise and NUFFT engine of one geometry."""

    def __init__(
        self,
        geometry: Geometry,
        maps: npt.NDArray[np.complex64],
        *,
        noise_sigma: float,
        backend: str = "auto",
        device: torch.device | str = "cpu",
        tolerance: float = 1e-4,
    ) -> None:
        """Maps (coils, y, x); ``noise_sigma`` the standard deviation of each complex k-space sample."""
        self.geometry, self.noise_sigma = geometry, noise_sigma
        self.device = torch.device(device)
        self.maps = torch.from_numpy(maps).to(self.device)[None]
        self.shifted = shifted_maps(self.maps)
        self.kernel = GramKernel(geometry, backend, device=self.device, tolerance=tolerance)
        self.nufft = Nufft(geometry, backend, device=self.device, tolerance=tolerance)

    def weights(self, k_per_m: Tensor) -> Tensor:
        """Density compensation (shots, samples) of a trajectory, without a derivative."""
        if self.device.type == "cuda":  # nothing leaves the device
            return pipe_menon_torch(k_per_m.detach(), self.geometry).to(torch.float32)
        areas = pipe_menon(k_per_m.detach().cpu().double().numpy(), self.geometry)
        return torch.tensor(areas, dtype=torch.float32, device=self.device)

    def measure(
        self,
        images: Tensor,
        k_per_m: Tensor,
        weights: Tensor,
        generator: torch.Generator,
        *,
        spectrum: Tensor | None = None,
        among: tuple[slice, int] | None = None,
    ) -> Measurement:
        """Encode (batch, y, x) complex images; give ``spectrum`` where the trajectory stays and one is at hand.

        ``among`` says which images of a batch of how many these are: their noise is then the whole batch's there. The
        generator may lie on the acquisition's device, where the noise is then made, or on the CPU.

        The signal is differentiable in k. The noise is white on the samples, whatever k: its derivative through A^H is
        left out, which averages to zero.
        """
        own, total = (slice(None), len(images)) if among is None else among
        shape = (total, self.maps.shape[1], *k_per_m.shape[:2])
        drawn = torch.randn(shape, dtype=torch.complex64, generator=generator, device=generator.device)
        noise = drawn[own].to(self.device) * self.noise_sigma
        return Measurement(
            images,
            self.kernel(k_per_m, weights) if spectrum is None else spectrum,
            self.maps,
            self.shifted,
            self.nufft.adjoint(noise * weights, k_per_m.detach()),
        )
