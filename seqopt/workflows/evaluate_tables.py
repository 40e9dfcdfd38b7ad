"""The tables of an evaluation: CSV for machines, Markdown for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from seqopt.workflows.scores import METRICS, HeldOut, paired_p

PAPER_GAIN_DB = {
    "cartesian": {4: 0.36, 8: 0.01, 16: 0.21, 32: 0.19},
    "radial": {4: 0.74, 8: 3.27, 16: 2.65, 32: 2.88},
    "spiral": {4: 2.42, 8: 1.55, 16: 1.11, 32: 0.71},
}
"""Learned minus fixed PSNR of Peng et al., CVPR 2022, Table 1, AXT1 brain."""


CAPTION = (
    "Means ± standard deviations over the held-out images; p of the two-sided Wilcoxon signed-rank test on pairs of "
    "images, which are neighbours of one object where there is one object, and so not independent."
)


def csv_table(cells: Sequence[HeldOut]) -> str:
    """One line a cell, judge and arm: means and standard deviations, and for learned arms gain and p-values."""
    stream = io.StringIO()
    more = dict.fromkeys(
        name for cell in cells for arms in cell.values.values() for one in arms.values() for name in one
    )
    metrics = [*METRICS, *(name for name in more if name not in METRICS)]
    header = ["design", "family", "shots", "judge", "arm", "images"]
    header += [f"{metric}_{kind}" for metric in metrics for kind in ("mean", "sd")]
    header += ["gain_db", "paper_gain_db", *(f"p_{metric}" for metric in metrics), "seconds"]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    for cell in cells:
        for judge, arms in cell.values.items():
            for arm, values in arms.items():
                numbers = [
                    f"{number:.6g}" if metric in values else ""
                    for metric in metrics
                    for number in (_mean_sd(values[metric]) if metric in values else ("", ""))
                ]
                compared = ["", "", *("" for _ in metrics)]
                if arm == "learned" and "fixed" in arms:
                    compared = [f"{cell.gain_db(judge):.6g}", _paper(cell, "{:.2f}")]
                    compared += [f"{cell.significance(judge, one):.3g}" if one in values else "" for one in metrics]
                images = len(values["psnr_db"])
                line = [cell.name, cell.family, cell.shots, judge, arm, images, *numbers, *compared, cell.seconds]
                writer.writerow(line)
    return stream.getvalue()


def markdown_tables(cells: Sequence[HeldOut]) -> str:
    """For each judge: fixed -> learned with gain, p and the paper's gain; then all beside the baselines."""
    judges = list(dict.fromkeys(judge for cell in cells for judge in cell.values))
    learned = [cell for cell in cells if any("learned" in arms for arms in cell.values.values())]
    peers = [cell for cell in cells if cell not in learned]
    parts = []
    for judge in judges:
        parts.append(f"### {judge}\n\n{CAPTION}\n\n" + _gains(learned, judge))
        if peers:
            parts.append(_beside_peers(learned, peers, judge))
    return "\n".join(parts)


def _gains(cells: Sequence[HeldOut], judge: str) -> str:
    lines = [
        "| shots | initial | PSNR fixed (dB) | learned (dB) | gain (dB) | p | paper's gain | SSIM | NMSE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        if judge not in cell.values:
            continue
        fixed, learned = cell.values[judge]["fixed"], cell.values[judge]["learned"]
        psnr = [_plus_minus(arm["psnr_db"], 2) for arm in (fixed, learned)]
        ssim, nmse = (
            " -> ".join(_plus_minus(arm[metric], digits) for arm in (fixed, learned))
            for metric, digits in (("ssim", 3), ("nmse", 4))
        )
        gain = f"**{cell.gain_db(judge):+.2f}**"
        p = f"{cell.significance(judge, 'psnr_db'):.1g}"
        paper = _paper(cell, "{:+.2f}") or "-"
        row = [cell.shots, cell.family, *psnr, gain, p, paper, ssim, nmse]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines) + "\n"


def _beside_peers(learned: Sequence[HeldOut], peers: Sequence[HeldOut], judge: str) -> str:
    """Per number of shots: our learned trajectories and the peers; in brackets the p of our best against each."""
    families = list(dict.fromkeys(cell.family for cell in learned))
    others = list(dict.fromkeys(_peer_name(cell) for cell in peers))
    lines = [
        "PSNR (dB) at equal readout time, shots, coils, noise and reconstruction; in brackets p against our best, "
        "which was picked on these images:\n",
        "| shots | " + " | ".join([*(f"learned from {one}" for one in families), *others]) + " |",
        "|---" * (1 + len(families) + len(others)) + "|",
    ]
    for shots in sorted({cell.shots for cell in [*learned, *peers]}):
        ours = {c.family: c.values[judge]["learned"]["psnr_db"] for c in learned if c.shots == shots}
        theirs = {_peer_name(c): c.values[judge]["fixed"]["psnr_db"] for c in peers if c.shots == shots}
        best = max(ours.values(), key=lambda one: float(one.mean())) if ours else None
        row = [str(shots)]
        for family in families:
            one = ours.get(family)
            mark = "**" if one is not None and one is best else ""
            row.append("-" if one is None else f"{mark}{one.mean():.2f}{mark}")
        for name in others:
            other = theirs.get(name)
            if other is None:
                row.append("-")
            else:
                row.append(f"{other.mean():.2f}" + ("" if best is None else f" ({paired_p(best, other):.1g})"))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def _peer_name(cell: HeldOut) -> str:
    """The cell's name without its number of shots."""
    return cell.name.removesuffix(f"-{cell.shots}")


def _paper(cell: HeldOut, form: str) -> str:
    gain = PAPER_GAIN_DB.get(cell.family, {}).get(cell.shots)
    return "" if gain is None else form.format(gain)


def _mean_sd(values: object) -> tuple[float, float]:
    import numpy as np

    array = np.asarray(values, dtype=float)
    return float(array.mean()), float(array.std())


def _plus_minus(values: object, digits: int) -> str:
    mean, spread = _mean_sd(values)
    return f"{mean:.{digits}f} ± {spread:.{digits}f}"
