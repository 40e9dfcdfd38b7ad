"""Figures of what a sequence file plays: its gradients over a while, and its readouts in k-space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from seqopt.report.style import ADC_SHADE, FAINT, LIMIT, new_figure, shot_colours, styled
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m

FloatArray = npt.NDArray[np.floating[Any]]
_RF_SHADE = "#fbead9"
_AXIS_COLOURS = ("#1f6fb4", "#c8641b", "#3d8b54")


@dataclass(frozen=True)
class PlayedPiece:
    """What is played in a window of time."""

    times_s: FloatArray
    """(n,) corners of the gradients, from the start of the file."""
    gradient_hz_per_m: FloatArray
    """(n, 3)"""
    rf_s: Sequence[tuple[float, float]]
    """Start and end of each pulse."""
    adc_s: Sequence[tuple[float, float]]
    max_grad_hz_per_m: float
    max_slew_hz_per_m_per_s: float


@styled
def played_figure(piece: PlayedPiece) -> Figure:
    """Gradients by axis, and the slew-rate vector against its limit; RF and ADC are shaded."""
    times_ms = piece.times_s * 1e3
    gradient = np.asarray(hz_per_m_to_mt_per_m(piece.gradient_hz_per_m))
    figure = new_figure(5.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axis, colour in enumerate(_AXIS_COLOURS):
        upper.plot(times_ms, gradient[:, axis], color=colour, label=f"$G_{'xyz'[axis]}$")
    limit = hz_per_m_to_mt_per_m(piece.max_grad_hz_per_m)
    top = 1.15 * max(float(np.abs(gradient).max(initial=0.0)), 0.02 * limit)
    upper.set_ylim(-top, top)
    upper.set_title(f"Gradients; the scanner's limit is {limit:.4g} mT/m")
    upper.set_ylabel("gradient (mT/m)")
    upper.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=3)
    widths = np.diff(piece.times_s)
    kept = widths > 1e-9
    steps = np.diff(piece.gradient_hz_per_m, axis=0)[kept] / widths[kept, None]
    slew = np.linalg.norm(np.asarray(hz_per_m_per_s_to_t_per_m_per_s(steps)), axis=1)
    ends = np.column_stack([times_ms[:-1][kept], times_ms[1:][kept]])
    lower.plot(ends.reshape(-1), slew.repeat(2), color="#1f6fb4", linewidth=0.9)
    most = hz_per_m_per_s_to_t_per_m_per_s(piece.max_slew_hz_per_m_per_s)
    lower.axhline(most, color=LIMIT, linewidth=1.4)
    lower.set_ylim(0.0, 1.18 * max(most, float(slew.max(initial=0.0))))
    lower.set_title(f"Slew-rate vector; the line is the limit, {most:.4g} T/m/s")
    lower.set_ylabel("slew rate (T/m/s)")
    lower.set_xlabel("time in the sequence (ms)")
    for panel in (upper, lower):
        for spans, shade in ((piece.rf_s, _RF_SHADE), (piece.adc_s, ADC_SHADE)):
            for start, end in spans:
                panel.axvspan(start * 1e3, end * 1e3, color=shade, linewidth=0, zorder=0)
    figure.supxlabel("shaded: RF (orange), ADC (blue)", fontsize=9, color=FAINT)
    return figure


@styled
def readouts_figure(k_per_m: Sequence[FloatArray], readouts: int) -> Figure:
    """Paths (samples, 2) of some of the readouts of a file in 1/m, one colour a readout."""
    figure = new_figure(6.4)
    panel = figure.subplots(1, 1)
    reach = max((float(np.abs(path).max(initial=0.0)) for path in k_per_m), default=0.0) or 1.0
    lines = [np.repeat(path, 2, axis=0) if len(path) == 1 else path for path in k_per_m]
    panel.add_collection(LineCollection(lines, colors=shot_colours(len(lines)), linewidths=0.8))
    panel.set(xlim=(-1.06 * reach, 1.06 * reach), ylim=(-1.06 * reach, 1.06 * reach), aspect="equal")
    panel.set_title(f"{len(lines)} of {readouts} readouts")
    panel.set_xlabel("$k_x$ (1/m)")
    panel.set_ylabel("$k_y$ (1/m)")
    return figure
