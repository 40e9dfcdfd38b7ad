"""What the quality page shows of one slice, gathered from the reconstruction that made it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.core import CartesianData, MaskDesign, TrajectoryDesign
from seqopt.mrd.missing import planned_counts
from seqopt.mrd.series import Content
from seqopt.recon.noise_map import NoiseLevel, noise_level, outermost_samples
from seqopt.workflows.quality import Quality
from seqopt.workflows.reconstruct_images import BlockImages, Looked

ComplexArray = npt.NDArray[np.complex64]
_EDGE = 0.1  # of the lines, those farthest out: what stands for noise without a noise readout


def quality_of(
    content: Content, made: BlockImages, looked: Looked, slice_: int, design: TrajectoryDesign | MaskDesign | None
) -> Quality:
    """Planned is what the design has, or else what any slice of the first series has."""
    slices = list(content.slices) if design is None else list(range(design.geometry.slices))
    lines, k_per_m = None, looked.k_per_m
    if isinstance(design, TrajectoryDesign):
        steps, k_per_m = list(range(design.shots)), design.k_per_m
    elif isinstance(design, MaskDesign):
        steps = lines = design.lines.tolist()
    elif isinstance(looked.data, CartesianData):
        steps = _steps(content, None)
        lines = [step + made.line_of_zero for step in steps]
    else:
        steps = _steps(content, slice_)
    found, surplus = planned_counts(content, steps, slices)
    row = slices.index(slice_)
    if k_per_m is not None and len(k_per_m) > len(steps):
        found = _averages_apart(found, row)
    return Quality(
        looked=looked,
        slice=slice_,
        row=row,
        noise=_noise_of(looked, whitened=made.whitened),
        found=found,
        surplus=surplus,
        k_per_m=k_per_m,
        lines=lines,
    )


def _averages_apart(found: npt.NDArray[np.int64], row: int) -> npt.NDArray[np.int64]:
    """Counts (slices, shots) of averages that go on turning: first averages, then second ones, as ``row`` has them."""
    return np.concatenate([found[:, found[row] > n] > n for n in range(int(found[row].max()))], axis=1).astype(np.int64)


def _noise_of(looked: Looked, *, whitened: bool) -> NoiseLevel:
    """Of the slice's samples as they were acquired."""
    data = looked.data
    if isinstance(data, CartesianData):
        acquired, outermost = _acquired_lines(looked, data.columns)
    else:
        assert looked.k_per_m is not None
        acquired, outermost = looked.samples, outermost_samples(looked.samples, looked.k_per_m)
    return noise_level(
        acquired,
        outermost,
        data.noise,
        whitened=whitened,
        noise_dwell_s=data.noise_dwell_s,
        dwell_s=data.dwell_s,
        averages=looked.averages,
    )


def _acquired_lines(looked: Looked, span: tuple[int, int] | None) -> tuple[ComplexArray, ComplexArray]:
    """Samples (coils, y, x), zero where nothing was acquired, and those (coils, lines, columns) of the outer lines.

    ``span`` is that of the columns, None for all.
    """
    assert looked.mask is not None
    lines, columns = np.flatnonzero(looked.mask), slice(*(span or (None,)))
    edge = lines[np.argsort(-np.abs(lines - len(looked.mask) / 2))[: max(1, round(_EDGE * len(lines)))]]
    acquired = np.zeros_like(looked.samples)
    acquired[..., columns] = looked.samples[..., columns]
    return acquired, looked.samples[:, edge, columns]


def _steps(content: Content, slice_: int | None) -> list[int]:
    """Shots or lines of the first series, of one slice or of any."""
    first = content.of(content.series[0])
    rows = first.firsts if slice_ is None else first.firsts[first.heads["slice"][first.firsts] == slice_]
    return [int(step) for step in np.unique(first.heads["kspace_encode_step_1"][rows])]
