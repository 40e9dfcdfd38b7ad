"""What is written for BART and for servers means the same reconstruction; the real BART is in test_interoperability."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from designs import radial_design
from exported import export

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.recon_config import ReconConfig
from seqopt.workflows.bart_script import BartFolder, read_cfl, script, why_not, write_cfl
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.server_config import no_chain, server_json
from seqopt.workflows.simulate import simulate


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("foreign")
    folder = export(radial_design(shots=24, samples=64, matrix=24, slices=2), root / "design")
    simulate(folder, root / "scan.mrd", coils=3, snr=50.0)
    return root / "scan.mrd"


def test_the_cfl_files_and_options_state_the_problem_that_was_solved(scan, tmp_path):
    """The normal equations as BART's manual has them, summed directly from the files, have our image as solution."""
    options = {"method": "cg-sense", "iterations": 60, "regularisation": 0.02, "cross_check": False}
    summary = reconstruct(scan, tmp_path, design_path=scan.parent / "design", formats=("nifti", "bart"), **options)
    folder = tmp_path / "bart" / "image_0_0_0_0_1"
    ksp, traj, weights, maps = (read_cfl(folder / name) for name in ("ksp", "traj", "weights", "maps"))
    assert (ksp.shape, traj.shape, weights.shape, maps.shape) == (
        (3, 24, 64, 1),
        (24, 64, 3),
        (24, 64, 1),
        (3, 1, 24, 24),
    )
    y, x = (np.mgrid[:24, :24] - 12) / 24
    k = traj.real.reshape(-1, 3)
    dft = np.exp(-2j * np.pi * (k[:, :1] * x.ravel() + k[:, 1:2] * y.ravel())) / 24
    pattern = weights.reshape(-1, 1)
    system = np.concatenate([pattern * dft * map_.ravel() for map_ in maps[:, 0]])
    data = np.concatenate([(pattern[:, 0] * coil.ravel()) for coil in ksp])
    normal = system.conj().T @ system + 0.02 * np.eye(576)
    image = np.abs(np.linalg.solve(normal, system.conj().T @ data)).reshape(24, 24)
    assert np.linalg.norm(image - summary.images[1]) < 2e-3 * np.linalg.norm(image)
    text = (tmp_path / "bart" / "recon.sh").read_text()
    assert "pics -S -w 1 -l2 -r 0.02 -i 60 -t traj -p weights ksp maps image" in text
    assert "image_0_0_0_0_0 image_0_0_0_0_1;" in text


def test_the_scripts_are_shell(tmp_path):
    for method in ("adjoint", "cg-sense", "l1-wavelet", "tv"):
        for cartesian in (False, True):
            text = script(ReconConfig(method=method), ["a"], (32, 24), cartesian=cartesian)
            result = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
            assert result.returncode == 0, result.stderr
            assert ("-t traj" in text or "nufft -a" in text) is not cartesian


def test_the_script_runs_every_slice_and_stops_at_the_first_error(tmp_path):
    """With a stand-in for BART that keeps what it is told."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    text = script(ReconConfig(method="tv", regularisation=0.003), ["a", "b"], (32, 32), cartesian=False)
    (tmp_path / "recon.sh").write_text(text)
    tool = tmp_path / "tool"
    tool.write_text(f'#!/bin/sh\necho "$(basename $PWD) $@" >> {tmp_path}/log\n[ "$1" != ecalib ]\n')
    tool.chmod(0o755)
    environment = {"BART": str(tool), "PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", tmp_path / "recon.sh"], env=environment, check=True)
    log = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[:2] for line in log] == [["a", "pics"], ["b", "pics"]]
    assert "-R T:3:0:0.003" in log[0]
    failed = subprocess.run(["sh", tmp_path / "recon.sh"], env=environment | {"MAPS": "bart"}, check=False)
    assert failed.returncode != 0
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("a ecalib")


def test_what_others_cannot_do_is_said_in_one_line_and_the_rest_is_done(scan, tmp_path):
    summary = reconstruct(
        scan,
        tmp_path,
        method="adjoint",
        formats=("nifti", "bart", "server"),
        cross_check=False,
    )
    assert (tmp_path / "bart" / "recon.sh").exists() and not (tmp_path / "server.json").exists()
    assert sum("Gadgetron ships no chain that does 'adjoint' of any trajectory" in note for note in summary.notes) == 1
    assert "'grappa' cannot be" in why_not("grappa")
    with pytest.raises(SeqoptError, match="its network is not BART's"):
        script(ReconConfig(method="unet"), [], (8, 8), cartesian=True)


def test_cartesian_lines_come_on_their_grid_with_the_brightest_pixel_beside_them(tmp_path):
    """That pixel, to which the weights of wavelets and total variation are relative, by a direct transform."""
    generator = np.random.default_rng(3)
    samples, maps = (generator.normal(size=(2, 2, 8, 10)) + 1j * generator.normal(size=(2, 2, 8, 10))).astype("c8")
    mask = np.arange(8) % 2 == 0
    data = SimpleNamespace(geometry=Geometry(fov_m=(0.2, 0.16), matrix=(10, 8)))
    looked = SimpleNamespace(
        k_per_m=None, samples=samples * mask[:, None], mask=mask, maps=maps, weights=None, data=data
    )
    BartFolder(tmp_path).add("one", looked)
    assert read_cfl(tmp_path / "one" / "ksp").shape == (2, 1, 8, 10)
    assert np.array_equal(read_cfl(tmp_path / "one" / "weights"), np.broadcast_to(mask[:, None], (8, 10)))
    waves = [np.exp(2j * np.pi * np.outer(np.arange(n) - n // 2, np.arange(n) - n // 2) / n) for n in (8, 10)]
    coils = np.einsum("yk,ckl,xl->cyx", waves[0], samples * mask[:, None], waves[1]) / np.sqrt(80)
    brightest = np.abs((coils * maps.conj()).sum(0)).max()
    assert float((tmp_path / "one" / "scale").read_text()) == pytest.approx(brightest, rel=1e-5)


def test_a_server_is_told_the_chain_by_name():
    assert no_chain("grappa", cartesian=True) is None
    told = json.loads(server_json(ReconConfig(method="grappa", calibration=32)))
    assert set(told) == {"version", "parameters"}
    assert told["parameters"]["config"] == "Generic_Cartesian_Grappa.xml"
    assert told["parameters"]["calibration"] == 32
    assert "of Cartesian lines" in no_chain("tv", cartesian=True)


def test_cfl_keeps_memory_order_with_axes_reversed(tmp_path):
    array = np.arange(24).reshape(2, 3, 4) * (1 + 2j)
    write_cfl(tmp_path / "one", array)
    assert (tmp_path / "one.hdr").read_text().splitlines()[1] == "4 3 2" + " 1" * 13
    fortran = np.fromfile(tmp_path / "one.cfl", "<c8").reshape((4, 3, 2), order="F")  # as BART's own reader has it
    assert np.array_equal(fortran, array.transpose(2, 1, 0))
    assert np.array_equal(read_cfl(tmp_path / "one"), array)
