"""Figures of images: point spread functions, and reconstructions of held-out slices with their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from seqopt.errors import SeqoptError
from seqopt.report.style import FIXED, INK, LEARNED, WIDTH_IN, ZOOM, new_figure, styled

AnyArray = npt.NDArray[Any]
Scores = Mapping[str, Sequence[tuple[float, float]]]
FLOOR_DB = -60.0
MAIN_LOBE_PIXELS = 3.0
ERROR_GAIN = 5
COLUMNS = ("Truth", "Fixed", "Learned", f"|error| \u00d7{ERROR_GAIN}, fixed", f"|error| \u00d7{ERROR_GAIN}, learned")


@styled
def psf_figure(psf_initial: AnyArray, psf_learned: AnyArray) -> Figure:
    """Point spread functions in dB on a common scale, and their profiles through the peak along x and y.

    In: two (y, x) magnitudes with peak 1. Axes in pixels from the peak. Raises for shapes that differ.
    """
    if psf_initial.ndim != 2 or psf_initial.shape != psf_learned.shape:
        raise SeqoptError(f"PSF: got shapes {psf_initial.shape} and {psf_learned.shape}, expected the same (y, x)")
    figure = new_figure(7.6)
    grid = figure.add_gridspec(2, 2, height_ratios=(1.55, 1.0))
    pictures = [figure.add_subplot(grid[0, column]) for column in range(2)]
    profiles = [figure.add_subplot(grid[1, column]) for column in range(2)]
    both = (("Fixed", psf_initial, FIXED), ("Learned", psf_learned, LEARNED))
    for picture, (name, psf, colour) in zip(pictures, both, strict=True):
        decibel, offsets = _decibel(psf)
        extent = (offsets[1][0] - 0.5, offsets[1][-1] + 0.5, offsets[0][-1] + 0.5, offsets[0][0] - 0.5)
        shown = picture.imshow(decibel, cmap="magma", vmin=FLOOR_DB, vmax=0.0, extent=extent)
        picture.set(xlabel="x (pixels from the peak)", ylabel="y (pixels from the peak)")
        radius = np.hypot(*np.meshgrid(*offsets, indexing="ij"))
        picture.set_title(f"{name}: largest side lobe {decibel[radius > MAIN_LOBE_PIXELS].max(initial=-300.0):.1f} dB")
        for profile, along, line in (
            (profiles[0], 1, decibel[int(np.flatnonzero(offsets[0] == 0)[0])]),
            (profiles[1], 0, decibel[:, int(np.flatnonzero(offsets[1] == 0)[0])]),
        ):
            profile.plot(offsets[along], line, color=colour, label=name, linewidth=1.2)
    for profile, axis in zip(profiles, "xy", strict=True):
        profile.set(ylim=(FLOOR_DB, 3.0), xlabel=f"{axis} (pixels from the peak)", ylabel="magnitude (dB)")
        profile.set_title(f"Profile along {axis}")
        profile.grid(True, axis="y")
        profile.margins(x=0)
    profiles[0].legend(loc="upper right", handlelength=1.4)
    bar = figure.colorbar(shown, ax=pictures, shrink=0.92, pad=0.015, aspect=28)
    bar.set_label("magnitude (dB)")
    bar.outline.set_visible(False)
    return figure


def _decibel(psf: AnyArray) -> tuple[AnyArray, list[AnyArray]]:
    """Magnitude in dB below the peak, and pixel offsets from the peak along y and x."""
    magnitude = np.abs(psf).astype(float)
    peak = np.unravel_index(int(magnitude.argmax()), magnitude.shape)
    scaled = np.maximum(magnitude / max(float(magnitude.max()), 1e-30), 1e-15)
    return 20 * np.log10(scaled), [np.arange(size) - int(at) for size, at in zip(psf.shape, peak, strict=True)]


@styled
def images_figure(truth: AnyArray, fixed: AnyArray, learned: AnyArray, scores: Scores) -> Figure:
    """Held-out slices as rows: truth, both reconstructions, both errors x5; a last row enlarges part of the middle one.

    In: (n, y, x) images, real or complex (shown as magnitude); ``scores['fixed']`` and ``['learned']`` hold n pairs
    (PSNR in dB, SSIM). Images share one grey scale, errors another, five times as steep; the view is cropped to the
    object. The enlarged part is where the truth has most detail. Raises for shapes or counts that disagree.
    """
    _check(truth, fixed, learned, scores)
    truth, fixed, learned = (np.abs(images) for images in (truth, fixed, learned))
    top = max(float(np.quantile(truth, 0.998)), 1e-30)
    rows, columns = object_window(truth)
    middle = len(truth) // 2
    zoom = _detail_window(truth[middle], rows, columns)
    aspect = (rows.stop - rows.start) / (columns.stop - columns.start)
    figure, panels = _panel_grid(len(truth), aspect)
    for row in range(len(truth) + 1):
        index = middle if row == len(truth) else row
        window = zoom if row == len(truth) else (rows, columns)
        errors = [ERROR_GAIN * np.abs(images[index] - truth[index]) for images in (fixed, learned)]
        for column, image in enumerate((truth[index], fixed[index], learned[index], *errors)):
            panels[row][column].imshow(
                image[window],
                cmap="gray" if column < 3 else "inferno",
                vmin=0.0,
                vmax=top,
                aspect="auto",
                interpolation="bicubic" if row == len(truth) and column < 3 else "nearest",
            )
    for column, name in enumerate(COLUMNS):
        panels[0][column].set_title(name, loc="center", fontsize=10)
    for row in range(len(truth)):
        for column, reconstruction in ((1, "fixed"), (2, "learned")):
            psnr_db, ssim = scores[reconstruction][row]
            panels[row][column].set_xlabel(f"{psnr_db:.2f} dB, SSIM {ssim:.3f}", fontsize=9, labelpad=4)
        panels[row][0].set_ylabel(f"held-out slice {row + 1}", fontsize=9)
    panels[-1][0].set_ylabel(f"part of slice {middle + 1}", fontsize=9)
    corner = (zoom[1].start - columns.start - 0.5, zoom[0].start - rows.start - 0.5)
    size = (zoom[1].stop - zoom[1].start, zoom[0].stop - zoom[0].start)
    panels[middle][0].add_patch(Rectangle(corner, *size, fill=False, edgecolor=ZOOM, linewidth=1.2))
    return figure


def _check(truth: AnyArray, fixed: AnyArray, learned: AnyArray, scores: Scores) -> None:
    if truth.ndim != 3 or not len(truth) or fixed.shape != truth.shape or learned.shape != truth.shape:
        raise SeqoptError(
            f"images: got shapes {truth.shape}, {fixed.shape} and {learned.shape}, expected the same (n, y, x)"
        )
    for name in ("fixed", "learned"):
        if len(scores.get(name, ())) != len(truth):
            raise SeqoptError(f"scores: got {len(scores.get(name, ()))} for {name}, expected {len(truth)}, one a slice")


def _panel_grid(slices: int, aspect: float) -> tuple[Figure, list[list[Any]]]:
    """Equal panels with the margins in inches, so that nothing is stretched: slices and one square-ish row below."""
    left, right, top, bottom, gap, line = 0.28, 0.06, 0.32, 0.08, 0.05, 0.30
    width = (WIDTH_IN - left - right - 4 * gap) / 5
    heights = [width * aspect] * slices + [width * aspect]
    total = top + sum(heights) + slices * line + bottom
    figure = new_figure(total, constrained=False)
    panels, below = [], total - top
    for height in heights:
        below -= height
        row = []
        for column in range(5):
            place = ((left + column * (width + gap)) / WIDTH_IN, below / total, width / WIDTH_IN, height / total)
            panel = figure.add_axes(place)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set(visible=True, color=INK, linewidth=0.5)
            row.append(panel)
        panels.append(row)
        below -= line
    return figure, panels


def object_window(truth: AnyArray) -> tuple[slice, slice]:
    """Rows and columns that hold the object of every slice, with a margin of a twelfth of the image."""
    inside = (truth > 0.05 * truth.max()).any(axis=0)
    windows = []
    for axis, size in enumerate(inside.shape):
        found = np.flatnonzero(inside.any(axis=1 - axis))
        margin = max(2, size // 24)
        first, last = (int(found[0]), int(found[-1])) if len(found) else (0, size - 1)
        windows.append(slice(max(0, first - margin), min(size, last + 1 + margin)))
    return windows[0], windows[1]


def _detail_window(image: AnyArray, rows: slice, columns: slice) -> tuple[slice, slice]:
    """The third of the view with most gradient energy in the truth, nearly all of it inside the object if possible.

    No reconstruction has a say in the choice.
    """
    energy = np.sum(np.square(np.gradient(image.astype(float))), axis=0)
    height, width = max(4, (rows.stop - rows.start) // 3), max(4, (columns.stop - columns.start) // 3)

    def sums(values: AnyArray) -> AnyArray:  # over every window in the view, by a summed-area table
        total = np.pad(values[rows, columns].cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        return np.asarray(
            total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
        )

    share = sums((image > 0.05 * image.max()).astype(float)) / (height * width)
    part = sums(energy) * (share >= min(0.97, float(share.max())))
    y, x = np.unravel_index(int(part.argmax()), part.shape)
    y, x = int(y) + rows.start, int(x) + columns.start
    return slice(y, y + height), slice(x, x + width)
