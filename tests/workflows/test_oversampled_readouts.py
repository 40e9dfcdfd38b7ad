"""Spokes whose readouts are sampled twice as densely, as scanners do: what lies beyond the image is no streak in it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest
from cartesian_files import HEADER, phantom, ring_maps

from seqopt.core import Geometry
from seqopt.mrd.from_header import encoded_geometry
from seqopt.workflows.reconstruct import reconstruct

N, SPOKES, COILS = 32, 40, 6


def spokes(samples: int) -> np.ndarray:
    """(spokes, samples, 2) in cycles per field of view of the image."""
    angle = np.pi * np.arange(SPOKES)[:, None] / SPOKES
    radius = (np.arange(samples) - samples // 2) * (N / samples)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def scene(beyond: bool) -> np.ndarray:
    """(2 N, 2 N) pixels of twice the field of view: the phantom in the middle, perhaps an arm beside it."""
    image = np.zeros((2 * N, 2 * N), complex)
    image[N // 2 : N // 2 + N, N // 2 : N // 2 + N] = phantom(N, N)
    y, x = (np.mgrid[: 2 * N, : 2 * N] - N) / N
    return image + 1.5 * (((x - 0.75) / 0.12) ** 2 + (y / 0.25) ** 2 < 1) * beyond


def write_radial(path: Path, image: np.ndarray, *, samples: int, oversampling: tuple[int, int]) -> Path:
    """Direct sums; ``oversampling`` is what the header says of the encoded space along x and y."""
    maps, k = ring_maps(COILS, 2 * N, 2 * N), spokes(samples)
    pixels = (np.arange(2 * N) - N) / N
    kx, ky = k.reshape(-1, 2).T
    along = [np.exp(-2j * np.pi * np.outer(one, pixels)) for one in (ky, kx)]
    data = np.einsum("py,cyx,px->cp", along[0], maps * image, along[1], optimize=True) / N
    data = data.reshape(COILS, SPOKES, samples).astype(np.complex64)
    text = HEADER.format(
        samples=oversampling[0] * N, rows=oversampling[1] * N, fov_x=300 * oversampling[0],
        fov_rows=300 * oversampling[1], x=N, y=N, fov_y=300, last=SPOKES - 1, centre=0, trajectory="radial",
    )  # fmt: skip
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as dataset:
        dataset.write_xml_header(text.encode())
        for spoke in range(SPOKES):
            item = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data[:, spoke]), k[spoke].astype(np.float32))
            item.idx.kspace_encode_step_1 = spoke
            item.sample_time_us = 5.0
            item.read_dir[:], item.phase_dir[:], item.slice_dir[:] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
            dataset.append_acquisition(item)
    return path


def error(path: Path, out: Path, **options) -> tuple[float, tuple[str, ...]]:
    summary = reconstruct(path, out, **{"method": "tv", "iterations": 40, "cross_check": True, **options})
    assert summary.agrees and summary.images.shape == (1, N, N) and summary.matrix == (N, N)
    image, truth = summary.images[0], np.abs(phantom(N, N))
    scale = (image * truth).sum() / (image**2).sum()
    return float(np.linalg.norm(scale * image - truth) / np.linalg.norm(truth)), summary.notes


@pytest.mark.parametrize("oversampling", [(2, 1), (2, 2)])
def test_signal_from_beyond_the_field_of_view_makes_no_streaks(tmp_path, oversampling):
    """Converters double the encoded matrix along x alone, though spokes point everywhere."""
    found = {}
    for name, said in (("said", oversampling), ("unsaid", (1, 1))):
        path = write_radial(tmp_path / f"{name}.mrd", scene(True), samples=2 * N, oversampling=said)
        found[name], notes = error(path, tmp_path / name)
        assert any("64 x 64 pixels are reconstructed" in note for note in notes) == (name == "said")
    assert found["said"] < 0.03
    assert found["said"] < 0.5 * found["unsaid"]


def test_an_object_within_the_field_of_view_is_no_worse_for_it(tmp_path):
    found = {}
    for name, said in (("said", (2, 1)), ("unsaid", (1, 1))):
        path = write_radial(tmp_path / f"{name}.mrd", scene(False), samples=2 * N, oversampling=said)
        found[name], _ = error(path, tmp_path / name)
    assert found["said"] < 1.6 * found["unsaid"]


def test_no_more_than_twice_the_field_of_view_is_reconstructed():
    """Whatever a header says of readouts so fine that they would tell more apart."""
    stated = SimpleNamespace(encodedSpace=SimpleNamespace(fieldOfView_mm=SimpleNamespace(x=800, y=200)))
    image, notes = Geometry(fov_m=(0.2, 0.2), matrix=(N, N)), []
    wide = encoded_geometry(SimpleNamespace(encoding=stated), image, spokes(8 * N) / 0.2, notes)
    assert (wide.matrix, wide.fov_m) == ((2 * N, 2 * N), (0.4, 0.4))


def test_a_header_that_says_more_than_the_samples_tell_apart_is_not_followed(tmp_path):
    path = write_radial(tmp_path / "s.mrd", scene(False), samples=N, oversampling=(2, 1))
    value, notes = error(path, tmp_path / "out")
    assert not any("pixels are reconstructed" in note for note in notes)
    assert value < 0.12
