"""The files of a mask's design."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any

from seqopt.core import LEAST_CALIBRATION, Certificate, MaskDesign
from seqopt.mrd.mask_header import write_mask_header
from seqopt.mrd.recon_config import ReconConfig, recon_toml
from seqopt.pulseq.calibration_scans import planned_calibration
from seqopt.pulseq.cartesian import build_mask
from seqopt.pulseq.timing import SequenceTiming
from seqopt.recon.cartesian_loop import DEFAULT_REGULARISATION
from seqopt.report import render_report
from seqopt.workflows.certified import Written, made_by, write_certified
from seqopt.workflows.mask_outcome import MaskOutcome, mask_rows
from seqopt.workflows.mask_report import mask_figures, mask_report
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.store import replacing, save_design, write_text

SCORES_FORMAT = "seqopt-mask-scores-1"
_MOST_CALIBRATION = 24


def write_mask_files(
    request: MaskRequest, outcome: MaskOutcome, *, watch: Callable[[str, int, int, str], None], seconds: float
) -> tuple[MaskOutcome, Certificate]:
    """Write every file of the design and certify the .seq; the outcome with what was written, and the certificate."""
    out, name = request.out, request.name
    watch("write", 0, 3, "sequence")
    (out / "design.h5").unlink(missing_ok=True)  # until the last step the folder is not a finished design
    design = replace(outcome.design, provenance=_provenance(request, outcome))
    written = write_certified(out, design, build_mask, request.pulseq_versions)
    timing, certificate = written.timing, written.certificate
    _write_header(request, design, written)
    config = replace(
        recon_config(request, outcome, timing),
        sequence=written.sequence,
        seq_md5_v1_4_1=" ".join(written.other_md5.values()),
    )
    write_text(out / "recon.toml", recon_toml(config))
    watch("write", 1, 3, "report")
    figures = mask_figures(outcome)
    for figure, file in figures:
        with replacing(out / file) as temporary:
            temporary.write_bytes(figure.png)
    files = (
        *("design.h5", *written.files, f"{name}.mrd", "recon.toml", "scores.json", "report.html"),
        *(file for _, file in figures),
    )
    outcome = replace(outcome, timing=timing, files=files, design=design)
    watch("write", 2, 3, "report")
    page = mask_report(request, outcome, certificate, [figure for figure, _ in figures])
    write_text(out / "report.html", render_report(page))
    write_text(out / "scores.json", json.dumps(_scores(request, outcome, seconds), indent=1, sort_keys=True) + "\n")
    save_design(out / "design.h5", design, networks=outcome.networks)
    watch("write", 3, 3, "")
    return outcome, certificate


def _write_header(request: MaskRequest, design: MaskDesign, written: Written) -> None:
    timing = written.timing
    with replacing(request.out / f"{design.name}.mrd") as temporary:
        write_mask_header(
            temporary,
            design,
            te_s=timing.te_s,
            tr_s=timing.tr_s,
            order=timing.order,
            noise_readouts=timing.noise_readouts,
            seq_md5=timing.md5,
            other_md5=written.other_md5,
            echoes=timing.echoes,
            echo_spacing_s=timing.echo_spacing_s,
            calibration=planned_calibration(design),
        )


def recon_config(request: MaskRequest, outcome: MaskOutcome, timing: SequenceTiming) -> ReconConfig:
    """How data of the mask are reconstructed: by the U-Net trained for it, by CG-SENSE with coils, else zero-filled.

    With the settings that were judged, those of the choice where its images are what a network reads.
    """
    recipe, read_by_network = request.recipe, request.task != "reconstruction" and request.inner == "cg-sense"
    if "unet" in outcome.networks:
        method = "unet"
    elif request.coils > 1 and request.maps_possible:
        method = "cg-sense"
    else:
        method = "zero-filled"
    return ReconConfig(
        method=method,
        iterations=recipe.inner_iterations if read_by_network else recipe.iterations,
        regularisation=DEFAULT_REGULARISATION,
        calibration=min(max(request.central, LEAST_CALIBRATION), _MOST_CALIBRATION),
        header=f"{request.name}.mrd",
        seq_md5=timing.md5,
        seqopt_version=metadata.version("seqopt"),
    )


def _scores(request: MaskRequest, outcome: MaskOutcome, seconds: float) -> dict[str, Any]:
    """Every held-out number: judge -> mask -> one entry a draw, image by image, with the lines it belongs to."""
    return {
        "format": SCORES_FORMAT,
        "name": request.name,
        "task": request.task,
        "shots": request.shots,
        "request": json.dumps(request.fingerprint(), sort_keys=True),
        "seconds": round(seconds, 1),
        "masks": {
            label: [{"lines": one.mask.nonzero()[0].tolist()} for one in outcome.of(label)]
            for label in dict.fromkeys(one.label for one in outcome.judged)
        },
        "scores": {
            judge: {
                row.label: {
                    "images": [
                        {
                            name: [float(f"{value:.7g}") for value in values]
                            for name, values in found.scores[judge].each.items()
                        }
                        for found in outcome.of(row.label)
                    ],
                    "overall": [dict(found.scores[judge].overall) for found in outcome.of(row.label)],
                    "p": row.p,
                }
                for row in mask_rows(outcome, judge)
            }
            for judge in outcome.judges
        },
    }


def _provenance(request: MaskRequest, outcome: MaskOutcome) -> dict[str, Any]:
    return {
        "recipe": asdict(request.recipe),
        "request": request.fingerprint(),
        "labels": dict(request.labels),
        "seed": request.seed,
        "task": request.task,
        "target": dict(request.target),
        "classes": list(outcome.classes),
        "images": {"source": outcome.image_source, "counts": dict(outcome.counts)},
        "noise_sigma": outcome.noise_sigma,
        "choice": outcome.choice.facts(),
        "scores": {
            judge: {row.label: dict(row.means) for row in mask_rows(outcome, judge)} for judge in outcome.judges
        },
        "history": {name: [list(point) for point in points] for name, points in outcome.history.items()},
        **made_by(),
    }
