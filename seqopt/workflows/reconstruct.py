"""Acquired MRD data -> image series, NIfTI, PNG and a record of how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt import __version__
from seqopt.core import KspaceData, TrajectoryDesign
from seqopt.encoding.density import pipe_menon
from seqopt.errors import SeqoptError
from seqopt.mrd.images import write_images
from seqopt.mrd.recon_config import ReconConfig, read_recon_config
from seqopt.mrd.scan import Scan, read_scan
from seqopt.recon import prewhiten as white
from seqopt.recon.coil_maps import estimate_maps, map_methods
from seqopt.recon.cross_check import TOLERANCE, sigpy_difference
from seqopt.recon.registry import ITERATIVE, TRAINED, WITH_MAPS, reconstructions, require_weights
from seqopt.workflows.pictures import write_nifti, write_png
from seqopt.workflows.store import load_design, load_network, replacing, write_text

AnyArray = npt.NDArray[Any]
_DENSITIES = ("pipe-menon", "file")


@dataclass(frozen=True, kw_only=True)
class ReconSummary:
    """What was made of one scan."""

    config: ReconConfig
    images: AnyArray
    """(slices, y, x) magnitude."""
    coils: int
    shots: int
    samples: int
    whitened: bool
    cross_check: dict[str, float] | None
    """Relative differences from sigpy, by direction; None when not asked for."""
    notes: tuple[str, ...]
    files: tuple[Path, ...]

    @property
    def agrees(self) -> bool:
        """Whether the cross-check, where made, stays within its tolerance."""
        return self.cross_check is None or max(self.cross_check.values()) <= TOLERANCE


def reconstruct(scan_path: Path, out: Path, *, design_path: Path | None = None, **options: Any) -> ReconSummary:
    """Read, prewhiten, estimate coil maps, reconstruct each slice, cross-check, and write ``out``.

    ``options`` are fields of `ReconConfig` that override the design's ``recon.toml``; None leaves what it says.
    Raises `SeqoptError` for unknown methods and for data that do not fit the design.
    """
    config = _configure(design_path, options)
    design = load_design(design_path) if design_path is not None else None
    network = _network(config, design_path)
    scan = read_scan(scan_path, design)
    notes = list(scan.notes) + _signature_notes(scan, config)
    data, whitened = _prewhitened(scan.kspace, config, notes)
    weights = _density(data, config)
    images = _images(data, weights, config, network)
    difference = _cross_check(data, images, weights) if config.cross_check else None
    summary = ReconSummary(
        config=config,
        images=np.abs(images),
        coils=data.samples.shape[1],
        shots=data.samples.shape[2],
        samples=data.samples.shape[3],
        whitened=whitened,
        cross_check=difference,
        notes=tuple(notes),
        files=tuple(out / name for name in ("image.mrd", "image.nii", "image.png", "recon.json")),
    )
    _write(summary, scan, scan_path, design)
    return summary


def _configure(design_path: Path | None, options: dict[str, Any]) -> ReconConfig:
    config = ReconConfig(cross_check=True)
    if design_path is not None:
        folder = design_path if design_path.is_dir() else design_path.parent
        if (folder / "recon.toml").exists():
            config = read_recon_config(folder / "recon.toml")
    config = replace(config, **{name: value for name, value in options.items() if value is not None})
    reconstructions[config.method]  # unknown names fail before anything is read
    map_methods[config.maps]
    if config.density not in _DENSITIES:
        raise SeqoptError(f"unknown density compensation {config.density!r}; known: {', '.join(_DENSITIES)}")
    return config


def _network(config: ReconConfig, design_path: Path | None) -> Mapping[str, AnyArray] | None:
    if config.method not in TRAINED:
        return None
    return require_weights(config.method, load_network(design_path, config.method) if design_path else None)


def _signature_notes(scan: Scan, config: ReconConfig) -> list[str]:
    played = scan.kspace.design_signature
    if config.seq_md5 and played and played != config.seq_md5:
        return [f"the data name the sequence {played[:8]}, the design's is {config.seq_md5[:8]}: was it exported anew?"]
    return []


def _prewhitened(data: KspaceData, config: ReconConfig, notes: list[str]) -> tuple[KspaceData, bool]:
    if not config.prewhiten:
        return data, False
    if data.noise is None or not data.noise.any():
        notes.append("no noise readout, so the coils were not prewhitened")
        return data, False
    covariance = white.noise_covariance(data.noise, noise_dwell_s=data.noise_dwell_s, dwell_s=data.dwell_s)
    return replace(data, samples=white.prewhiten(data.samples, white.whitening_matrix(covariance))), True


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
    data: KspaceData, weights: npt.NDArray[np.float64], config: ReconConfig, network: Mapping[str, AnyArray] | None
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


def _write(summary: ReconSummary, scan: Scan, scan_path: Path, design: TrajectoryDesign | None) -> None:
    geometry, config = scan.kspace.geometry, summary.config
    series, nifti, png, record = summary.files
    meta = {
        "ImageProcessingHistory": f"seqopt {__version__} {config.method}",
        "SequenceDescription": design.name if design is not None else scan_path.stem,
    }
    if scan.kspace.design_signature:
        meta["seq_signature"] = scan.kspace.design_signature
    with replacing(series) as temporary:
        write_images(temporary, summary.images, geometry, scan.placement, meta=meta)
    write_nifti(nifti, summary.images, scan.placement.affine_ras_mm(geometry))
    write_png(png, summary.images)
    report = {
        "scan": scan_path.name,
        "design": design.name if design is not None else None,
        "seq_signature": scan.kspace.design_signature,
        "method": config.method,
        "iterations": config.iterations if config.method in ITERATIVE else None,
        "regularisation": config.regularisation if config.method in ITERATIVE else None,
        "maps": config.maps if config.method in WITH_MAPS else None,
        "density": config.density,
        "prewhitened": summary.whitened,
        "slices": len(summary.images),
        "matrix": list(geometry.matrix),
        "coils": summary.coils,
        "shots": summary.shots,
        "samples": summary.samples,
        "cross_check_sigpy": summary.cross_check,
        "cross_check_tolerance": TOLERANCE,
        "cross_check_agrees": summary.agrees,
        "notes": list(summary.notes),
        "seqopt_version": __version__,
    }
    write_text(record, json.dumps(report, indent=2, sort_keys=True) + "\n")
