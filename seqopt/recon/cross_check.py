"""The encoding, coil maps and CG-SENSE compared with sigpy's on the data at hand: another code for the same thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.core import Geometry
from seqopt.encoding.cartesian import centred_fft2, centred_ifft2
from seqopt.encoding.nufft import Nufft
from seqopt.recon.cartesian import DEFAULTS as DEFAULTS_OF_LINES
from seqopt.recon.cartesian import cartesian_reconstructions
from seqopt.recon.registry import DEFAULTS, reconstructions

TOLERANCE = 1e-2
"""Of transforms and of CG-SENSE."""
MAPS_TOLERANCE = 0.2
"""Of coil maps, as two estimates of one thing from the same samples, ours by Walsh's method or ESPIRiT."""
_OVERSAMPLING = 2.0
_WIDTH = 6.0


def tolerance_of(name: str) -> float:
    """The largest difference of that name with which ours and sigpy's agree."""
    return MAPS_TOLERANCE if name == "maps" else TOLERANCE


def agree(differences: Mapping[str, float]) -> bool:
    """Whether each difference is within its tolerance; NaN is not."""
    return all(value <= tolerance_of(name) for name, value in differences.items())


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


def sigpy_sense_difference(
    samples: npt.NDArray[Any],
    maps: npt.NDArray[Any],
    k_per_m: npt.NDArray[np.float64],
    weights: npt.NDArray[Any],
    geometry: Geometry,
) -> dict[str, float]:
    """Relative difference of CG-SENSE, as it is by default, with the same maps (coils, y, x) and weights.

    In: samples (coils, shots, samples); sigpy applies its NUFFT twice in each iteration where ours has the Gram form.
    """
    import sigpy

    ours = reconstructions["cg-sense"](
        torch.from_numpy(samples)[None],
        torch.from_numpy(np.ascontiguousarray(k_per_m)),
        torch.from_numpy(weights.astype(np.float32)),
        torch.from_numpy(maps),
        geometry,
    )[0].numpy()
    coordinates = (k_per_m * np.array(geometry.fov_m))[..., ::-1]
    nufft = sigpy.linop.NUFFT(maps.shape, coordinates, oversamp=_OVERSAMPLING, width=_WIDTH)
    root = np.sqrt(weights).astype(np.float32)
    encode = sigpy.linop.Multiply(nufft.oshape, root) * nufft * sigpy.linop.Multiply(geometry.shape, maps)
    return {"cg-sense": _relative(ours, _least_squares(encode, samples * root, *DEFAULTS["cg-sense"]))}


def sigpy_maps_difference(
    samples: npt.NDArray[Any],
    maps: npt.NDArray[Any],
    k_per_m: npt.NDArray[np.float64],
    weights: npt.NDArray[Any],
    geometry: Geometry,
    *,
    calibration: int,
) -> dict[str, float]:
    """Share by which our maps (coils, y, x) miss sigpy's ESPIRiT, where there is signal; their phase is free.

    The root of the image energy that the one set of maps holds and the other does not. The k-space centre from which
    sigpy's come is found by its own NUFFT and conjugate gradients, from samples (coils, shots, samples).
    """
    import sigpy

    coordinates = (k_per_m * np.array(geometry.fov_m))[..., ::-1].reshape(-1, 2)
    size = min(calibration, *geometry.shape) // 2 * 2
    inside = (np.abs(coordinates) <= size / 2).all(1)
    data, root = samples.reshape(len(samples), -1)[:, inside], np.sqrt(weights.reshape(-1)[inside]).astype(np.float32)
    small = sigpy.linop.NUFFT((len(data), size, size), coordinates[inside], oversamp=_OVERSAMPLING, width=_WIDTH)
    encode = sigpy.linop.Multiply(small.oshape, root) * small
    centre = _least_squares(encode, (data * root).astype(np.complex64), 30, 1e-3)
    return sigpy_maps_of_centre_difference(sigpy.fft(centre, axes=(-2, -1)), maps)


def sigpy_maps_of_centre_difference(centre: npt.NDArray[Any], maps: npt.NDArray[Any]) -> dict[str, float]:
    """The same from the centre of Cartesian k-space (coils, n, n) itself."""
    import sigpy
    import sigpy.mri as mr

    size = centre.shape[-1]
    kspace = sigpy.resize(centre.astype(np.complex64), maps.shape)
    theirs = mr.app.EspiritCalib(kspace, calib_width=size, thresh=0.02, crop=0, show_pbar=False).run()
    theirs = theirs / np.maximum(np.sqrt((np.abs(theirs) ** 2).sum(0)), 1e-12)
    shared = np.abs((theirs.conj() * maps).sum(0)) ** 2
    energy = (np.abs(sigpy.ifft(kspace, axes=(-2, -1))) ** 2).sum(0)
    return {"maps": float(np.sqrt(max(0.0, 1.0 - float((shared * energy).sum() / max(float(energy.sum()), 1e-30)))))}


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


def sigpy_lines_sense_difference(
    samples: npt.NDArray[Any],
    maps: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_],
) -> dict[str, float]:
    """The same of Cartesian lines: samples (coils, y, x), maps (coils, y, x), mask (y,)."""
    import sigpy

    ours = cartesian_reconstructions["cg-sense"](
        torch.from_numpy(samples)[None], torch.from_numpy(mask), torch.from_numpy(maps)
    )[0].numpy()
    weights = mask[:, None].astype(np.float32)
    encode = sigpy.linop.FFT(maps.shape, axes=(-2, -1)) * sigpy.linop.Multiply(maps.shape[1:], maps)
    masked = sigpy.linop.Multiply(maps.shape, weights) * encode
    theirs = _least_squares(masked, samples * weights, *DEFAULTS_OF_LINES["cg-sense"])
    return {"cg-sense": _relative(ours, theirs)}


def _least_squares(encode: Any, samples: npt.NDArray[Any], iterations: int, regularisation: float) -> npt.NDArray[Any]:
    """What sigpy's conjugate gradients find for its linear operator ``encode``."""
    import sigpy

    app = sigpy.app.LinearLeastSquares(encode, samples, lamda=regularisation, max_iter=iterations, show_pbar=False)
    return np.asarray(app.run())


def _relative(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    return float(np.linalg.norm(ours - theirs) / max(float(np.linalg.norm(theirs)), 1e-30))
