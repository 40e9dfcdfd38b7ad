"""`seqopt recon` on many files: at once, as they arrive, and shared among torchrun's processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli import SCRIPT, refused, seqopt
from designs import radial_design
from exported import export

from seqopt.workflows.simulate import simulate

QUICK = ["--method", "adjoint", "--no-quality", "--no-cross-check"]
ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> list[Path]:
    """The second is cut off."""
    root = tmp_path_factory.mktemp("scans")
    folder = export(radial_design(shots=16, samples=128, matrix=32), root / "design")
    simulate(folder, root / "a.mrd", coils=2)
    shutil.copy(root / "a.mrd", root / "c.mrd")
    (root / "b.mrd").write_bytes((root / "a.mrd").read_bytes()[:5000])
    return [root / f"{name}.mrd" for name in "abc"]


@pytest.mark.slow
def test_several_files_give_a_line_each_and_a_failure_exit_1(scans, tmp_path):
    result = seqopt("recon", *scans, "--out", tmp_path, "--dicom", "--write-bart", *QUICK)
    assert result.returncode == 1, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("a.mrd: 1 slice(s) x 1 volume(s), adjoint, ")
    assert lines[1].startswith("b.mrd: FAILED after ") and "truncated" in lines[1]
    assert lines[2].startswith("c.mrd: 1 slice(s)")
    assert lines[3] == "Done: 2 reconstructed, 0 done before, 1 failed"
    assert (tmp_path / "c" / "image.nii").exists() and not (tmp_path / "b").exists()
    assert (tmp_path / "c" / "dicom" / "IM_0001.dcm").exists() and (tmp_path / "c" / "bart" / "recon.sh").exists()
    again = seqopt("recon", scans[0], scans[2], "--out", tmp_path, "--dicom", "--write-bart", *QUICK)
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == "Done: 0 reconstructed, 2 done before, 0 failed"


@pytest.mark.slow
def test_a_watch_reconstructs_what_arrives_and_ends_cleanly(scans, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    command = [SCRIPT, "recon", "--watch", folder, "--out", out, "--quiet-seconds", "0.3", *QUICK]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout.readline().startswith(f"Watching {folder}")
            shutil.copy(scans[0], folder / ".upload")
            (folder / ".upload").rename(folder / "first.mrd")
            assert process.stdout.readline().startswith("first.mrd: 1 slice(s)")
            shutil.copy(scans[1], folder / "second.mrd")
            assert process.stdout.readline().startswith("second.mrd: FAILED")
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert rest == "Stopped: 1 reconstructed, 0 done before, 1 failed\n"
    assert (process.returncode, errors) == (1, "")
    assert sorted(path.name for path in (out / "first").iterdir()) == [
        "done.json",
        "image.mrd",
        "image.nii",
        "image.png",
        "recon.json",
    ]


def test_scans_or_a_folder_are_wanted_but_not_both(scans, tmp_path):
    refused("recon", "--out", tmp_path, saying="give the scans, or a folder with --watch")
    refused("recon", scans[0], "--watch", tmp_path, "--out", tmp_path, saying="give the scans, or a folder")
    refused("recon", "--watch", tmp_path / "none", "--out", tmp_path, saying="does not exist")


@pytest.mark.slow
def test_processes_of_torchrun_share_the_files_and_a_failure_stops_none_of_them(scans, tmp_path):
    """The first process has failures only; torchrun would stop the other one if the first did not wait."""
    many = []
    for number in range(3):
        many += [tmp_path / f"bad{number}.mrd", tmp_path / f"good{number}.mrd"]
        shutil.copy(scans[1], many[-2])
        shutil.copy(scans[0], many[-1])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [*launcher, str(SCRIPT), "recon", *map(str, many), "--out", str(tmp_path / "out"), *QUICK],
        capture_output=True,
        text=True,
        timeout=300,
        env=ENVIRONMENT,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout.count("1 slice(s)") == 3, result.stdout + result.stderr
    assert result.stdout.count("FAILED") == 3
    assert all((tmp_path / "out" / f"good{number}" / "done.json").exists() for number in range(3))
