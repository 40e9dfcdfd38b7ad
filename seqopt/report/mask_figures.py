"""Figures of Cartesian masks: their lines side by side, what they make of images, the target over lines, the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqopt.errors import SeqoptError
from seqopt.report.image_figures import object_window
from seqopt.report.style import FAINT, FIXED, INK, LEARNED, WIDTH_IN, new_figure, styled

AnyArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
CLASS_COLOURS = ("#000000", "#4fb3d9", "#e8a13a", "#f2f2f2", "#c25b8a", "#7fbf6b", "#8d77c9", "#d9d04f")
ERROR_GAINS = (1, 2, 5, 10, 20, 50)


@styled
def strips_figure(masks: Mapping[str, BoolArray], calibration: int, order: AnyArray, shots: int) -> Figure:
    """The lines of each mask over ky, one row a mask; the first one's are coloured by when they entered.

    In: name -> (lines,) true where acquired; the central ``calibration`` lines are shaded; ``order`` (n,) of the first.
    """
    if not masks:
        raise SeqoptError("masks: got none, expected one or more; leave the figure out")
    size = len(next(iter(masks.values())))
    figure = new_figure(0.95 + 0.42 * len(masks))
    axis = figure.subplots()
    if calibration:
        first = -(calibration // 2)
        axis.axvspan(first - 0.5, first + calibration - 0.5, color="#e3ebf4", zorder=0, label="calibration lines")
    ramp = matplotlib.colormaps["plasma"]
    for row, mask in enumerate(masks.values()):
        lines = np.flatnonzero(mask)
        colours = [INK] * len(lines)
        if row == 0:
            entered = {int(line): rank for rank, line in enumerate(order[:shots])}
            colours = [to_hex(ramp(0.86 * entered.get(int(line), shots) / max(shots - 1, 1))) for line in lines]
        # a line is as wide as its distance from the next: neighbours make a block
        axis.bar(lines - size // 2, 0.72, width=1.0, bottom=row - 0.36, color=colours, linewidth=0, zorder=2)
        axis.axhline(row + 0.5, color="#dde3ea", linewidth=0.6, zorder=1)
    axis.set_yticks(range(len(masks)), list(masks))
    axis.tick_params(axis="y", length=0)
    axis.set(xlim=(-size // 2 - 1, size // 2), ylim=(len(masks) - 0.5, -0.5), xlabel="phase-encoding line ky (1/FOV)")
    if shots > 1:
        scale = matplotlib.cm.ScalarMappable(
            matplotlib.colors.Normalize(1, shots), ListedColormap(ramp(np.linspace(0, 0.86, 256)))
        )
        bar = figure.colorbar(scale, ax=axis, pad=0.015, aspect=16, shrink=0.9)
        bar.set_label(f"{next(iter(masks))}: place in the nested order")
        bar.outline.set_visible(False)
    return figure


@dataclass(frozen=True, kw_only=True)
class MaskColumn:
    """One mask in `mask_images_figure`."""

    name: str
    mask: BoolArray
    """(lines,)"""
    image: AnyArray
    """(y, x) reconstruction"""
    score: str
    """Text below, of one line or more."""
    classes: AnyArray | None = None
    """(y, x) class numbers that the network found."""
    verdict: str = ""
    """What the network said of the whole image."""


@styled
def mask_images_figure(
    truth: AnyArray,
    columns: Sequence[MaskColumn],
    *,
    labels: AnyArray | None = None,
    classes: Sequence[str] = (),
    truth_verdict: str = "",
) -> Figure:
    """The truth and each mask as columns: k-space lines, image, error, and what was segmented where it was.

    In: (y, x) truth and, for segmentation, its labels (y, x) with the names of their classes. All images share one
    scale, and all errors one that is brighter by a named factor: the largest that does not clip the middle mask's.
    """
    top = max(float(np.quantile(truth, 0.998)), 1e-30)
    rows, cols = object_window(truth[None])
    segmented = labels is not None and all(column.classes is not None for column in columns)
    aspect = (rows.stop - rows.start) / (cols.stop - cols.start)
    gain = _error_gain(truth, columns, top)
    names = ["lines (ky)", "image", f"|error| \u00d7{gain}", *(["segmented"] if segmented else [])]
    below = ["\n".join(filter(None, (column.score, column.verdict))) for column in columns]
    text_lines = 1 + max((text.count("\n") for text in below), default=0)
    figure, panels = _grid(names, 1 + len(columns), aspect, bottom_in=0.12 + 0.17 * text_lines)
    colours = ListedColormap([CLASS_COLOURS[number % len(CLASS_COLOURS)] for number in range(max(len(classes), 1))])
    for place, column in enumerate([None, *columns]):
        mask = np.ones(len(truth), bool) if column is None else column.mask
        image = truth if column is None else column.image
        found = labels if column is None else column.classes
        panels[0][place].imshow(
            np.repeat(mask[:, None], len(truth), 1),
            cmap="gray",
            vmin=0,
            vmax=1,
            aspect="auto",
            interpolation="antialiased",
        )
        panels[1][place].imshow(image[rows, cols], cmap="gray", vmin=0.0, vmax=top, aspect="auto")
        if column is None:
            panels[2][place].spines[:].set_visible(False)
            if not segmented:
                _say(panels[2][place], truth_verdict)
        else:
            error = gain * np.abs(image - truth)[rows, cols]
            panels[2][place].imshow(error, cmap="inferno", vmin=0.0, vmax=top, aspect="auto")
        if segmented:
            assert found is not None
            panels[3][place].imshow(
                found[rows, cols],
                cmap=colours,
                vmin=-0.5,
                vmax=max(len(classes), 1) - 0.5,
                aspect="auto",
                interpolation="nearest",
            )
        panels[0][place].set_title("Truth" if column is None else column.name, loc="center", fontsize=9)
        if column is not None:
            panels[-1][place].set_xlabel(below[place - 1], fontsize=8.5)
    if segmented:
        for number, name in enumerate(classes[1:], start=1):  # the legend stands where the truth has no error
            colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
            panels[2][0].plot([], [], "s", color=colour, markeredgecolor=FAINT, label=name)
        panels[2][0].legend(loc="center", fontsize=9, handletextpad=0.3)
    return figure


def _error_gain(truth: AnyArray, columns: Sequence[MaskColumn], top: float) -> int:
    """How much brighter errors are shown than images: nearly all pixels of the middle mask stay below the top."""
    shown = np.median([np.quantile(np.abs(column.image - truth), 0.98) for column in columns] or [top])
    return max((gain for gain in ERROR_GAINS if gain * shown <= top), default=1)


def _say(panel: Any, text: str) -> None:
    panel.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=INK, transform=panel.transAxes)


def _grid(names: Sequence[str], columns: int, aspect: float, *, bottom_in: float) -> tuple[Figure, list[list[Any]]]:
    """Equal panels with margins in inches: a low row for k-space, the others as high as the images ask for."""
    left, right, top, bottom, gap = 0.30, 0.06, 0.36, bottom_in, 0.05
    width = (WIDTH_IN - left - right - (columns - 1) * gap) / columns
    heights = [0.62 * width, *([width * aspect] * (len(names) - 1))]
    total = top + sum(heights) + (len(names) - 1) * gap + bottom
    figure = new_figure(total, constrained=False)
    panels, below = [], total - top
    for name, height in zip(names, heights, strict=True):
        below -= height
        row = []
        for column in range(columns):
            place = ((left + column * (width + gap)) / WIDTH_IN, below / total, width / WIDTH_IN, height / total)
            panel = figure.add_axes(place)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set(visible=True, color=INK, linewidth=0.5)
            row.append(panel)
        row[0].set_ylabel(name, fontsize=9)
        panels.append(row)
        below -= gap
    return figure, panels


@styled
def target_figure(curve: Sequence[tuple[int, float]], *, shots: int, lines: int, name: str) -> Figure:
    """The target over the number of lines, as it came out of the choice: one point a pass, the mask's own marked."""
    if not curve:
        raise SeqoptError("target: got an empty curve, expected (lines, target) pairs; leave the figure out")
    figure = new_figure(3.1)
    axis = figure.subplots()
    counts, values = np.asarray(curve, dtype=float).T
    axis.plot(counts, values, color=LEARNED, marker="o", markersize=3.5)
    own = [value for count, value in curve if count == shots]
    if own:
        text = f"{shots} lines (x{lines / shots:.3g}): {own[0]:.4g}"
        axis.plot([shots], own[:1], "o", color=FIXED, markersize=8, zorder=3, label=text)
        axis.legend(loc="upper right" if values[0] >= values[-1] else "lower right")
    axis.set(xlabel="acquired lines", ylabel=name)
    axis.set_title("Target over the training images as lines enter")
    axis.grid(True)
    axis.margins(x=0.04, y=0.12)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def mask_scores_figure(
    scores: Mapping[str, Mapping[str, AnyArray]], *, quantity: str, reference: str | None = None
) -> Figure:
    """Each mask's scores image by image, with their mean: one panel a judge, all on one scale.

    In: judge -> mask -> (images,); the mask that is no competitor but the ``reference``.
    """
    if not scores:
        raise SeqoptError("scores: got none, expected one judge or more; leave the figure out")
    masks = list(next(iter(scores.values())))
    figure = new_figure(0.9 + 0.36 * len(masks))
    axes = figure.subplots(1, len(scores), sharex=True, sharey=True, squeeze=False)[0]
    for axis, (judge, found) in zip(axes, scores.items(), strict=True):
        for name, values in found.items():
            row = masks.index(name)  # a judge may lack a mask
            colour = FAINT if name == reference else LEARNED if row == 0 else FIXED
            spread = row + 0.24 * np.sin(2.4 * np.arange(len(values)))  # apart, and the same each time
            axis.plot(values, spread, ".", color=colour, alpha=0.5, markersize=6, markeredgewidth=0)
            axis.plot([values.mean()], [row], "|", color=colour, markersize=17, markeredgewidth=2.4)
            axis.annotate(
                f"{values.mean():.3f}",
                (1.0, row),
                xycoords=("axes fraction", "data"),
                xytext=(-3, 0),
                textcoords="offset points",
                va="center",
                ha="right",
                fontsize=8.5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
            )
        axis.set_title(judge)
        axis.set_xlabel(quantity)
        axis.set_ylim(len(masks) - 0.5, -0.5)
        axis.grid(True, axis="x")
        axis.tick_params(axis="y", length=0)
    every = np.concatenate([values for found in scores.values() for values in found.values()])
    low, high = float(every.min()), float(every.max())
    axes[0].set_xlim(low - 0.06 * (high - low + 1e-6), high + 0.28 * (high - low + 1e-6))  # the numbers stand there
    axes[0].set_yticks(range(len(masks)), masks)
    return figure
