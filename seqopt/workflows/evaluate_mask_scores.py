"""The scores of one cell of masks on disk: image by image, of every mask and draw, and the lines behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.workflows.mask_choice import Choice
from seqopt.workflows.mask_judging import Judged
from seqopt.workflows.store import write_text

FORMAT = "seqopt-mask-cell-1"
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MaskScores:
    """One mask or draw under every judge."""

    label: str
    draw: int
    lines: IntArray
    """Acquired lines, ascending."""
    each: Mapping[str, Mapping[str, FloatArray]]
    """Judge -> metric -> (images,)."""
    overall: Mapping[str, Mapping[str, float]]
    """Judge -> metric -> number over the images; of F1 there is no other."""


@dataclass(frozen=True, kw_only=True)
class CellScores:
    """All masks of one network, fold and number of lines."""

    network: str
    """Empty where no network reads the images."""
    fold: int
    lines: int
    matrix: int
    request: str
    """Fingerprint of the cell, to tell whether it is the one asked for."""
    seconds: float
    source: str
    classes: tuple[str, ...]
    subjects: IntArray
    """(images,) whose image each is."""
    swaps: int
    validation_target: tuple[float | None, float | None]
    """Before and after the swaps."""
    masks: tuple[MaskScores, ...]

    @property
    def accel(self) -> float:
        """Lines of the matrix over acquired lines."""
        return self.matrix / self.lines

    def of(self, label: str) -> list[MaskScores]:
        """All draws of one mask."""
        return [one for one in self.masks if one.label == label]


def mask_scores(judged: Sequence[Judged]) -> tuple[MaskScores, ...]:
    """What judging found, without its pictures."""
    return tuple(
        MaskScores(
            label=one.label,
            draw=one.draw,
            lines=np.flatnonzero(one.mask),
            each={judge: dict(found.each) for judge, found in one.scores.items()},
            overall={judge: dict(found.overall) for judge, found in one.scores.items()},
        )
        for one in judged
    )


def choice_facts(choice: Choice) -> dict[str, Any]:
    """What a cell keeps of its choice: how many swaps, and the validation target before and after them."""
    return {"swaps": len(choice.swaps), "validation_target": (choice.before, choice.after)}


def write_cell(path: Path, cell: CellScores) -> None:
    """Write one cell, numbers with seven digits."""
    plain = {name: getattr(cell, name) for name in _PLAIN}
    table = {
        "format": FORMAT,
        **plain,
        "seconds": round(cell.seconds, 1),
        "subjects": cell.subjects.tolist(),
        "masks": [
            {
                "label": one.label,
                "draw": one.draw,
                "lines": one.lines.tolist(),
                "each": {
                    judge: {name: [_short(value) for value in values] for name, values in found.items()}
                    for judge, found in one.each.items()
                },
                "overall": {
                    judge: {name: _short(value) for name, value in found.items()}
                    for judge, found in one.overall.items()
                },
            }
            for one in cell.masks
        ],
    }
    write_text(path, json.dumps(table, indent=1) + "\n")


_PLAIN = ("network", "fold", "lines", "matrix", "request", "source", "classes", "swaps", "validation_target")


def read_cell(path: Path) -> CellScores:
    """Read what `write_cell` wrote; refuses what is not that."""
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if table["format"] != FORMAT:
            raise KeyError("format")
        plain = {name: table[name] for name in _PLAIN}
        before, after = table["validation_target"]
        return CellScores(
            **{**plain, "classes": tuple(table["classes"]), "validation_target": (before, after)},
            seconds=float(table["seconds"]),
            subjects=np.array(table["subjects"], np.int64),
            masks=tuple(_mask(one) for one in table["masks"]),
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SeqoptError(f"{path} is not a cell of this seqopt, or it is damaged; give --overwrite") from error


def _mask(one: Mapping[str, Any]) -> MaskScores:
    return MaskScores(
        label=str(one["label"]),
        draw=int(one["draw"]),
        lines=np.array(one["lines"], np.int64),
        each={
            judge: {name: np.array(values, dtype=float) for name, values in found.items()}
            for judge, found in one["each"].items()
        },
        overall={judge: {name: float(v) for name, v in found.items()} for judge, found in one["overall"].items()},
    )


def _short(value: float) -> float:
    return float(f"{value:.7g}")
