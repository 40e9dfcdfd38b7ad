"""The figures of a mask's design and the report that shows what was chosen and what it brings."""

from __future__ import annotations

import numpy as np

from seqopt.core import Certificate
from seqopt.report import (
    LimitRow,
    MaskColumn,
    Report,
    ReportFigure,
    ReportTable,
    TimingRow,
    mask_images_figure,
    mask_scores_figure,
    strips_figure,
    target_figure,
    to_png_bytes,
)
from seqopt.report.html import show_number
from seqopt.workflows.design_outcome import limit_rows
from seqopt.workflows.mask_judging import BASELINES, FULL, IGS
from seqopt.workflows.mask_outcome import PAIRED, MaskOutcome, mask_rows, swap_text
from seqopt.workflows.mask_request import MaskRequest

TARGET_NAMES = {
    "l1": "L1 error",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "ssim": "1 - SSIM",
    "psnr": "-PSNR (dB)",
    "dice": "soft Dice loss",
    "soft-hinge": "soft hinge loss",
}
"""How figures call what is minimised."""


def mask_figures(outcome: MaskOutcome) -> list[tuple[ReportFigure, str]]:
    """Every figure of a mask's design with its file's name."""
    design = outcome.design
    shown = [IGS, *BASELINES]
    masks = {}
    for label in shown:
        for one in outcome.of(label):
            drawn = len(outcome.of(label)) > 1
            masks[f"{label}, draw {one.draw + 1}" if drawn else label] = one.mask
    target = " + ".join(
        TARGET_NAMES.get(name, name) if weight == 1 else f"{weight:g} ({TARGET_NAMES.get(name, name)})"
        for name, weight in design.provenance["target"].items()
    )
    random = ", of random masks the first draw" if any(len(outcome.of(label)) > 1 for label in BASELINES) else ""
    measured = PAIRED.get(outcome.headline, outcome.headline)
    drawn_figures = [
        (
            "masks.png",
            "Masks",
            "Acquired lines over ky, as many in each mask; those of IGS coloured by when they entered"
            + ("; calibration lines are shaded." if design.calibration else "."),
            strips_figure(masks, design.calibration, design.order, design.shots),
        ),
        *(
            (
                f"images-{number + 1}.png",
                f"Held-out image {number + 1}",
                f"A slice that no training and no choice saw: the mask{random}, the image through the same coils and "
                "noise, and its error in the grey scale of the images"
                + (", and what the network tuned for the mask finds." if outcome.classes else "."),
                _images_figure(outcome, number),
            )
            for number in range(len(outcome.truth))
        ),
        (
            "target.png",
            "Target over lines",
            "One point a pass over the training images. The order is nested: its first m lines are the mask of m.",
            target_figure(outcome.choice.curve, shots=design.shots, lines=design.geometry.matrix[1], name=target),
        ),
        (
            "scores.png",
            "Held-out scores",
            "One dot an image, of a random mask the mean over its draws; the bar and the number are the mean over the "
            "images.",
            mask_scores_figure(_image_scores(outcome, measured), quantity=f"{measured} of an image", reference=FULL),
        ),
    ]
    return [
        (ReportFigure(title=title, caption=caption, png=to_png_bytes(figure)), file)
        for file, title, caption, figure in drawn_figures
    ]


def _images_figure(outcome: MaskOutcome, number: int):  # type: ignore[no-untyped-def]
    judge, places = outcome.judges[-1], outcome.shown
    segmented = outcome.task == "segmentation"
    named = "Dice" if segmented else "SSIM"
    columns = []
    for label in (IGS, *BASELINES):
        one = outcome.of(label)[0]
        found = one.pictures.get("classes")
        verdict = outcome.classes[int(found[number])] if found is not None and not segmented else ""
        columns.append(
            MaskColumn(
                name=label,
                mask=one.mask,
                image=one.pictures["image"][number],
                score="\n".join(
                    f"{name} {one.scores[judge].each[name][places[number]]:.3f}"
                    for name in dict.fromkeys((named, "SSIM"))
                ),
                classes=found[number] if segmented and found is not None else None,
                verdict=f"says: {verdict}" if verdict else "",
            )
        )
    labels = outcome.labels
    return mask_images_figure(
        outcome.truth[number],
        columns,
        labels=labels[number] if segmented and labels is not None else None,
        classes=outcome.classes,
        truth_verdict=f"truth:\n{outcome.classes[int(labels[number])]}" if labels is not None and not segmented else "",
    )


def _image_scores(outcome: MaskOutcome, metric: str):  # type: ignore[no-untyped-def]
    """Judge -> mask -> (images,)."""
    return {
        judge: {
            label: np.mean([one.scores[judge].each[metric] for one in outcome.of(label)], axis=0)
            for label in (IGS, *BASELINES, *([FULL] if judge in outcome.of(FULL)[0].scores else []))
        }
        for judge in outcome.judges
    }


def mask_report(
    request: MaskRequest, outcome: MaskOutcome, certificate: Certificate, figures: list[ReportFigure]
) -> Report:
    """The page of one mask."""
    timing = outcome.timing
    assert timing is not None
    return Report(
        title=f"{request.name}: chosen phase-encoding lines",
        lead=_lead(request, outcome),
        quality=[],
        tables=[_table(outcome, judge) for judge in reversed(outcome.judges)],
        limits=[LimitRow(*row) for row in limit_rows(certificate, request.scanner)],
        timing=[
            TimingRow("TE", round(timing.te_s * 1e3, 3), "ms"),
            TimingRow("TR", round(timing.tr_s * 1e3, 3), "ms"),
            TimingRow("scan time", round(timing.scan_time_s, 3), "s"),
            TimingRow("readouts", timing.readouts, ""),
            TimingRow("sequence", f"{request.play.sequence}, {request.play.line_order}", ""),
        ],
        figures=figures,
        certificate=certificate,
        provenance={key: value for key, value in outcome.design.provenance.items() if key not in ("history", "scores")},
        files=outcome.files,
    )


def _lead(request: MaskRequest, outcome: MaskOutcome) -> str:
    counts, lines = outcome.counts, request.lines
    target = ", ".join(f"{name} x {weight:g}" for name, weight in request.target.items())
    tried = f", the best of {request.candidates} candidates a step by trying" if request.candidates > 1 else ""
    network = f", a {request.network} trained on fully sampled images" if outcome.task != "reconstruction" else ""
    return (
        f"{request.shots} of {lines} lines (x{lines / request.shots:.3g}) of {request.geometry.matrix[0]} x {lines} "
        f"pixels in {request.geometry.fov_m[0] * 1e3:g} mm for {request.task}, {request.central} central ones always "
        f"in, chosen by the derivative of the target ({target}) through {request.inner} images{network}{tried}; "
        f"{outcome.choice.passes} passes over {counts['selection']} of {counts['train']} training images from "
        f"{outcome.image_source}; {swap_text(outcome.choice)}. Judged on {counts['judged']} held-out images that share "
        f"no anatomy with them, with {request.coils} simulated coil{'s' if request.coils > 1 else ''} at SNR "
        f"{request.snr:g}; every mask has the same lines, noise, network and {request.recipe.tune_steps} steps of "
        f"fine-tuning."
    )


def _table(outcome: MaskOutcome, judge: str) -> ReportTable:
    rows = mask_rows(outcome, judge)
    metrics = [outcome.headline, *(name for name in rows[0].means if name != outcome.headline)]
    cells = []
    for row in rows:
        shown = [
            show_number(row.means[name])
            + (f" \u00b1 {show_number(row.deviations[name])}" if name in row.deviations else "")
            for name in metrics
        ]
        draws = f"{show_number(min(row.draws))} .. {show_number(max(row.draws))}" if len(row.draws) > 1 else ""
        gain = "" if row.gain is None else show_number(row.gain, signed=True)
        cells.append([row.label, *shown, draws, gain, "" if row.p is None else f"{row.p:.2g}"])
    metric = outcome.headline
    return ReportTable(
        title=f"Held-out images, {judge}",
        head=("Mask", *metrics, f"{metric} of the draws", "IGS gains", "p"),
        rows=cells,
        note=(
            f"Means and standard deviations over the images, of drawn masks over the mean of the draws. p: two-sided "
            f"Wilcoxon signed-rank test of {PAIRED.get(metric, metric)}, image by image, IGS against the mask."
        ),
    )
