"""Masks played through their .seq: the data are the lines of the object's DFT, summed by hand."""

from __future__ import annotations

from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from mask_designs import export_mask, mask_design

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.images.coils import simulated_coil_maps
from seqopt.workflows.simulate import simulate_design

N = 24


@pytest.fixture(scope="module", params=["gre", "tse"])
def design(request):
    return mask_design(request.param, matrix=(N, N), fov_m=(0.22, 0.22))


@pytest.fixture(scope="module")
def folder(design, tmp_path_factory) -> Path:
    return export_mask(design, tmp_path_factory.mktemp("mask"))


def acquired(path):
    """(line, slice) -> (coils, samples), by the ismrmrd package alone, and the noise."""
    with ismrmrd.Dataset(str(path), "dataset", mode="r") as dataset:
        items = [dataset.read_acquisition(at) for at in range(dataset.number_of_acquisitions())]
    lines = {(i.idx.kspace_encode_step_1, i.idx.slice): i.data.copy() for i in items[1:]}
    assert len(lines) == len(items) - 1
    return lines, items[0].data.copy()


def test_noiseless_lines_are_those_of_a_direct_dft(design, folder, tmp_path):
    stack = np.zeros((40, 2 * N, 2 * N), np.complex64)  # complex, so that no phase is added by the files
    stack[:, 14, 30], stack[:, 32, 11] = 1.0, 0.5j
    np.save(tmp_path / "points.npy", stack)
    out = tmp_path / "scan.mrd"
    summary = simulate_design(design, folder, out, images=tmp_path / "points.npy", coils=3, snr=float("inf"))
    assert (summary.readouts, summary.noise_readouts, summary.slices) == (22, 1, 2)
    lines, noise = acquired(out)
    assert not noise.any()
    assert {line for line, _ in lines} == set(design.lines.tolist())
    voxel_m, samples = 0.22 / (2 * N), 2 * N
    maps = simulated_coil_maps(3, Geometry(fov_m=(0.22, 0.22), matrix=(2 * N, 2 * N)))
    kx = (np.arange(samples) - N) / (2 * 0.22)
    for slice_ in range(2):
        numbers = sorted(line for line, where in lines if where == slice_)
        basis = []
        for y, x in ((14, 30), (32, 11)):
            ky = (np.array(numbers) - N / 2) / 0.22
            phase = np.exp(-2j * np.pi * voxel_m * (ky[:, None] * (y - N) + kx[None] * (x - N)))
            basis.append((maps[:, y, x, None, None] * phase / (4 * N)).ravel())
        found = np.stack([lines[line, slice_] for line in numbers], 1).ravel()
        values, *_ = np.linalg.lstsq(np.stack(basis, 1), found, rcond=None)  # a smooth random phase was added
        assert np.linalg.norm(np.stack(basis, 1) @ values - found) < 2e-3 * np.linalg.norm(found)
        assert abs(values[1]) / abs(values[0]) == pytest.approx(0.5, rel=1e-3)


def test_full_lines_without_oversampling_are_the_image(tmp_path):
    design = mask_design("tse", matrix=(N, N), fov_m=(0.22, 0.22), shots=N, slices=1)
    out = tmp_path / "scan.mrd"
    simulate_design(design, export_mask(design, tmp_path), out, coils=2, snr=float("inf"), truth=tmp_path / "t.npy")
    lines, _ = acquired(out)
    kspace = np.stack([lines[line, 0] for line in range(N)], 1)  # (coils, y, 2 x)
    axes = (-2, -1)
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), axes=axes), axes=axes)
    image = image[:, :, N // 2 : -N // 2] * N
    truth = np.load(tmp_path / "t.npy")[0]
    combined = np.sqrt((np.abs(image) ** 2).sum(axis=0))  # the maps' squares sum to 1
    assert np.linalg.norm(combined - truth) < 0.02 * np.linalg.norm(truth)


def test_noise_is_of_the_stated_sigma_once_oversampling_is_removed(design, folder, tmp_path):
    noisy, clean = tmp_path / "n.mrd", tmp_path / "c.mrd"
    sigma = simulate_design(design, folder, noisy, coils=2, snr=5.0).sigma
    simulate_design(design, folder, clean, coils=2, snr=float("inf"))
    lines, noise = acquired(noisy)
    wanted, _ = acquired(clean)
    difference = np.stack([lines[place] - wanted[place] for place in lines])
    assert np.std(difference) == pytest.approx(sigma * 2**0.5, rel=0.05)
    assert np.std(noise) == pytest.approx(sigma * 2**0.5, rel=0.2)
    # white noise over twice the bandwidth: the middle half along x has sigma again in the units of the matrix
    along = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(difference, axes=-1), axis=-1, norm="ortho"), axes=-1)
    assert np.std(along[..., N // 2 : -N // 2]) / 2**0.5 == pytest.approx(sigma, rel=0.06)


def test_another_header_is_refused(design, tmp_path):
    folder = export_mask(design, tmp_path / "a")
    other = mask_design(design.play.sequence, matrix=(N, N), fov_m=(0.22, 0.22), line_order="linear")
    (folder / f"{design.name}.mrd").write_bytes((export_mask(other, tmp_path / "b") / f"{other.name}.mrd").read_bytes())
    with pytest.raises(SeqoptError, match="in another order than the 23"):
        simulate_design(design, folder, tmp_path / "s.mrd")
