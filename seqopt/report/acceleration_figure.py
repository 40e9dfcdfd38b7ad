"""Masks over the acceleration, and one metric against another along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from seqopt.errors import SeqoptError
from seqopt.report.style import FAINT, FIXED, INK, LEARNED, new_figure, styled

COLOURS = (LEARNED, FIXED, "#3a8a55", "#8cbf5f", "#7a4fa3", INK)
MARKERS = "osD^vP"
OURS_WIDTH = 2.2


@dataclass(frozen=True, kw_only=True)
class MaskCurve:
    """One mask over the acceleration; the entries of all fields belong together."""

    accel: Sequence[float]
    mean: Sequence[float]
    error: Sequence[float]
    """Half the height of the band about each mean."""
    draws: Sequence[Sequence[float]] = ()
    """Of each acceleration the mean of each draw, of masks that are drawn."""


@styled
def acceleration_figure(
    judges: Mapping[str, Mapping[str, MaskCurve]], *, quantity: str, full: Mapping[str, float] | None = None
) -> Figure:
    """One panel a judge: the masks' means over the acceleration, their errors shaded; dots are single draws.

    In: judge -> mask -> curve, the first mask the one to be told from the others; judge -> level of all lines. Raises
    when empty.
    """
    if not judges:
        raise SeqoptError("acceleration: got no judge, expected one or more; leave the figure out")
    figure = new_figure(3.9)
    axes = figure.subplots(1, len(judges), sharey=True, squeeze=False)[0]
    for axis, (judge, masks) in zip(axes, judges.items(), strict=True):
        for number, (name, curve) in enumerate(masks.items()):
            _line(axis, number, name, curve)
        if full and judge in full:
            axis.axhline(full[judge], color=FAINT, linestyle="--", linewidth=1.0, label="all lines")
        axis.set_title(judge)
        _ticks(axis, masks)
        axis.grid(True)
    axes[0].set_ylabel(quantity)
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 6))
    return figure


def _line(axis: Any, number: int, name: str, curve: MaskCurve) -> None:
    colour = COLOURS[number % len(COLOURS)]
    low = [mean - error for mean, error in zip(curve.mean, curve.error, strict=True)]
    high = [mean + error for mean, error in zip(curve.mean, curve.error, strict=True)]
    axis.fill_between(curve.accel, low, high, color=colour, alpha=0.14, linewidth=0)
    for accel, values in zip(curve.accel, curve.draws, strict=False):
        axis.plot([accel] * len(values), values, ".", color=colour, alpha=0.45, markersize=4, markeredgewidth=0)
    _path(axis, number, name, curve.accel, curve.mean)


def _path(axis: Any, number: int, name: str, x: Sequence[float], y: Sequence[float]) -> None:
    """One mask's path in its colour and mark; the first is ours and stands out.

    The second, its closest rival, lies on top in dashes and hollow marks, so that both show where they coincide.
    """
    ours, rival = number == 0, number == 1
    axis.plot(
        x,
        y,
        color=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=5 if ours else 4,
        markerfacecolor="white" if rival else None,
        linewidth=OURS_WIDTH if ours else 1.3,
        linestyle="--" if rival else "-",
        zorder=4 if ours else 5 if rival else 3,
        label=name,
    )


def _ticks(axis: Any, masks: Mapping[str, MaskCurve]) -> None:
    ticks = sorted({accel for curve in masks.values() for accel in curve.accel})
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [f"x{tick:.3g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("acceleration")
    if len(ticks) == 1:
        axis.set_xlim(ticks[0] / 1.5, ticks[0] * 1.5)


@styled
def against_figure(
    judges: Mapping[str, Mapping[str, tuple[MaskCurve, MaskCurve]]], *, quantities: tuple[str, str]
) -> Figure:
    """One panel a judge: two metrics of each mask against one another, a path over the acceleration.

    In: judge -> mask -> curves of the metric along x and of the one along y. Raises when empty.
    """
    if not judges:
        raise SeqoptError("metrics against one another: got no judge, expected one or more; leave the figure out")
    figure = new_figure(4.3)
    axes = figure.subplots(1, len(judges), sharey=True, sharex=True, squeeze=False)[0]
    for axis, (judge, masks) in zip(axes, judges.items(), strict=True):
        for number, (name, (along, up)) in enumerate(masks.items()):
            _path(axis, number, name, along.mean, up.mean)
            if number == 0:
                for accel, x, y in zip(along.accel, along.mean, up.mean, strict=True):
                    axis.annotate(
                        f"x{accel:.3g}",
                        (x, y),
                        xytext=(0, 8),
                        textcoords="offset points",
                        ha="center",
                        fontsize=8.5,
                        color=COLOURS[0],
                    )
        axis.set_title(judge)
        axis.set_xlabel(quantities[0])
        axis.margins(x=0.10, y=0.14)
        axis.grid(True)
    axes[0].set_ylabel(quantities[1])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(handles), 6))
    return figure
