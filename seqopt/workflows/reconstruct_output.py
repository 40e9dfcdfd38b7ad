"""What was reconstructed, as files: image series, NIfTI, PNG and a record of how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from seqopt import __version__
from seqopt.core import Geometry
from seqopt.mrd.images import write_images
from seqopt.mrd.placement import Placement
from seqopt.mrd.recon_config import ReconConfig
from seqopt.recon.cross_check import TOLERANCE
from seqopt.workflows.pictures import write_nifti, write_png
from seqopt.workflows.store import replacing, write_text

FILES = ("image.mrd", "image.nii", "image.png", "recon.json")


@dataclass(frozen=True, kw_only=True)
class ReconSummary:
    """What was made of one scan."""

    config: ReconConfig
    images: npt.NDArray[Any]
    """(slices, y, x) magnitude."""
    coils: int
    shots: int
    """Readouts a slice: shots of a trajectory, lines of a Cartesian scan."""
    samples: int
    whitened: bool
    cross_check: dict[str, float] | None
    """Relative differences from sigpy, by direction; None when not asked for."""
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    cartesian: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the cross-check, where made, stays within its tolerance."""
        return self.cross_check is None or max(self.cross_check.values()) <= TOLERANCE


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the images come from and where they lie."""

    scan_path: Path
    design_name: str | None
    seq_signature: str | None
    geometry: Geometry
    placement: Placement


def write_reconstruction(summary: ReconSummary, source: Source, settings: Mapping[str, Any]) -> None:
    """Write the summary's files; ``settings`` are what the record says of the method beside its name."""
    series, nifti, png, record = summary.files
    meta = {
        "ImageProcessingHistory": f"seqopt {__version__} {summary.config.method}",
        "SequenceDescription": source.design_name or source.scan_path.stem,
    }
    if source.seq_signature:
        meta["seq_signature"] = source.seq_signature
    with replacing(series) as temporary:
        write_images(temporary, summary.images, source.geometry, source.placement, meta=meta)
    write_nifti(nifti, summary.images, source.placement.affine_ras_mm(source.geometry))
    write_png(png, summary.images)
    report = {
        "scan": source.scan_path.name,
        "design": source.design_name,
        "seq_signature": source.seq_signature,
        "method": summary.config.method,
        **settings,
        "prewhitened": summary.whitened,
        "slices": len(summary.images),
        "matrix": list(source.geometry.matrix),
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
