"""One look for every figure: dark on white, legible at 900 pixels, without pyplot's global state."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from seqopt.core import Geometry

P = ParamSpec("P")

WIDTH_IN = 9.0  # 900 pixels of a README at 100 pixels an inch
FIXED = "#c8641b"
LEARNED = "#1f6fb4"
LIMIT = "#b3202a"
INK = "#1b2530"
FAINT = "#6b7683"
ADC_SHADE = "#e9eff6"
ZOOM = "#ffd24a"

_RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7.0,
    "axes.labelsize": 10.0,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": "#8a949f",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#dde3ea",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": "#8a949f",
    "ytick.color": "#8a949f",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "image.interpolation": "nearest",
    "axes.formatter.useoffset": False,
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run one figure function under the house style, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with house_style():
            return draw(*args, **kwargs)

    return inside


def house_style() -> Any:
    """Context in which matplotlib has its defaults and the house style; both are restored after it."""
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith(("backend",))}
    return matplotlib.rc_context({**defaults, **_RC})


def new_figure(height_in: float, *, constrained: bool = True) -> Figure:
    """A figure of README width with its own Agg canvas."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03) if constrained else None
    figure = Figure(figsize=(WIDTH_IN, height_in), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def shot_colours(shots: int) -> list[tuple[float, float, float, float]]:
    """One colour a shot, in play order from blue over purple to orange, dark enough on white."""
    ramp = matplotlib.colormaps["plasma"]
    return [ramp(0.86 * index / max(shots - 1, 1)) for index in range(shots)]


def k_extent_cycles(geometry: Geometry) -> tuple[float, float]:
    """Half the extent of k-space (x, y) in cycles/FOV: half the matrix."""
    return geometry.matrix[0] / 2, geometry.matrix[1] / 2
