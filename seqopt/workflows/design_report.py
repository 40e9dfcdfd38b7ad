"""The figures of a design and the report that shows what was learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqopt.core import Certificate, Scanner
from seqopt.report import (
    LimitRow,
    QualityRow,
    Report,
    ReportFigure,
    TimingRow,
    curves_figure,
    images_figure,
    psf_figure,
    to_png_bytes,
    trajectories_figure,
    waveforms_figure,
)
from seqopt.workflows.design_outcome import (
    DesignOutcome,
    learning_rows,
    limit_rows,
    projection_rows,
    quality_rows,
    timing_rows,
)
from seqopt.workflows.design_request import DesignRequest


def design_figures(outcome: DesignOutcome) -> list[tuple[ReportFigure, str]]:
    """Every figure of a design with its file's name."""
    fixed, learned = outcome.fixed, outcome.learned
    shown = np.unique(np.linspace(0, len(outcome.truth) - 1, 3).round().astype(int))
    history = dict(outcome.history)
    drawn = [
        (
            "trajectories.png",
            "Trajectories",
            "Fixed and learned k-space paths, one colour a shot, with the centre enlarged.",
            trajectories_figure(fixed.k_per_m, learned.k_per_m, learned.geometry),
        ),
        (
            "waveforms.png",
            "Gradient waveforms",
            "What the scanner plays in the readout block, against its limits; the ADC window is shaded.",
            waveforms_figure(learned),
        ),
        (
            "psf.png",
            "Point-spread functions",
            "Density-compensated adjoint of ones, in dB below the peak.",
            psf_figure(outcome.psf["fixed"], outcome.psf["learned"]),
        ),
        *(
            (
                f"images-{judge.replace('+', '-')}.png",
                f"Held-out images, {judge}",
                "Slices that no training saw, through the same coils, noise and reconstruction.",
                images_figure(
                    outcome.truth[shown],
                    pair["fixed"].images[shown],
                    pair["learned"].images[shown],
                    {which: [(float(s.psnr_db[i]), float(s.ssim[i])) for i in shown] for which, s in pair.items()},
                ),
            )
            for judge, pair in outcome.scores.items()
        ),
        (
            "curves.png",
            "Learning curves",
            "Losses, excess over the limits, and validation PSNR of the trajectory as it learns, before projection.",
            curves_figure(history),
        ),
    ]
    return [
        (ReportFigure(title=title, caption=caption, png=to_png_bytes(figure)), file)
        for file, title, caption, figure in drawn
    ]


def design_report(
    request: DesignRequest,
    outcome: DesignOutcome,
    certificate: Certificate,
    figures: list[ReportFigure],
    provenance: Mapping[str, Any],
) -> Report:
    """The page of one design."""
    notices = "".join(f" {notice}." for notice in outcome.notices)
    return Report(
        title=f"{request.name}: learned k-space sampling",
        lead=(
            f"{request.shots} shots of {_readouts(outcome)} for {request.geometry.matrix[0]} x "
            f"{request.geometry.matrix[1]} pixels in {request.geometry.fov_m[0] * 1e3:g} mm, from the trajectory "
            f"{request.traj}{' (golden angle)' if request.golden else ''}{_warm(request)}, learned through "
            f"{outcome.learned.provenance['learning']['training_recon']} from "
            f"{outcome.image_source} ({outcome.counts['train']} training slices, judged on {len(outcome.truth)} "
            f"held-out slices with {request.coils} simulated coils at SNR {request.snr:g}, coils combined). Numbers "
            f"are those of the projected, playable trajectory ({_moved(outcome)}).{notices} "
            f"CG-SENSE has the true coil maps, and iterations and "
            f"regularisation tuned on validation slices for each trajectory ({_settings(outcome)}). "
            f"Before the projection: {_as_learned(outcome, request.scanner)}."
        ),
        quality=[QualityRow(judge, metric, a, b, b - a) for judge, metric, a, b in quality_rows(outcome)],
        limits=[LimitRow(*row) for row in limit_rows(certificate, request.scanner)],
        timing=[
            *(
                TimingRow(f"{name}, {which}", round(value, 3), unit)
                for name, *pair, unit in timing_rows(outcome)
                for which, value in zip(("fixed", "learned"), pair, strict=True)
            ),
            TimingRow("readouts", outcome.timing["learned"].readouts, ""),
        ],
        figures=figures,
        certificate=certificate,
        provenance={key: value for key, value in provenance.items() if key not in ("history", "scores")},
        files=outcome.files,
    )


def _readouts(outcome: DesignOutcome) -> str:
    """The readout's length; both where they differ."""
    fixed, learned = (1e3 * one.samples * one.dwell_s for one in (outcome.fixed, outcome.learned))
    return f"{fixed:g} ms" + (f", learned {learned:g} ms," if learned != fixed else "")


def _settings(outcome: DesignOutcome) -> str:
    return ", ".join(
        f"{which}: {one['iterations']:g} and {one['regularisation']:g}" for which, one in outcome.cg_settings.items()
    )


def _warm(request: DesignRequest) -> str:
    return "" if request.warm_start is None else f" and where {request.warm_start.name} ended"


def _moved(outcome: DesignOutcome) -> str:
    return ", ".join(f"{name} {value:.3g}{unit[1:]}" for name, value, _, unit in projection_rows(outcome))


def _as_learned(outcome: DesignOutcome, scanner: Scanner) -> str:
    """What the path was before its projection, in words."""
    facts = outcome.learned.provenance["learning"]
    shares = facts["raw_share_over_gradient_limit"], facts["raw_share_over_slew_limit"]
    rows = [f"{name} {value:.3g} {unit}" for name, value, _, unit in learning_rows(outcome, scanner)]
    return (
        f"{', '.join(rows)}; {shares[0]:.2%} of the path over the gradient limit, {shares[1]:.2%} over the slew limit"
    )
