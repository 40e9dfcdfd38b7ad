"""Calibration scans through the installed command: asked for, simulated, used, and refused where they make no sense."""

from dataclasses import replace

import pytest
from cli import refused, seqopt
from designs import radial_design
from exported import export


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = radial_design(shots=16, samples=128, matrix=32)
    return export(
        replace(made, protocol=replace(made.protocol, calibrate=("maps", "delays", "b0"))), tmp_path_factory.mktemp("d")
    )


def test_a_lag_of_the_simulated_scanner_is_found_by_recon(folder, tmp_path):
    scan = tmp_path / "scan.mrd"
    played = seqopt("simulate", folder, "--gradient-delay", 3, -1, "--coils", 4, "--out", scan)
    assert played.returncode == 0, played.stderr
    assert "played 16 readouts, 112 of calibration and 1 of noise" in played.stdout
    result = seqopt("recon", scan, "--design", folder, "--out", tmp_path / "images")
    assert result.returncode == 0, result.stderr
    assert "gradients lag by 3.0" in result.stdout
    assert "field_map.nii" in result.stdout


def test_impossible_wishes_are_refused_in_one_line(folder, tmp_path):
    common = ("--preset", "smoke", "--out", tmp_path / "o")
    refused("design", *common, "--traj", "igs", "--calibrate", "delays", saying="a Cartesian mask needs none")
    refused("simulate", folder, "--gradient-delay", 300, 0, "--out", tmp_path / "s.mrd", saying="expected -100..100 us")
    assert not (tmp_path / "o").exists()
