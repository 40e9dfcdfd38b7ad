"""The files of a design, and the report that shows what was learned."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Certificate, Scanner, TrajectoryDesign
from seqopt.learn.evaluate import Scores
from seqopt.mrd.header import write_header
from seqopt.mrd.recon_config import ReconConfig, recon_toml
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.gre import GreTiming, plan_gre, write_gre
from seqopt.report import (
    LimitRow,
    QualityRow,
    Report,
    ReportFigure,
    TimingRow,
    curves_figure,
    images_figure,
    psf_figure,
    render_report,
    to_png_bytes,
    trajectories_figure,
    waveforms_figure,
)
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.store import replacing, save_design, write_text

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DesignOutcome:
    """All that a design run found out."""

    fixed: TrajectoryDesign
    learned: TrajectoryDesign
    scores: Mapping[str, Mapping[str, Scores]]
    """Judge -> fixed or learned -> scores on held-out images."""
    cg_settings: Mapping[str, Mapping[str, float]]
    """CG-SENSE's iterations and regularisation, tuned on validation images for each trajectory."""
    networks: Mapping[str, Mapping[str, npt.NDArray[np.float32]]]
    truth: npt.NDArray[np.float32]
    psf: Mapping[str, npt.NDArray[np.float32]]
    history: Mapping[str, list[tuple[int, float]]]
    image_source: str
    counts: Mapping[str, int]
    timing: Mapping[str, GreTiming] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def gain_db(self, judge: str) -> float:
        """Mean PSNR, learned minus fixed."""
        pair = self.scores[judge]
        return float(pair["learned"].psnr_db.mean() - pair["fixed"].psnr_db.mean())


def write_design(
    request: DesignRequest, outcome: DesignOutcome, *, watch: Callable[[str, int, int, str], None]
) -> tuple[DesignOutcome, Certificate]:
    """Write every file of the design, certify the .seq, and do the same for the fixed baseline in ``fixed/``.

    Returns the outcome with what was written, and the learned sequence's certificate.
    """
    out = request.out
    watch("write", 0, 3, "sequences")
    (out / "design.h5").unlink(missing_ok=True)  # until the last step the folder is not a finished design
    learned = replace(outcome.learned, provenance=_provenance(request, outcome))
    baseline = replace(outcome.fixed, name=f"{request.name}-fixed", provenance={"baseline_of": request.name})
    _export(out / "fixed", baseline, outcome, "fixed")
    timing, certificate = _export(out, learned, outcome, "learned")
    watch("write", 1, 3, "report")
    figures = _figures(outcome)
    for figure, file in figures:
        with replacing(out / file) as temporary:
            temporary.write_bytes(figure.png)
    sequence = f"{request.name}.seq" if certificate.holds else f"{request.name}.rejected.seq"
    files = (
        *("design.h5", sequence, f"{request.name}.mrd", "recon.toml", "certificate.json", "report.html"),
        *(file for _, file in figures),
        f"fixed/{baseline.name}.seq",
    )
    outcome = replace(outcome, timing={"fixed": plan_gre(outcome.fixed), "learned": timing}, files=files)
    watch("write", 2, 3, "report")
    report = _report(request, outcome, certificate, [figure for figure, _ in figures])
    write_text(out / "report.html", render_report(report))
    save_design(out / "design.h5", learned, networks={"unet": outcome.networks["learned"]})
    watch("write", 3, 3, "")
    return outcome, certificate


def _export(folder: Path, one: TrajectoryDesign, outcome: DesignOutcome, which: str) -> tuple[GreTiming, Certificate]:
    """The .seq, its certificate, the MRD header and recon.toml; of the baseline the design.h5 too."""
    folder.mkdir(parents=True, exist_ok=True)
    final, draft = folder / f"{one.name}.seq", folder / f"{one.name}.rejected.seq"
    with replacing(draft) as temporary:  # it gets its name only once it is certified
        timing = write_gre(one, temporary)
    certificate = replace(certify(draft, one.scanner, design=one), file=final.name)
    if certificate.holds:
        draft.replace(final)
    else:
        final.unlink(missing_ok=True)
    with replacing(folder / f"{one.name}.mrd") as temporary:
        write_header(
            temporary,
            one,
            te_s=timing.te_s,
            tr_s=timing.tr_s,
            order=timing.order,
            noise_readouts=timing.noise_readouts,
            seq_md5=timing.md5,
        )
    settings = outcome.cg_settings[which]
    config = ReconConfig(
        method="cg-sense",
        iterations=int(settings["iterations"]),
        regularisation=float(settings["regularisation"]),
        sequence=final.name,
        header=f"{one.name}.mrd",
        seq_md5=timing.md5,
        seqopt_version=metadata.version("seqopt"),
    )
    write_text(folder / "recon.toml", recon_toml(config))
    write_text(folder / "certificate.json", json.dumps(certificate.to_dict(), indent=1, sort_keys=True) + "\n")
    if which == "fixed":
        save_design(folder / "design.h5", one, networks={"unet": outcome.networks["fixed"]})
    return timing, certificate


def limit_rows(certificate: Certificate, scanner: Scanner) -> list[tuple[str, float, float, str]]:
    """Largest gradient and slew measured on the written file, as vectors: name, value, limit, unit."""
    measured = certificate.summary
    return [
        (
            "largest gradient (vector)",
            float(measured["largest_gradient_mt_per_m_vector"]),
            hz_per_m_to_mt_per_m(scanner.max_grad_hz_per_m),
            "mT/m",
        ),
        (
            "largest slew rate (vector)",
            float(measured["largest_slew_t_per_m_per_s_vector"]),
            hz_per_m_per_s_to_t_per_m_per_s(scanner.max_slew_hz_per_m_per_s),
            "T/m/s",
        ),
    ]


def timing_rows(outcome: DesignOutcome) -> list[tuple[str, float, float, str]]:
    """TE, TR and scan time: name, fixed, learned, unit. Ramps and prephasers of the two differ a little."""
    fixed, learned = outcome.timing["fixed"], outcome.timing["learned"]
    return [
        ("TE", fixed.te_s * 1e3, learned.te_s * 1e3, "ms"),
        ("TR", fixed.tr_s * 1e3, learned.tr_s * 1e3, "ms"),
        ("scan time", fixed.scan_time_s, learned.scan_time_s, "s"),
    ]


def quality_rows(outcome: DesignOutcome) -> list[tuple[str, str, float, float]]:
    """Judge, metric, fixed, learned: means over the held-out images; more is better for both metrics."""
    rows = []
    for judge, pair in outcome.scores.items():
        for metric, attribute in (("PSNR (dB)", "psnr_db"), ("SSIM", "ssim")):
            means = [float(getattr(pair[which], attribute).mean()) for which in ("fixed", "learned")]
            rows.append((judge, metric, means[0], means[1]))
    return rows


def _provenance(request: DesignRequest, outcome: DesignOutcome) -> dict[str, Any]:
    packages = ("seqopt", "torch", "torchdiffeq", "finufft", "pypulseq", "ismrmrd", "numpy")
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
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _figures(outcome: DesignOutcome) -> list[tuple[ReportFigure, str]]:
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


def _report(
    request: DesignRequest,
    outcome: DesignOutcome,
    certificate: Certificate,
    figures: list[ReportFigure],
) -> Report:
    provenance = _provenance(request, outcome)
    moved = provenance["projection"]
    return Report(
        title=f"{request.name}: learned k-space sampling",
        lead=(
            f"{request.shots} shots of {request.readout_s * 1e3:g} ms for {request.geometry.matrix[0]} x "
            f"{request.geometry.matrix[1]} pixels in {request.geometry.fov_m[0] * 1e3:g} mm, learned from "
            f"{outcome.image_source} ({outcome.counts['train']} training slices, judged on {len(outcome.truth)} "
            f"held-out slices with {request.coils} simulated coils at SNR {request.snr:g}, coils combined). Numbers "
            f"are those of the projected, playable trajectory; the projection moved k by at most "
            f"{moved['moved_max_per_fov']:.3g}/FOV. CG-SENSE has the true coil maps, and iterations and "
            f"regularisation tuned on validation slices for each trajectory ({_settings(outcome)})."
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


def _settings(outcome: DesignOutcome) -> str:
    return ", ".join(
        f"{which}: {one['iterations']:g} and {one['regularisation']:g}" for which, one in outcome.cg_settings.items()
    )
