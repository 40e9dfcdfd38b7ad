"""What the task's network looks at, in one held-out image: fully sampled, under the chosen mask and under Center."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from seqopt.learn.attribution import integrated_gradients, smoothed
from seqopt.learn.tasks import Segmentation
from seqopt.learn.train_task import Task
from seqopt.report import AttributionColumn, attribution_figure
from seqopt.workflows.evaluate_mask_scores import CellScores
from seqopt.workflows.mask_judging import FULL, IGS
from seqopt.workflows.mask_run import MaskRun

SHOWN = (FULL, IGS, "Center")


def attribution_of(run: MaskRun, network: Task, cell: CellScores) -> Figure:
    """The network as trained reads the same image three times; only the mask differs, noise included."""
    part = run.images.parts["test"]
    assert part.labels is not None
    number = _telling(part.labels.numpy())
    labels = part.labels[number : number + 1]
    columns = []
    for label in SHOWN:
        mask = np.isin(np.arange(cell.matrix), cell.of(label)[0].lines)
        image = run.reconstruct_test(mask, run.inner())[number : number + 1]
        found = integrated_gradients(network, image, labels.to(image.device))
        columns.append(
            AttributionColumn(
                name=label if label == FULL else f"{label}, x{cell.accel:.3g}",
                image=image[0].cpu().numpy(),
                attribution=smoothed(found.maps)[0].cpu().numpy(),
                note=f"mean log-probability of the truth {float(found.certainty):.3f}",
            )
        )
    structures = (labels[0] > 0).numpy() if isinstance(network, Segmentation) else None
    return attribution_figure(columns, structures=structures)


def _telling(labels: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> int:
    """The held-out image with most to be found in it; of classified images the first of the last class."""
    found = (labels > 0).sum((1, 2)) if labels.ndim == 3 else labels
    return int(np.argmax(found))
