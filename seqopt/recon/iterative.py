"""The iterative reconstructions by name: each solves a `Problem`, whatever the encoding behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqopt.errors import SeqoptError, reject
from seqopt.recon.cg_sense import solve
from seqopt.recon.l1_wavelet import WaveletShrinkage
from seqopt.recon.problem import Problem
from seqopt.recon.sparse import Prox, proximal_gradients
from seqopt.recon.total_variation import TotalVariation

ITERATIVE = ("cg-sense", "l1-wavelet", "tv")
"""CG-SENSE with Tikhonov regularisation (Pruessmann et al., MRM 46:638, 2001), wavelet-sparse SENSE, and SENSE of least
total variation; they take iterations and a regularisation, need coil maps and give complex images."""
_PRIORS: dict[str, Callable[[int], Prox]] = {"l1-wavelet": WaveletShrinkage, "tv": lambda _: TotalVariation()}


def minimise(
    method: str,
    problem: Callable[[], Problem],
    *,
    iterations: int,
    regularisation: float,
    residuals: list[float] | None = None,
    seed: int = 0,
) -> Tensor:
    """Images (batch, y, x) of one of `ITERATIVE`; ``residuals`` collects one number an iteration.

    ``regularisation`` is the weight of the image's energy for cg-sense, else a share of the largest magnitude of the
    right-hand side. ``seed`` shifts the wavelets. Raises `SeqoptError` for numbers with which no method works, before
    the problem is set up, and for data too large for single precision.
    """
    if iterations < 1:
        raise reject("iterations", got=iterations, expected="1 or more", remedy="10 to 40 are usual")
    if regularisation < 0:
        raise reject("regularisation", got=regularisation, expected="0 or more", remedy="0.01 is usual")
    posed = problem()
    right = torch.view_as_real(posed.right_hand_side)
    if not torch.isfinite(right.square().sum()):  # steps are quotients of such sums
        raise SeqoptError(
            f"{method}: the square of the combined data, at most {float(right.abs().max()):.3g}, is no number in "
            "single precision; the file is damaged or was scaled wrongly"
        )
    numbers: dict[str, Any] = {"iterations": iterations, "regularisation": regularisation, "residuals": residuals}
    with posed.threads():
        if method not in _PRIORS:
            return solve(posed.gram, posed.right_hand_side, **numbers)
        return proximal_gradients(posed, _PRIORS[method](seed), **numbers)
