"""Figures of a reconstruction say what is there and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.core import Geometry
from seqopt.report import ReportFigure, ReportTable, render_page, to_png_bytes
from seqopt.report.png import png_size
from seqopt.report.recon_figures import (
    cross_check_figure,
    maps_figure,
    residuals_figure,
    sampling_figure,
    snr_figure,
)
from seqopt.report.style import LIMIT

GEOMETRY = Geometry(fov_m=(0.2, 0.2), matrix=(32, 32), slices=3)


def spokes(shots: int) -> np.ndarray:
    angle = np.arange(shots) * np.pi / shots
    return np.linspace(-80, 80, 33)[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]


def red_lines(axes) -> int:
    return sum(line.get_color() == LIMIT for line in axes.get_lines())


def test_missing_readouts_are_drawn_in_red_and_counted():
    found = np.ones((3, 8), dtype=int)
    found[1, [2, 5]] = 0
    found[0, 0] = 2
    figure = sampling_figure(found, GEOMETRY, row=1, slice_=7, k_per_m=spokes(8))
    left, right = figure.axes[:2]
    assert red_lines(left) == 2
    assert left.get_title(loc="left") == "Slice 7 in k-space"
    assert right.get_title(loc="left") == "2 of 24 readouts are missing"
    whole = sampling_figure(np.ones((3, 8), dtype=int), GEOMETRY, row=1, slice_=1, k_per_m=spokes(8))
    assert red_lines(whole.axes[0]) == 0
    assert whole.axes[1].get_title(loc="left") == "All 24 readouts were found"


def test_cartesian_lines_lie_where_their_numbers_say():
    found = np.array([[1, 0, 1]])
    figure = sampling_figure(found, GEOMETRY, row=0, slice_=0, lines=[4, 16, 20])
    there, missing = figure.axes[0].collections
    assert sorted({segment[0][1] for segment in there.get_segments()}) == [-12.0, 4.0]
    assert [segment[0][1] for segment in missing.get_segments()] == [0.0]


@pytest.mark.parametrize("coils", [2, 8, 32])
def test_coil_maps_fit_on_the_page(coils):
    maps = np.exp(1j * np.linspace(0, 3, coils))[:, None, None] * np.ones((1, 16, 12))
    width, height = png_size(to_png_bytes(maps_figure(maps)))
    assert (width, height <= 1600) == (1440, True)


def test_a_difference_above_the_limit_is_red():
    differences = {"adjoint": 1e-6, "maps": 0.1, "cg-sense": 0.1, "forward": float("nan")}
    figure = cross_check_figure(differences, {"adjoint": 0.01, "maps": 0.2, "cg-sense": 0.01, "forward": 0.01})
    assert [bar.get_facecolor()[0] > 0.5 for bar in figure.axes[0].patches] == [False, False, True, True]


def test_the_page_escapes_its_texts_and_shows_every_part():
    png = to_png_bytes(residuals_figure([0.5, 0.1, 1e-15]))
    other = to_png_bytes(snr_figure(np.ones((8, 8)) * 1j, np.zeros((8, 8))))
    page = render_page(
        "Quality of <scan>",
        "all & well",
        tables=[ReportTable(title="In short", head=("Quantity", "Value"), rows=[("SNR", 31.4)])],
        lists={"Notes": ["a < b"], "Nothing": []},
        figures=[ReportFigure("Residual", "falls", png), ReportFigure("SNR", "flat", other)],
    )
    assert "Quality of &lt;scan&gt;" in page and "all &amp; well" in page and "a &lt; b" in page
    assert "Nothing" not in page
    assert page.count("data:image/png;base64,") == 2
    assert "31.4" in page
    assert "http" not in page.split("</style>")[1]
