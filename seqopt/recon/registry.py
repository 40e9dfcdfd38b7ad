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
from seqopt.recon.cg_sense import DEFAULT_ITERATIONS, DEFAULT_REGULARISATION, conjugate_gradients
from seqopt.recon.unet import UNet, sizes_of
from seqopt.recon.unrolled import Unrolled
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

WITH_MAPS = ("cg-sense", "unrolled")
"""Methods that take coil maps."""
ITERATIVE = ("cg-sense",)
"""Methods that take iterations and a regularisation; the unrolled one keeps those it was trained with."""
TRAINED = ("unet", "unrolled")
"""Methods that take the weights of a network from a design."""


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
    if iterations < 1:
        raise reject("CG iterations", got=iterations, expected="1 or more", remedy="10 is usual")
    if regularisation < 0:
        raise reject("regularisation", got=regularisation, expected="0 or more", remedy="0.01 is usual")
    return conjugate_gradients(
        *_normal_equations("cg-sense", samples, k_per_m, weights, maps, geometry),
        iterations=iterations,
        regularisation=regularisation,
        residuals=residuals,
    )


def _normal_equations(
    method: str, samples: Tensor, k_per_m: Tensor, weights: Tensor, maps: Tensor | None, geometry: Geometry
) -> tuple[Tensor, Tensor, Tensor]:
    """Right-hand side S^H A^H W s (batch, y, x), spectrum and shifted maps of the Gram form."""
    if maps is None:
        raise SeqoptError(f"{method} needs coil maps; estimate them or choose the method 'adjoint'")
    maps = maps if maps.ndim == 4 else maps[None]
    coil_images = Nufft(geometry, device=samples.device).adjoint(samples * weights, k_per_m)
    spectrum = GramKernel(geometry, device=samples.device)(k_per_m, weights)
    return (coil_images * maps.conj()).sum(1), spectrum, shifted_maps(maps)


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
    network = unet_from_weights(require_weights("unet", network_weights)).to(samples.device)
    with torch.no_grad():
        restored: Tensor = network(adjoint(samples, k_per_m, weights, maps, geometry))
    return restored


@reconstructions.register("unrolled")
def unrolled(
    samples: Tensor,
    k_per_m: Tensor,
    weights: Tensor,
    maps: Tensor | None,
    geometry: Geometry,
    *,
    network_weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
    **_: Any,
) -> Tensor:
    """The unrolled reconstruction that was trained with the design; coil maps and weights as for CG-SENSE; complex."""
    network = Unrolled.from_weights(require_weights("unrolled", network_weights)).to(samples.device)
    with torch.no_grad():
        return network.restore(*_normal_equations("unrolled", samples, k_per_m, weights, maps, geometry))


def require_weights(
    method: str, network_weights: Mapping[str, np.ndarray[Any, Any]] | None
) -> Mapping[str, np.ndarray[Any, Any]]:
    """The weights, or the `SeqoptError` that says where they come from."""
    if network_weights is None:
        raise SeqoptError(f"the method {method!r} needs the design whose network was trained; give it with --design")
    return network_weights


def root_sum_of_squares(coil_images: Tensor) -> Tensor:
    """(batch, coils, y, x) complex -> (batch, y, x), with a derivative at zero."""
    return (torch.view_as_real(coil_images).square().sum((1, -1)) + 1e-12).sqrt()


def unet_from_weights(weights: Mapping[str, np.ndarray[Any, Any]]) -> UNet:
    """Rebuild a U-Net from its weights alone; the widths are read off their shapes."""
    try:
        network = UNet(**sizes_of(weights))
        network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise SeqoptError("the weights in the design are not those of a seqopt U-Net; make the design anew") from error
    return network.eval()
