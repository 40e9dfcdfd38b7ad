"""What a network looks at in reconstructions of different masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from seqopt.errors import SeqoptError
from seqopt.report.image_figures import object_window
from seqopt.report.style import INK, WIDTH_IN, new_figure, styled

AnyArray = npt.NDArray[Any]
SHOWN_QUANTILE = 0.998


@dataclass(frozen=True, kw_only=True)
class AttributionColumn:
    """One mask in `attribution_figure`."""

    name: str
    image: AnyArray
    """(y, x) reconstruction."""
    attribution: AnyArray
    """(y, x): what each pixel adds."""
    note: str
    """Line of text below."""


@styled
def attribution_figure(columns: Sequence[AttributionColumn], *, structures: AnyArray | None = None) -> Figure:
    """Reconstructions above what each pixel adds to the network's certainty: blue against, red for the truth.

    All maps have one scale. ``structures`` (y, x), where given, is true inside what is to be found, and outlined.
    Raises without columns.
    """
    if not columns:
        raise SeqoptError("attribution: got no masks, expected one or more; leave the figure out")
    rows, cols = object_window(columns[0].image[None])
    top = max(float(np.quantile(columns[0].image, SHOWN_QUANTILE)), 1e-30)
    reach = max(max(float(np.quantile(np.abs(one.attribution), SHOWN_QUANTILE)) for one in columns), 1e-30)
    aspect = (rows.stop - rows.start) / (cols.stop - cols.start)
    left, right, upper, lower, gap, bar = 0.30, 0.88, 0.34, 0.34, 0.06, 0.12
    width = (WIDTH_IN - left - right - (len(columns) - 1) * gap) / len(columns)
    height = width * aspect
    total = upper + 2 * height + gap + lower
    figure = new_figure(total, constrained=False)
    shown: Any = None
    for place, one in enumerate(columns):
        for row in range(2):
            bottom = lower + (1 - row) * (height + gap)
            at = ((left + place * (width + gap)) / WIDTH_IN, bottom / total, width / WIDTH_IN, height / total)
            panel = figure.add_axes(at)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set(visible=True, color=INK, linewidth=0.5)
            if row == 0:
                panel.imshow(one.image[rows, cols], cmap="gray", vmin=0.0, vmax=top, aspect="auto")
                panel.set_title(one.name, loc="center", fontsize=9)
            else:
                shown = panel.imshow(one.attribution[rows, cols], cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
                panel.set_xlabel(one.note, fontsize=8.5)
                if structures is not None:
                    panel.contour(structures[rows, cols], levels=[0.5], colors=INK, linewidths=0.35, alpha=0.7)
            if place == 0:
                panel.set_ylabel("image" if row == 0 else "what speaks for the truth", fontsize=9)
    side = figure.add_axes(((WIDTH_IN - right + 0.1) / WIDTH_IN, lower / total, bar / WIDTH_IN, height / total))
    scale = figure.colorbar(shown, cax=side)
    scale.set_ticks([-reach, 0.0, reach], labels=["against", "0", "for"])
    scale.outline.set_visible(False)
    return figure
