"""Reconstructions of Cartesian lines by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seqopt.encoding.cartesian import CartesianMeasurement, centred_ifft2
from seqopt.errors import SeqoptError
from seqopt.recon.grappa import grappa_lines
from seqopt.recon.iterative import ITERATIVE, minimise
from seqopt.recon.problem import Problem, cartesian_problem
from seqopt.recon.registry import require_weights, unet_from_weights
from seqopt.registry import Registry

Arrays = Mapping[str, np.ndarray[Any, Any]]


class CartesianReconstruction(Protocol):
    """Samples (batch, coils, y, x), zero where not acquired, and mask (y,) bool -> images (batch, y, x).

    Line N/2 and sample N/2 are k = 0. Maps are (coils, y, x) or (batch, coils, y, x), sum |S|^2 = 1, or None.
    """

    def __call__(self, samples: Tensor, mask: Tensor, maps: Tensor | None, **options: Any) -> Tensor:
        """Reconstruct."""
        ...


cartesian_reconstructions: Registry[CartesianReconstruction] = Registry("reconstruction of Cartesian data")

MAPS_NEEDED = ITERATIVE
"""Methods that do not go without coil maps."""
DEFAULTS: dict[str, tuple[int, float]] = {"cg-sense": (30, 0.01), "l1-wavelet": (30, 0.003), "tv": (40, 0.003)}
"""Iterations and regularisation of the methods that have them."""


@cartesian_reconstructions.register("zero-filled")
def zero_filled(samples: Tensor, mask: Tensor, maps: Tensor | None, **_: Any) -> Tensor:
    """Zeros where nothing was acquired; combined by the maps, complex, or by root sum of squares without."""
    return _combined(centred_ifft2(samples * mask[:, None]), maps)


def _iterative(method: str) -> CartesianReconstruction:
    """Transforms along y only."""
    usual_iterations, usual_regularisation = DEFAULTS[method]

    def reconstruct(
        samples: Tensor,
        mask: Tensor,
        maps: Tensor | None,
        *,
        iterations: int = usual_iterations,
        regularisation: float = usual_regularisation,
        residuals: list[float] | None = None,
        seed: int = 0,
        **_: Any,
    ) -> Tensor:
        numbers: dict[str, Any] = {"iterations": iterations, "regularisation": regularisation, "seed": seed}
        return minimise(method, lambda: _problem(method, samples, mask, maps), residuals=residuals, **numbers)

    return reconstruct


for _method in ITERATIVE:
    cartesian_reconstructions.register(_method)(_iterative(_method))


@cartesian_reconstructions.register("grappa")
def grappa(
    samples: Tensor,
    mask: Tensor,
    maps: Tensor | None,
    *,
    calibration: Tensor | None = None,
    calibration_lines: np.ndarray[Any, Any] | None = None,
    **_: Any,
) -> Tensor:
    """Regular gaps filled by kernels from ``calibration`` (batch, coils, lines, x), lines ``calibration_lines``."""
    if calibration is None or calibration_lines is None:
        raise SeqoptError("grappa needs calibration lines; design with --calibration, or use the method 'zero-filled'")
    filled = [
        grappa_lines(one.numpy(), mask.numpy(), lines.numpy(), calibration_lines)
        for one, lines in zip(samples.cpu(), calibration.cpu(), strict=True)
    ]
    return _combined(centred_ifft2(torch.from_numpy(np.stack(filled)).to(samples.device)), maps)


@cartesian_reconstructions.register("unet")
def unet(
    samples: Tensor, mask: Tensor, maps: Tensor | None, *, network_weights: Arrays | None = None, **_: Any
) -> Tensor:
    """The magnitude of the zero-filled image restored by the U-Net that was trained with the design."""
    network = unet_from_weights(require_weights("unet", network_weights)).to(samples.device)
    with torch.no_grad():
        restored: Tensor = network(zero_filled(samples, mask, maps).abs())
    return restored


def _problem(method: str, samples: Tensor, mask: Tensor, maps: Tensor | None) -> Problem:
    """Of the form in which training knows the data: transformed along x, uncentred along y."""
    if maps is None:
        raise SeqoptError(f"{method} needs coil maps; estimate them or choose the method 'zero-filled'")
    lines = torch.fft.fft(centred_ifft2(samples * mask[:, None]), dim=-2, norm="ortho")
    weights = mask.to(samples.real.dtype)
    return cartesian_problem(CartesianMeasurement(lines, weights, maps if maps.ndim == 4 else maps[None]))


def _combined(coil_images: Tensor, maps: Tensor | None) -> Tensor:
    combined: Tensor
    if maps is None:
        combined = torch.linalg.vector_norm(coil_images, dim=1)
    else:
        combined = (coil_images * maps.conj()).sum(1)
    return combined
