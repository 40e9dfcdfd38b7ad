"""A design directory as `seqopt design` leaves it, made without learning."""

from __future__ import annotations

from pathlib import Path

from seqopt.core import TrajectoryDesign
from seqopt.mrd.header import write_header
from seqopt.mrd.recon_config import ReconConfig, recon_toml
from seqopt.pulseq.calibration_scans import planned_calibration
from seqopt.pulseq.export import sequence_name
from seqopt.pulseq.gre import write_gre
from seqopt.workflows.store import save_design, write_text


def export(design: TrajectoryDesign, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    timing = write_gre(design, folder / sequence_name(design.name, "1.5.0"))
    save_design(folder / "design.h5", design)
    write_header(
        folder / f"{design.name}.mrd",
        design,
        te_s=timing.te_s,
        tr_s=timing.tr_s,
        order=timing.order,
        noise_readouts=timing.noise_readouts,
        seq_md5=timing.md5,
        calibration=planned_calibration(design),
    )
    write_text(folder / "recon.toml", recon_toml(ReconConfig(seq_md5=timing.md5, header=f"{design.name}.mrd")))
    return folder


def header_only(design: TrajectoryDesign, path: Path, *, noise_readouts: int = 1) -> Path:
    order = [(slice_, shot) for shot in range(design.shots) for slice_ in range(design.geometry.slices)]
    write_header(
        path, design, te_s=3e-3, tr_s=12e-3, order=order, noise_readouts=noise_readouts, seq_md5="0123456789abcdef" * 2
    )
    return path
