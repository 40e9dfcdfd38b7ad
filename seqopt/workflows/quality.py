"""``qc.html``: what a reader must know to trust an image - sampling, SNR, coil maps, residuals, cross-check, notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqopt.recon.cross_check import tolerance_of
from seqopt.recon.noise_map import REPLICAS, NoiseLevel, noise_map
from seqopt.report import ReportFigure, ReportTable, render_page, to_png_bytes
from seqopt.report.recon_figures import (
    cross_check_figure,
    maps_figure,
    residuals_figure,
    sampling_figure,
    snr_figure,
)
from seqopt.workflows.reconstruct_images import Looked
from seqopt.workflows.store import write_text

if TYPE_CHECKING:
    from seqopt.workflows.reconstruct_output import ReconSummary

AnyArray = npt.NDArray[Any]
_OBJECT = 0.2  # of the bright pixels: what counts as object where the SNR is summed up


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What one slice of one series tells of a reconstruction: the middle slice of the first."""

    looked: Looked
    slice: int
    """Its number."""
    row: int
    """Its row in ``found``."""
    noise: NoiseLevel
    """Of the slice's samples."""
    found: npt.NDArray[np.int64]
    """(slices, readouts) how often each planned readout of the first series was recorded; 0 is missing."""
    surplus: int = 0
    """Readouts that nobody planned."""
    k_per_m: AnyArray | None = None
    """(readouts, samples, 2) of all planned readouts; None for Cartesian lines."""
    lines: Sequence[int] | None = None
    """Numbers of the planned Cartesian lines; None for trajectories."""


def write_quality(path: Path, summary: ReconSummary, quality: Quality, scan: str) -> Path:
    """Write the page; reconstructs the slice `REPLICAS` times more, for its noise."""
    looked = quality.looked
    deviation = noise_map(looked.reconstruct, looked.samples, looked.image, quality.noise)
    snr = np.abs(looked.image) / np.maximum(deviation, 1e-30)
    typical = _typical(np.abs(looked.image), snr)
    figures = _figures(summary, quality, snr, typical)
    page = render_page(
        f"Quality of {scan}",
        _lead(summary, quality, typical),
        tables=[_table(summary, quality, typical)],
        lists={"Notes": list(summary.notes)},
        figures=figures,
    )
    write_text(path, page)
    return path


def _typical(magnitude: AnyArray, snr: AnyArray) -> float:
    """Median SNR over the object."""
    bright = float(np.quantile(magnitude, 0.99))
    return float(np.median(snr[magnitude > _OBJECT * bright])) if bright > 0 else 0.0


def _lead(summary: ReconSummary, quality: Quality, typical: float) -> str:
    missing = int((quality.found == 0).sum())
    found = f"{quality.found.size - missing} of {quality.found.size} planned readouts of the first series were found"
    check = "" if summary.cross_check is None else f"; sigpy {'agrees' if summary.agrees else 'does NOT agree'}"
    return f"{summary.config.method}: {found}, the median SNR is {typical:.3g}{check}."


def _table(summary: ReconSummary, quality: Quality, typical: float) -> ReportTable:
    rows: list[tuple[str, float | int | str]] = [
        ("method", summary.config.method),
        ("slices x volumes", f"{summary.slices} x {summary.volumes}"),
        ("matrix", f"{summary.matrix[0]} x {summary.matrix[1]}"),
        ("readouts a slice x samples x coils", f"{summary.shots} x {summary.samples} x {summary.coils}"),
        ("coils prewhitened", "yes" if summary.whitened else "no"),
        ("planned readouts of the first series", quality.found.size),
        ("of these missing", int((quality.found == 0).sum())),
        ("readouts that nobody planned", quality.surplus),
        (f"median SNR over the object, slice {quality.slice}", typical),
    ]
    if quality.looked.residuals:
        rows.append(("relative residual at the end", quality.looked.residuals[-1]))
    return ReportTable(title="In short", head=("Quantity", "Value"), rows=rows)


def _figures(summary: ReconSummary, quality: Quality, snr: AnyArray, typical: float) -> list[ReportFigure]:
    looked = quality.looked
    figures = [
        ReportFigure(
            "Sampling: found against planned",
            "Left: the readouts of one slice in k-space, blue where recorded, red where missing. Right: how often each "
            "planned readout of each slice was recorded.",
            to_png_bytes(
                sampling_figure(
                    quality.found,
                    looked.data.geometry,
                    row=quality.row,
                    slice_=quality.slice,
                    k_per_m=quality.k_per_m,
                    lines=quality.lines,
                )
            ),
        ),
        ReportFigure(
            "Signal-to-noise ratio",
            f"Slice {quality.slice}. The noise is known from {quality.noise.source}; it was carried to the image by "
            f"reconstructing the slice {REPLICAS} times with noise added (pseudo-replicas, Robson et al. 2008). The "
            f"median over the object is {typical:.3g}.",
            to_png_bytes(snr_figure(looked.image, snr)),
        ),
    ]
    if looked.maps is not None and len(looked.maps) > 1:
        text = f"Magnitude above, phase below, of {min(16, len(looked.maps))} of {len(looked.maps)} coils."
        figures.append(ReportFigure("Coil maps", text, to_png_bytes(maps_figure(looked.maps))))
    if looked.residuals:
        text = "Relative residual of the equations that are solved, after each iteration."
        figures.append(ReportFigure("Residual", text, to_png_bytes(residuals_figure(looked.residuals))))
    if summary.cross_check:
        text = "The same data by sigpy: relative differences, and the limits above which `seqopt recon` exits with 1."
        limits = {name: tolerance_of(name) for name in summary.cross_check}
        picture = cross_check_figure(summary.cross_check, limits)
        figures.append(ReportFigure("Cross-check by sigpy", text, to_png_bytes(picture)))
    return figures
