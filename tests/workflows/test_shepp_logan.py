"""Files of ismrmrd's own generator (Debian: ismrmrd-tools), which also holds the phantom and the coils it used.

With -k it stores k of its lines in every readout, in cycles per sample.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from seqopt.workflows.reconstruct import reconstruct

GENERATOR = shutil.which("ismrmrd_generate_cartesian_shepp_logan")
pytestmark = pytest.mark.skipif(GENERATOR is None, reason="ismrmrd-tools is not installed")
N = 64


def generated(path: Path, *options: object) -> np.ndarray:
    """The file at ``path``; out: the phantom (y, x)."""
    call = [str(GENERATOR), "-m", str(N), "-c", "6", "-n", "0.002", "-o", str(path), *map(str, options)]
    subprocess.run(call, check=True, capture_output=True)
    with h5py.File(path) as file:
        group = file[next(iter(file))]
        phantom = np.asarray(group["phantom"]["real"]) if "phantom" in group else None
    assert phantom is not None
    return np.abs(phantom.reshape(N, N))


def error(image: np.ndarray, truth: np.ndarray) -> float:
    scale = (image * truth).sum() / (image**2).sum()
    return float(np.linalg.norm(scale * image - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("coordinates", [(), ("-k",)], ids=["bare", "with-k"])
@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ((), 0.07),
        (("-C",), 0.07),
        (("-a", 2, "-w", 24), 0.1),
        (("-a", 2, "-w", 24, "-C", "-d", "mine"), 0.1),
    ],
)
def test_the_phantom_comes_back(tmp_path, options, limit, coordinates):
    truth = generated(tmp_path / "s.h5", *options, *coordinates)
    summary = reconstruct(tmp_path / "s.h5", tmp_path / "out")
    assert summary.cartesian and summary.agrees
    assert summary.whitened == ("-C" in options)
    assert error(summary.images[0], truth) < limit


@pytest.mark.parametrize("coordinates", [(), ("-k",)], ids=["bare", "with-k"])
def test_without_oversampling_the_generators_header_keeps_the_middle_half(tmp_path, coordinates):
    """It says 600 mm of which 300 mm are wanted, whatever the oversampling; its word is taken."""
    truth = generated(tmp_path / "s.h5", "-O", 1, *coordinates)
    summary = reconstruct(tmp_path / "s.h5", tmp_path / "out", cross_check=False)
    assert summary.images.shape == (1, N, N // 2)
    assert error(summary.images[0], truth[:, N // 4 : 3 * N // 4]) < 0.1


@pytest.mark.parametrize("coordinates", [(), ("-k",)], ids=["bare", "with-k"])
def test_interleaved_repetitions_calibrate_each_other(tmp_path, coordinates):
    """Acceleration 2 without calibration lines: each repetition has the lines that the one before left out."""
    truth = generated(tmp_path / "s.h5", "-a", 2, "-r", 2, "-C", *coordinates)
    summary = reconstruct(tmp_path / "s.h5", tmp_path / "out", cross_check=False)
    assert summary.volumes == 4
    assert any(f"the {N} lines about the centre of all repetitions serve" in note for note in summary.notes)
    volumes = nibabel.load(tmp_path / "out" / "image.nii").get_fdata()
    assert volumes.shape == (N, N, 1, 4)
    for volume in volumes[:, :, 0].transpose(2, 1, 0):
        assert error(volume, truth) < 0.12
