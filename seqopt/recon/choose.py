"""The method ``auto``: chosen by what was acquired, with the reason."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from seqopt.core import CartesianData, Geometry
from seqopt.core.cartesian_data import LEAST_CALIBRATION, central_run
from seqopt.errors import SeqoptError
from seqopt.recon.grappa import regular_pattern
from seqopt.recon.partial_fourier import ENOUGH, LEAST, Span, share_of, span_of, symmetric

AUTO = "auto"
_COVERED = 0.85
"""Share of k-space above which there is nothing for a sparse prior to fill in."""


def choose_for_trajectory(
    k_per_m: npt.NDArray[np.float64], geometry: Geometry, networks: Collection[str]
) -> tuple[str, str]:
    """Method and reason, for k (shots, samples, 2) in 1/m and the ``networks`` that a design holds."""
    for method in ("unrolled", "unet"):
        if method in networks:
            return method, "the design holds a network that was trained for it"
    share = covered(k_per_m, geometry)
    if share >= _COVERED:
        return "cg-sense", f"the shots cover {100 * share:.0f} % of k-space"
    return "l1-wavelet", f"the shots cover only {100 * share:.0f} % of k-space"


def choose_for_lines(data: CartesianData, networks: Collection[str]) -> tuple[str, str]:
    """Method and reason for Cartesian lines."""
    if "unet" in networks:
        return "unet", "the design holds a network that was trained for it"
    mask = data.mask(0)
    first, end = span_of(mask)
    if mask[first:end].all():
        between = "" if mask.all() else f" between {first} and {end - 1}"
        return "zero-filled", f"all lines{between} were acquired"
    coils = data.samples.shape[1]
    run = central_run(data.calibration_lines, data.geometry.matrix[1])
    if coils > 1 and len(run) < LEAST_CALIBRATION:
        return "zero-filled", f"{len(run)} calibration lines are too few for coil maps"
    try:
        distance, _ = regular_pattern(mask, data.calibration_lines)
    except SeqoptError:
        return "l1-wavelet", f"{int(mask.sum())} of {len(mask)} lines without a regular pattern"
    if coils >= 2 * distance > 2 and len(run) > distance:
        return "grappa", f"every line of {distance} was acquired, with {coils} coils and {len(run)} calibration lines"
    return "l1-wavelet", f"one line of {distance} is much for {coils} coil(s)"


def spans_to_fill(
    data: CartesianData, slice_: int, method: str, *, wanted: str, combined: bool
) -> tuple[tuple[Span, Span] | None, str]:
    """Rows and columns of k-space beyond which POCS fills a slice's image, None to leave it, and a note or "".

    In: ``wanted`` of `PARTIAL_FOURIER`; ``combined`` where coils are combined by maps. Raises `SeqoptError` where pocs
    is asked for and the method gives no complex image.
    """
    mask = data.mask(slice_)
    rows, columns = span_of(mask), data.columns or (0, data.geometry.matrix[0])
    sizes = data.geometry.shape
    shares = [share_of(span, size) for span, size in zip((rows, columns), sizes, strict=True)]
    if wanted == "zero" or (wanted == "auto" and min(shares) >= ENOUGH):
        return None, ""
    said = f"partial Fourier: {100 * shares[0]:.0f} % of ky and {100 * shares[1]:.0f} % of kx were acquired; the rest "
    gaps = method == "zero-filled" and not mask[rows[0] : rows[1]].all()
    narrow = min(symmetric(span, size) for span, size in zip((rows, columns), sizes, strict=True)) < LEAST
    real = method == "unet" or not combined
    if wanted == "pocs" and real:
        raise SeqoptError("pocs needs complex images of combined coils: coil maps, and a method other than unet")
    if wanted == "auto" and (real or gaps or narrow):
        why = "the image is real" if real else "lines lack within it" if gaps else "its centre is too narrow"
        return None, f"{said}stays zero, as {why}"
    return (rows, columns), f"{said}was filled by POCS"


def covered(k_per_m: npt.NDArray[np.float64], geometry: Geometry) -> float:
    """Share of the cells of (1/FOV)^2 in the ellipse of the geometry's k-max that hold a sample."""
    position = k_per_m.reshape(-1, 2) * np.array(geometry.fov_m)
    radii = np.array(geometry.matrix) / 2
    cells = np.unique(np.floor(position + 0.5).astype(np.int64), axis=0)
    inside = ((cells / radii) ** 2).sum(1) <= 1
    grid = np.stack(np.meshgrid(*(np.arange(-n // 2, n // 2 + 1) for n in geometry.matrix)), -1).reshape(-1, 2)
    return float(inside.sum() / (((grid / radii) ** 2).sum(1) <= 1).sum())
