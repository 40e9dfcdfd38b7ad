"""What the design of a mask found out, and its numbers in rows for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import MaskDesign
from seqopt.learn.swaps import ERRORS
from seqopt.pulseq.timing import SequenceTiming
from seqopt.workflows.mask_choice import Choice
from seqopt.workflows.mask_judging import BASELINES, FULL, IGS, UNREFINED, Judged
from seqopt.workflows.scores import paired_p

FloatArray = npt.NDArray[np.float64]
HEADLINES = {"segmentation": "Dice", "classification": "F1", "reconstruction": "SSIM"}
"""By task, what masks are compared by first."""
PAIRED = {"F1": "accuracy"}
"""What stands in for a metric that single images do not have, in paired tests."""
LESS_IS_BETTER = ("NMSE",)


@dataclass(frozen=True, kw_only=True)
class MaskOutcome:
    """All that a design run of a mask found out."""

    design: MaskDesign
    task: str
    choice: Choice
    judged: tuple[Judged, ...]
    shown: tuple[int, ...]
    """Numbers of the held-out images in the figures."""
    truth: npt.NDArray[np.float32]
    """(shown, y, x) held-out magnitudes of the figures."""
    labels: npt.NDArray[np.int64] | None
    """Their labels."""
    classes: tuple[str, ...]
    networks: Mapping[str, Mapping[str, npt.NDArray[Any]]]
    """Weights by name: ``task`` as trained, ``task-tuned`` for this mask; ``unet`` where images are restored."""
    history: Mapping[str, list[tuple[int, float]]]
    image_source: str
    counts: Mapping[str, int]
    """Images: ``train``, ``validation`` and ``test`` as divided, ``selection`` in each pass, ``judged`` at the end."""
    noise_sigma: float
    timing: SequenceTiming | None = None
    files: tuple[str, ...] = ()

    @property
    def judges(self) -> list[str]:
        """Names of the judges, the last one the most telling."""
        return list(self.of(IGS)[0].scores)

    @property
    def headline(self) -> str:
        """The metric by which masks are compared first."""
        return HEADLINES[self.task]

    def of(self, label: str) -> list[Judged]:
        """All draws of one mask."""
        return [one for one in self.judged if one.label == label]


@dataclass(frozen=True, kw_only=True)
class MaskRow:
    """One mask under one judge."""

    label: str
    means: Mapping[str, float]
    """Metric -> mean over the held-out images and the draws."""
    deviations: Mapping[str, float]
    """Metric -> standard deviation over the images, of a drawn mask of each image's mean over the draws."""
    draws: tuple[float, ...]
    """The headline metric of each draw."""
    gain: float | None
    """IGS less this mask in the headline metric; None for IGS itself and for all lines."""
    p: float | None
    """Of the two-sided Wilcoxon test of that, over images; of F1 by which images are classified rightly."""


def mask_rows(outcome: MaskOutcome, judge: str) -> list[MaskRow]:
    """IGS, each baseline and all lines, as the judge found them."""
    ours = _means(outcome.of(IGS), judge)
    rows: list[MaskRow] = []
    for label in (IGS, UNREFINED, *BASELINES, FULL):
        found = [one for one in outcome.of(label) if judge in one.scores]
        if not found:
            continue
        overall = [one.scores[judge].overall for one in found]
        means = {name: float(np.mean([one[name] for one in overall])) for name in overall[0]}
        each = _means(found, judge)
        compared = label not in (IGS, FULL)
        metric = PAIRED.get(outcome.headline, outcome.headline)
        rows.append(
            MaskRow(
                label=label,
                means=means,
                deviations={
                    name: float(values.std(ddof=1)) if len(values) > 1 else 0.0 for name, values in each.items()
                },
                draws=tuple(one[outcome.headline] for one in overall),
                gain=rows[0].means[outcome.headline] - means[outcome.headline] if compared else None,
                p=paired_p(ours[metric], each[metric]) if compared else None,
            )
        )
    return rows


def _means(found: Sequence[Judged], judge: str) -> dict[str, FloatArray]:
    """Metric -> (images,) mean over the draws."""
    return {
        name: np.mean([one.scores[judge].each[name] for one in found], axis=0) for name in found[0].scores[judge].each
    }


def swap_text(choice: Choice) -> str:
    """What the swaps gained, in words."""
    if choice.before is None or choice.after is None:
        return "no swaps were tried"
    if not choice.swaps:
        least = f"by more than {ERRORS:g} standard errors"
        return f"no swap lowered the target on the validation images ({choice.before:.4f}) {least}"
    return (
        f"{len(choice.swaps)} swap{'s' if len(choice.swaps) > 1 else ''} lowered the target on the validation images "
        f"from {choice.before:.4f} to {choice.after:.4f}"
    )
