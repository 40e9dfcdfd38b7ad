"""Acquired Cartesian lines -> images, with the files and the record that every reconstruction writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.core import CartesianData, MaskDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.cartesian_scan import CartesianScan
from seqopt.mrd.recon_config import ReconConfig
from seqopt.recon.cartesian import DEFAULTS, MAPS_NEEDED, cartesian_reconstructions
from seqopt.recon.cartesian_maps import maps_of_lines
from seqopt.recon.cross_check import sigpy_fft_difference
from seqopt.recon.prewhiten import prewhiten
from seqopt.workflows.reconstruct_output import FILES, ReconSummary, Source, write_reconstruction
from seqopt.workflows.reconstruct_settings import signature_notes, whitening_of

AnyArray = npt.NDArray[Any]
ComplexArray = npt.NDArray[np.complex64]


def reconstruct_lines(
    scan: CartesianScan,
    scan_path: Path,
    out: Path,
    config: ReconConfig,
    design: MaskDesign | None,
    network: Mapping[str, AnyArray] | None,
) -> ReconSummary:
    """Prewhiten, estimate coil maps where the method takes them, reconstruct each slice, cross-check, write ``out``.

    Raises `SeqoptError` where a method needs calibration lines that the data do not hold.
    """
    notes = list(scan.notes) + signature_notes(scan.data.design_signature, config)
    data, whitening = scan.data, whitening_of(scan.data, config, notes)
    if whitening is not None:
        samples, calibration = (prewhiten(array, whitening) for array in (data.samples, data.calibration))
        data = replace(data, samples=samples, calibration=calibration)
    maps = _maps(data, config, notes)
    images = _images(data, maps, config, network)
    cropped = _cropped(images, scan.image.matrix[1])
    summary = ReconSummary(
        config=config,
        images=np.abs(cropped),
        coils=data.samples.shape[1],
        shots=len(data.lines),
        samples=data.samples.shape[3],
        whitened=whitening is not None,
        cross_check=_cross_check(data, images) if config.cross_check else None,
        notes=tuple(notes),
        files=tuple(out / name for name in FILES),
        cartesian=True,
    )
    source = Source(
        scan_path=scan_path,
        design_name=design.name if design is not None else None,
        seq_signature=data.design_signature,
        geometry=scan.image,
        placement=scan.placement,
    )
    write_reconstruction(summary, source, _record(data, config, maps is not None))
    return summary


def _record(data: CartesianData, config: ReconConfig, with_maps: bool) -> dict[str, Any]:
    iterative = config.method in DEFAULTS
    return {
        "iterations": config.iterations if iterative else None,
        "regularisation": config.regularisation if iterative else None,
        "maps": config.maps if with_maps and data.samples.shape[1] > 1 else None,
        "density": None,
        "lines": data.lines.tolist(),
        "calibration_lines": data.calibration_lines.tolist(),
    }


def _maps(data: CartesianData, config: ReconConfig, notes: list[str]) -> list[ComplexArray] | None:
    """(coils, y, x) of each slice; None where a method that does without finds too few calibration lines."""
    try:
        return [
            maps_of_lines(
                lines, data.calibration_lines, data.geometry.shape, method=config.maps, size=config.calibration
            )
            for lines in data.calibration
        ]
    except SeqoptError:
        if config.method in MAPS_NEEDED:
            raise
        notes.append("too few calibration lines for coil maps, so the coils were combined by root sum of squares")
        return None


def _images(
    data: CartesianData,
    maps: list[ComplexArray] | None,
    config: ReconConfig,
    network: Mapping[str, AnyArray] | None,
) -> AnyArray:
    """(slices, y, x), complex where the method gives it."""
    method = cartesian_reconstructions[config.method]
    images = []
    for slice_ in range(len(data.samples)):
        image = method(
            torch.from_numpy(data.grid(slice_))[None],
            torch.from_numpy(data.mask(slice_)),
            None if maps is None else torch.from_numpy(maps[slice_]),
            iterations=config.iterations,
            regularisation=config.regularisation,
            network_weights=network,
            calibration=torch.from_numpy(data.calibration[slice_])[None],
            calibration_lines=data.calibration_lines,
        )
        images.append(image[0].numpy())
    return np.stack(images)


def _cropped(images: AnyArray, rows: int) -> AnyArray:
    """The middle rows, without phase oversampling."""
    first = images.shape[1] // 2 - rows // 2
    return images[:, first : first + rows]


def _cross_check(data: CartesianData, images: AnyArray) -> dict[str, float]:
    """On the first slice and its strongest coil."""
    coil = int((np.abs(data.samples[0]) ** 2).sum((1, 2)).argmax())
    return sigpy_fft_difference(data.grid(0)[coil], images[0], data.mask(0))
