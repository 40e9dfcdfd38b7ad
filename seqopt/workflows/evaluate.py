"""Fixed against learned over families and numbers of shots: every cell a design of its own, resumable."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seqopt.errors import SeqoptError, reject
from seqopt.report import evaluation_figure, to_png_bytes
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.evaluate_cells import Cell, design_cell, run_cells
from seqopt.workflows.evaluate_tables import csv_table, markdown_tables
from seqopt.workflows.scores import METRICS, HeldOut, fingerprint_text, read_scores
from seqopt.workflows.store import replacing, write_text


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What ``seqopt evaluate`` was asked for."""

    out: Path
    base: DesignRequest
    """Everything that the cells have in common."""
    families: tuple[str, ...]
    """Initial trajectories to learn from: a family or ``FAMILY+golden``."""
    shots: tuple[int, ...]
    baselines: tuple[str, ...] = ()
    """Fixed trajectories to judge beside them: a family, ``FAMILY+golden``, or ``file:PATH`` with ``{shots}`` in it."""
    baseline_unit: str | None = None
    """Unit of k in the baselines' files."""
    jobs: int = 1
    """Cells at a time, each in its own process with its share of the cores."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.families or not self.shots:
            raise SeqoptError("evaluate: got no family or no number of shots; give --traj and --shots, each repeatable")
        for name, values in (("--traj", self.families), ("--shots", self.shots), ("--baseline", self.baselines)):
            if len(set(values)) != len(values):
                raise reject(name, got=", ".join(map(str, values)), expected="each once", remedy="leave out the second")
        if self.baseline_unit is not None and not any(one.startswith("file:") for one in self.baselines):
            raise reject("--baseline-unit", got=self.baseline_unit, expected="a file: baseline", remedy="leave it out")
        if not 1 <= self.jobs <= 256:
            raise reject("jobs", got=self.jobs, expected="1..256", remedy="half the cores is usual")

    def cells(self) -> list[Cell]:
        """Every cell; a trajectory that cannot be played is refused here, before anything expensive."""
        cells = []
        for shots in self.shots:
            for family in self.families:
                cells.append(self._cell(family, shots, f"{family.replace('+', '-')}-{shots}", learn=True))
            for spec in self.baselines:
                cells.append(self._cell(spec, shots, f"{_baseline_name(spec)}-{shots}", learn=False))
        names = [cell.name for cell in cells]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SeqoptError(f"evaluate: two cells would be called {', '.join(twice)}; rename a baseline's file")
        for cell in cells:
            cell.request.initial()
        return cells

    def _cell(self, spec: str, shots: int, name: str, *, learn: bool) -> Cell:
        golden = spec.endswith("+golden")
        traj = spec.removesuffix("+golden")
        if not learn:
            traj = traj.replace("{shots}", str(shots))
        unit = self.baseline_unit if traj.startswith("file:") else None
        folder = self.out / "cells" / name
        request = replace(self.base, traj=traj, shots=shots, golden=golden, trajectory_unit=unit, out=folder)
        return Cell(name=name, request=request, learn=learn)


def evaluate_designs(
    request: EvaluateRequest,
    *,
    watch: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[HeldOut], dict[str, str]]:
    """Run the cells that are not there yet, and write evaluation.csv, evaluation.md and a figure a judge.

    Out: the scores of all finished cells, in the order asked for, and for each failed cell its error. ``stop`` is asked
    about twice a second; running cells then keep a checkpoint, and the next call goes on from it.
    """
    cells = request.cells()
    waiting = [one for cell in cells if (one := _due(cell, overwrite=request.overwrite)) is not None]
    watch(f"{len(cells)} cells, {len(cells) - len(waiting)} of them finished before -> {request.out}")
    failures = run_cells(
        waiting,
        design_cell,
        jobs=request.jobs,
        watch=watch,
        stop=stop,
        after=lambda: _write(request.out, _results(cells)),
    )
    results = _results(cells)
    _write(request.out, results)
    return results, failures


def _due(cell: Cell, *, overwrite: bool) -> Cell | None:
    """The cell as it must run: from its checkpoint, anew, or (None) not at all since it is finished.

    Raises `SeqoptError` for what other settings or another version left there, unless it may be overwritten.
    """
    request, folder = cell.request, cell.request.out
    interrupted = Checkpoint(folder / "checkpoint.pt", request.fingerprint())
    if interrupted.path.exists():
        try:
            interrupted.load()
            return replace(cell, request=replace(request, resume=True))
        except SeqoptError:
            if not overwrite:
                raise
    elif (folder / "scores.json").exists() and (folder / "design.h5").exists() and not overwrite:
        if read_scores(folder / "scores.json").request != fingerprint_text(request):
            raise SeqoptError(f"{folder} was made with other settings; choose another --out, or give --overwrite")
        return None
    elif overwrite and _same(folder, request):
        return None
    return replace(cell, request=replace(request, overwrite=True))


def _same(folder: Path, request: DesignRequest) -> bool:
    """Whether a finished cell of these very settings is there."""
    try:
        return (folder / "design.h5").exists() and read_scores(folder / "scores.json").request == fingerprint_text(
            request
        )
    except SeqoptError:
        return False


def _results(cells: list[Cell]) -> list[HeldOut]:
    found = []
    for cell in cells:
        folder = cell.request.out
        if _same(folder, cell.request):
            found.append(replace(read_scores(folder / "scores.json"), name=cell.name))
    return found


def _write(out: Path, cells: list[HeldOut]) -> None:
    if not cells:
        return
    write_text(out / "evaluation.csv", csv_table(cells))
    write_text(out / "evaluation.md", markdown_tables(cells))
    for judge in dict.fromkeys(judge for cell in cells for judge in cell.values):
        for metric in ("psnr_db", "ssim"):
            families, peers = _curves(cells, judge, metric)
            if families:
                figure = evaluation_figure(families, peers, quantity=f"{METRICS[metric]}, {judge}")
                name = f"evaluation-{judge.replace('+', '-')}-{metric.removesuffix('_db')}.png"
                with replacing(out / name) as temporary:
                    temporary.write_bytes(to_png_bytes(figure))


Curves = dict[str, list[tuple[int, float, float]]]


def _curves(cells: list[HeldOut], judge: str, metric: str) -> tuple[dict[str, Curves], Curves]:
    families: dict[str, Curves] = {}
    peers: Curves = {}
    for cell in sorted(cells, key=lambda one: one.shots):
        arms: Mapping[str, Mapping[str, object]] = cell.values.get(judge, {})
        for arm, values in arms.items():
            array = np.asarray(values[metric], dtype=float)
            point = (cell.shots, float(array.mean()), float(array.std()))
            if "learned" in arms:
                families.setdefault(cell.family, {}).setdefault(arm, []).append(point)
            else:
                peers.setdefault(cell.name.removesuffix(f"-{cell.shots}"), []).append(point)
    return families, peers


def _baseline_name(spec: str) -> str:
    """A name for files: ``radial+golden`` -> radial-golden, ``file:peers/x-{shots}.npy`` -> file-x."""
    if spec.startswith("file:"):
        stem = Path(spec.removeprefix("file:")).stem.replace("{shots}", "")
        return "file-" + (re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-") or "path")
    return f"{spec.replace('+', '-')}-fixed" if "+" not in spec else spec.replace("+", "-")
