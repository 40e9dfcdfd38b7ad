"""A map of the main field's offset from an image at two echo times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.core import CalibrationScan, Geometry
from seqopt.errors import SeqoptError
from seqopt.recon.coil_maps import calibration_kspace, centred_ifft, interpolated

FloatArray = npt.NDArray[np.float64]
_SHARE = 0.05  # of the brightest pixel: darker ones have no phase to speak of


def field_map_hz(scan: CalibrationScan, geometry: Geometry) -> FloatArray:
    """Off-resonance (slices, y, x) in Hz on the image's matrix, between -1 and 1 over twice the echoes' distance.

    The phase that grows from the first echo to the second, all coils weighted by their signal (Schneider and Glover,
    MRM 18:335, 1991); 0 where there is no signal. Positive where spins precess faster, as `field_phase`.
    Raises `SeqoptError` where the scan holds no second echo.
    """
    if scan.kind != "b0" or not scan.echo_spacing_s or set(scan.echoes.tolist()) != {0, 1}:
        raise SeqoptError("field map: the calibration scan 'b0' holds no two echoes whose distance is known")
    slices, coils = scan.samples.shape[:2]
    first, second = (_images(scan, echo, geometry).reshape(slices, coils, -1) for echo in (0, 1))
    size = round(first.shape[-1] ** 0.5)
    product = (second * first.conj()).sum(axis=1).reshape(slices, size, size)
    fine = interpolated(product, geometry.shape)
    dark = np.abs(fine) < _SHARE**2 * np.abs(fine).max(axis=(1, 2), keepdims=True)
    return np.where(dark, 0.0, -np.angle(fine) / (2 * np.pi * scan.echo_spacing_s))


def _images(scan: CalibrationScan, echo: int, geometry: Geometry) -> npt.NDArray[np.complex128]:
    """(slices * coils, n, n) low-resolution images of one echo."""
    chosen = scan.echoes == echo
    size = int(chosen.sum())
    samples = scan.samples[:, :, chosen].reshape(-1, size, scan.samples.shape[-1])
    kspace = calibration_kspace(samples, scan.k_per_m[chosen], geometry, size=size - size % 2)
    taper = np.hanning(kspace.shape[-1] + 2)[1:-1]
    return np.asarray(centred_ifft(kspace * taper[:, None] * taper))
