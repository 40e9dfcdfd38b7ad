"""Chosen masks against baselines by cross-validation, over accelerations and networks; every cell resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from seqopt.errors import SeqoptError, reject
from seqopt.learn.attribution import require_captum
from seqopt.report import MaskCurve, acceleration_figure, against_figure, to_png_bytes
from seqopt.workflows.evaluate_cells import run_cells
from seqopt.workflows.evaluate_mask_fold import FoldRun, evaluate_fold
from seqopt.workflows.evaluate_mask_images import folds_of
from seqopt.workflows.evaluate_mask_pooled import PooledRow, paired_errors, pooled_rows
from seqopt.workflows.evaluate_mask_scores import CellScores
from seqopt.workflows.evaluate_mask_tables import csv_table, markdown_tables
from seqopt.workflows.mask_images import labelled_images
from seqopt.workflows.mask_judging import BASELINES, FULL, IGS
from seqopt.workflows.mask_outcome import HEADLINES
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.store import replacing, write_text

ROUNDING = 0.05
"""Share by which whole lines may miss an acceleration: x26 of 256 lines is 10 lines, x25.6."""


@dataclass(frozen=True, kw_only=True)
class EvaluateMasksRequest:
    """What ``seqopt evaluate --traj igs`` was asked for."""

    out: Path
    base: MaskRequest
    """Everything that the cells have in common, with the fewest of ``lines`` as its shots."""
    lines: tuple[int, ...]
    """Acquired lines, each a cell of every fold and network."""
    folds: int = 5
    networks: tuple[str, ...] = ()
    """The base's own by default."""
    attribution: bool = False
    """Whether to draw what each network looks at."""
    jobs: int = 1
    """Folds at a time, each in its own process."""
    threads: int = 1
    """Of each fold, whatever the jobs: another number rounds sums otherwise, and so gives other last digits."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, values in (("lines", self.lines), ("--network", self.networks)):
            if len(set(values)) != len(values):
                raise reject(name, got=", ".join(map(str, values)), expected="each once", remedy="leave out the second")
        if not self.lines or min(self.lines) != self.base.shots:
            raise SeqoptError("evaluate: got no acceleration, expected one or more; give --accel")
        if self.folds < 2:
            raise reject("--folds", got=self.folds, expected="2 or more", remedy="5 are usual")
        if self.base.swaps and self.folds < 3:
            raise reject("--folds", got=self.folds, expected="3 or more with swaps", remedy="or give --no-swaps")
        if not 1 <= self.jobs <= 256:
            raise reject("jobs", got=self.jobs, expected="1..256", remedy="as many as cores is usual")
        if not 1 <= self.threads <= 256:
            raise reject("--threads", got=self.threads, expected="1..256", remedy="1 is the default")
        if self.attribution:
            if self.base.task == "reconstruction":
                raise SeqoptError("--attribution: a reconstruction has no network that looks; choose another --task")
            require_captum()

    @property
    def headline(self) -> str:
        """The metric by which masks are compared first."""
        return HEADLINES[self.base.task]

    def fold_runs(self) -> list[FoldRun]:
        """Every network and fold; settings that cannot be are refused here, before anything expensive."""
        runs = []
        for network in self.networks or (self.base.network,):
            for fold in range(self.folds):
                name = "-".join(filter(None, (network, f"fold{fold + 1}")))
                folder = self.out / "cells" / name
                request = replace(self.base, network=network, out=folder, order_lines=max(self.lines))
                figure = self.out / f"evaluation-attribution-{network}.png" if self.attribution and not fold else None
                runs.append(
                    FoldRun(
                        request=request,
                        fold=fold,
                        folds=self.folds,
                        lines=tuple(sorted(self.lines, reverse=True)),
                        attribution=figure,
                        overwrite=self.overwrite,
                    )
                )
        for lines in self.lines:
            replace(self.base, shots=lines, order_lines=max(self.lines))
        return runs


def lines_of(accelerations: Sequence[float], matrix: int) -> tuple[int, ...]:
    """Acquired lines of each acceleration; raises for one that whole lines miss by more than a twentieth."""
    found: list[int] = []
    for accel in accelerations:
        if not 1.0 < accel <= matrix:
            remedy = "4 is a quarter of the lines" if accel <= matrix else "one line is the least"
            raise reject("--accel", got=f"{accel:g}", expected=f"above 1, up to {matrix} lines", remedy=remedy)
        lines = round(matrix / accel)
        if abs(matrix / lines / accel - 1.0) > ROUNDING:
            nearest = f"x{matrix / lines:.4g} is {lines} line{'s' if lines > 1 else ''}"
            raise reject(
                "--accel",
                got=f"{accel:g} of {matrix} lines, {matrix / accel:.3g} lines",
                expected="whole lines",
                remedy=nearest,
            )
        if lines in found:
            raise reject("--accel", got=f"{accel:g}, {lines} lines", expected="each once", remedy="leave it out")
        found.append(lines)
    return tuple(found)


def evaluate_masks(
    request: EvaluateMasksRequest,
    *,
    watch: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[PooledRow], dict[str, str]]:
    """Run what is not there yet, and write evaluation.csv, evaluation.md and figures.

    Out: a row a network, judge, number of lines and mask over the finished folds, and for each failed fold its error.
    ``stop`` is asked about twice a second; running folds then keep a checkpoint, and the next call goes on from it.
    """
    runs = request.fold_runs()
    waiting = [run for run in runs if run.is_due]
    cells, missing = len(runs) * len(request.lines), sum(len(run.due()) for run in runs)
    watch(f"{cells} cells, {cells - missing} of them finished before -> {request.out}")
    if waiting:
        folds_of(request.base, labelled_images(request.base), request.folds)

    def after() -> None:
        _write(request, runs)

    how = {"jobs": request.jobs, "threads": request.threads}
    failures = run_cells(waiting, evaluate_fold, **how, watch=watch, stop=stop, after=after)
    return _write(request, runs), failures


def _write(request: EvaluateMasksRequest, runs: Sequence[FoldRun]) -> list[PooledRow]:
    """Tables and figures of what is finished."""
    cells = [cell for run in runs for lines in run.lines if (cell := run.finished(lines)) is not None]
    rows = pooled_rows(cells)
    if not rows:
        return rows
    write_text(request.out / "evaluation.csv", csv_table(rows, request.headline))
    tables = markdown_tables(rows, task=request.base.task, headline=request.headline, lead=_lead(request, cells))
    write_text(request.out / "evaluation.md", tables)
    for network in dict.fromkeys(row.network for row in rows):
        _figures(request, [row for row in rows if row.network == network], network)
    return rows


def _lead(request: EvaluateMasksRequest, cells: Sequence[CellScores]) -> str:
    base, recipe = request.base, request.base.recipe
    target = " + ".join(f"{weight:g} {name}" for name, weight in base.target.items())
    finished = len({(cell.network, cell.fold) for cell in cells if cell.lines == min(request.lines)})
    whole = max(1, len(request.networks)) * request.folds
    tried = f", the best of {base.candidates} candidates a step by trying" if base.candidates > 1 else ""
    swaps = "; swaps that lower the target on validation images" if base.swaps else "; no swaps"
    return (
        f"{cells[0].source}, {base.lines} x {base.lines} pixels in {base.geometry.fov_m[0] * 1e3:g} mm, "
        f"{base.coils} simulated coil{'s' if base.coils > 1 else ''}, SNR {base.snr:g}, {base.central} calibration "
        f"line{'s' if base.central > 1 else ''}; {request.folds}-fold cross-validation"
        f"{'' if finished == whole else f', {finished} of {whole} folds finished'}. Target {target} through "
        f"{base.inner} images; one nested order a fold serves every acceleration{tried}{swaps}. Every mask has "
        f"the same lines, noise, network ({recipe.task_steps} steps) and fine-tuning ({recipe.tune_steps} steps)."
    )


def _figures(request: EvaluateMasksRequest, rows: Sequence[PooledRow], network: str) -> None:
    headline, name = request.headline, f"-{network}" if network else ""
    judged = [row for row in rows if headline in row.means]
    figure = acceleration_figure(
        _by_judge(judged, headline), quantity=f"{headline} of held-out {rows[0].unit}", full=_full(judged, headline)
    )
    _save(request.out / f"evaluation{name}-{headline.lower()}.png", figure)
    other = "PSNR" if headline == "SSIM" else "SSIM"
    along, up = _by_judge(judged, other), _by_judge(judged, headline)
    pairs = {judge: {mask: (along[judge][mask], up[judge][mask]) for mask in masks} for judge, masks in up.items()}
    figure = against_figure(pairs, quantities=("PSNR (dB)" if other == "PSNR" else other, headline))
    _save(request.out / f"evaluation{name}-{headline.lower()}-{other.lower()}.png", figure)


def _save(path: Path, figure: Figure) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(to_png_bytes(figure))


def _by_judge(rows: Sequence[PooledRow], metric: str) -> dict[str, dict[str, MaskCurve]]:
    found: dict[str, dict[str, MaskCurve]] = {}
    shown = sorted((row for row in rows if row.label in (IGS, *BASELINES)), key=lambda row: row.accel)
    for judge in dict.fromkeys(row.judge for row in rows):
        own = [row for row in shown if row.judge == judge]
        errors: dict[tuple[str, int], float] = {}
        for lines in {row.lines for row in own}:
            same = [row for row in own if row.lines == lines]
            errors |= {(r.label, lines): error for r, error in zip(same, paired_errors(same, metric), strict=True)}
        for label in (IGS, *BASELINES):
            curve = [row for row in own if row.label == label]
            found.setdefault(judge, {})[label] = MaskCurve(
                accel=[row.accel for row in curve],
                mean=[row.means[metric] for row in curve],
                error=[errors[label, row.lines] for row in curve],
                draws=[row.per_draw[metric] if row.draws > 1 else () for row in curve],
            )
    return found


def _full(rows: Sequence[PooledRow], metric: str) -> dict[str, float]:
    """The level of all lines, under the judges that saw them; it does not depend on the acceleration."""
    return {row.judge: row.means[metric] for row in rows if row.label == FULL}
