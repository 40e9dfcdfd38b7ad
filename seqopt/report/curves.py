"""Learning curves as small multiples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seqopt.errors import SeqoptError
from seqopt.report.style import FIXED, INK, LEARNED, new_figure, styled

History = Mapping[str, Sequence[tuple[float, float]]]
SERIES_COLOURS = {"fixed": FIXED, "learned": LEARNED}
MORE_COLOURS = (LEARNED, FIXED, "#3a8a55", "#7a4fa3", INK)
LOG_FROM = 30.0  # ratio of largest to smallest value


@styled
def curves_figure(history: History) -> Figure:
    """One small panel a quantity over the training steps.

    In: name -> [(step, value), ...]. A name 'panel/series', say 'validation PSNR (dB)/learned', shares the panel with
    the other series of that panel; a slash inside parentheses, as in '(T/m/s)', belongs to a unit. 'fixed' and
    'learned' have their usual colours. One value alone is a level line. Values that are not negative and range widely
    get a logarithmic axis. Raises when there is nothing to draw.
    """
    panels: dict[str, dict[str, Sequence[tuple[float, float]]]] = {}
    for name, points in history.items():
        if len(points):
            panel, series = _panel_and_series(name)
            panels.setdefault(panel, {})[series] = points
    if not panels:
        raise SeqoptError("learning curves: got an empty history, expected (step, value) pairs; leave the figure out")
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(2.7 * rows + 0.1)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    last = max(float(point[0]) for lines in panels.values() for points in lines.values() for point in points)
    for index, (axis, (name, lines)) in enumerate(zip(axes, panels.items(), strict=False)):
        _panel(axis, lines, last)
        axis.set_title(name)
        if index + columns >= len(panels):
            axis.set_xlabel("step")
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


def _panel_and_series(name: str) -> tuple[str, str]:
    for place, letter in enumerate(name):
        if letter == "/" and name.count("(", 0, place) == name.count(")", 0, place):
            return name[:place].strip(), name[place + 1 :].strip()
    return name.strip(), ""


def _panel(axis: Any, lines: Mapping[str, Sequence[tuple[float, float]]], last: float) -> None:
    for number, (series, points) in enumerate(lines.items()):
        steps, values = np.asarray(points, dtype=float).T
        colour = SERIES_COLOURS.get(series, MORE_COLOURS[number % len(MORE_COLOURS)])
        if len(values) == 1:
            axis.axhline(values[0], color=colour, label=series, linestyle="--")
        else:
            axis.plot(steps, values, color=colour, label=series)
            axis.plot(steps[-1:], values[-1:], "o", color=colour, markersize=4)
    every = np.concatenate([np.asarray(points, dtype=float)[:, 1] for points in lines.values()])
    every = every[np.isfinite(every)]
    positive = every[every > 0]
    if len(positive) and positive.max() > LOG_FROM * positive.min() and every.min() >= 0:
        if every.min() > 0:
            axis.set_yscale("log")
        else:
            least = max(float(positive.min()), 1e-4 * float(positive.max()))
            axis.set_yscale("symlog", linthresh=10.0 ** math.floor(math.log10(least)))  # 0 is one decade below
            axis.set_ylim(bottom=0.0)
    elif not np.any(every):
        axis.set_ylim(0.0, 1.0)  # zero all along, as an excess should be
    axis.set_xlim(0.0, 1.03 * max(last, 1.0))
    axis.grid(True)
    if len(lines) > 1 or "" not in lines:
        axis.legend(loc="best", handlelength=1.4)
