"""The encoding compared with sigpy's on the data at hand: another code, another kernel, the same transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.core import Geometry
from seqopt.encoding.cartesian import centred_fft2, centred_ifft2
from seqopt.encoding.nufft import Nufft

TOLERANCE = 1e-2
_OVERSAMPLING = 2.0
_WIDTH = 6.0


def sigpy_difference(
    samples: npt.NDArray[Any],
    image: npt.NDArray[Any],
    k_per_m: npt.NDArray[np.float64],
    weights: npt.NDArray[Any],
    geometry: Geometry,
) -> dict[str, float]:
    """Relative differences ||ours - sigpy|| / ||sigpy|| of the adjoint of one coil and the forward of an image.

    In: samples (shots, samples) of one coil, image (y, x), k (shots, samples, 2) in 1/m, weights (shots, samples).
    """
    import sigpy

    coordinates = (k_per_m * np.array(geometry.fov_m))[..., ::-1].reshape(-1, 2)  # (points, 2) y, x in 1/FOV
    k = torch.from_numpy(np.ascontiguousarray(k_per_m, dtype=np.float64))
    operator = Nufft(geometry)
    weighted = (samples * weights).astype(np.complex64)
    ours = operator.adjoint(torch.from_numpy(weighted)[None, None], k)[0, 0].numpy()
    theirs = sigpy.nufft_adjoint(
        weighted.ravel(), coordinates, oshape=geometry.shape, oversamp=_OVERSAMPLING, width=_WIDTH
    )
    pixels = image.astype(np.complex64)
    played = operator.forward(torch.from_numpy(pixels)[None, None], k)[0, 0].numpy().ravel()
    peer = sigpy.nufft(pixels, coordinates, oversamp=_OVERSAMPLING, width=_WIDTH)
    return {"adjoint": _relative(ours, theirs), "forward": _relative(played, peer)}


def sigpy_fft_difference(
    samples: npt.NDArray[Any], image: npt.NDArray[Any], mask: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """The same for Cartesian lines: samples (y, x) of one coil, zero where not acquired, image (y, x), mask (y,)."""
    import sigpy

    lines = (samples * mask[:, None]).astype(np.complex64)
    pixels = image.astype(np.complex64)
    ours = centred_ifft2(torch.from_numpy(lines)).numpy()
    played = centred_fft2(torch.from_numpy(pixels)).numpy()[mask]
    return {
        "adjoint": _relative(ours, sigpy.ifft(lines)),
        "forward": _relative(played, sigpy.fft(pixels)[mask]),
    }


def _relative(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    return float(np.linalg.norm(ours - theirs) / max(float(np.linalg.norm(theirs)), 1e-30))
