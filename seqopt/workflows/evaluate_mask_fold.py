"""One fold of one network: trained once, one nested order for every acceleration, each of which is a cell."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seqopt.encoding.cartesian import CartesianAcquisition
from seqopt.errors import SeqoptError
from seqopt.images import simulated_coil_maps
from seqopt.learn.train_task import Task
from seqopt.report import to_png_bytes
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.design_setup import choose_device
from seqopt.workflows.evaluate_mask_attribution import attribution_of
from seqopt.workflows.evaluate_mask_images import fold_images, folds_of
from seqopt.workflows.evaluate_mask_scores import CellScores, choice_facts, mask_scores, read_cell, write_cell
from seqopt.workflows.mask_choice import Choice, choose_lines
from seqopt.workflows.mask_images import labelled_images
from seqopt.workflows.mask_judging import candidates, judge_masks, taught_masks
from seqopt.workflows.mask_networks import restoring_network, task_network
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.mask_run import MaskRun
from seqopt.workflows.run import Watch
from seqopt.workflows.store import replacing

_OF_A_CELL = ("shots", "order_lines")  # a longer order begins with the shorter one


@dataclass(frozen=True, kw_only=True)
class FoldRun:
    """One network and fold with all its numbers of lines."""

    request: MaskRequest
    """Its ``out`` is the fold's own folder, its ``order_lines`` the most of ``lines``."""
    fold: int
    folds: int
    lines: tuple[int, ...]
    attribution: Path | None = None
    """Where a figure of what the network looks at goes."""
    overwrite: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return self.request.out.name

    def fingerprint(self, lines: int | None = None) -> dict[str, Any]:
        """What a kept result must have in common with the one asked for: of a cell, or of what the cells share."""
        found = {key: value for key, value in self.request.fingerprint().items() if key not in _OF_A_CELL}
        found |= {"fold": str(self.fold), "folds": str(self.folds)}
        return found if lines is None else found | {"shots": str(lines)}

    def cell_path(self, lines: int) -> Path:
        """Where the scores of a number of lines lie."""
        return self.request.out / f"scores-{lines}.json"

    def finished(self, lines: int) -> CellScores | None:
        """The cell's scores if they are there; raises for those of other settings unless they may be overwritten."""
        path = self.cell_path(lines)
        if not path.exists():
            return None
        try:
            cell = read_cell(path)
            if cell.request != json.dumps(self.fingerprint(lines), sort_keys=True):
                raise SeqoptError(f"{path} was made with other settings; choose another --out, or give --overwrite")
        except SeqoptError:
            if not self.overwrite:
                raise
            return None
        return cell

    def due(self) -> list[int]:
        """Numbers of lines without scores."""
        return [lines for lines in self.lines if self.finished(lines) is None]

    @property
    def is_due(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.due()) or (self.attribution is not None and not self.attribution.exists())


def evaluate_fold(one: FoldRun, watch: Watch, stop: Callable[[], bool]) -> str:
    """Do what is due of a fold; a stopped one raises `InterruptedRunError` and goes on from its checkpoints."""
    due = one.due()
    run, subjects = _begin(one, watch, stop)
    network = task_network(run)
    order = _nested(run, network)
    for lines in due:
        checkpoint = _checkpoint(one, lines)
        _seed(checkpoint, run.checkpoint, network)
        cell = replace(run, request=replace(run.request, shots=lines, swaps=one.request.swaps), checkpoint=checkpoint)
        choice = choose_lines(cell, network)
        masks = candidates(cell.request, choice)
        reader = network or restoring_network(cell, taught_masks(masks))
        judged, _ = judge_masks(cell, masks, reader)
        scores = CellScores(
            network=one.request.network or "",
            fold=one.fold,
            lines=lines,
            matrix=one.request.lines,
            request=json.dumps(one.fingerprint(lines), sort_keys=True),
            seconds=checkpoint.spent_s,
            source=run.images.source,
            classes=run.images.classes,
            subjects=subjects,
            masks=mask_scores(judged),
            **choice_facts(choice),
        )
        write_cell(one.cell_path(lines), scores)
        checkpoint.remove()
    if one.attribution is not None and network is not None:
        _draw_attribution(one, run, network)
    return f"{len(order.order)} lines in order, {len(due)} accelerations judged"


def _begin(one: FoldRun, watch: Watch, stop: Callable[[], bool]) -> tuple[MaskRun, Any]:
    """What the cells share, and whose the judged images are."""
    request = replace(one.request, swaps=False)
    watch("images", 0, 1, "")
    labelled = labelled_images(request)
    found = fold_images(request, labelled, folds_of(one.request, labelled, one.folds)[one.fold])
    watch("images", 1, 1, labelled.source)
    maps = None if request.coils == 1 else simulated_coil_maps(request.coils, request.geometry)
    device = choose_device(request.device)
    acquisition = CartesianAcquisition(maps, noise_sigma=found.images.noise_sigma, device=device)
    return MaskRun(request, found.images, acquisition, _checkpoint(one), watch, stop), found.subjects


def _checkpoint(one: FoldRun, lines: int | None = None) -> Checkpoint:
    """The kept state of what the cells share, or of one cell; a foreign one is replaced if it may be."""
    name = "shared.pt" if lines is None else f"unfinished-{lines}.pt"
    checkpoint = Checkpoint(one.request.out / name, one.fingerprint(lines))
    if checkpoint.path.exists():
        try:
            checkpoint.load()
        except SeqoptError:
            if not one.overwrite:
                raise
            checkpoint.remove()
            checkpoint = Checkpoint(checkpoint.path, one.fingerprint(lines))
    return checkpoint


def _nested(run: MaskRun, network: Task | None) -> Choice:
    """The order of as many lines as any cell wants; a shorter one of an earlier call is continued."""
    checkpoint = run.checkpoint
    kept = checkpoint.finished.get("select")
    if kept is not None and len(kept["order"]) < run.request.nested:
        del checkpoint.finished["select"]
        checkpoint.stage, checkpoint.state = "select", _before_its_last_pass(kept)
    return choose_lines(run, network)


def _before_its_last_pass(kept: dict[str, Any]) -> dict[str, Any] | None:
    """The selection without its last pass, which may have set fewer lines than another pass would."""
    if len(kept["curve"]) < 3:
        return None
    curve = kept["curve"][:-2]
    order = kept["order"][: kept["curve"][-2][0]]
    passes = len(curve)
    trials = kept["trials"] * passes // kept["passes"]  # about: a pass near the last lines has fewer candidates
    return {"order": order, "curve": curve, "passes": passes, "trials": trials, "shortlist": [], "tried": []}


def _seed(cell: Checkpoint, shared: Checkpoint, network: Task | None) -> None:
    """Let a cell begin where what it shares has ended."""
    for stage in ("select", *(["task"] if network is not None else [])):
        cell.finished[stage] = shared.finished[stage]


def _draw_attribution(one: FoldRun, run: MaskRun, network: Task) -> None:
    path, lines = one.attribution, min(one.lines)
    cell = one.finished(lines)
    assert path is not None and cell is not None
    with replacing(path) as temporary:
        temporary.write_bytes(to_png_bytes(attribution_of(run, network, cell)))
