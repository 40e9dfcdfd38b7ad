"""The table of fixed against learned through the installed console script, small."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cli import refused, seqopt
from scipy import stats

SMALL = ["--preset", "smoke", "--matrix", "32", "--slices", "2", "--traj", "radial", "--shots", "4"]
TABLE = [*SMALL, "--baseline", "radial+golden", "--jobs", "2"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluate") / "out"
    result = seqopt("evaluate", *TABLE, "--out", out)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "| 4 | radial |" in result.stdout
    return out


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "evaluation.csv").read_text().splitlines()))


def test_the_table_holds_every_arm_with_means_that_follow_from_the_single_images(evaluated: Path) -> None:
    table = rows(evaluated)
    arms = {(row["design"], row["judge"], row["arm"]) for row in table}
    assert ("radial-4", "cg-sense", "learned") in arms
    assert ("radial-golden-4", "adjoint+unet", "fixed") in arms
    scores = json.loads((evaluated / "cells" / "radial-4" / "scores.json").read_text())["scores"]
    for row in table:
        if row["design"] == "radial-4":
            values = scores[row["judge"]][row["arm"]]["psnr_db"]
            assert float(row["psnr_db_mean"]) == pytest.approx(np.mean(values), abs=1e-4)
            assert float(row["psnr_db_sd"]) == pytest.approx(np.std(values), abs=1e-4)


def test_gain_and_p_value_are_those_of_the_paired_images(evaluated: Path) -> None:
    row = next(r for r in rows(evaluated) if r["judge"] == "cg-sense" and r["arm"] == "learned")
    scores = json.loads((evaluated / "cells" / "radial-4" / "scores.json").read_text())["scores"]["cg-sense"]
    fixed, learned = (np.array(scores[arm]["psnr_db"]) for arm in ("fixed", "learned"))
    assert float(row["gain_db"]) == pytest.approx((learned - fixed).mean(), abs=1e-4)
    assert float(row["p_psnr_db"]) == pytest.approx(stats.wilcoxon(learned, fixed).pvalue, rel=0.01)
    assert float(row["paper_gain_db"]) == 0.74


def test_every_learned_cell_is_a_whole_certified_design(evaluated: Path) -> None:
    cell = evaluated / "cells" / "radial-4"
    assert json.loads((cell / "certificate.json").read_text())["holds"] is True
    assert (cell / "radial-4_v1.5.0.seq").exists()
    assert (evaluated / "evaluation-cg-sense-psnr.png").stat().st_size > 10_000


def test_a_second_call_runs_only_what_is_missing(evaluated: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (evaluated / "cells").rglob("scores.json")}
    (evaluated / "cells" / "radial-golden-4" / "scores.json").unlink()
    result = seqopt("evaluate", *TABLE, "--out", evaluated)
    assert result.returncode == 0, result.stderr
    assert "1 of them finished before" in result.stdout
    learned = evaluated / "cells" / "radial-4" / "scores.json"
    assert learned.stat().st_mtime_ns == before[learned]
    assert (evaluated / "cells" / "radial-golden-4" / "scores.json").exists()


def test_cells_of_other_settings_are_not_mixed_in(evaluated: Path) -> None:
    refused("evaluate", *TABLE, "--seed", "3", "--out", evaluated, saying="made with other settings")


def test_what_cannot_be_is_refused_before_anything_runs(tmp_path: Path) -> None:
    refused("evaluate", *SMALL, "--traj", "radail", "--out", tmp_path / "a", saying="unknown trajectory 'radail'")
    refused("evaluate", *SMALL, "--shots", "4", "--out", tmp_path / "b", saying="each once")
    refused("evaluate", *SMALL, "--jobs", "0", "--out", tmp_path / "c", saying="jobs")
    refused("evaluate", *SMALL, "--baseline", "file:none.npy", "--out", tmp_path / "d", saying="none.npy")
    refused("evaluate", *SMALL, "--baseline-unit", "1/m", "--out", tmp_path / "e", saying="leave it out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_cell_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    small = ["--preset", "smoke", "--matrix", "32", "--slices", "2", "--steps", "2"]
    families = ["--traj", "radial", "--traj", "spiral-in-out", "--shots", "3", "--k-harmonics", "2"]
    out = tmp_path / "out"
    (out / "cells" / "radial-3").mkdir(parents=True)
    (out / "cells" / "radial-3" / "fixed").write_text("a file where a folder is due")
    result = seqopt("evaluate", *small, *families, "--out", out)
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("Error: 1 of 2 cells failed: radial-3: ")
    assert {row["design"] for row in rows(out)} == {"spiral-in-out-3"}
    (out / "cells" / "radial-3" / "fixed").unlink()
    again = seqopt("evaluate", *small, *families, "--out", out)
    assert again.returncode == 0, again.stderr
    assert {row["design"] for row in rows(out)} == {"radial-3", "spiral-in-out-3"}
