"""The simulated data against a direct DFT of the object at the designed k: .seq, order, coils and scale at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from designs import radial_design
from exported import export, header_only

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.images.coils import simulated_coil_maps
from seqopt.mrd.images import read_images
from seqopt.mrd.scan import read_scan
from seqopt.workflows.simulate import simulate

N = 24


@pytest.fixture(scope="module")
def design():
    return radial_design(slices=2, shots=5, samples=128, matrix=N, wiggle=0.7)


@pytest.fixture(scope="module")
def folder(design, tmp_path_factory) -> Path:
    return export(design, tmp_path_factory.mktemp("design"))


@pytest.fixture(scope="module")
def points(tmp_path_factory) -> Path:
    """Two point sources a slice on the fine grid of 2N pixels, complex so that no phase is added by the files."""
    stack = np.zeros((40, 2 * N, 2 * N), np.complex64)
    for index in range(40):
        stack[index, 14, 30] = 1.0
        stack[index, 32, 11] = 0.5j
    path = tmp_path_factory.mktemp("images") / "points.npy"
    np.save(path, stack)
    return path


def test_noiseless_data_are_the_dft_of_the_object_at_the_designed_k(design, folder, points, tmp_path):
    summary = simulate(
        folder, tmp_path / "scan.mrd", images=points, coils=3, snr=float("inf"), truth=tmp_path / "t.npy"
    )
    assert (summary.readouts, summary.noise_readouts, summary.coils) == (10, 1, 3)
    read = read_scan(tmp_path / "scan.mrd", design)
    assert not read.kspace.noise.any()
    fine = Geometry(fov_m=design.geometry.fov_m, matrix=(2 * N, 2 * N))
    maps = simulated_coil_maps(3, fine)
    basis = []
    for y, x in ((14, 30), (32, 11)):
        position = np.array([x - N, y - N]) * fine.voxel_m[0]
        phase = np.exp(-2j * np.pi * (design.k_per_m @ position))  # (shots, samples)
        basis.append((maps[:, y, x, None, None] * phase / (4 * N)).ravel())
    for samples in read.kspace.samples:  # the points' complex values are free: a random smooth phase was added
        values, *_ = np.linalg.lstsq(np.stack(basis, 1), samples.ravel(), rcond=None)
        assert np.linalg.norm(np.stack(basis, 1) @ values - samples.ravel()) < 2e-3 * np.linalg.norm(samples)
        assert abs(values[1]) / abs(values[0]) == pytest.approx(0.5, rel=1e-3)


def test_noise_has_the_stated_sigma_in_noise_and_imaging_readouts(design, folder, tmp_path):
    noisy, clean = tmp_path / "n.mrd", tmp_path / "c.mrd"
    sigma = simulate(folder, noisy, coils=2, snr=5.0).sigma
    simulate(folder, clean, coils=2, snr=float("inf"))
    read = read_scan(noisy, design).kspace
    difference = read.samples - read_scan(clean, design).kspace.samples
    assert np.std(difference) == pytest.approx(sigma, rel=0.05)
    assert np.std(read.noise) == pytest.approx(sigma, rel=0.15)


def test_one_seed_gives_one_result(folder, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate(folder, tmp_path / f"{name}.mrd", coils=2, seed=seed)
    a, b, c = ((tmp_path / f"{name}.mrd").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_truth_has_the_designs_geometry(folder, design, tmp_path):
    simulate(folder, tmp_path / "s.mrd", coils=2, truth=tmp_path / "truth.mrd")
    images, placement = read_images(tmp_path / "truth.mrd")
    assert images.shape == (2, N, N)
    assert np.allclose(placement.positions_m[:, 2], [-0.0025, 0.0025])


def test_a_header_of_another_order_is_refused(design, tmp_path):
    folder = export(design, tmp_path / "d")
    header_only(design, folder / f"{design.name}.mrd", noise_readouts=2)
    with pytest.raises(SeqoptError, match="plays 11 readouts in another order than the 12"):
        simulate(folder, tmp_path / "s.mrd")


def test_a_header_of_another_sequence_is_refused(design, tmp_path):
    folder = export(design, tmp_path / "d")
    header_only(design, folder / f"{design.name}.mrd", noise_readouts=1)  # the same order, another MD5
    with pytest.raises(SeqoptError, match="was written for a sequence 01234567"):
        simulate(folder, tmp_path / "s.mrd")


def test_a_directory_without_its_seq_is_refused(design, tmp_path):
    folder = export(design, tmp_path / "d")
    (folder / f"{design.name}_v1.5.0.seq").unlink()
    with pytest.raises(SeqoptError, match=r"no radial-5_v1\.5\.0\.seq in"):
        simulate(folder, tmp_path / "s.mrd")


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ({"coils": 0}, "coils: got 0"),
        ({"snr": -3.0}, "SNR: got -3"),
        ({"images": Path("no.nii")}, "no images at"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(folder, tmp_path, options, saying):
    with pytest.raises(SeqoptError, match=saying):
        simulate(folder, tmp_path / "s.mrd", **options)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind_when_it_fails(folder, tmp_path):
    with pytest.raises(SeqoptError, match="truth"):
        simulate(folder, tmp_path / "s.mrd", truth=tmp_path / "truth.txt")
    assert list(tmp_path.iterdir()) == []
