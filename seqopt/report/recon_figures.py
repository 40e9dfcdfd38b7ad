"""Figures of one reconstruction: what was sampled, coil maps, SNR, residuals, and the comparison with sigpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqopt.core import Geometry
from seqopt.report.style import FAINT, LEARNED, LIMIT, k_extent_cycles, new_figure, styled

AnyArray = npt.NDArray[Any]
_MOST_COILS = 16
_MOST_SHOTS = 400  # drawn; of more, every n-th


@styled
def sampling_figure(
    found: AnyArray,
    geometry: Geometry,
    *,
    row: int,
    slice_: int,
    k_per_m: AnyArray | None = None,
    lines: Sequence[int] | None = None,
) -> Figure:
    """Where k-space was sampled on one slice, and which planned readouts of which slice are there.

    In: ``found`` (slices, readouts) how often each planned readout was recorded; k (readouts, samples, 2) in 1/m of
    trajectories, or the numbers of Cartesian ``lines``; ``row`` of ``found`` is the slice that is drawn, ``slice_`` its
    number.
    """
    figure = new_figure(4.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
    half = k_extent_cycles(geometry)
    if k_per_m is not None:
        _draw_paths(left, k_per_m * np.array(geometry.fov_m), found[row])
    elif lines is not None:
        _draw_lines(left, np.asarray(lines) - geometry.matrix[1] // 2, found[row], half[0])
    left.set(xlim=(-1.08 * half[0], 1.08 * half[0]), ylim=(-1.08 * half[1], 1.08 * half[1]), aspect="equal")
    left.set(xlabel="kx (cycles/FOV)", ylabel="ky (cycles/FOV)", title=f"Slice {slice_} in k-space")
    _draw_counts(right, found)
    return figure


def _draw_paths(axes: Axes, cycles: AnyArray, row: AnyArray) -> None:
    every = max(1, math.ceil(len(cycles) / _MOST_SHOTS))
    there, missing = row > 0, row == 0
    for path, mine in zip(cycles[::every], there[::every], strict=True):
        if mine:
            axes.plot(path[:, 0], path[:, 1], color=LEARNED, linewidth=0.5, alpha=0.8)
    for path in cycles[missing][:_MOST_SHOTS]:
        axes.plot(path[:, 0], path[:, 1], color=LIMIT, linewidth=0.9)


def _draw_lines(axes: Axes, places: AnyArray, row: AnyArray, half: float) -> None:
    for kind, colour, width in ((row > 0, LEARNED, 0.8), (row == 0, LIMIT, 1.0)):
        axes.hlines(places[kind], -half, half, color=colour, linewidth=width)


def _draw_counts(axes: Axes, found: AnyArray) -> None:
    most = max(1, int(found.max()))
    colours = [LIMIT, LEARNED, *(["#123f66"] * (most - 1))]
    shown = axes.imshow(
        found,
        aspect="auto",
        cmap=ListedColormap(colours),
        norm=BoundaryNorm(np.arange(most + 2) - 0.5, most + 1),
        interpolation="nearest",
    )
    axes.set(xlabel="planned readout", ylabel="slice", title=_counted(found))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=min(9, len(found)), integer=True, min_n_ticks=1))
    axes.set_box_aspect(min(0.9, 0.1 + 0.1 * len(found)))  # one slice is a strip, not a block
    bar = axes.figure.colorbar(
        shown, ax=axes, ticks=[0, 1, *([most] if most > 1 else [])], location="bottom", shrink=0.6
    )
    bar.set_label("times recorded")
    bar.outline.set_visible(False)


def _counted(found: AnyArray) -> str:
    missing = int((found == 0).sum())
    return f"All {found.size} readouts were found" if not missing else f"{missing} of {found.size} readouts are missing"


@styled
def maps_figure(maps: AnyArray) -> Figure:
    """Magnitude and phase of coil maps (coils, y, x), at most 16 coils."""
    shown = maps[:_MOST_COILS]
    columns = min(8, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(0.4 + min(2.35 * rows * 8 / columns, 9.0))
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    top = max(float(np.abs(shown).max()), 1e-30)
    for axes in grid.flat:
        axes.set_axis_off()
    for coil, map_ in enumerate(shown):
        row, column = divmod(coil, columns)
        magnitude, phase = grid[2 * row][column], grid[2 * row + 1][column]
        magnitude.imshow(np.abs(map_), cmap="gray", vmin=0.0, vmax=top)
        magnitude.set_title(f"coil {coil}", fontsize=9)
        phase.imshow(np.ma.masked_where(np.abs(map_) < 1e-6, np.angle(map_)), cmap="twilight", vmin=-np.pi, vmax=np.pi)
    return figure


@styled
def snr_figure(image: AnyArray, snr: AnyArray) -> Figure:
    """The image (y, x) and its signal-to-noise ratio at each pixel."""
    figure = new_figure(4.3)
    left, right = figure.subplots(1, 2)
    magnitude = np.abs(image)
    left.imshow(magnitude, cmap="gray", vmin=0.0, vmax=max(float(np.quantile(magnitude, 0.998)), 1e-30))
    left.set_title("Image")
    shown = right.imshow(snr, cmap="viridis", vmin=0.0, vmax=max(float(np.quantile(snr, 0.995)), 1e-3))
    right.set_title("SNR")
    for axes in (left, right):
        axes.set_axis_off()
    bar = figure.colorbar(shown, ax=right, shrink=0.9, pad=0.02)
    bar.outline.set_visible(False)
    return figure


@styled
def residuals_figure(residuals: Sequence[float]) -> Figure:
    """Relative residual after each iteration, on a logarithmic scale."""
    figure = new_figure(2.8)
    axes = figure.subplots()
    axes.semilogy(range(1, len(residuals) + 1), np.maximum(residuals, 1e-12), color=LEARNED, marker="o", markersize=4)
    axes.set(xlabel="iteration", ylabel="relative residual")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, axis="y")
    return figure


@styled
def cross_check_figure(differences: Mapping[str, float], limits: Mapping[str, float]) -> Figure:
    """Relative differences from sigpy, by name, with the limit that each must keep."""
    figure = new_figure(0.9 + 0.4 * len(differences))
    axes = figure.subplots()
    names = list(differences)
    values = [max(differences[name], 1e-12) if differences[name] == differences[name] else 1e12 for name in names]
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        axes.barh(place, value, color=LIMIT if value > limits[name] else LEARNED, height=0.55)
        axes.vlines(limits[name], place - 0.4, place + 0.4, color=FAINT, linewidth=1.4, linestyle="--")
    axes.set_yticks(range(len(names)), names)
    axes.set(xscale="log", xlabel="relative difference from sigpy (dashed: the limit)")
    axes.set_xlim(min(values) / 10, 10 * max(*values, *limits.values()))
    axes.invert_yaxis()
    return figure
