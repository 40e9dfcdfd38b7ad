"""Where in an image a network looks: integrated gradients of how sure it is of the truth.

Source: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, by captum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from seqopt.errors import SeqoptError, reject
from seqopt.learn.tasks import Segmentation
from seqopt.learn.train_task import Task

STEPS = 64
BLUR_SHARE = 1.0 / 16.0
"""Of the field of view: standard deviation of the blur in the baseline."""


@dataclass(frozen=True)
class Attribution:
    """What each pixel adds to the certainty."""

    maps: Tensor
    """(batch, y, x): their sum over an image is ``certainty - baseline``, but for the steps of the integral."""
    certainty: Tensor
    """(batch,) of the images."""
    baseline: Tensor
    """(batch,) of the blurred images, from which the path begins."""


def require_captum() -> Any:
    """``captum.attr``; raises `SeqoptError` that names the extra where it is missing."""
    try:
        import captum.attr
    except ImportError as error:
        raise SeqoptError("attribution maps need captum; pip install 'seqopt[attribution]'") from error
    return captum.attr


def certainty(task: Task, images: Tensor, labels: Tensor) -> Tensor:
    """Mean log-probability of the truth (batch,), of a segmentation over its structures alone.

    In: magnitudes (batch, y, x); labels (batch, y, x), or (batch,) where whole images are classified.
    """
    truth: Tensor = task(images).log_softmax(1).gather(1, labels[:, None])[:, 0]
    if not isinstance(task, Segmentation):
        return truth
    inside = (labels > 0).to(truth)
    mean: Tensor = (truth * inside).sum((-2, -1)) / inside.sum((-2, -1)).clamp_min(1.0)
    return mean


def integrated_gradients(task: Task, images: Tensor, labels: Tensor, *, steps: int = STEPS) -> Attribution:
    """What each pixel of magnitudes (batch, y, x) adds to the certainty of a frozen task, against a blurred image.

    The path begins at a blurred image: the networks take no notice of an image's scale, so that nothing would
    happen on the way from black. Raises `SeqoptError` without captum, and for no step.
    """
    method = require_captum().IntegratedGradients
    if steps < 1:
        raise reject("steps of the integral", got=steps, expected="1 or more", remedy=f"{STEPS} are usual")
    blurred = _blurred(images)

    def sure(some: Tensor) -> Tensor:
        return certainty(task, some, labels.repeat(len(some) // len(labels), *([1] * (labels.ndim - 1))))

    with torch.enable_grad():
        maps = method(sure).attribute(
            images, baselines=blurred, n_steps=steps, method="gausslegendre", internal_batch_size=max(4, len(images))
        )
    with torch.no_grad():
        return Attribution(maps.detach(), certainty(task, images, labels), certainty(task, blurred, labels))


def _blurred(images: Tensor) -> Tensor:
    sigma = (0.0, *(BLUR_SHARE * size for size in images.shape[-2:]))
    blurred: Any = gaussian_filter(images.cpu().numpy().astype(np.float64), sigma)
    return torch.from_numpy(blurred).to(images)


def smoothed(maps: Tensor, pixels: int = 1) -> Tensor:
    """Maps (batch, y, x) for the eye: single pixels of a gradient are noisy."""
    pooled: Tensor = functional.avg_pool2d(maps[:, None], 2 * pixels + 1, stride=1, padding=pixels)[:, 0]
    return pooled
