"""What a design run found out, and its numbers in rows for tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Certificate, Scanner, TrajectoryDesign
from seqopt.learn.evaluate import Scores
from seqopt.pulseq.gre import SequenceTiming
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m
from seqopt.workflows.design_notices import baseline_notices, planned_notices, played_notices
from seqopt.workflows.scores import METRICS


@dataclass(frozen=True, kw_only=True)
class DesignOutcome:
    """All that a design run found out."""

    fixed: TrajectoryDesign
    learned: TrajectoryDesign
    scores: Mapping[str, Mapping[str, Scores]]
    """Judge -> fixed or learned -> scores on held-out images."""
    cg_settings: Mapping[str, Mapping[str, float]]
    """CG-SENSE's iterations and regularisation, tuned on validation images for each trajectory."""
    networks: Mapping[str, Mapping[str, Mapping[str, npt.NDArray[Any]]]]
    """Fixed or learned -> offline method -> weights."""
    truth: npt.NDArray[np.float32]
    psf: Mapping[str, npt.NDArray[np.float32]]
    history: Mapping[str, list[tuple[int, float]]]
    image_source: str
    counts: Mapping[str, int]
    timing: Mapping[str, SequenceTiming] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    baseline: Certificate | None = None
    """Of the fixed trajectory's file."""

    @property
    def notices(self) -> list[str]:
        """What is to be known beside the numbers, in sentences."""
        planned = planned_notices(self.fixed.provenance)
        return [*planned, *played_notices(self.learned.provenance), *baseline_notices(self.baseline)]

    def gain_db(self, judge: str) -> float:
        """Mean PSNR, learned minus fixed."""
        pair = self.scores[judge]
        return float(pair["learned"].psnr_db.mean() - pair["fixed"].psnr_db.mean())


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


def learning_rows(outcome: DesignOutcome, scanner: Scanner) -> list[tuple[str, float, float, str]]:
    """The learned path before its projection: name, value, limit with the margin, unit."""
    facts = outcome.learned.provenance["learning"]
    limits = (scanner.margin * scanner.max_grad_hz_per_m, scanner.margin * scanner.max_slew_hz_per_m_per_s)
    rows = [
        ("gradient as learned", facts["raw_largest_gradient_mt_per_m"], hz_per_m_to_mt_per_m(limits[0]), "mT/m"),
        (
            "slew rate as learned",
            facts["raw_largest_slew_t_per_m_per_s"],
            hz_per_m_per_s_to_t_per_m_per_s(limits[1]),
            "T/m/s",
        ),
    ]
    if "raw_joint_gap_per_fov" in facts:
        rows.append(("largest gap where segments meet", facts["raw_joint_gap_per_fov"], 0.0, "1/FOV"))
    return rows


def projection_rows(outcome: DesignOutcome) -> list[tuple[str, float, float, str]]:
    """How far what is played lies from what was learned: name, value, no limit (0), unit."""
    retimed = outcome.learned.provenance.get("time_optimal")
    if retimed is None:
        moved = outcome.learned.provenance["projection"]["moved_max_per_fov"]
        return [("largest move by the projection", moved, 0.0, "1/FOV")]
    return [
        ("largest move by a projection without re-timing", retimed["moved_max_without_per_fov"], 0.0, "1/FOV"),
        ("distance from the learned path, re-timed", retimed["distance_from_path_per_fov"], 0.0, "1/FOV"),
    ]


def timing_rows(outcome: DesignOutcome) -> list[tuple[str, float, float, str]]:
    """TE, TR, scan time and the readout: name, fixed, learned, unit. A re-timed readout differs in all of them."""
    fixed, learned = outcome.timing["fixed"], outcome.timing["learned"]
    return [
        ("TE", fixed.te_s * 1e3, learned.te_s * 1e3, "ms"),
        ("TR", fixed.tr_s * 1e3, learned.tr_s * 1e3, "ms"),
        ("scan time", fixed.scan_time_s, learned.scan_time_s, "s"),
        ("samples", outcome.fixed.samples, outcome.learned.samples, ""),
        ("readout", _readout_ms(outcome.fixed), _readout_ms(outcome.learned), "ms"),
    ]


def _readout_ms(design: TrajectoryDesign) -> float:
    return round(1e3 * design.samples * design.dwell_s, 9)


def quality_rows(outcome: DesignOutcome) -> list[tuple[str, str, float, float]]:
    """Judge, metric, fixed, learned: means over the held-out images; more is better for all."""
    rows = []
    for judge, pair in outcome.scores.items():
        metrics = {which: scores.metrics() for which, scores in pair.items()}
        for metric in ("psnr_db", "ssim", *pair["fixed"].task):
            means = [float(metrics[which][metric].mean()) for which in ("fixed", "learned")]
            rows.append((judge, METRICS.get(metric, metric), means[0], means[1]))
    return rows
