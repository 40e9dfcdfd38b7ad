"""Scores of all folds together: every unit judged once, draws averaged, masks compared unit by unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.workflows.evaluate_mask_scores import CellScores, MaskScores
from seqopt.workflows.mask_judging import BASELINES, FULL, IGS, UNREFINED
from seqopt.workflows.mask_outcome import PAIRED
from seqopt.workflows.scores import paired_p

FloatArray = npt.NDArray[np.float64]
ORDER = (IGS, UNREFINED, *BASELINES, FULL)


@dataclass(frozen=True, kw_only=True)
class PooledRow:
    """One mask, network, judge and number of lines over all folds."""

    network: str
    lines: int
    accel: float
    judge: str
    label: str
    folds: int
    draws: int
    images: int
    unit: str
    """What is averaged and paired: subjects where there are several, else images."""
    values: Mapping[str, FloatArray]
    """Metric -> (units,), the mean over a unit's images and draws; (folds,) of what single images do not have."""
    per_draw: Mapping[str, tuple[float, ...]]
    """Metric -> mean of each draw over the same."""
    gains: Mapping[str, float]
    """Metric -> mean of IGS less this one; empty for IGS and for all lines."""
    p: Mapping[str, float]
    """Metric -> two-sided p of the Wilcoxon signed-rank test on units, IGS against this one."""

    @property
    def means(self) -> dict[str, float]:
        """Metric -> mean over the units."""
        return {name: float(array.mean()) for name, array in self.values.items()}

    @property
    def deviations(self) -> dict[str, float]:
        """Metric -> standard deviation over the units."""
        return {name: float(array.std(ddof=1)) if len(array) > 1 else 0.0 for name, array in self.values.items()}


def paired_errors(rows: Sequence[PooledRow], metric: str) -> list[float]:
    """Standard error of each mask's mean, what its units have in common with the other masks' taken out.

    Units differ more from one another than masks do; the difference of two masks is as sure as these say, not as the
    plain standard errors would. In: rows of one judge and number of lines. Source: Cousineau 2005, corrected by Morey,
    Tutorials in Quantitative Methods for Psychology 4:61 (2008).
    """
    table = np.stack([row.values[metric] for row in rows])
    count, units = table.shape
    if count < 2 or units < 2:
        return [0.0] * count
    own = table - table.mean(0)
    return [float(one.std(ddof=1) * np.sqrt(count / (count - 1) / units)) for one in own]


def pooled_rows(cells: Sequence[CellScores]) -> list[PooledRow]:
    """All rows, by network and judge, then by lines from few lines accelerated least, IGS before its baselines."""
    rows = []
    for network in dict.fromkeys(cell.network for cell in cells):
        own = [cell for cell in cells if cell.network == network]
        for judge in dict.fromkeys(judge for cell in own for one in cell.masks for judge in one.each):
            for lines in sorted({cell.lines for cell in own}, reverse=True):
                same = sorted((cell for cell in own if cell.lines == lines), key=lambda cell: cell.fold)
                rows += _rows(same, judge)
    return rows


def _rows(cells: Sequence[CellScores], judge: str) -> list[PooledRow]:
    rows: list[PooledRow] = []
    for label in ORDER:
        found = [[one for one in _masks(cell, label) if judge in one.each] for cell in cells]
        if any(cell.of(label) for cell in cells) and all(found):
            rows.append(_row(cells, found, judge, label, rows[0] if rows else None))
    return rows


def _masks(cell: CellScores, label: str) -> list[MaskScores]:
    """Where no swap was made, IGS before its swaps is IGS."""
    return cell.of(label) or (cell.of(IGS) if label == UNREFINED else [])


def _row(
    cells: Sequence[CellScores], found: Sequence[Sequence[MaskScores]], judge: str, label: str, ours: PooledRow | None
) -> PooledRow:
    subjects = np.concatenate([cell.subjects for cell in cells])
    draws = min(len(masks) for masks in found)
    each = {
        name: np.stack([_of_units([masks[d].each[judge][name] for masks in found], subjects) for d in range(draws)])
        for name in found[0][0].each[judge]
    }  # metric -> (draws, units)
    overall = {
        name: np.array([[masks[d].overall[judge][name] for masks in found] for d in range(draws)])
        for name in found[0][0].overall[judge]
        if name not in each
    }  # metric -> (draws, folds)
    values = {name: array.mean(0) for name, array in (each | overall).items()}
    means = {name: float(array.mean()) for name, array in values.items()}
    compared = ours is not None and label != FULL
    return PooledRow(
        network=cells[0].network,
        lines=cells[0].lines,
        accel=cells[0].accel,
        judge=judge,
        label=label,
        folds=len(cells),
        draws=draws,
        images=len(subjects),
        unit="subjects" if _several(subjects) else "images",
        values=values,
        per_draw={name: tuple(map(float, array.mean(1))) for name, array in (each | overall).items()},
        gains={name: ours.means[name] - mean for name, mean in means.items()} if ours and compared else {},
        p={name: _p(ours, values, name) for name in means} if ours and compared else {},
    )


def _p(ours: PooledRow, values: Mapping[str, FloatArray], name: str) -> float:
    measured = PAIRED.get(name, name)
    return paired_p(ours.values[measured], values[measured])


def _several(subjects: npt.NDArray[np.int64]) -> bool:
    return len(np.unique(subjects)) > 1


def _of_units(folds: Sequence[FloatArray], subjects: npt.NDArray[np.int64]) -> FloatArray:
    """(units,) of the scores of all images: those of a subject averaged, where there are several subjects."""
    scores = np.concatenate(folds)
    if not _several(subjects):
        return scores
    _, owner = np.unique(subjects, return_inverse=True)
    return np.bincount(owner, scores) / np.bincount(owner)
