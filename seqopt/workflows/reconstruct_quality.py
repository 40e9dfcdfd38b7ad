"""What the quality page shows of one slice, gathered from the reconstruction that made it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import CartesianData, MaskDesign, TrajectoryDesign
from seqopt.mrd.missing import planned_counts
from seqopt.mrd.series import Content
from seqopt.recon.noise_map import NoiseLevel, noise_level, outermost_samples
from seqopt.workflows.quality import Quality
from seqopt.workflows.reconstruct_images import BlockImages, Looked

_EDGE = 0.1  # of the lines, at either end: what stands for noise without a noise readout


def quality_of(
    content: Content, made: BlockImages, looked: Looked, slice_: int, design: TrajectoryDesign | MaskDesign | None
) -> Quality:
    """Planned is what the design has, or else what any slice of the first series has."""
    if isinstance(looked.data, CartesianData):
        return _of_lines(content, made, looked, slice_, design)
    assert looked.k_per_m is not None
    level = _level(looked, looked.samples, outermost_samples(looked.samples, looked.k_per_m), made.whitened)
    if isinstance(design, TrajectoryDesign):
        steps, k_per_m = list(range(design.shots)), design.k_per_m
    else:
        steps, k_per_m = _steps(content, slice_), looked.k_per_m
    counts = planned_counts(content, steps, _slices(content, design))
    return _quality(looked, slice_, _slices(content, design), level, counts, k_per_m=k_per_m)


def _of_lines(
    content: Content, made: BlockImages, looked: Looked, slice_: int, design: TrajectoryDesign | MaskDesign | None
) -> Quality:
    assert isinstance(looked.data, CartesianData) and looked.mask is not None
    lines = np.flatnonzero(looked.mask)
    edge = lines[np.argsort(-np.abs(lines - len(looked.mask) / 2))[: max(1, round(_EDGE * len(lines)))]]
    columns = slice(*(looked.data.columns or (0, looked.samples.shape[-1])))
    acquired = np.zeros_like(looked.samples)
    acquired[..., columns] = looked.samples[..., columns]
    level = _level(looked, acquired, acquired[:, edge][..., acquired[:, edge].any((0, 1))], made.whitened)
    steps = design.lines.tolist() if isinstance(design, MaskDesign) else _steps(content, None)
    counts = planned_counts(content, steps, _slices(content, design))
    planned = design.lines.tolist() if isinstance(design, MaskDesign) else looked.data.lines.tolist()
    shown = planned if len(planned) == len(steps) else lines.tolist()
    return _quality(looked, slice_, _slices(content, design), level, counts, lines=shown)


def _level(
    looked: Looked, acquired: npt.NDArray[np.complex64], outermost: npt.NDArray[np.complex64], whitened: bool
) -> NoiseLevel:
    """Of samples as they were ``acquired`` (coils, readouts, samples), zero elsewhere."""
    data = looked.data
    return noise_level(
        acquired,
        outermost,
        data.noise,
        whitened=whitened,
        noise_dwell_s=data.noise_dwell_s,
        dwell_s=data.dwell_s,
        averages=looked.averages,
    )


def _quality(
    looked: Looked,
    slice_: int,
    slices: list[int],
    noise: NoiseLevel,
    counts: tuple[npt.NDArray[np.int64], int],
    **sampling: Any,
) -> Quality:
    return Quality(
        geometry=looked.data.geometry,
        slice=slice_,
        row=slices.index(slice_),
        image=looked.image,
        samples=looked.samples,
        reconstruct=looked.reconstruct,
        noise=noise,
        found=counts[0],
        surplus=counts[1],
        maps=looked.maps,
        residuals=looked.residuals,
        **sampling,
    )


def _slices(content: Content, design: TrajectoryDesign | MaskDesign | None) -> list[int]:
    return list(content.slices) if design is None else list(range(design.geometry.slices))


def _steps(content: Content, slice_: int | None) -> list[int]:
    """Shots or lines of the first series, of one slice or of any."""
    first = content.of(content.series[0])
    rows = first.firsts if slice_ is None else first.firsts[first.heads["slice"][first.firsts] == slice_]
    return [int(step) for step in np.unique(first.heads["kspace_encode_step_1"][rows])]
