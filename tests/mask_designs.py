"""Masks for tests: calibration lines first, the others in a fixed random order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seqopt.core import CartesianProtocol, Geometry, MaskDesign, Protocol
from seqopt.gradients.profiles import load_scanner
from seqopt.mrd.mask_header import write_mask_header
from seqopt.pulseq.calibration_scans import planned_calibration
from seqopt.pulseq.cartesian import write_mask
from seqopt.pulseq.export import sequence_name

FOV_M = (0.22, 0.2)


def mask_design(
    sequence: str = "gre",
    *,
    scanner: str = "paper",
    matrix: tuple[int, int] = (32, 24),
    shots: int = 11,
    calibration: int = 4,
    slices: int = 2,
    fov_m: tuple[float, float] = FOV_M,
    protocol: dict[str, Any] | None = None,
    **play: Any,
) -> MaskDesign:
    """A multi-slice mask; ``play`` goes to its `CartesianProtocol` (an echo train of 4 unless told)."""
    first = matrix[1] // 2 - calibration // 2
    centre = list(range(first, first + calibration))
    others = [line for line in np.random.default_rng(5).permutation(matrix[1]).tolist() if line not in centre]
    geometry = Geometry(fov_m=fov_m, matrix=matrix, slices=slices, slice_gap_m=0.0013)
    return MaskDesign(
        name=f"mask-{sequence}",
        family="igs",
        geometry=geometry,
        scanner=load_scanner(scanner),
        protocol=Protocol(dummy_shots=2, **(protocol or {})),
        order=np.array(centre + others),
        shots=shots,
        calibration=calibration,
        play=CartesianProtocol(**{"sequence": sequence, "echo_train": 4, **play}),
    )


def export_mask(design: MaskDesign, folder: Path) -> Path:
    """The .seq and its MRD header, as a design directory holds them."""
    folder.mkdir(parents=True, exist_ok=True)
    timing = write_mask(design, folder / sequence_name(design.name, "1.5.0"))
    write_mask_header(
        folder / f"{design.name}.mrd",
        design,
        te_s=timing.te_s,
        tr_s=timing.tr_s,
        order=timing.order,
        noise_readouts=timing.noise_readouts,
        seq_md5=timing.md5,
        echoes=timing.echoes,
        echo_spacing_s=timing.echo_spacing_s,
        calibration=planned_calibration(design),
    )
    return folder
