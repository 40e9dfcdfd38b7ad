"""Others reconstruct our scans: mrpro reads our raw data, BART our script and data; each in its own environment."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import venv
from pathlib import Path

import numpy as np
import pytest
from designs import radial_design
from exported import export

from seqopt.workflows.bart_script import read_cfl
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.simulate import simulate

pytestmark = pytest.mark.slow
PEERS = Path(__file__).parent / "peers"
ITERATIONS = 10


def environment(folder: Path, *packages: str) -> Path:
    """Python of a new environment with these packages alone; what they need besides, as torch, is this one's."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    place = next(folder.glob("lib/python*/site-packages"))
    (place / "host.pth").write_text("\n".join(site.getsitepackages()))
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", *packages]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=200, check=False)
    if result.returncode:
        pytest.skip(f"PyPI gives no {' '.join(packages)}: {result.stderr.strip().splitlines()[-1]}")
    return python


def run(*command: object, **variables: str) -> None:
    result = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, **variables},
    )
    assert result.returncode == 0, result.stderr[-2000:]


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    """After the best common scale."""
    image, truth = np.abs(image).ravel(), np.abs(truth).ravel()
    return float(np.linalg.norm(image @ truth / (image @ image) * image - truth) / np.linalg.norm(truth))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    """A scan, its truth, our images of it and the BART script."""
    root = tmp_path_factory.mktemp("interoperability")
    folder = export(radial_design(slices=2, shots=64, matrix=96, samples=256, wiggle=0.5), root / "design")
    simulate(folder, root / "scan.mrd", coils=6, snr=40.0, truth=root / "truth.npy")
    options = {"method": "cg-sense", "iterations": ITERATIONS, "regularisation": 0.01}
    summary = reconstruct(
        root / "scan.mrd", root / "ours", design_path=folder, formats=("nifti", "bart"), cross_check=False, **options
    )
    np.save(root / "ours.npy", summary.images)
    return root


def slices(root: Path) -> list[Path]:
    return sorted(path for path in (root / "ours" / "bart").iterdir() if path.is_dir())


def test_bart_from_pypi_makes_our_image_of_our_data(simulated, tmp_path):
    python = environment(tmp_path / "env", "bartorch")
    for number, folder in enumerate(slices(simulated)):
        run(python, PEERS / "bartorch_recon.py", folder, tmp_path / "image.npy", 0.01, ITERATIONS)
        theirs, ours = np.abs(np.load(tmp_path / "image.npy")), np.load(simulated / "ours.npy")[number]
        assert np.linalg.norm(theirs - ours) < 0.01 * np.linalg.norm(ours)  # scale and all; 0.001 measured


def test_an_installed_bart_runs_our_script(simulated):
    """With our coil maps it makes our image; with its own, ESPIRiT's, nearly."""
    if shutil.which("bart") is None:
        pytest.skip("no bart on the path")
    truth = np.load(simulated / "truth.npy")
    for maps, limit in (("", 0.015), ("bart", 0.1)):
        run("sh", simulated / "ours" / "bart" / "recon.sh", MAPS=maps)
        for number, folder in enumerate(slices(simulated)):
            theirs, ours = np.abs(read_cfl(folder / "image")).squeeze(), np.load(simulated / "ours.npy")[number]
            assert np.linalg.norm(theirs - ours) < limit * np.linalg.norm(ours)
            assert nrmse(theirs, truth[number]) < 0.1


def test_mrpro_reconstructs_our_raw_data(simulated, tmp_path):
    """Its own reader, trajectory as exported, coil maps, Voronoi density and CG-SENSE."""
    packages = ("mrpro", "einops", "ptwt", "torchnd", "platformdirs", "pytorch-finufft", "pydicom")
    python = environment(tmp_path / "env", *packages)
    run(python, PEERS / "mrpro_recon.py", simulated / "scan.mrd", tmp_path / "image.npy", ITERATIONS)
    theirs, ours = np.load(tmp_path / "image.npy"), np.load(simulated / "ours.npy")
    for number, truth in enumerate(np.load(simulated / "truth.npy")):
        assert nrmse(theirs[number], truth) < 0.08  # 0.051 and 0.033 measured, ours 0.063 and 0.042, by noise in air
        assert nrmse(theirs[number], ours[number]) < 0.08
