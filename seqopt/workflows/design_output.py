"""The files of a design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from seqopt.core import Certificate, TrajectoryDesign
from seqopt.mrd.header import write_header
from seqopt.mrd.recon_config import ReconConfig, recon_toml
from seqopt.pulseq.calibration_scans import planned_calibration
from seqopt.pulseq.gre import build_gre
from seqopt.report import render_report
from seqopt.workflows.certified import Written, made_by, write_certified
from seqopt.workflows.design_outcome import DesignOutcome
from seqopt.workflows.design_report import design_figures, design_report
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.scores import write_scores
from seqopt.workflows.store import replacing, save_design, write_text


def write_design(
    request: DesignRequest, outcome: DesignOutcome, *, watch: Callable[[str, int, int, str], None], seconds: float
) -> tuple[DesignOutcome, Certificate]:
    """Write every file of the design, certify the .seq, and do the same for the fixed baseline in ``fixed/``.

    ``seconds`` is what the run took. Returns the outcome with what was written, and the learned sequence's certificate.
    """
    out = request.out
    watch("write", 0, 3, "sequences")
    (out / "design.h5").unlink(missing_ok=True)  # until the last step the folder is not a finished design
    learned = replace(outcome.learned, provenance=_provenance(request, outcome))
    kept = {**outcome.fixed.provenance, "baseline_of": request.name}
    baseline = replace(outcome.fixed, name=f"{request.name}-fixed", provenance=kept)
    fixed = _export(request, out / "fixed", baseline, outcome, "fixed")
    written = _export(request, out, learned, outcome, "learned")
    certificate = written.certificate
    watch("write", 1, 3, "report")
    figures = design_figures(outcome)
    for figure, file in figures:
        with replacing(out / file) as temporary:
            temporary.write_bytes(figure.png)
    files = (
        *("design.h5", *written.files, f"{request.name}.mrd", "recon.toml", "scores.json", "report.html"),
        *(file for _, file in figures),
        f"fixed/{fixed.sequence}",
    )
    outcome = replace(
        outcome,
        timing={"fixed": fixed.timing, "learned": written.timing},
        files=files,
        baseline=fixed.certificate,
    )
    watch("write", 2, 3, "report")
    report = design_report(request, outcome, certificate, [figure for figure, _ in figures], learned.provenance)
    write_text(out / "report.html", render_report(report))
    designs = {"fixed": outcome.fixed, "learned": outcome.learned}
    write_scores(out / "scores.json", request, outcome.scores, designs, seconds=seconds)
    save_design(out / "design.h5", learned, networks=outcome.networks["learned"])
    watch("write", 3, 3, "")
    return outcome, certificate


def _export(request: DesignRequest, folder: Path, one: TrajectoryDesign, outcome: DesignOutcome, which: str) -> Written:
    """Each .seq, its certificate, the MRD header and recon.toml; of the baseline the design.h5 too."""
    written = write_certified(folder, one, build_gre, request.pulseq_versions)
    timing = written.timing
    with replacing(folder / f"{one.name}.mrd") as temporary:
        write_header(
            temporary,
            one,
            te_s=timing.te_s,
            tr_s=timing.tr_s,
            order=timing.order,
            noise_readouts=timing.noise_readouts,
            seq_md5=timing.md5,
            other_md5=written.other_md5,
            calibration=planned_calibration(one),
        )
    settings = outcome.cg_settings[which]
    config = ReconConfig(
        method="cg-sense",
        iterations=int(settings["iterations"]),
        regularisation=float(settings["regularisation"]),
        sequence=written.sequence,
        header=f"{one.name}.mrd",
        seq_md5=timing.md5,
        seq_md5_v1_4_1=" ".join(written.other_md5.values()),
        seqopt_version=metadata.version("seqopt"),
    )
    write_text(folder / "recon.toml", recon_toml(config))
    if which == "fixed":
        save_design(folder / "design.h5", one, networks=outcome.networks["fixed"])
    return written


def _provenance(request: DesignRequest, outcome: DesignOutcome) -> dict[str, Any]:
    return {
        **outcome.learned.provenance,
        "recipe": asdict(request.recipe),
        "request": request.fingerprint(),
        "labels": dict(request.labels),
        "seed": request.seed,
        "images": {"source": outcome.image_source, "counts": dict(outcome.counts)},
        "cg_settings": {which: dict(settings) for which, settings in outcome.cg_settings.items()},
        "scores": {
            judge: {which: scores.means() for which, scores in pair.items()} for judge, pair in outcome.scores.items()
        },
        "history": {name: [list(point) for point in points] for name, points in outcome.history.items()},
        **made_by("torchdiffeq", "finufft"),
    }
