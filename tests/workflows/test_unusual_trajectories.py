"""Files along trajectories as others write them: beyond k-max, turning averages, 3-D, scans that ended early."""

from __future__ import annotations

from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import pytest
from cartesian_files import HEADER, phantom, ring_maps

from seqopt.core import Geometry
from seqopt.encoding.density import pipe_menon
from seqopt.errors import SeqoptError
from seqopt.workflows.reconstruct import reconstruct

N, COILS = 32, 6
GOLDEN = np.pi * (np.sqrt(5) - 1) / 2
UNIT = (
    "</encoding>\n  <userParameters><userParameterString><name>trajectory_unit</name>"
    "<value>cycles_per_fov</value></userParameterString></userParameters>"
)


def spokes(count: int, samples: int = 2 * N, *, reach: float = N / 2, start: int = 0) -> np.ndarray:
    """(spokes, samples, 2) in cycles per field of view, a golden angle apart."""
    angle = (start + np.arange(count))[:, None] * GOLDEN
    radius = (np.arange(samples) - samples // 2) * (2 * reach / samples)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def signal(k: np.ndarray, size: int = N) -> np.ndarray:
    """(coils, shots, samples) of the phantom by direct sums."""
    image, pixels = phantom(size, size) * ring_maps(COILS, size, size), (np.arange(size) - size // 2) / size
    kx, ky = k[..., :2].reshape(-1, 2).T
    along = [np.exp(-2j * np.pi * np.outer(one, pixels)) for one in (ky, kx)]
    data = np.einsum("py,cyx,px->cp", along[0], image, along[1], optimize=True) / size
    return data.reshape(COILS, *k.shape[:2]).astype(np.complex64)


def write(
    path: Path, shots, *, stated: bool = True, z: int = 1, last: int | None = None, encoded: int = N, y: int = N
) -> Path:
    """``shots`` are (k that the file holds (samples, 2 or 3), samples (coils, samples), counters)."""
    last = len(shots) - 1 if last is None else last
    text = HEADER.format(
        samples=encoded, rows=encoded, fov_x=300, fov_rows=300, x=N, y=y, fov_y=300, last=last, centre=0,
        trajectory="radial",
    ).replace("<z>1</z></matrixSize>", f"<z>{z}</z></matrixSize>")  # fmt: skip
    text = text.replace("</encoding>", UNIT) if stated else text
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as dataset:
        dataset.write_xml_header(text.encode())
        for k, data, counters in shots:
            item = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data), k.astype(np.float32))
            item.sample_time_us = 5.0
            item.read_dir[:], item.phase_dir[:], item.slice_dir[:] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
            for name, value in counters.items():
                setattr(item.idx, name, value)
            dataset.append_acquisition(item)
    return path


def numbered(k: np.ndarray, data: np.ndarray, **counters: int) -> list:
    return [(k[n], data[:, n], {"kspace_encode_step_1": n, **counters}) for n in range(len(k))]


def images(path: Path, out: Path, **options) -> tuple[np.ndarray, tuple[str, ...]]:
    given = {"cross_check": False, "formats": ("nifti",), "method": "cg-sense", "gradient_delays": "none", **options}
    summary = reconstruct(path, out, **given)
    image = np.asarray(nibabel.load(out / "image.nii").dataobj).T
    return image.reshape(-1, N, N), summary.notes


def error(found: np.ndarray, truth: np.ndarray | None = None) -> float:
    wanted = np.abs(phantom(N, N)) if truth is None else truth
    return float(np.linalg.norm(found * (found * wanted).sum() / (found**2).sum() - wanted) / np.linalg.norm(wanted))


@pytest.fixture(scope="module")
def fine(tmp_path_factory) -> Path:
    """Spokes to twice the resolution of the header's image, of an object with such detail."""
    k = spokes(64, 4 * N, reach=N)
    return write(tmp_path_factory.mktemp("fine") / "k.mrd", numbered(k, signal(k, 2 * N)), encoded=2 * N)


@pytest.mark.parametrize("method", ["cg-sense", "adjoint", "l1-wavelet"])
def test_samples_beyond_k_max_do_not_fold_into_the_image(fine, tmp_path, method):
    """Against the object's low-pass."""
    centred = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(phantom(2 * N, 2 * N))))[N // 2 : -N // 2, N // 2 : -N // 2]
    truth = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(centred))))
    found, notes = images(fine, tmp_path / "out", method=method)
    assert error(found[0], truth) < 0.1
    assert any("beyond the image's resolution (k-max)" in note for note in notes)


def test_samples_at_k_max_and_next_to_it_stay(tmp_path):
    """A spoke ends at -N/2, and a step of half a cell over the edge is none."""
    k = spokes(50, reach=N / 2)
    inside, notes = images(write(tmp_path / "a.mrd", numbered(k, signal(k))), tmp_path / "a")
    assert not any("k-max" in note for note in notes) and error(inside[0]) < 0.15
    k = spokes(50, reach=N / 2 + 0.49)
    _, notes = images(write(tmp_path / "b.mrd", numbered(k, signal(k))), tmp_path / "b")
    assert not any("k-max" in note for note in notes)


@pytest.mark.parametrize("y", [N, 2 * N])
def test_samples_one_cell_beyond_k_max_of_their_axis_are_left_out(tmp_path, y):
    k = spokes(50, reach=N / 2 + 2) * (1, y / N)
    path = write(tmp_path / "s.mrd", numbered(k, signal(k)), encoded=2 * N, y=y)
    _, notes = images(path, tmp_path / "out", method="adjoint")
    share = 100 * (np.abs(k) > (N / 2 + 0.5, y / 2 + 0.5)).any(-1).mean()
    assert share > 2
    assert any(note.startswith(f"{share:.2g} % of the samples lie beyond") for note in notes)


def test_density_weights_of_the_file_count_by_their_proportions(tmp_path):
    """Those of seqopt in another unit give the image that seqopt's own give."""
    k = spokes(50)
    geometry = Geometry(fov_m=(0.3, 0.3), matrix=(N, N), slice_thickness_m=0.006)
    column = 7 * pipe_menon(k / 0.3, geometry)[..., None]
    path = write(tmp_path / "s.mrd", numbered(np.concatenate([k, column], -1), signal(k)))
    (own, _), (others, _) = (
        images(path, tmp_path / density, method="adjoint", density=density) for density in ("pipe-menon", "file")
    )
    assert np.allclose(others, own, atol=1e-4 * own.max())


def test_without_density_compensation_evenly_spread_samples_keep_their_scale(tmp_path):
    """Lines of twice the samples, taken as a trajectory: each sample stands for half a cell."""
    x, y = np.meshgrid((np.arange(2 * N) - N) / 2, np.arange(N) - N // 2)
    k = np.stack([x, y], -1)
    path = write(tmp_path / "s.mrd", numbered(k, signal(k)))
    found, _ = images(path, tmp_path / "out", method="adjoint", density="none")
    assert np.linalg.norm(found[0] - np.abs(phantom(N, N))) < 0.05 * np.linalg.norm(phantom(N, N))


def test_averages_that_go_on_turning_are_further_shots(tmp_path):
    every = spokes(50)
    data = signal(every)
    averages = [(every[n], data[:, n], {"kspace_encode_step_1": n % 25, "average": n // 25}) for n in range(50)]
    path = write(tmp_path / "v.mrd", averages, last=24)
    found, notes = images(path, tmp_path / "v", quality=True)
    assert "50 of 50 planned readouts" in (tmp_path / "v" / "qc.html").read_text()
    wanted, _ = images(write(tmp_path / "w.mrd", numbered(every, data)), tmp_path / "w")
    assert error(found[0], wanted[0]) < 1e-3
    assert any("taken as further shots" in note for note in notes)
    assert not any("averaged" in note or "incomplete" in note for note in notes)
    # a slice whose last averages are missing has fewer shots, and the others theirs
    slices = [(k, s, {**c, "slice": z}) for z in range(2) for k, s, c in averages][:-10]
    found, _ = images(write(tmp_path / "s.mrd", slices, last=24), tmp_path / "s")
    assert error(found[0], wanted[0]) < 1e-3 and error(found[1], wanted[0]) < 0.2


def test_averages_along_one_trajectory_are_averaged(tmp_path):
    k = spokes(50)
    data = signal(k)
    shots = numbered(k, 1.5 * data) + numbered(k + 0.01, 0.5 * data, average=1)
    found, notes = images(write(tmp_path / "v.mrd", shots, last=49), tmp_path / "v")
    assert error(found[0]) < 0.15
    assert any("averaged up to 2 averages" in note for note in notes)


def test_shots_that_the_header_or_another_repetition_has_are_missed(tmp_path):
    k = spokes(50)
    data = signal(k)
    one = write(tmp_path / "one.mrd", numbered(k, data)[:40], last=49)
    _, notes = images(one, tmp_path / "one")
    assert any("10 of 50 shots are missing" in note and "slice 0 lacks shot 40" in note for note in notes)
    two = write(tmp_path / "two.mrd", numbered(k, data) + numbered(k, data, repetition=1)[:9], last=49)
    _, notes = images(two, tmp_path / "two")
    assert any("41 of 100 shots are missing" in note and "repetition 1 slice 0 lacks shot 9" in note for note in notes)
    whole = write(tmp_path / "whole.mrd", numbered(k, data), last=49)
    assert not any("incomplete" in note for note in images(whole, tmp_path / "whole")[1])


def test_a_trajectory_that_leaves_the_plane_is_refused_and_a_flat_one_is_not(tmp_path):
    k = spokes(50)
    data = signal(k)
    tilted = np.concatenate([k, 0.5 * k[..., :1]], -1)
    with pytest.raises(SeqoptError, match="encoded in 3-D"):
        images(write(tmp_path / "a.mrd", numbered(tilted, data), z=N), tmp_path / "a")
    flat = np.concatenate([k, np.full_like(k[..., :1], 3.0)], -1)
    assert error(images(write(tmp_path / "b.mrd", numbered(flat, data), z=N), tmp_path / "b")[0][0]) < 0.15


def test_the_unit_of_the_first_repetition_is_that_of_all(tmp_path):
    """Repetition 1 holds spokes along x alone, whose extent along y would tell another unit."""
    k = spokes(50)
    level = np.argsort(np.abs(k[:, 0, 1]))[:4]
    data, radians = signal(k), k * (2 * np.pi / N)
    late = [(radians[n], data[:, n], {"kspace_encode_step_1": i, "repetition": 1}) for i, n in enumerate(level)]
    path = write(tmp_path / "u.mrd", numbered(radians, data) + late, stated=False)
    found, notes = images(path, tmp_path / "u", method="adjoint")
    assert sum("does not state its trajectory's unit" in note for note in notes) == 1
    alone = write(tmp_path / "w.mrd", [(k[n], data[:, n], {"kspace_encode_step_1": i}) for i, n in enumerate(level)])
    assert error(found[1], images(alone, tmp_path / "w", method="adjoint")[0][0]) < 1e-3
