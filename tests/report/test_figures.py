"""Figures from real designs and small images: size, content, refusals and determinism."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from designs import radial_design
from matplotlib.image import imread

from seqopt.errors import SeqoptError
from seqopt.report import (
    curves_figure,
    images_figure,
    psf_figure,
    to_png_bytes,
    trajectories_figure,
    waveforms_figure,
)
from seqopt.report.png import DPI, png_size
from seqopt.report.style import WIDTH_IN

HISTORY = {
    "loss": [(0, 1.0), (10, 0.1), (20, 0.02)],
    "gradient excess": [(0, 3.0), (10, 0.01), (20, 0.0)],
    "validation PSNR (dB)/fixed": [(0, 30.0)],
    "validation PSNR (dB)/learned": [(0, 30.0), (20, 33.5)],
}


def images(slices: int = 2, size: int = 40) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    disc = (np.hypot(y, x) < size / 3).astype(float)
    return np.stack([disc * (1 + 0.3 * np.cos(x * (index + 1) / 3)) for index in range(slices)])


def scores(slices: int = 2) -> dict[str, list[tuple[float, float]]]:
    return {"fixed": [(28.125, 0.871)] * slices, "learned": [(33.5, 0.95)] * slices}


def psf() -> np.ndarray:
    y, x = np.mgrid[:32, :32] - 16
    return np.sinc(y / 2) * np.sinc(x / 2)


def make(name: str):
    design = radial_design(shots=4, samples=64, matrix=32, wiggle=1)
    truth = images()
    return {
        "trajectories": lambda: trajectories_figure(design.initial_k_per_m, design.k_per_m, design.geometry),
        "waveforms": lambda: waveforms_figure(design),
        "psf": lambda: psf_figure(psf(), psf() ** 3),
        "images": lambda: images_figure(truth, 0.9 * truth, 0.97 * truth * 1j, scores()),
        "curves": lambda: curves_figure(HISTORY),
    }[name]()


def words(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@pytest.mark.parametrize("name", ["trajectories", "waveforms", "psf", "images", "curves"])
def test_a_figure_has_readme_width_and_is_not_empty_and_the_same_each_time(name):
    png = to_png_bytes(make(name))
    width, height = png_size(png)
    assert width == round(WIDTH_IN * DPI)
    assert 0.3 < height / width < 1.3
    pixels = imread(io.BytesIO(png))[..., :3]
    assert (pixels[0, 0] == 1.0).all()  # white paper
    assert (pixels.min(axis=-1) < 0.6).mean() > 0.005
    assert to_png_bytes(make(name)) == png
    for secret in (b"Software", b"tIME", b"Creation"):
        assert secret not in png


def test_a_figure_ignores_the_users_style_and_leaves_it_alone():
    plain = to_png_bytes(make("curves"))
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "black", "lines.linewidth": 9.0}):
        assert to_png_bytes(make("curves")) == plain
        assert matplotlib.rcParams["font.size"] == 30.0


def test_no_text_overlaps_another_or_leaves_the_figure():
    for name in ("trajectories", "waveforms", "psf", "images", "curves"):
        figure = make(name)
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        titles = [axes.title for axes in figure.axes] + [axes._left_title for axes in figure.axes]
        labels = [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
        boxes = [text.get_window_extent(renderer) for text in titles + labels if text.get_text()]
        page = figure.bbox
        for index, box in enumerate(boxes):
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1, name
            assert not any(box.overlaps(other) for other in boxes[:index]), name


def test_trajectories_are_drawn_in_cycles_over_the_field_of_view():
    design = radial_design(shots=4, samples=64, matrix=32)
    figure = trajectories_figure(design.initial_k_per_m, design.k_per_m, design.geometry)
    shot = figure.axes[0].collections[0].get_segments()[0]
    assert np.ptp(shot[:, 0]) == pytest.approx(32, rel=0.05)
    assert "4 shots" in words(figure) and "cycles/FOV" in words(figure)


def test_waveforms_state_limits_and_largest_values_in_the_units_people_read():
    design = radial_design(shots=4, samples=64, matrix=32, wiggle=1)
    figure = waveforms_figure(design)
    largest = np.linalg.norm(design.gradient_hz_per_m, axis=-1).max() / 42.576e3
    said = words(figure)
    assert "limit 50 mT/m" in said and "limit 200 T/m/s" in said and f"{largest:.4g} mT/m" in said
    slew = np.linalg.norm(np.diff(design.gradient_hz_per_m, axis=1), axis=-1).max() / 1e-5 / 42.576e6
    assert f"{slew:.4g} T/m/s" in said


def test_waveforms_of_a_single_shot_can_be_drawn():
    assert "1 shot " in words(waveforms_figure(radial_design(shots=1, samples=64, matrix=32)))


def test_the_psf_names_its_largest_side_lobe():
    one = np.zeros((16, 16))
    one[8, 8], one[8, 14] = 1.0, 0.1
    other = np.where(one == 0.1, 0.01, one)
    said = words(psf_figure(one, other))
    assert "Fixed: largest side lobe -20.0 dB" in said and "Learned: largest side lobe -40.0 dB" in said


def test_images_share_one_scale_and_errors_are_five_times_as_bright():
    truth = images()
    figure = images_figure(truth, 0.9 * truth, truth, scores())
    shown = [axes.images[0] for axes in figure.axes]
    assert len(shown) == 15 and len({image.get_clim() for image in shown}) == 1
    view = np.asarray(shown[0].get_array())
    np.testing.assert_allclose(np.asarray(shown[3].get_array()), 0.5 * view, atol=1e-12)
    assert not np.asarray(shown[4].get_array()).any()
    assert "28.12 dB, SSIM 0.871" in words(figure) and "33.50 dB, SSIM 0.950" in words(figure)


def test_one_value_of_a_history_is_a_level_line_and_series_share_a_panel():
    figure = curves_figure(HISTORY)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 3
    assert [text.get_text() for text in shown[2].get_legend().get_texts()] == ["fixed", "learned"]
    assert shown[0].get_yscale() == "log" and shown[1].get_yscale() == "symlog" and shown[2].get_yscale() == "linear"


def test_a_slash_in_a_unit_makes_no_series_and_zeros_are_drawn_from_zero():
    figure = curves_figure({"slew excess (T/m/s)": [(0, 0.0), (5, 0.0)], "gradient (mT/m)/largest": [(0, 1.0)]})
    assert [axes.get_title("left") for axes in figure.axes] == ["slew excess (T/m/s)", "gradient (mT/m)"]
    assert figure.axes[0].get_ylim() == (0.0, 1.0)


def test_a_history_with_nan_can_still_be_drawn():
    nan = float("nan")
    assert to_png_bytes(curves_figure({"loss": [(0, 1.0), (1, nan), (2, 50.0)], "all": [(0, nan), (1, nan)]}), dpi=30)


def test_wrong_input_is_refused_in_one_line():
    truth = images()
    k = np.zeros((4, 8, 3))
    for wrong in (
        lambda: images_figure(truth, truth[:1], truth, scores()),
        lambda: images_figure(truth, truth, truth, scores(1)),
        lambda: psf_figure(psf(), psf()[:5]),
        lambda: curves_figure({"loss": []}),
        lambda: trajectories_figure(k, k, radial_design().geometry),
    ):
        with pytest.raises(SeqoptError, match="expected") as error:
            wrong()
        assert "\n" not in str(error.value)
