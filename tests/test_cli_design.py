"""The main job through the installed console script, small."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pypulseq
import pytest
import torch
from cli import SCRIPT, refused, seqopt

from seqopt.workflows.store import load_design, load_network

SMALL = ["--traj", "radial", "--shots", "4", "--preset", "smoke", "--matrix", "32", "--slices", "2"]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module")
def designed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("design") / "out"
    result = seqopt("design", *SMALL, "--out", out)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "Certificate:" in result.stdout
    assert "PSNR" in result.stdout
    return out


def test_the_main_job_leaves_all_its_files(designed: Path) -> None:
    names = {path.name for path in designed.iterdir()}
    assert {"design.h5", "radial-4.mrd", "recon.toml", "certificate.json", "report.html"} <= names
    assert {"radial-4_v1.5.0.seq", "radial-4_v1.4.1.seq", "certificate_v1.4.1.json"} <= names
    assert {"trajectories.png", "waveforms.png", "psf.png", "images-cg-sense.png", "curves.png"} <= names
    assert not [name for name in names if name.startswith(".") or "partial" in name or "checkpoint" in name]


def test_the_certificate_on_disk_holds_and_says_what_it_did_not_check(designed: Path) -> None:
    certificate = json.loads((designed / "certificate.json").read_text())
    assert certificate["holds"] is True
    assert certificate["not_checked"]


def test_another_reader_plays_the_learned_trajectory(designed: Path) -> None:
    design = load_design(designed)
    sequence = pypulseq.Sequence()
    sequence.read(str(designed / "radial-4_v1.5.0.seq"))
    played = sequence.calculate_kspace()[0][:2]
    readouts = played.T.reshape(-1, design.samples, 2)[1:]  # the first is noise
    wanted = np.repeat(design.k_per_m, design.geometry.slices, axis=0)
    assert np.abs(readouts - wanted).max() * design.geometry.fov_m[0] < 0.01


def test_learning_changes_the_trajectory_and_keeps_the_echo(designed: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer"
    assert seqopt("design", *SMALL, "--steps", "25", "--out", longer).returncode == 0
    short, long = load_design(designed), load_design(longer)
    assert np.abs(long.k_per_m - short.k_per_m).max() * short.geometry.fov_m[0] > 0.1
    for design in (short, long):
        assert np.abs(design.k_per_m[:, design.echo_sample]).max() < 1e-9  # 1/m: rounding of the waveform's sum


def test_the_fixed_baseline_is_written_and_certified_beside_the_learned_design(designed: Path) -> None:
    baseline = load_design(designed / "fixed")
    assert baseline.k_per_m == pytest.approx(baseline.initial_k_per_m, abs=0.01 / 0.22)
    assert json.loads((designed / "fixed" / "certificate.json").read_text())["holds"] is True
    assert seqopt("validate", designed / "fixed" / "radial-4-fixed_v1.5.0.seq").returncode == 0


def test_the_design_stores_the_networks_weights_and_its_provenance(designed: Path) -> None:
    assert load_network(designed, "unet")
    provenance = load_design(designed).provenance
    assert provenance["seed"] == 0
    assert {"fixed", "learned"} == set(provenance["scores"]["cg-sense"])


def test_the_papers_form_runs_the_whole_way_and_reports_its_joint_gap(tmp_path: Path) -> None:
    options = ["--preset", "paper", "--steps", "3", "--network-steps", "2", "--readout", "2"]
    result = seqopt("design", *SMALL, *options, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    learning = load_design(tmp_path / "out").provenance["learning"]
    assert learning["raw_joint_gap_per_fov"] > 0.0
    assert json.loads((tmp_path / "out" / "certificate.json").read_text())["holds"] is True


@pytest.mark.slow
def test_the_other_nufft_engine_designs_as_well(tmp_path: Path) -> None:
    result = seqopt("design", *SMALL, "--backend", "torchkbnufft", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr


def test_validate_agrees_with_the_design(designed: Path) -> None:
    result = seqopt("validate", designed / "radial-4_v1.5.0.seq", "--design", designed)
    assert result.returncode == 0, result.stdout


def test_a_scan_is_simulated_and_reconstructed_by_every_method(designed: Path, tmp_path: Path) -> None:
    scan = tmp_path / "scan.mrd"
    assert seqopt("simulate", designed, "--out", scan).returncode == 0
    for method in ("adjoint", "cg-sense", "unet"):
        result = seqopt("recon", scan, "--design", designed, "--method", method, "--out", tmp_path / method)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / method / "image.nii").exists()


def test_a_finished_design_is_not_replaced_unasked(designed: Path) -> None:
    before = md5(designed / "design.h5")
    refused("design", *SMALL, "--out", designed, saying="--overwrite")
    refused("design", *SMALL, "--out", designed, "--resume", saying="nothing to resume")
    assert md5(designed / "design.h5") == before


def _interrupted(out: Path, how: signal.Signals) -> tuple[int, str]:
    process = subprocess.Popen(
        [SCRIPT, "design", *SMALL, "--steps", "60", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    checkpoint = out / "checkpoint.pt"
    for _ in range(6000):
        if checkpoint.exists() or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(how)
    said = process.communicate(timeout=120)[0].decode()
    return process.returncode, said


def test_a_killed_run_resumes_and_ends_where_the_unbroken_run_ends(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert seqopt("design", *SMALL, "--steps", "60", "--out", whole).returncode == 0
    assert _interrupted(broken, signal.SIGKILL)[0] == -signal.SIGKILL
    assert not (broken / "design.h5").exists()
    refused("design", *SMALL, "--steps", "60", "--out", broken, saying="--resume")
    refused("design", *SMALL, "--steps", "61", "--out", broken, "--resume", saying="other settings (recipe)")
    result = seqopt("design", *SMALL, "--steps", "60", "--out", broken, "--resume")
    assert result.returncode == 0, result.stderr
    assert md5(broken / "radial-4_v1.5.0.seq") == md5(whole / "radial-4_v1.5.0.seq")
    assert load_design(broken).provenance["scores"] == load_design(whole).provenance["scores"]


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_resume(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said = _interrupted(out, signal.SIGINT)
    assert code == 130
    assert "--resume" in said
    assert (out / "checkpoint.pt").exists()
    assert not (out / "design.h5").exists()
    assert seqopt("design", *SMALL, "--steps", "60", "--out", out, "--resume").returncode == 0
    assert (out / "design.h5").exists()


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--shots", "0"], "--shots"),
        (["--matrix", "-4"], "--matrix"),
        (["--matrix", "33"], "even"),
        (["--fov", "0.22"], "metres"),
        (["--traj", "zigzag"], "known: cartesian"),
        (["--scanner", "nonesuch"], "known"),
        (["--preset", "fast"], "smoke"),
        (["--form", "spline"], "residual"),
        (["--recon", "magic"], "cg-sense"),
        (["--te", "0.5"], "ms"),
        (["--tr", "2"], "ms"),
        (["--te", "0.003"], "seconds"),
        (["--dwell", "4.05"], "ADC raster"),
        (["--readout", "0.004"], "milliseconds"),
        (["--readout", "4", "--dwell", "0.4"], "8192"),
        (["--images", "/nonexistent"], "/nonexistent"),
        (["--device", "abacus"], "device"),
        (["--device", "meta"], "device"),
        (["--seed", "-1"], "seed"),
        (["--matrix", "8"], "16 or more"),
        (["--coils", "0"], "coils"),
        (["--snr", "0"], "SNR"),
        (["--flip", "500"], "flip"),
        (["--loss", "l3=1"], "known: l1"),
        (["--loss", "l1=-1"], "weights above 0"),
        (["--budget", "0"], "budget"),
        (["--patience", "0"], "patience"),
        (["--coarse-to-fine", "2"], "coarse share"),
        (["--traj", "cartesian", "--golden"], "leave out --golden"),
        (["--traj", "cartesian", "--shots", "40"], "use --shots 32"),
        (["--traj", "spiral", "--matrix", "256", "--readout", "0.608"], "at least"),
        (["--traj", "file:nowhere.npy", "--shots", "4"], "no trajectory at"),
        (["--trajectory-unit", "1/m"], "only with file:PATH"),
        (["--warm-start", "/nonexistent"], "no design at"),
        (["--resume", "--overwrite"], "expected one"),
        (["--amp", "--device", "cpu"], "expected a GPU"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(options: list[str], saying: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused("design", *SMALL, *options, "--out", out, saying=saying)
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.slow
def test_what_is_learned_through_the_unrolled_network_reconstructs_offline(tmp_path: Path) -> None:
    out, scan = tmp_path / "out", tmp_path / "scan.mrd"
    result = seqopt("design", *SMALL, "--recon", "unrolled", "--loss", "l1=1,segmentation=0.1", "--out", out)
    assert result.returncode == 0, result.stderr
    assert "unrolled" in result.stdout
    assert "Dice GM" in result.stdout
    assert seqopt("simulate", out, "--out", scan).returncode == 0
    result = seqopt("recon", scan, "--design", out, "--method", "unrolled", "--out", tmp_path / "image")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "image" / "image.nii").exists()


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    for name, content in (("a", {"weights": torch.zeros(3)}), ("b", torch.zeros(3))):
        (tmp_path / name).mkdir()
        torch.save(content, tmp_path / name / "checkpoint.pt")
        refused("design", *SMALL, "--resume", "--out", tmp_path / name, saying="not a checkpoint of this seqopt")


def test_images_that_cannot_be_learned_from_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "nan.npy", np.full((40, 32, 32), np.nan, dtype=np.float32))
    refused("design", *SMALL, "--images", tmp_path / "nan.npy", "--out", tmp_path / "out", saying="NaN")
    (tmp_path / "empty").mkdir()
    refused("design", *SMALL, "--images", tmp_path / "empty", "--out", tmp_path / "out", saying="holds no images")
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused("design", *SMALL, "--images", tmp_path / "cut.h5", "--out", tmp_path / "out", saying="cut.h5")


@pytest.mark.parametrize("free_bytes", [20_000, 400_000])  # at the first checkpoint; at the results
def test_a_full_disk_leaves_nothing_half_written(free_bytes: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = (
        "import resource, signal, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({free_bytes}, {free_bytes}))\n"  # writes beyond it fail
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"sys.argv = ['seqopt', 'design', *{SMALL!r}, '--out', {str(out)!r}]\n"
        "from seqopt.cli.main import main; main()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 2, result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("Error: cannot write")
    assert "Traceback" not in result.stderr
    assert not [path.name for path in out.rglob("*") if "partial" in path.name]
    assert not (out / "design.h5").exists()
