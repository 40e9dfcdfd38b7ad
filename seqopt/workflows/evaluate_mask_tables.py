"""The tables of an evaluation of masks: CSV for machines, Markdown for people, the paper's numbers beside ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from seqopt.workflows.evaluate_mask_pooled import PooledRow
from seqopt.workflows.mask_judging import BASELINES, IGS
from seqopt.workflows.mask_outcome import LESS_IS_BETTER, PAIRED

Paper = Mapping[str, float]
_PAPER_LABELS = {"Center": "Center", IGS: IGS, "fastMRI equispaced": "fastMRI", "fastMRI random": "fastMRI"}


def _three(fastmri: float, center: float, igs: float) -> Paper:
    return {"fastMRI": fastmri, "Center": center, IGS: igs}


PAPER: Mapping[tuple[str, str, int, str], Mapping[str, Paper]] = {
    ("segmentation", "unet", 16, "as trained"): {
        "ACDC, U-Net": _three(0.658, 0.757, 0.790),
        "BraTS, U-Net": _three(0.523, 0.618, 0.653),
    },
    ("segmentation", "unet", 16, "fine-tuned"): {
        "ACDC, U-Net": _three(0.814, 0.857, 0.874),
        "BraTS, U-Net": _three(0.700, 0.752, 0.773),
    },
    ("segmentation", "attention-unet", 16, "as trained"): {"ACDC, attention U-Net": _three(0.583, 0.734, 0.748)},
    ("segmentation", "attention-unet", 16, "fine-tuned"): {"ACDC, attention U-Net": _three(0.805, 0.857, 0.871)},
    ("classification", "", 4, ""): {
        "F1, cross-entropy": _three(0.851, 0.862, 0.873),
        "F1, soft hinge": _three(0.834, 0.848, 0.877),
    },
    ("reconstruction", "", 4, ""): {
        "SSIM, fastMRI data": _three(0.564, 0.693, 0.700),
        "SSIM, BraTS": _three(0.588, 0.635, 0.678),
    },
}
"""Razumov, Rogov, Dylov, 2022, by task, network, acceleration and judge; an empty name stands for any."""


def paper_columns(task: str, row: PooledRow) -> Mapping[str, Paper]:
    """The paper's numbers at the acceleration of a row, by the data that they were measured on; often none."""
    accel = round(row.accel)
    return PAPER.get((task, row.network, accel, row.judge), PAPER.get((task, "", accel, ""), {}))


def csv_table(rows: Sequence[PooledRow], headline: str) -> str:
    """One line a network, judge, number of lines and mask."""
    metrics = _metrics(rows, headline)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ["network", "accel", "lines", "judge", "mask", "folds", "draws", "images", "unit", "units"]
    head += [f"{name}_{kind}" for name in metrics for kind in ("mean", "sd")]
    head += [f"{headline}_worst_draw", f"{headline}_best_draw"]
    writer.writerow([*head, *(f"{kind}_{name}" for name in metrics for kind in ("gain", "p"))])
    for row in rows:
        units = len(row.values["PSNR"])
        line = [row.network, f"{row.accel:.4g}", row.lines, row.judge, row.label]
        line += [row.folds, row.draws, row.images, row.unit, units]
        for name in metrics:
            line += [_number(row.means.get(name)), _number(row.deviations.get(name))]
        draws = row.per_draw.get(headline)
        line += [_number(min(draws)), _number(max(draws))] if draws and row.draws > 1 else ["", ""]
        for name in metrics:
            line += [_number(row.gains.get(name)), _number(row.p.get(name))]
        writer.writerow(line)
    return stream.getvalue()


def markdown_tables(rows: Sequence[PooledRow], *, task: str, headline: str, lead: str) -> str:
    """A table a network and judge, where Center wins, and what may be concluded from it."""
    parts = [f"# Masks for {task}\n\n{lead}\n\n{_caption(rows, headline)}\n"]
    for network, judge in dict.fromkeys((row.network, row.judge) for row in rows):
        own = [row for row in rows if (row.network, row.judge) == (network, judge)]
        parts.append(f"## {', '.join(filter(None, (network, judge)))}\n\n{_table(own, task, headline)}")
    parts.append("## Where IGS does not win\n\n" + _verdict(rows, headline))
    return "\n".join(parts)


def _caption(rows: Sequence[PooledRow], headline: str) -> str:
    unit = rows[0].unit
    dependent = "" if unit == "subjects" else ", which are neighbours of one object and so not independent"
    measured = PAIRED.get(headline, headline)
    text = (
        f"Means ± standard deviations over the held-out {unit} of all folds, of drawn masks of the mean of draws; "
        f"gain: IGS less the mask; p: two-sided Wilcoxon signed-rank test of {measured} on pairs of {unit}{dependent}."
    )
    if headline in PAIRED:
        text += f" {headline} is one number a fold: its mean and deviation are over the folds."
    return text + (
        " Columns that begin with 'paper' are the paper's own data, networks and training (Razumov, Rogov, Dylov, "
        "2022), to compare differences between masks with, not levels; it has one fastMRI mask. Figures: bands are "
        f"standard errors over {unit}, each one's mean over the masks taken out (Cousineau, Morey), dots single draws."
    )


def _table(rows: Sequence[PooledRow], task: str, headline: str) -> str:
    metrics = _metrics(rows, headline)
    papers = list(dict.fromkeys(name for row in rows for name in paper_columns(task, row)))
    drawn = any(row.draws > 1 for row in rows)
    head = ["accel.", "lines", "mask", *metrics, *([f"{headline} of the draws"] if drawn else []), "gain", "p"]
    head += [f"paper: {name}" for name in papers]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [f"x{row.accel:.3g}", str(row.lines), f"**{row.label}**" if row.label == IGS else row.label]
        cells += [_plus_minus(row, name) for name in metrics]
        if drawn:
            draws = row.per_draw[headline]
            cells.append(f"{_digits(min(draws), headline)} .. {_digits(max(draws), headline)}" if row.draws > 1 else "")
        cells.append(f"{row.gains[headline]:+.4f}" if row.gains else "")
        cells.append(f"{row.p[headline]:.2g}" if row.p else "")
        for name in papers:
            number = paper_columns(task, row).get(name, {}).get(_PAPER_LABELS.get(row.label, ""))
            cells.append("" if number is None else f"{number:.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _verdict(rows: Sequence[PooledRow], headline: str) -> str:
    """One line a baseline that beats IGS; Center is spoken of in any case."""
    beaten = [row for row in rows if row.gains and row.label in BASELINES and row.gains[headline] < 0]
    lines = []
    if not any(row.label == "Center" for row in beaten):
        equal = any(row.label == "Center" and row.gains and row.gains[headline] == 0 for row in rows)
        lines.append(f"- Center wins nowhere by its mean {headline}{'; where the gain is 0 they are equal' * equal}.")
    for row in sorted(beaten, key=lambda row: row.label != "Center"):
        where = ", ".join(filter(None, (row.network, row.judge)))
        ours = row.means[headline] + row.gains[headline]
        lines.append(
            f"- {row.label} wins at x{row.accel:.3g} ({where}): {headline} {row.means[headline]:.4f} against "
            f"{ours:.4f} of IGS, p {row.p[headline]:.2g}."
        )
    return "\n".join(lines) + "\n"


def _metrics(rows: Sequence[PooledRow], headline: str) -> list[str]:
    """The first metric, those of its parts, then those of every image."""
    usual = ("SSIM", "PSNR", "NMSE")
    found = dict.fromkeys(name for row in rows for name in row.values)
    return [headline, *(name for name in found if name not in (headline, *usual)), *(n for n in usual if n != headline)]


def _plus_minus(row: PooledRow, name: str) -> str:
    if name not in row.means:
        return ""
    return f"{_digits(row.means[name], name)} ± {_digits(row.deviations[name], name)}"


def _digits(value: float, name: str) -> str:
    return f"{value:.2f}" if name == "PSNR" else f"{value:.4f}" if name in LESS_IS_BETTER else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
