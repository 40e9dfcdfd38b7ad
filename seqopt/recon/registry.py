"""Reconstructions by name. Training and offline reconstruction call the same functions underneath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seqopt.core import Geometry
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError
from seqopt.recon.cg_sense import DEFAULT_ITERATIONS, DEFAULT_REGULARISATION
from seqopt.recon.iterative import ITERATIVE, minimise
from seqopt.recon.problem import DEFAULT_SEGMENTS, Field, Problem, off_resonant_adjoint, trajectory_problem
from seqopt.recon.unet import UNet, sizes_of
from seqopt.recon.unrolled import Unrolled
from seqopt.registry import Registry


class Reconstruction(Protocol):
    """Samples (batch, coils, shots, samples), k (shots, samples, 2) 1/m, weights (shots, samples) -> (batch, y, x).

    Every method takes ``field_map_hz`` (y, x) with ``times_s`` (samples,) and ``segments``: off-resonance that it
    corrects. Iterative ones take ``iterations``, ``regularisation`` and a list ``residuals`` that they fill.
    """

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

DEFAULTS: dict[str, tuple[int, float]] = {
    "cg-sense": (DEFAULT_ITERATIONS, DEFAULT_REGULARISATION),
    "l1-wavelet": (40, 0.003),
    "tv": (40, 0.002),
}
"""Iterations and regularisation of the methods that have them; of the last two relative to the brightest pixel."""
WITH_MAPS = (*ITERATIVE, "unrolled")
"""Methods that take coil maps."""
TRAINED = ("unet", "unrolled")
"""Methods that take the weights of a network from a design."""


@reconstructions.register("adjoint")
def adjoint(
    samples: Tensor, k_per_m: Tensor, weights: Tensor, maps: Tensor | None, geometry: Geometry, **options: Any
) -> Tensor:
    """Root sum of squares over coils of A^H W s, real; needs no maps."""
    nufft, field = Nufft(geometry, device=samples.device), field_of(options)
    if field is not None:
        return root_sum_of_squares(off_resonant_adjoint(nufft, samples * weights, k_per_m, field))
    return root_sum_of_squares(nufft.adjoint(samples * weights, k_per_m))


def _iterative(method: str) -> Reconstruction:
    """With coil maps (coils, y, x) or (batch, coils, y, x); weights as from ``pipe_menon``."""
    usual_iterations, usual_regularisation = DEFAULTS[method]

    def reconstruct(
        samples: Tensor,
        k_per_m: Tensor,
        weights: Tensor,
        maps: Tensor | None,
        geometry: Geometry,
        *,
        iterations: int = usual_iterations,
        regularisation: float = usual_regularisation,
        residuals: list[float] | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Tensor:
        def problem() -> Problem:
            return _problem(method, samples, k_per_m, weights, maps, geometry, options)

        numbers: dict[str, Any] = {"iterations": iterations, "regularisation": regularisation, "seed": seed}
        return minimise(method, problem, residuals=residuals, **numbers)

    return reconstruct


for _method in ITERATIVE:
    reconstructions.register(_method)(_iterative(_method))


def field_of(options: Mapping[str, Any]) -> Field | None:
    """The off-resonance among the options of a method."""
    if options.get("field_map_hz") is None:
        return None
    return Field(
        map_hz=options["field_map_hz"],
        times_s=options["times_s"],
        segments=options.get("segments", DEFAULT_SEGMENTS),
    )


def _problem(
    method: str,
    samples: Tensor,
    k_per_m: Tensor,
    weights: Tensor,
    maps: Tensor | None,
    geometry: Geometry,
    options: Mapping[str, Any],
) -> Problem:
    if maps is None:
        raise SeqoptError(f"{method} needs coil maps; estimate them or choose the method 'adjoint'")
    return trajectory_problem(samples, k_per_m, weights, maps, geometry, field=field_of(options))


@reconstructions.register("unet")
def unet(
    samples: Tensor,
    k_per_m: Tensor,
    weights: Tensor,
    maps: Tensor | None,
    geometry: Geometry,
    *,
    network_weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
    **options: Any,
) -> Tensor:
    """The adjoint restored by the U-Net that was trained with the design."""
    network = unet_from_weights(require_weights("unet", network_weights)).to(samples.device)
    with torch.no_grad():
        restored: Tensor = network(adjoint(samples, k_per_m, weights, maps, geometry, **options))
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
    **options: Any,
) -> Tensor:
    """The unrolled reconstruction that was trained with the design; coil maps and weights as for CG-SENSE; complex."""
    network = Unrolled.from_weights(require_weights("unrolled", network_weights)).to(samples.device)
    problem = _problem("unrolled", samples, k_per_m, weights, maps, geometry, options)
    with torch.no_grad():
        return network.cascade(problem.right_hand_side, problem.gram)


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
