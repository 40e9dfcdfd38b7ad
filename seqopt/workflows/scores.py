"""scores.json: every held-out number of a design, image by image, and what follows from pairs of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.learn.evaluate import Scores
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.store import write_text

FORMAT = "seqopt-scores-1"
METRICS = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "nmse": "NMSE"}
"""What every judge measures; a task adds its own."""
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One design's scores as its file holds them."""

    name: str
    family: str
    shots: int
    request: str
    """Fingerprint of the run, to tell whether it is the one asked for."""
    seconds: float
    values: Mapping[str, Mapping[str, Mapping[str, FloatArray]]]
    """Judge -> 'fixed' or 'learned' -> metric -> (images,)."""

    def gain_db(self, judge: str) -> float:
        """Mean PSNR, learned minus fixed."""
        pair = self.values[judge]
        return float((pair["learned"]["psnr_db"] - pair["fixed"]["psnr_db"]).mean())

    def significance(self, judge: str, metric: str) -> float:
        """Two-sided p of the Wilcoxon signed-rank test over images, learned against fixed."""
        pair = self.values[judge]
        return paired_p(pair["learned"][metric], pair["fixed"][metric])


def paired_p(one: FloatArray, other: FloatArray) -> float:
    """Two-sided p of the Wilcoxon signed-rank test on (images,) pairs; 1 where all pairs are equal."""
    from scipy.stats import wilcoxon

    if not np.any(one != other):
        return 1.0
    return float(wilcoxon(one, other).pvalue)


def fingerprint_text(request: DesignRequest) -> str:
    """The settings of a run as one text."""
    return json.dumps(request.fingerprint(), sort_keys=True)


def write_scores(
    path: Path,
    request: DesignRequest,
    scores: Mapping[str, Mapping[str, Scores]],
    designs: Mapping[str, TrajectoryDesign],
    *,
    seconds: float,
) -> None:
    """Write what one run's judges found, per held-out image, and the readouts of the ``designs`` that they judged."""
    table = {
        "format": FORMAT,
        "name": request.name,
        "family": f"{request.family}+golden" if request.golden else request.family,
        "shots": request.shots,
        "request": fingerprint_text(request),
        "seconds": round(seconds, 1),
        "readouts": {
            which: {"samples": one.samples, "readout_ms": round(1e3 * one.samples * one.dwell_s, 9)}
            for which, one in designs.items()
        },
        "scores": {
            judge: {
                which: {metric: [float(f"{value:.7g}") for value in values] for metric, values in one.metrics().items()}
                for which, one in pair.items()
            }
            for judge, pair in scores.items()
        },
    }
    write_text(path, json.dumps(table, indent=1, sort_keys=True) + "\n")


def read_scores(path: Path) -> HeldOut:
    """Read scores.json; refuses what is not one."""
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if table["format"] != FORMAT:
            raise KeyError("format")
        return HeldOut(
            name=str(table["name"]),
            family=str(table["family"]),
            shots=int(table["shots"]),
            request=str(table["request"]),
            seconds=float(table["seconds"]),
            values={
                judge: {
                    which: {metric: np.array(values, dtype=float) for metric, values in one.items()}
                    for which, one in pair.items()
                }
                for judge, pair in table["scores"].items()
            },
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SeqoptError(f"{path} is not a scores.json of this seqopt, or it is damaged; run its cell anew") from error
