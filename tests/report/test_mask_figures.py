"""Figures of masks: what they draw is what they were given, on scales that can be compared."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.report import MaskColumn, mask_images_figure, mask_scores_figure, strips_figure, target_figure

LINES = 32
ORDER = np.array([16, 15, 17, 14, 20, 9])


def mask(*lines: int) -> np.ndarray:
    return np.isin(np.arange(LINES), lines)


def truth() -> np.ndarray:
    image = np.zeros((LINES, LINES))
    image[8:24, 6:26] = np.linspace(0.5, 1.0, 20)
    return image


def column(name: str, error: float) -> MaskColumn:
    return MaskColumn(name=name, mask=mask(*ORDER), image=truth() + error, score=f"SSIM {error:.3f}")


def test_each_line_is_a_bar_as_wide_as_the_distance_to_the_next_at_its_ky():
    figure = strips_figure({"IGS": mask(*ORDER), "Center": mask(13, 14, 15, 16, 17, 18)}, 0, ORDER, 6)
    bars = [(one.get_x(), one.get_width(), round(one.get_y() + 0.36)) for one in figure.axes[0].patches]
    assert sorted(x + 0.5 for x, _, row in bars if row == 0) == [-7, -2, -1, 0, 1, 4]
    assert sorted(x + 0.5 for x, _, row in bars if row == 1) == [-3, -2, -1, 0, 1, 2]
    assert {width for _, width, _ in bars} == {1.0}
    colours = {one.get_x() + 0.5: one.get_facecolor() for one in figure.axes[0].patches[:6]}
    assert len(set(colours.values())) == 6  # one a place in the order
    assert figure.axes[0].get_xlabel() == "phase-encoding line ky (1/FOV)"


@pytest.mark.parametrize(("errors", "gain"), [((0.3, 0.4, 0.9), 2), ((0.02, 0.03, 0.9), 20), ((2.0, 3.0, 4.0), 1)])
def test_errors_are_as_bright_as_the_middle_mask_allows_and_say_by_how_much(errors, gain):
    figure = mask_images_figure(truth(), [column(f"m{place}", error) for place, error in enumerate(errors)])
    names = [axes.get_ylabel() for axes in figure.axes]
    assert f"|error| \u00d7{gain}" in names
    rows = [axes.images for axes in figure.axes if axes.images]
    assert len({images[0].get_clim() for images in rows[4:]}) == 1  # images and errors share one scale
    shown = [np.asarray(images[0].get_array()) for images in rows[-3:]]
    for error, picture in zip(errors, shown, strict=True):
        np.testing.assert_allclose(picture, gain * error, rtol=1e-6)


def test_judges_share_one_scale_and_the_reference_is_no_competitor():
    scores = {
        "as trained": {"IGS": np.array([0.5, 0.6]), "Center": np.array([0.4, 0.5]), "all lines": np.array([0.9, 0.8])},
        "fine-tuned": {"IGS": np.array([0.6, 0.7]), "Center": np.array([0.5, 0.6])},
    }
    figure = mask_scores_figure(scores, quantity="Dice of an image", reference="all lines")
    limits = {axes.get_xlim() for axes in figure.axes}
    assert len(limits) == 1 and limits.pop()[1] > 0.9
    colours = [line.get_color() for line in figure.axes[0].lines[::2]]
    assert len(set(colours)) == 3
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.550", "0.450", "0.850"]


def test_the_target_of_the_mask_is_marked_on_its_curve():
    figure = target_figure([(1, 0.7), (2, 0.5), (4, 0.3)], shots=2, lines=LINES, name="soft Dice loss")
    axes = figure.axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("soft Dice loss", "acquired lines")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["2 lines (x16): 0.5"]


def test_nothing_to_draw_is_refused():
    for draw in (
        lambda: strips_figure({}, 0, ORDER, 6),
        lambda: target_figure([], shots=1, lines=LINES, name="x"),
        lambda: mask_scores_figure({}, quantity="x"),
    ):
        with pytest.raises(SeqoptError, match="leave the figure out"):
            draw()
