"""The files of a design, and the report that shows what was learned."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Certificate, Scanner, TrajectoryDesign
from seqopt.learn.evaluate import Scores
from seqopt.mrd.header import write_header
from seqopt.mrd.recon_config import ReconConfig, recon_toml
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.gre import GreTiming, write_gre
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
    timing: GreTiming | None = None
    files: tuple[str, ...] = ()

    def gain_db(self, judge: str) -> float:
        """Mean PSNR, learned minus fixed."""
        pair = self.scores[judge]
        return float(pair["learned"].psnr_db.mean() - pair["fixed"].psnr_db.mean())


def write_design(
    request: DesignRequest, outcome: DesignOutcome, *, watch: Callable[[str, int, int, str], None]
) -> Certificate:
    """Write every file of the design and certify the .seq that was written."""
    out, name = request.out, request.name
    watch("write", 0, 3, "sequence")
    learned = replace(outcome.learned, provenance=_provenance(request, outcome))
    with replacing(out / f"{name}.seq") as temporary:
        timing = write_gre(learned, temporary)
    certificate = certify(out / f"{name}.seq", request.scanner, design=learned)
    if not certificate.holds:  # so that nobody carries it to a scanner
        (out / f"{name}.seq").replace(out / f"{name}.rejected.seq")
    watch("write", 1, 3, "MRD header")
    with replacing(out / f"{name}.mrd") as temporary:
        write_header(
            temporary,
            learned,
            te_s=timing.te_s,
            tr_s=timing.tr_s,
            order=timing.order,
            noise_readouts=timing.noise_readouts,
            seq_md5=timing.md5,
        )
    config = ReconConfig(
        method="cg-sense",
        iterations=int(outcome.cg_settings["learned"]["iterations"]),
        regularisation=float(outcome.cg_settings["learned"]["regularisation"]),
        sequence=f"{name}.seq",
        header=f"{name}.mrd",
        seq_md5=timing.md5,
        seqopt_version=metadata.version("seqopt"),
    )
    write_text(out / "recon.toml", recon_toml(config))
    write_text(out / "certificate.json", json.dumps(certificate.to_dict(), indent=1, sort_keys=True) + "\n")
    watch("write", 2, 3, "report")
    figures = _figures(outcome)
    for figure, file in figures:
        with replacing(out / file) as temporary:
            temporary.write_bytes(figure.png)
    files = (
        *("design.h5", f"{name}.seq", f"{name}.mrd", "recon.toml", "certificate.json", "report.html"),
        *(file for _, file in figures),
    )
    report = _report(request, outcome, certificate, timing, [figure for figure, _ in figures], files)
    write_text(out / "report.html", render_report(report))
    save_design(  # last: a folder with design.h5 is complete
        out / "design.h5", learned, networks={"unet": outcome.networks["learned"]}
    )
    watch("write", 3, 3, "")
    return certificate


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


def quality_rows(outcome: DesignOutcome) -> list[tuple[str, str, float, float]]:
    """Judge, metric, fixed, learned: means over the held-out images."""
    rows = []
    for judge, pair in outcome.scores.items():
        for metric, attribute in (("PSNR (dB)", "psnr_db"), ("SSIM", "ssim"), ("NMSE", "nmse")):
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
            "Losses, excess over the limits and validation PSNR.",
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
    timing: GreTiming,
    figures: list[ReportFigure],
    files: tuple[str, ...],
) -> Report:
    provenance = _provenance(request, outcome)
    moved = provenance["projection"]
    return Report(
        title=f"{request.name}: learned k-space sampling",
        lead=(
            f"{request.shots} shots of {request.readout_s * 1e3:g} ms for {request.geometry.matrix[0]} x "
            f"{request.geometry.matrix[1]} pixels in {request.geometry.fov_m[0] * 1e3:g} mm, learned from "
            f"{outcome.image_source} ({outcome.counts['train']} training slices, judged on {len(outcome.truth)} "
            f"held-out slices with {request.coils} simulated coils at SNR {request.snr:g}). Numbers are those of the "
            f"projected, playable trajectory; the projection moved k by at most {moved['moved_max_per_fov']:.3g}/FOV."
        ),
        quality=[QualityRow(judge, metric, a, b, b - a) for judge, metric, a, b in quality_rows(outcome)],
        limits=[LimitRow(*row) for row in limit_rows(certificate, request.scanner)],
        timing=[
            TimingRow("TE", round(timing.te_s * 1e3, 3), "ms"),
            TimingRow("TR", round(timing.tr_s * 1e3, 3), "ms"),
            TimingRow("scan time", round(timing.scan_time_s, 3), "s"),
            TimingRow("readouts", timing.readouts, ""),
        ],
        figures=figures,
        certificate=certificate,
        provenance={key: value for key, value in provenance.items() if key not in ("history", "scores")},
        files=files,
    )
