"""``seqopt design --traj igs`` through the installed console script, small."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli import SCRIPT, refused, seqopt

from seqopt.cli.main import main
from seqopt.workflows.store import load_mask_design

SMALL = ["--traj", "igs", "--preset", "smoke", "--matrix", "32", "--slices", "2", "--coils", "2", "--dummies", "1"]


@pytest.fixture(scope="module")
def designed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("mask") / "out"
    result = seqopt("design", *SMALL, "--accel", "2.6", "--task", "segmentation", "--order-lines", "20", "--out", out)
    assert result.returncode == 0, result.stderr + result.stdout
    return out, result.stdout


def test_the_summary_compares_igs_with_every_baseline(designed: tuple[Path, str]) -> None:
    out, said = designed
    for expected in ("12 of 32 lines (x2.67), 6 of them for calibration", "target dice=1", "as trained", "fine-tuned"):
        assert expected in said
    for mask in ("IGS", "Center", "fastMRI equispaced", "fastMRI random", "variable density", "all lines"):
        assert mask in said
    assert "Certificate: " in said
    assert load_mask_design(out).order.shape == (20,)
    told = json.loads((out / "scores.json").read_text())["masks"]["IGS"][0]["lines"]
    assert told == load_mask_design(out).lines.tolist()


def test_its_sequence_is_validated_played_and_reconstructed(designed: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = designed
    assert seqopt("validate", out / "igs-segmentation-12_v1.5.0.seq", "--design", out).returncode == 0
    result = seqopt("simulate", out, "--coils", 2, "--snr", 100, "--out", tmp_path / "scan.mrd")
    assert result.returncode == 0, result.stderr
    result = seqopt("recon", tmp_path / "scan.mrd", "--design", out, "--out", tmp_path / "image")
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "image" / "recon.json").read_text())
    assert record["method"] == "cg-sense"
    assert record["lines"] == load_mask_design(out).lines.tolist()


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [*SMALL, "--shots", "12", "--task", "segmentation"]
    process = subprocess.Popen(
        [SCRIPT, "design", *options, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    while not (out / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 130, said
    assert "--resume" in said
    assert not (out / "design.h5").exists()
    refused("design", *options, "--out", out, saying="--resume continues it")


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--shots", "40"], "shots of the mask: got 40"),
        (["--shots", "8", "--accel", "4"], "expected one"),
        (["--accel", "0.5"], "--accel"),
        (["--matrix", "33"], "even"),
        (["--shots", "8", "--calibration", "10"], "calibration lines"),
        (["--task", "diagnosis"], "known: reconstruction"),
        (["--target", "beauty=1"], "known: "),
        (["--target", "dice=1"], "segmentation"),
        (["--network", "residual-classifier", "--task", "segmentation"], "unet"),
        (["--order-lines", "some"], "whole number or all"),
        (["--golden"], "--golden"),
        (["--loss", "l1=1"], "--loss"),
        (["--readout", "4"], "--readout"),
        (["--echo-train", "4"], "--sequence tse"),
        (["--sequence", "epi"], "known: gre, tse"),
        (["--sequence", "tse", "--flip", "20"], "--refocus"),
        (["--line-order", "upwards"], "known: nested"),
        (["--images", "/nonexistent", "--task", "segmentation"], "/nonexistent"),
        (["--images", "/nonexistent", "--task", "classification"], "leave out --images"),
        (["--te", "1"], "echo time"),
        (["--traj", "radial", "--task", "segmentation"], "--task"),
        (["--traj", "radial", "--no-swaps"], "--swaps"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    options: list[str], saying: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: a new one for each would take most of its time to start."""
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["seqopt", "design", *SMALL, *options, "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert saying in last
    assert not out.exists() or not list(out.iterdir())


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "a.npy", np.ones((4, 32, 32), np.float32))
    options = ["--images", tmp_path / "images", "--task", "segmentation", "--out", tmp_path / "out"]
    refused("design", *SMALL, *options, saying="no pairs of images and labels")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_the_help_tells_masks_and_trajectories_apart() -> None:
    said = seqopt("design", "--help").stdout
    both, rest = said.split("Options of trajectories:")
    trajectories, masks = rest.split("Options of Cartesian masks (--traj igs):")
    assert "--seed" in both
    assert "--golden" in trajectories
    assert "--task" in masks
    assert "--line-order" in masks
    assert "--line-order" not in both + trajectories
