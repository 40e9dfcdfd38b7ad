"""How good a trajectory is: held-out images, one reconstruction, one noise for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqopt.encoding.acquisition import Acquisition
from seqopt.learn.losses import nmse, psnr, ssim
from seqopt.learn.parallel import World, alone
from seqopt.recon.cg_sense import conjugate_gradients
from seqopt.recon.in_loop import CgSense

FloatArray = npt.NDArray[np.float64]
REGULARISATIONS = (0.0003, 0.001, 0.003, 0.01, 0.03)
MOST_ITERATIONS = 30


@dataclass(frozen=True)
class Scores:
    """Per held-out image, (images,) each."""

    psnr_db: FloatArray
    ssim: FloatArray
    nmse: FloatArray
    images: npt.NDArray[np.float32]
    """(images, y, x) reconstructed magnitudes."""
    task: Mapping[str, FloatArray] = field(default_factory=dict)
    """What a task measured, (images,) each, more is better: for example 'Dice GM'."""

    def metrics(self) -> dict[str, FloatArray]:
        """All numbers by name."""
        return {"psnr_db": self.psnr_db, "ssim": self.ssim, "nmse": self.nmse, **self.task}

    def means(self) -> dict[str, float]:
        """Mean and standard deviation of each metric."""
        return {
            f"{name}{suffix}": float(take(values))
            for name, values in self.metrics().items()
            for suffix, take in (("", np.mean), ("_std", np.std))
        }


def evaluate(
    k_per_m: Tensor, recon: nn.Module, acquisition: Acquisition, truth: Tensor, *, seed: int, world: World = alone
) -> Scores:
    """Reconstruct complex images (n, y, x) through a trajectory (shots, samples, 2) and score the magnitudes.

    The noise depends on the seed alone, so that every trajectory and reconstruction meets the same. Several processes
    share the images and all get all scores.
    """
    weights = acquisition.weights(k_per_m)
    spectrum = acquisition.kernel(k_per_m, weights)
    estimates = []
    with torch.no_grad():
        for index in world.share(len(truth)):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
            measurement = acquisition.measure(truth[index][None], k_per_m, weights, generator, spectrum=spectrum)
            estimates.append(recon(measurement)[0])
        estimate, magnitude = torch.stack(world.gather(estimates, len(truth))), truth.abs()
        psnr_db, similarity, error = (
            metric(estimate, magnitude).double().cpu().numpy() for metric in (psnr, ssim, nmse)
        )
        return Scores(psnr_db, similarity, error, estimate.float().cpu().numpy())


def tune_cg_sense(
    k_per_m: Tensor,
    acquisition: Acquisition,
    validation: Tensor,
    *,
    seed: int,
    iterations: int = MOST_ITERATIONS,
    regularisations: Sequence[float] = REGULARISATIONS,
    world: World = alone,
) -> CgSense:
    """The CG-SENSE with the best mean PSNR on the validation images: each trajectory is judged by its own best.

    Every number of iterations up to ``iterations`` is tried, since one run passes through them all. Several processes
    share the images.
    """
    weights = acquisition.weights(k_per_m)
    spectrum = acquisition.kernel(k_per_m, weights)
    found = []
    with torch.no_grad():
        for index in world.share(len(validation)):
            image, scores = validation[index], torch.zeros(len(regularisations), iterations)
            generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
            measurement = acquisition.measure(image[None], k_per_m, weights, generator, spectrum=spectrum)
            right_hand_side = measurement.combined()
            for row, value in enumerate(regularisations):
                estimates: list[Tensor] = []
                conjugate_gradients(
                    right_hand_side,
                    spectrum,
                    acquisition.shifted,
                    iterations=iterations,
                    regularisation=value,
                    iterates=estimates,
                )
                scores[row] = psnr(torch.cat(estimates).abs(), image.abs().expand(iterations, -1, -1)).cpu()
            found.append(scores)
    best = int(torch.stack(world.gather(found, len(validation))).sum(0).argmax())
    return CgSense(best % iterations + 1, regularisations[best // iterations])
