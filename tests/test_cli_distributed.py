"""The main job in two processes, started as torchrun does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli import SCRIPT, refused, seqopt

SMALL = ["--traj", "radial", "--shots", "4", "--preset", "smoke", "--matrix", "32", "--slices", "2"]


def together(*arguments: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [*launcher, str(SCRIPT), "design", *SMALL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        check=False,
    )


@pytest.mark.slow
def test_two_processes_design_what_one_designs_and_one_of_them_writes_and_speaks(tmp_path: Path) -> None:
    alone = seqopt("design", *SMALL, "--batch", "2", "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    both = together("--batch", "2", "--out", tmp_path / "both")
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("Certificate:") == 1
    scores = [json.loads((tmp_path / name / "scores.json").read_text())["scores"] for name in ("alone", "both")]
    for judge, arms in scores[0].items():
        for arm, metrics in arms.items():
            for metric, values in metrics.items():
                assert np.allclose(values, scores[1][judge][arm][metric], rtol=1e-3), (judge, arm, metric)
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == sorted(
        path.name for path in (tmp_path / "alone").iterdir()
    )


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    result = together("--batch", "3", "--out", tmp_path / "out")
    assert result.returncode != 0
    assert "world size: got 2, expected a divisor of the batch 3" in result.stderr
    assert not (tmp_path / "out").exists()


def test_distributed_without_a_launcher_is_refused(tmp_path: Path) -> None:
    refused("design", *SMALL, "--distributed", "--out", tmp_path / "out", saying="torchrun")
