"""Judging: one trajectory after the other through the same reconstructions, trained and tuned with the same budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from seqopt.core import TrajectoryDesign
from seqopt.encoding.acquisition import Acquisition
from seqopt.learn.evaluate import Scores, evaluate, tune_cg_sense
from seqopt.learn.fit import Fit
from seqopt.recon.in_loop import CgSense, make_in_loop, stored
from seqopt.sampling.trajectory import FixedTrajectory
from seqopt.workflows.run import Run

Weights = Mapping[str, npt.NDArray[Any]]
STAGES = {"adjoint+unet": "U-Net", "unrolled": "unrolled"}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the judges found about one trajectory."""

    scores: Mapping[str, Scores]
    """By judge, on held-out images."""
    cg_settings: Mapping[str, float]
    """CG-SENSE's iterations and regularisation, tuned on validation images."""
    networks: Mapping[str, Weights]
    """Weights by the name of the offline method."""
    psf: npt.NDArray[np.float32]
    """(y, x) point-spread function, peak 1."""


def tune(run: Run, one: TrajectoryDesign) -> CgSense:
    """The CG-SENSE that suits a trajectory best on validation images."""
    k = torch.tensor(one.k_per_m, dtype=torch.float32, device=run.acquisition.device)
    return tune_cg_sense(k, run.acquisition, run.truth("validation")[::4], seed=run.request.seed + 3, world=run.world)


def judge(run: Run, which: str, one: TrajectoryDesign, tuned: CgSense) -> Judged:
    """Train and tune the reconstructions for a trajectory, and score it on the held-out images.

    CG-SENSE and the U-Net on the adjoint always; the unrolled network where the trajectory was learned through it.
    ``which`` names the stages of training, ``tuned`` is the trajectory's own CG-SENSE.
    """
    request, acquisition, world = run.request, run.acquisition, run.world
    test = run.truth("test")
    trajectory = FixedTrajectory(one.k_per_m, dwell_s=request.dwell_s).to(acquisition.device)
    k = trajectory().k_per_m
    judges: dict[str, nn.Module] = {"cg-sense": tuned}
    for name in judging_networks(run):
        judges[name] = _trained(run, name, which, trajectory, tuned)
    scores = {}
    for name, recon in judges.items():
        found = evaluate(k, recon, acquisition, test, seed=request.seed + 4, world=world)
        scores[name] = found if run.task is None else replace(found, task=run.task.score(found.images))
    networks = dict(filter(None, (stored(recon) for recon in judges.values())))
    settings = {"iterations": tuned.iterations, "regularisation": tuned.regularisation}
    return Judged(scores=scores, cg_settings=settings, networks=networks, psf=_psf(acquisition, one))


def judging_networks(run: Run) -> list[str]:
    """The reconstructions with weights that every trajectory of this run gets."""
    return ["adjoint+unet", *(["unrolled"] if run.request.recipe.recon == "unrolled" else [])]


def _trained(run: Run, name: str, which: str, trajectory: FixedTrajectory, tuned: CgSense) -> nn.Module:
    request, recipe = run.request, run.request.recipe
    torch.manual_seed(request.seed)  # the same initial weights for every trajectory
    recon = make_in_loop(
        name, iterations=recipe.iterations, regularisation=tuned.regularisation, channels=recipe.network_channels
    ).to(run.acquisition.device)
    steps = recipe.network_steps
    with run.batches(recipe.network_batch, 2, steps) as batch_of, torch.no_grad():
        fit = Fit(
            trajectory,
            recon,
            run.acquisition,
            batch_of,
            recipe=replace(recipe, loss=recipe.network_loss),
            steps=steps,
            scanner=request.scanner,
            seed=request.seed + 2,
            world=run.world,
            amp=request.amp,
            compile=request.compile,
        )
        state = run.train(f"{STAGES[name]} {which}", fit)
    recon.load_state_dict(state["recon"])
    return recon


def _psf(acquisition: Acquisition, one: TrajectoryDesign) -> npt.NDArray[np.float32]:
    """Magnitude (y, x) of A^H W 1, peak 1."""
    k = torch.tensor(one.k_per_m, dtype=torch.float32, device=acquisition.device)
    weights = acquisition.weights(k)
    spread = acquisition.nufft.adjoint(weights.to(torch.complex64)[None, None], k)[0, 0].abs()
    return (spread / spread.max()).cpu().numpy()
