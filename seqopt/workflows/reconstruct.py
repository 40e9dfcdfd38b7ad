"""Acquired MRD data -> image series, NIfTI, PNG and a record of how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.core import KspaceData, MaskDesign, TrajectoryDesign
from seqopt.encoding.density import pipe_menon
from seqopt.errors import SeqoptError
from seqopt.mrd.cartesian_scan import is_cartesian, sort_cartesian_scan
from seqopt.mrd.files import RawFile, read_raw
from seqopt.mrd.recon_config import ReconConfig
from seqopt.mrd.scan import sort_scan
from seqopt.recon.cartesian import cartesian_reconstructions
from seqopt.recon.coil_maps import estimate_maps
from seqopt.recon.cross_check import sigpy_difference
from seqopt.recon.prewhiten import prewhiten
from seqopt.recon.registry import ITERATIVE, WITH_MAPS, reconstructions
from seqopt.workflows.reconstruct_cartesian import reconstruct_lines
from seqopt.workflows.reconstruct_output import FILES, ReconSummary, Source, write_reconstruction
from seqopt.workflows.reconstruct_settings import network_of, require_method, settle, signature_notes, whitening_of
from seqopt.workflows.store import load_design

AnyArray = npt.NDArray[Any]
Network = Mapping[str, AnyArray]


def reconstruct(scan_path: Path, out: Path, *, design_path: Path | None = None, **options: Any) -> ReconSummary:
    """Read, prewhiten, estimate coil maps, reconstruct each slice, cross-check, and write ``out``.

    Data are Cartesian lines where the design is a mask, or without design where the header says so and the readouts
    hold no trajectory. ``options`` are fields of `ReconConfig` that override the design's ``recon.toml``; None leaves
    what it says. Raises `SeqoptError` for unknown methods and for data that do not fit the design or the method.
    """
    settings = settle(design_path, options)
    design = load_design(design_path) if design_path is not None else None
    raw = read_raw(scan_path)
    if isinstance(design, MaskDesign) or (design is None and is_cartesian(raw)):
        config = settings.for_cartesian()
        require_method(config.method, cartesian_reconstructions, scan_path, data="Cartesian lines")
        network = network_of(config, design_path)
        return reconstruct_lines(sort_cartesian_scan(raw, scan_path, design), scan_path, out, config, design, network)
    require_method(settings.config.method, reconstructions, scan_path, data="data along a trajectory")
    return _along_trajectory(raw, scan_path, out, settings.config, design, network_of(settings.config, design_path))


def _along_trajectory(
    raw: RawFile,
    scan_path: Path,
    out: Path,
    config: ReconConfig,
    design: TrajectoryDesign | None,
    network: Network | None,
) -> ReconSummary:
    scan = sort_scan(raw, scan_path, design)
    notes = list(scan.notes) + signature_notes(scan.kspace.design_signature, config)
    data, whitening = scan.kspace, whitening_of(scan.kspace, config, notes)
    if whitening is not None:
        data = replace(data, samples=prewhiten(data.samples, whitening))
    weights = _density(data, config)
    images = _images(data, weights, config, network)
    summary = ReconSummary(
        config=config,
        images=np.abs(images),
        coils=data.samples.shape[1],
        shots=data.samples.shape[2],
        samples=data.samples.shape[3],
        whitened=whitening is not None,
        cross_check=_cross_check(data, images, weights) if config.cross_check else None,
        notes=tuple(notes),
        files=tuple(out / name for name in FILES),
    )
    source = Source(
        scan_path=scan_path,
        design_name=design.name if design is not None else None,
        seq_signature=data.design_signature,
        geometry=data.geometry,
        placement=scan.placement,
    )
    write_reconstruction(summary, source, _record(config))
    return summary


def _record(config: ReconConfig) -> dict[str, Any]:
    iterative = config.method in ITERATIVE
    return {
        "iterations": config.iterations if iterative else None,
        "regularisation": config.regularisation if iterative else None,
        "maps": config.maps if config.method in WITH_MAPS else None,
        "density": config.density,
    }


def _trajectories(data: KspaceData) -> npt.NDArray[np.float64]:
    """(1 or slices, shots, samples, 2)."""
    return data.k_per_m if data.k_per_m.ndim == 4 else data.k_per_m[None]


def _density(data: KspaceData, config: ReconConfig) -> npt.NDArray[np.float64]:
    """(1 or slices, shots, samples) cell areas in (1/FOV)^2."""
    areas = np.stack([pipe_menon(k_per_m, data.geometry) for k_per_m in _trajectories(data)])
    if config.density == "file":
        if data.weights is None:
            raise SeqoptError("density = 'file', but the data hold no weights; use density = 'pipe-menon'")
        return np.asarray(data.weights[None] * (areas.sum() / (len(areas) * data.weights.sum())))
    return areas


def _images(
    data: KspaceData, weights: npt.NDArray[np.float64], config: ReconConfig, network: Network | None
) -> AnyArray:
    """(slices, y, x), complex where the method gives it."""
    method = reconstructions[config.method]
    images = []
    for index, samples in enumerate(data.samples):
        k_per_m = _trajectories(data)[min(index, len(_trajectories(data)) - 1)]
        maps = None
        if config.method in WITH_MAPS:
            maps = torch.from_numpy(
                estimate_maps(samples, k_per_m, data.geometry, method=config.maps, calibration=config.calibration)
            )
        image = method(
            torch.from_numpy(samples)[None],
            torch.from_numpy(np.ascontiguousarray(k_per_m)),
            torch.from_numpy(weights[min(index, len(weights) - 1)].astype(np.float32)),
            maps,
            data.geometry,
            iterations=config.iterations,
            regularisation=config.regularisation,
            network_weights=network,
        )
        images.append(image[0].detach().numpy())
    return np.stack(images)


def _cross_check(data: KspaceData, images: AnyArray, weights: npt.NDArray[np.float64]) -> dict[str, float]:
    """On the first slice and its strongest coil."""
    coil = int((np.abs(data.samples[0]) ** 2).sum((1, 2)).argmax())
    return sigpy_difference(data.samples[0, coil], images[0], _trajectories(data)[0], weights[0], data.geometry)
