"""Reconstructions by name. Training and offline reconstruction call the same functions underneath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seqopt.core import Geometry
from seqopt.encoding.gram import GramKernel, shifted_maps
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError, reject
from seqopt.recon.cg_sense import conjugate_gradients
from seqopt.recon.unet import UNet
from seqopt.registry import Registry


class Reconstruction(Protocol):
    """Samples (batch, coils, shots, samples), k (shots, samples, 2) 1/m, weights (shots, samples) -> (batch, y, x)."""

    def __call__(
        self,
        samples: Tensor,
        k_per_m: Tensor,
        weights: Tensor,
        maps: Tensor | None,
        geometry: Geometry,
        **options: Any,
    ) -> Tensor:
        """Reconstruct."""
        ...


reconstructions: Registry[Reconstruction] = Registry("reconstruction")

DEFAULT_ITERATIONS = 12
DEFAULT_REGULARISATION = 0.01


@reconstructions.register("adjoint")
def adjoint(
    samples: Tensor, k_per_m: Tensor, weights: Tensor, maps: Tensor | None, geometry: Geometry, **_: Any
) -> Tensor:
    """Root sum of squares over coils of A^H W s, real; needs no maps."""
    return root_sum_of_squares(Nufft(geometry, device=samples.device).adjoint(samples * weights, k_per_m))


@reconstructions.register("cg-sense")
def cg_sense(
    samples: Tensor,
    k_per_m: Tensor,
    weights: Tensor,
    maps: Tensor | None,
    geometry: Geometry,
    *,
    iterations: int = DEFAULT_ITERATIONS,
    regularisation: float = DEFAULT_REGULARISATION,
    residuals: list[float] | None = None,
    **_: Any,
) -> Tensor:
    """CG-SENSE with coil maps (coils, y, x) or (batch, coils, y, x), complex; weights as from ``pipe_menon``."""
    if maps is None:
        raise SeqoptError("cg-sense needs coil maps; estimate them or choose the method 'adjoint'")
    if iterations < 1:
        raise reject("CG iterations", got=iterations, expected="1 or more", remedy="10 is usual")
    if regularisation < 0:
        raise reject("regularisation", got=regularisation, expected="0 or more", remedy="0.01 is usual")
    maps = maps if maps.ndim == 4 else maps[None]
    rhs = (Nufft(geometry, device=samples.device).adjoint(samples * weights, k_per_m) * maps.conj()).sum(1)
    spectrum = GramKernel(geometry, device=samples.device)(k_per_m, weights)
    return conjugate_gradients(
        rhs,
        spectrum,
        shifted_maps(maps),
        iterations=iterations,
        regularisation=regularisation,
        residuals=residuals,
    )


@reconstructions.register("unet")
def unet(
    samples: Tensor,
    k_per_m: Tensor,
    weights: Tensor,
    maps: Tensor | None,
    geometry: Geometry,
    *,
    network_weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
    **_: Any,
) -> Tensor:
    """The adjoint restored by the U-Net that was trained with the design."""
    if network_weights is None:
        raise SeqoptError("the method 'unet' needs the design whose network was trained; give it with --design")
    network = unet_from_weights(network_weights).to(samples.device)
    with torch.no_grad():
        restored: Tensor = network(adjoint(samples, k_per_m, weights, maps, geometry))
    return restored


def root_sum_of_squares(coil_images: Tensor) -> Tensor:
    """(batch, coils, y, x) complex -> (batch, y, x), with a derivative at zero."""
    return (torch.view_as_real(coil_images).square().sum((1, -1)) + 1e-12).sqrt()


def unet_from_weights(weights: Mapping[str, np.ndarray[Any, Any]]) -> UNet:
    """Rebuild a U-Net from its weights alone; the widths are read off their shapes."""
    try:
        levels = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("down."))
        network = UNet(channels=int(weights["last.weight"].shape[1]), levels=levels)
        network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise SeqoptError("the weights in the design are not those of a seqopt U-Net; make the design anew") from error
    return network.eval()
