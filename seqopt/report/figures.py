"""Figures of a design: its trajectories and the waveforms that draw them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from seqopt.core import Geometry, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.report.style import (
    ADC_SHADE,
    FAINT,
    INK,
    LIMIT,
    k_extent_cycles,
    new_figure,
    shot_colours,
    styled,
)
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m

FloatArray = npt.NDArray[np.floating[Any]]
ZOOM_SHARE = 0.1  # of the k-space extent
SHOWN_SHOTS = 3


@styled
def trajectories_figure(initial_k_per_m: FloatArray, learned_k_per_m: FloatArray, geometry: Geometry) -> Figure:
    """Initial and learned trajectory side by side, with the centre of k-space enlarged below each.

    In: k (shots, samples, 2) in 1/m; each shot has one colour in both. Axes in cycles/FOV. Raises for other shapes.
    """
    for name, k_per_m in (("initial", initial_k_per_m), ("learned", learned_k_per_m)):
        if k_per_m.ndim != 3 or k_per_m.shape[-1] != 2:
            raise SeqoptError(f"{name} trajectory: got shape {k_per_m.shape}, expected (shots, samples, 2)")
    fov_m = np.asarray(geometry.fov_m)
    extent = k_extent_cycles(geometry)
    zoom = max(4.0, ZOOM_SHARE * max(extent))
    figure = new_figure(9.3)
    panels = figure.subplots(2, 2)
    for column, (name, k_per_m) in enumerate((("Fixed start", initial_k_per_m), ("Learned", learned_k_per_m))):
        k_cycles = k_per_m * fov_m
        _k_panel(panels[0, column], k_cycles, (1.06 * extent[0], 1.06 * extent[1]), dots=False)
        _k_panel(panels[1, column], k_cycles, (zoom, zoom), dots=True)
        shots, samples = k_per_m.shape[:2]
        panels[0, column].set_title(f"{name}: {shots} shot{'s' if shots > 1 else ''} \u00d7 {samples} samples")
        panels[1, column].set_title(f"{name}: centre, each dot a sample")
        edge: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": 0.9}
        panels[0, column].add_patch(Rectangle((-zoom, -zoom), 2 * zoom, 2 * zoom, zorder=5, **edge))
        panels[0, column].add_patch(
            Rectangle((-extent[0], -extent[1]), 2 * extent[0], 2 * extent[1], linestyle=":", **edge)
        )
    for panel in panels.flat:
        panel.set_xlabel("$k_x$ (cycles/FOV)")
        panel.set_ylabel("$k_y$ (cycles/FOV)")
    return figure


def _k_panel(panel: Any, k_cycles: FloatArray, half: tuple[float, float], *, dots: bool) -> None:
    colours = shot_colours(len(k_cycles))
    panel.add_collection(LineCollection(list(k_cycles), colors=colours, linewidths=0.9 if dots else 0.8))
    if dots:
        for shot, colour in zip(k_cycles, colours, strict=True):
            near = shot[(np.abs(shot) <= 1.05 * max(half)).all(axis=-1)]
            panel.plot(near[:, 0], near[:, 1], ".", color=colour, markersize=3.2)
    panel.set(xlim=(-half[0], half[0]), ylim=(-half[1], half[1]), aspect="equal")
    panel.spines[["top", "right"]].set_visible(True)


@styled
def waveforms_figure(design: TrajectoryDesign) -> Figure:
    """Gradients of a few shots, and the gradient and slew-rate vectors of all shots against the scanner's limits.

    Time in ms from the waveform's start; the ADC window is shaded, the echo is dashed. Vector magnitudes are what an
    oblique slice can put on one physical axis.
    """
    scanner, raster = design.scanner, design.scanner.grad_raster_s
    gradient = np.asarray(hz_per_m_to_mt_per_m(design.gradient_hz_per_m))
    edges_ms = np.arange(gradient.shape[1]) * raster * 1e3
    steps = np.diff(design.gradient_hz_per_m, axis=1) / raster
    slew = np.linalg.norm(np.asarray(hz_per_m_per_s_to_t_per_m_per_s(steps)), axis=-1)
    figure = new_figure(6.6)
    panels = figure.subplots(2, 2, sharex=True)
    _component_panels(panels[0], gradient, edges_ms, shots=design.shots)
    colours = shot_colours(design.shots)
    magnitude = np.linalg.norm(gradient, axis=-1)
    curves = [np.column_stack([edges_ms, shot]) for shot in magnitude]
    stairs = [np.column_stack([edges_ms.repeat(2)[1:-1], shot.repeat(2)]) for shot in slew]
    _limit_panel(panels[1, 0], curves, colours, hz_per_m_to_mt_per_m(scanner.max_grad_hz_per_m), "mT/m")
    limit = hz_per_m_per_s_to_t_per_m_per_s(scanner.max_slew_hz_per_m_per_s)
    _limit_panel(panels[1, 1], stairs, colours, limit, "T/m/s")
    plural = "s" if design.shots > 1 else ""
    panels[1, 0].set_title(f"Gradient vector: largest {magnitude.max():.4g} mT/m")
    panels[1, 1].set_title(f"Slew-rate vector: largest {slew.max():.4g} T/m/s")
    opens_ms = design.adc_start_edge * raster * 1e3
    closes_ms = opens_ms + design.samples * design.dwell_s * 1e3
    for panel in panels.flat:
        panel.axvspan(opens_ms, closes_ms, color=ADC_SHADE, linewidth=0, zorder=0)
        panel.axvline(design.echo_time_in_block_s * 1e3, color=FAINT, linestyle="--", linewidth=1.0, zorder=1)
        panel.set_xlim(edges_ms[0], edges_ms[-1])
    for panel in panels[1]:
        panel.set_xlabel("time in the readout (ms)")
    note = f"bottom row: all {design.shots} shot{plural}      shaded: ADC open      dashed: echo"
    figure.supxlabel(note, fontsize=9, color=FAINT)
    return figure


def _component_panels(panels: Any, gradient: FloatArray, edges_ms: FloatArray, *, shots: int) -> None:
    shown = sorted({int((index + 0.5) * shots / SHOWN_SHOTS) for index in range(SHOWN_SHOTS)})
    colours = shot_colours(shots)
    top = 1.12 * max(float(np.abs(gradient[shown]).max()), 1e-9)
    for axis, panel in enumerate(panels):
        panel.axhline(0.0, color="#aab3bd", linewidth=0.8)
        for index in shown:
            panel.plot(edges_ms, gradient[index, :, axis], color=colours[index], label=f"shot {index + 1}")
        panel.set_title(f"$G_{'xy'[axis]}$ of {len(shown)} shot{'s' if len(shown) > 1 else ''}")
        panel.set_ylabel("gradient (mT/m)")
        panel.set_ylim(-top, top)
    panels[0].legend(  # beside the title, clear of the curves
        loc="lower right",
        bbox_to_anchor=(1.02, 0.99),
        ncols=len(shown),
        handlelength=1.2,
        columnspacing=1.0,
        handletextpad=0.5,
        borderpad=0.2,
    )


def _limit_panel(panel: Any, curves: list[FloatArray], colours: list[Any], limit: float, unit: str) -> None:
    panel.add_collection(LineCollection(curves, colors=colours, linewidths=0.9, alpha=0.85))
    peak = max(float(curve[:, 1].max()) for curve in curves)
    panel.axhline(limit, color=LIMIT, linewidth=1.4)
    panel.set_ylim(0.0, 1.18 * max(limit, peak))
    name = "gradient" if unit == "mT/m" else "slew rate"
    panel.set_ylabel(f"{name} ({unit})")
    right = panel.get_yaxis_transform()
    panel.text(
        0.985, limit, f"limit {limit:.4g} {unit}", color=LIMIT, fontsize=9, ha="right", va="bottom", transform=right
    )
