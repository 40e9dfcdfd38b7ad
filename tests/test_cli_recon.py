"""simulate, recon and example through the installed command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from cli import refused, seqopt
from designs import radial_design
from exported import export

from seqopt.mrd.images import read_images
from seqopt.recon.unrolled import Unrolled
from seqopt.workflows.store import load_design, save_design


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return export(radial_design(slices=2, shots=32, matrix=64, samples=256, wiggle=0.5), tmp_path_factory.mktemp("d"))


@pytest.fixture(scope="module")
def scan(folder) -> Path:
    path = folder / "scan.mrd"
    result = seqopt("simulate", folder, "--snr", 40, "--out", path, "--truth", folder / "truth.npy")
    assert result.returncode == 0, result.stderr
    assert "played 64 readouts and 1 of noise, 2 slice(s), 8 coils" in result.stdout
    return path


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    scale = (image * truth).sum() / (image**2).sum()
    return float(np.linalg.norm(scale * image - truth) / np.linalg.norm(truth))


def test_simulated_data_become_the_image_they_came_from(scan, folder, tmp_path):
    result = seqopt("recon", scan, "--design", folder, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "2 slice(s) of 64 x 64 pixels from 32 shots x 256 samples x 8 coils, cg-sense, prewhitened" in result.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "image.mrd",
        "image.nii",
        "image.png",
        "qc.html",
        "recon.json",
    ]
    images, _ = read_images(tmp_path / "out" / "image.mrd")
    for image, truth in zip(images, np.load(folder / "truth.npy"), strict=True):
        assert nrmse(image, truth) < 0.08
    record = json.loads((tmp_path / "out" / "recon.json").read_text())
    assert record["prewhitened"] is True
    assert record["cross_check_agrees"] is True
    assert max(record["cross_check_sigpy"].values()) < 1e-3
    with h5py.File(scan, "r") as file:
        assert record["seq_signature"].encode() in file["dataset/xml"][0]


def test_the_trajectory_in_the_file_does_as_well_as_the_design(scan, folder, tmp_path):
    result = seqopt("recon", scan, "--out", tmp_path, "--method", "adjoint", "--no-cross-check")
    assert result.returncode == 0, result.stderr
    assert "sigpy" not in result.stdout
    images, _ = read_images(tmp_path / "image.mrd")
    assert nrmse(images[1], np.load(folder / "truth.npy")[1]) < 0.2


@pytest.mark.slow
def test_the_unrolled_network_of_a_design_reconstructs_its_data(scan, folder, tmp_path):
    """Untrained and with iterations enough, it is CG-SENSE of its own regularisation, whatever the options say."""
    refused("recon", scan, "--design", folder, "--out", tmp_path, "--method", "unrolled", saying="holds no weights for")
    assert not list(tmp_path.iterdir())
    design = tmp_path / "design"
    shutil.copytree(folder, design)
    network = Unrolled(4, 2, start_iterations=20, regularisation=0.03)
    save_design(design / "design.h5", load_design(folder), networks=dict([network.stored()]))
    result = seqopt("recon", scan, "--design", design, "--out", tmp_path / "u", "--method", "unrolled")
    assert result.returncode == 0, result.stderr
    assert "8 coils, unrolled, prewhitened" in result.stdout
    options = ("--method", "cg-sense", "--iterations", 40, "--regularisation", 0.03, "--no-cross-check")
    assert seqopt("recon", scan, "--design", folder, "--out", tmp_path / "c", *options).returncode == 0
    images, peers = (read_images(tmp_path / name / "image.mrd")[0] for name in "uc")
    assert np.linalg.norm(images - peers) < 0.01 * np.linalg.norm(peers)
    assert nrmse(images[0], np.load(folder / "truth.npy")[0]) < 0.1
    record = json.loads((tmp_path / "u" / "recon.json").read_text())
    assert (record["method"], record["maps"], record["iterations"]) == ("unrolled", "walsh", None)
    assert record["cross_check_agrees"] is True


def test_bad_data_end_in_one_line(scan, folder, tmp_path):
    other = export(radial_design(slices=2, shots=16, matrix=64, samples=256), tmp_path / "other")
    truncated = tmp_path / "truncated.mrd"
    truncated.write_bytes(scan.read_bytes()[:100_000])
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["kspace"] = np.zeros(4)
    poisoned = tmp_path / "nan.mrd"
    poisoned.write_bytes(scan.read_bytes())
    with h5py.File(poisoned, "r+") as file:
        row = file["dataset/data"][9]
        row["data"][3] = np.nan
        file["dataset/data"][9] = row
    out = tmp_path / "out"
    refused("recon", truncated, "--out", out, saying="truncated or damaged")
    refused("recon", foreign, "--out", out, saying="not MRD raw data (it holds kspace)")
    refused("recon", scan, "--design", other, "--out", out, saying="but the design radial-16 has 32")
    refused("recon", poisoned, "--out", out, saying="NaN")
    refused("recon", tmp_path / "none.mrd", "--out", out, saying="no MRD file at")
    refused("recon", scan, "--out", out, "--method", "magic", saying="known: adjoint, cg-sense, l1-wavelet, tv, unet")
    assert not out.exists()


def test_a_design_that_is_not_there_ends_in_one_line(tmp_path):
    refused("simulate", tmp_path, "--out", tmp_path / "s.mrd", saying="no design at")
    assert not (tmp_path / "s.mrd").exists()


def test_the_in_vivo_example_becomes_a_clean_brain(tmp_path):
    """Against sigpy's gridding with ramp weights on the package's own file: other code from the raw numbers on."""
    mrbabel = pytest.importorskip("mrbabel_data")
    sigpy = pytest.importorskip("sigpy")
    scan = tmp_path / "scan.mrd"
    assert "human brain" in seqopt("example", "invivo", "--out", scan).stdout
    result = seqopt("recon", scan, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    image = read_images(tmp_path / "out" / "image.mrd")[0][0]
    assert image.shape == (256, 256)

    raw = np.fromfile(mrbabel.testdata("bart") + ".cfl", np.complex64).reshape(16, 400, 512)
    angle = np.radians(111.246) * np.arange(400)
    radius = np.arange(-256, 256) / 2
    coordinates = np.stack([radius * np.sin(angle)[:, None], radius * np.cos(angle)[:, None]], -1)
    gridded = sigpy.nufft_adjoint(raw * np.abs(radius).astype(np.float32), coordinates, oshape=(16, 256, 256))
    rough = np.sqrt((np.abs(gridded) ** 2).sum(0))
    assert np.corrcoef(image.ravel(), rough.ravel())[0, 1] > 0.95

    y, x = np.mgrid[:256, :256] - 128
    brain = image[np.hypot(x / 90, y / 100) < 1]
    corners = image[np.maximum(np.abs(x), np.abs(y)) > 118]
    assert np.median(corners) < 0.1 * np.median(brain)  # 0.077: noise and no streaks
    mass = np.where(image > 0.2 * np.median(brain), image, 0)
    assert abs((mass * x).sum() / mass.sum()) < 8  # centred
    assert abs((mass * y).sum() / mass.sum()) < 8


def test_an_unknown_example_lists_the_known_ones(tmp_path):
    refused("example", "knee", "--out", tmp_path / "x.mrd", saying="known: invivo")


def test_help_has_an_example():
    for command in ("simulate", "recon", "example"):
        assert "Example: seqopt " + command in seqopt(command, "--help").stdout
