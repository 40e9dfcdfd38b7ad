"""Cross-validation of masks: cells that resume, tables that follow from the stored scores, refusals, attributions."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from cli import refused, seqopt
from scipy import stats

from seqopt.core import Geometry, Protocol
from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner
from seqopt.images.labelled_brain import labelled_brain
from seqopt.learn.attribution import integrated_gradients
from seqopt.learn.tasks import Classification, Segmentation
from seqopt.workflows.evaluate_cells import Cell, run_cells
from seqopt.workflows.evaluate_mask_fold import FoldRun, evaluate_fold
from seqopt.workflows.evaluate_mask_pooled import PooledRow, paired_errors, pooled_rows
from seqopt.workflows.evaluate_mask_scores import CellScores, MaskScores, read_cell, write_cell
from seqopt.workflows.evaluate_mask_tables import markdown_tables
from seqopt.workflows.evaluate_masks import lines_of
from seqopt.workflows.mask_images import load_mask_images
from seqopt.workflows.mask_recipe import MaskRecipe
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.run import InterruptedRunError

SMALL = ["--traj", "igs", "--task", "segmentation", "--preset", "smoke", "--matrix", "32", "--coils", "1"]
TABLE = [*SMALL, "--accel", "4", "--accel", "8", "--folds", "2", "--no-swaps", "--jobs", "2"]
TINY = MaskRecipe(
    task_steps=2, tune_steps=1, selection_images=2, validation_images=2, test_images=3, draws=2, channels=2, subjects=4
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluate") / "out"
    result = seqopt("evaluate", *TABLE, "--attribution", "--out", out)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "## unet, fine-tuned" in result.stdout
    return out


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "evaluation.csv").read_text().splitlines()))


def stored(folder: Path, lines: int, judge: str, label: str, metric: str) -> np.ndarray:
    """(images of both folds,) mean over the draws, straight from the JSON."""
    folds = []
    for fold in (1, 2):
        table = json.loads((folder / "cells" / f"unet-fold{fold}" / f"scores-{lines}.json").read_text())
        draws = [one["each"][judge][metric] for one in table["masks"] if one["label"] == label]
        folds.append(np.mean(draws, axis=0))
    return np.concatenate(folds)


def test_means_deviations_gains_and_p_follow_from_the_stored_images(evaluated: Path) -> None:
    table = rows(evaluated)
    assert len(table) == 2 * (6 + 5)  # all lines are judged by the network as trained only
    for row in table:
        lines, judge, mask = int(row["lines"]), row["judge"], row["mask"]
        for metric in ("Dice", "Dice GM", "SSIM", "PSNR", "NMSE"):
            values = stored(evaluated, lines, judge, mask, metric)
            assert float(row[f"{metric}_mean"]) == pytest.approx(np.mean(values), rel=1e-4)
            assert float(row[f"{metric}_sd"]) == pytest.approx(np.std(values, ddof=1), rel=1e-4)
            if mask in ("IGS", "all lines"):
                assert row[f"gain_{metric}"] == row[f"p_{metric}"] == ""
                continue
            ours = stored(evaluated, lines, judge, "IGS", metric)
            assert float(row[f"gain_{metric}"]) == pytest.approx((ours - values).mean(), abs=1e-5)
            assert float(row[f"p_{metric}"]) == pytest.approx(stats.wilcoxon(ours, values).pvalue, rel=1e-3)


def test_dice_is_the_mean_over_the_structures(evaluated: Path) -> None:
    parts = [stored(evaluated, 8, "fine-tuned", "IGS", f"Dice {name}") for name in ("CSF", "GM", "WM")]
    assert stored(evaluated, 8, "fine-tuned", "IGS", "Dice") == pytest.approx(np.mean(parts, axis=0), abs=1e-6)


def test_one_nested_order_serves_both_accelerations_and_every_mask_has_as_many_lines(evaluated: Path) -> None:
    for fold in (1, 2):
        cells = {n: read_cell(evaluated / "cells" / f"unet-fold{fold}" / f"scores-{n}.json") for n in (4, 8)}
        assert set(cells[4].of("IGS")[0].lines) < set(cells[8].of("IGS")[0].lines)
        for count, cell in cells.items():
            assert {len(one.lines) for one in cell.masks if one.label != "all lines"} == {count}
            assert len(cell.of("variable density")) == 2


def test_tables_and_figures_say_what_they_show(evaluated: Path) -> None:
    text = (evaluated / "evaluation.md").read_text()
    assert "## Where IGS does not win" in text
    assert "Center wins" in text
    for name in ("unet-dice", "unet-dice-ssim", "attribution-unet"):
        assert (evaluated / f"evaluation-{name}.png").stat().st_size > 10_000


def test_a_second_call_computes_only_what_is_missing(evaluated: Path) -> None:
    folder = evaluated / "cells"
    (folder / "unet-fold2" / "scores-4.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("scores-*.json")}
    table = (evaluated / "evaluation.csv").read_text()
    result = seqopt("evaluate", *TABLE, "--attribution", "--out", evaluated)
    assert result.returncode == 0, result.stderr
    assert "4 cells, 3 of them finished before" in result.stdout
    assert "task 12/12 from the checkpoint" in result.stdout
    assert "unet-fold1" not in result.stdout.split("# Masks")[0]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (evaluated / "evaluation.csv").read_text() == table


def threads_of(cell: Cell, *_: object) -> str:
    return f"{torch.get_num_threads()} threads"


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_fold_has_the_threads_that_were_asked_for_whatever_the_jobs(jobs: int) -> None:
    said: list[str] = []
    cells = [Cell(name=name, request=None, learn=False) for name in ("a", "b")]  # type: ignore[arg-type]
    run_cells(cells, threads_of, jobs=jobs, threads=2, watch=said.append, stop=lambda: False, after=lambda: None)
    assert sum(": 2 threads in" in one for one in said) == 2


@pytest.mark.slow
def test_the_number_of_jobs_changes_no_digit(evaluated: Path, tmp_path: Path) -> None:
    result = seqopt("evaluate", *TABLE[:-1], "1", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    for path in sorted((evaluated / "cells").rglob("scores-*.json")):
        one, other = (
            json.loads((folder / path.relative_to(evaluated)).read_text()) for folder in (evaluated, tmp_path / "out")
        )
        assert one["masks"] == other["masks"]


def test_cells_of_other_settings_are_not_mixed_in(evaluated: Path) -> None:
    refused("evaluate", *TABLE, "--seed", "3", "--out", evaluated, saying="made with other settings")


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--folds", "0"], "--folds: got 0"),
        (["--folds", "2"], "3 or more with swaps"),
        (["--folds", "40"], "take fewer"),
        (["--threads", "0"], "--threads: got 0"),
        (["--accel", "20"], "x16 is 2 lines"),
        (["--accel", "0.5"], "above 1, up to 32"),
        (["--accel", "4", "--accel", "4"], "each once"),
        (["--shots", "40"], "40"),
        (["--shots", "8", "--accel", "4"], "expected one"),
        (["--network", "unet", "--network", "unet"], "each once"),
        (["--network", "residual-classifier"], "not for segmentation"),
        (["--baseline", "radial"], "--baseline"),
        (["--traj", "radial"], "alone"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(tmp_path: Path, options: list[str], saying: str) -> None:
    from click.testing import CliRunner

    from seqopt.cli.evaluate import command

    result = CliRunner().invoke(command, [*SMALL, *options, "--out", str(tmp_path / "out")])
    assert saying in str(result.exception) + result.output
    assert isinstance(result.exception, SeqoptError) or result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_one_line_and_exits_2(tmp_path: Path) -> None:
    refused("evaluate", "--traj", "radial", "--accel", "4", "--out", tmp_path / "b", saying="masks (--traj igs) only")


def test_attribution_without_captum_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(SeqoptError, match=r"seqopt\[attribution\]"):
        integrated_gradients(Segmentation(2, 2).freeze(), torch.rand(1, 8, 8), torch.ones(1, 8, 8, dtype=torch.long))


def test_accelerations_become_whole_lines() -> None:
    assert lines_of([2, 4, 16, 26], 256) == (128, 64, 16, 10)
    with pytest.raises(SeqoptError, match="whole lines"):
        lines_of([200], 256)


@pytest.mark.parametrize("kind", [Segmentation, Classification])
def test_attributions_of_a_network_add_up_to_the_change_of_its_output(kind: type) -> None:
    torch.manual_seed(3)
    brain = labelled_brain(32, 0.22).subset(np.array([60, 90]))
    task = kind(4, 3, classes=brain.classes)
    for parameter in task.network.last.parameters():  # sure of itself, as if it had learned
        torch.nn.init.normal_(parameter, std=2.0)
    task.freeze()
    images = torch.from_numpy(brain.images)
    labels = torch.from_numpy(brain.labels) if kind is Segmentation else torch.tensor([1, 2])
    found = integrated_gradients(task, images, labels, steps=96)
    change = found.certainty - found.baseline
    assert (change.abs() > 0.02).all()
    assert found.maps.sum((1, 2)).numpy() == pytest.approx(change.numpy(), rel=0.02, abs=1e-3)


def request_of(out: Path, **changes: object) -> MaskRequest:
    settings = {"task": "segmentation", "shots": 4, "order_lines": 8, "coils": 1, "swaps": False} | changes
    return MaskRequest(
        out=out,
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(32, 32)),
        scanner=load_scanner("paper"),
        protocol=Protocol(),
        recipe=TINY,
        **settings,  # type: ignore[arg-type]
    )


def fold_run(out: Path, *lines: int, folds: int = 2, **changes: object) -> FoldRun:
    request = request_of(out, order_lines=max(lines), **changes)
    return FoldRun(request=request, fold=1, folds=folds, lines=lines)


def silent(*_: object) -> None:
    return None


def test_an_acceleration_added_later_extends_the_order_as_if_asked_for_at_once(tmp_path: Path) -> None:
    apart, together = (fold_run(tmp_path / name, 8, 4, per_step=3) for name in ("apart", "together"))
    first = replace(apart, request=replace(apart.request, order_lines=4), lines=(4,))
    evaluate_fold(first, silent, lambda: False)
    kept = apart.cell_path(4).read_bytes()
    assert apart.due() == [8]
    for one in (apart, together):
        evaluate_fold(one, silent, lambda: False)
    assert apart.cell_path(4).read_bytes() == kept
    for lines in (4, 8):
        one, other = (read_cell(run.cell_path(lines)) for run in (apart, together))
        assert one.of("IGS")[0].lines.tolist() == other.of("IGS")[0].lines.tolist()
        assert one.of("IGS")[0].each["fine-tuned"]["Dice"] == pytest.approx(
            other.of("IGS")[0].each["fine-tuned"]["Dice"]
        )


def test_a_stopped_fold_goes_on_where_it_was_and_ends_as_the_unbroken_one(tmp_path: Path) -> None:
    broken, whole = fold_run(tmp_path / "broken", 4), fold_run(tmp_path / "whole", 4)
    for limit in (2, 5, 9):
        asked: list[int] = []
        with pytest.raises(InterruptedRunError):
            evaluate_fold(broken, silent, lambda asked=asked, limit=limit: bool(asked.append(1)) or len(asked) > limit)
    for one in (broken, whole):
        evaluate_fold(one, silent, lambda: False)
    cells = [read_cell(run.cell_path(4)) for run in (broken, whole)]
    for one, other in zip(cells[0].masks, cells[1].masks, strict=True):
        assert one.lines.tolist() == other.lines.tolist()
        for judge, found in one.each.items():
            for name, values in found.items():
                assert values.tolist() == other.each[judge][name].tolist()
    assert not list(broken.request.out.glob("unfinished-*"))


@pytest.mark.parametrize(("task", "headline", "judges"), [
    ("classification", "F1", ["as trained", "fine-tuned"]),
    ("reconstruction", "SSIM", ["zero-filled", "cg-sense", "U-Net", "U-Net fine-tuned"]),
])  # fmt: skip
def test_the_other_tasks_are_evaluated_too(tmp_path: Path, task: str, headline: str, judges: list[str]) -> None:
    network = "unet" if task == "reconstruction" else None
    run = fold_run(tmp_path / task, 8, task=task, network=network, coils=2, shots=8, calibration=6, swaps=True, folds=3)
    evaluate_fold(run, silent, lambda: False)
    cell = read_cell(run.cell_path(8))
    assert list(cell.of("IGS")[0].each) == judges
    assert cell.validation_target[0] is not None
    table = pooled_rows([cell])
    assert all(headline in row.means for row in table)
    assert headline in markdown_tables(table, task=task, headline=headline, lead="")


def head(path: Path, scale: float) -> None:
    """(x, y, z) voxels of 7 mm: a block that grows along z."""
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = np.zeros((30, 30, 4), np.float32)
    for place in range(4):
        volume[6:20, 5 : 20 + place, place] = scale
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([7.0, 7.0, 7.0, 1.0])), path)


@pytest.mark.parametrize("labelled", [False, True])
def test_reconstruction_is_evaluated_on_a_folder_of_subjects_with_and_without_labels(
    tmp_path: Path, labelled: bool
) -> None:
    for number in range(4):
        head(tmp_path / "data" / ("images" if labelled else "") / f"s{number}.nii.gz", 10.0**number)
        if labelled:
            head(tmp_path / "data" / "labels" / f"s{number}.nii.gz", 3.0)
    run = fold_run(tmp_path / "out", 8, task="reconstruction", images=tmp_path / "data", folds=3)
    evaluate_fold(run, silent, lambda: False)
    cell = read_cell(run.cell_path(8))
    assert list(cell.of("IGS")[0].each) == ["zero-filled"]
    assert cell.subjects.tolist() == [1, 1, 1]  # of the second fold, as many slices as are judged
    assert cell.classes == ()
    designed = load_mask_images(run.request)
    assert sum(designed.counts.values()) <= 16  # labels are no images


def made_cell(fold: int, subjects: list[int], scores: dict[str, list[list[float]]], f1: float = 0.5) -> CellScores:
    masks = tuple(
        MaskScores(
            label=label,
            draw=draw,
            lines=np.arange(16),
            each={"fine-tuned": {"PSNR": np.array(values), "accuracy": np.array(values)}},
            overall={"fine-tuned": {"PSNR": float(np.mean(values)), "F1": f1 + 0.1 * draw}},
        )
        for label, draws in scores.items()
        for draw, values in enumerate(draws)
    )
    return CellScores(
        network="unet", fold=fold, lines=16, matrix=256, request="", seconds=1.0, source="made", classes=(),
        subjects=np.array(subjects), swaps=0, validation_target=(None, None), masks=masks,
    )  # fmt: skip


def pooled() -> list[PooledRow]:
    return pooled_rows(
        [
            made_cell(0, [1, 1, 4], {"IGS": [[1, 3, 5]], "variable density": [[1, 1, 1], [3, 1, 2]]}),
            made_cell(1, [2, 3], {"IGS": [[6, 8]], "variable density": [[4, 4], [2, 2]]}, f1=0.7),
        ]
    )


def test_subjects_are_averaged_before_they_are_compared() -> None:
    ours, drawn = pooled()
    assert ours.unit == "subjects"
    assert ours.values["PSNR"].tolist() == [2, 6, 8, 5]
    assert drawn.values["PSNR"].tolist() == [1.5, 3, 3, 1.5]
    assert drawn.per_draw["PSNR"] == (2.5, 2.0)
    assert drawn.gains["PSNR"] == pytest.approx(3.0)
    assert drawn.p["PSNR"] == pytest.approx(stats.wilcoxon([2, 6, 8, 5], [1.5, 3, 3, 1.5]).pvalue)


def test_f1_is_averaged_over_folds_and_tested_by_what_is_classified_rightly() -> None:
    ours, drawn = pooled()
    assert ours.means["F1"] == pytest.approx(0.6)
    assert drawn.means["F1"] == pytest.approx(0.65)
    assert drawn.p["F1"] == drawn.p["accuracy"]


def test_bands_leave_out_what_units_have_in_common() -> None:
    ours, drawn = pooled()
    shifted = replace(ours, values={"PSNR": drawn.values["PSNR"] + 1.0})
    assert paired_errors([drawn, shifted], "PSNR") == pytest.approx([0.0, 0.0])
    difference = ours.values["PSNR"] - drawn.values["PSNR"]
    of_difference = difference.std(ddof=1) / np.sqrt(4)
    assert paired_errors([ours, drawn], "PSNR") == pytest.approx([of_difference / np.sqrt(2)] * 2)


def test_where_center_wins_is_said_plainly() -> None:
    cell = made_cell(0, [1, 2], {"IGS": [[1, 2]], "Center": [[2, 4]]})
    text = markdown_tables(pooled_rows([cell]), task="segmentation", headline="PSNR", lead="")
    assert "- Center wins at x16 (unet, fine-tuned): PSNR 3.0000 against 1.5000 of IGS, p " in text
    assert "0.857" in text  # the paper's Center on ACDC, fine-tuned
    losing = made_cell(0, [1, 2], {"IGS": [[3, 4]], "Center": [[2, 3]]})
    assert "- Center wins nowhere" in markdown_tables(pooled_rows([losing]), task="", headline="PSNR", lead="")


def test_a_cell_is_read_back_as_written_and_a_damaged_one_refused(tmp_path: Path) -> None:
    cell = made_cell(0, [1, 2], {"IGS": [[1, 2]], "Center": [[2, 4]]})
    write_cell(tmp_path / "cell.json", cell)
    again = read_cell(tmp_path / "cell.json")
    assert again.of("Center")[0].each["fine-tuned"]["PSNR"].tolist() == [2, 4]
    assert (again.lines, again.accel, again.subjects.tolist()) == (16, 16.0, [1, 2])
    (tmp_path / "cell.json").write_text("{}")
    with pytest.raises(SeqoptError, match="damaged"):
        read_cell(tmp_path / "cell.json")
