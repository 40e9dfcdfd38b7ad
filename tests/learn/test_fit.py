from __future__ import annotations

import numpy as np
import pytest
import torch
from designs import paper_scanner

from seqopt.core import Geometry
from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.images import simulated_coil_maps
from seqopt.learn.evaluate import evaluate, tune_cg_sense
from seqopt.learn.fit import Fit
from seqopt.learn.recipe import choose
from seqopt.recon.in_loop import AdjointUnet, CgSense
from seqopt.sampling.initial import radial
from seqopt.sampling.trajectory import FixedTrajectory, ResidualTrajectory

GEOMETRY = Geometry(fov_m=(0.22, 0.22), matrix=(32, 32))
SAMPLES, DWELL_S = 500, 4e-6


def acquisition(sigma: float = 0.01) -> Acquisition:
    return Acquisition(GEOMETRY, simulated_coil_maps(4, GEOMETRY), noise_sigma=sigma)


def objects(index: int, count: int = 2) -> torch.Tensor:
    """Ellipses of random size and place: complex (count, 32, 32)."""
    rng = np.random.default_rng([11, index])
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    images = [
        sum(
            rng.uniform(0.3, 1.0) * (((y - a) / b) ** 2 + ((x - c) / d) ** 2 < 1)
            for a, b, c, d in zip(
                rng.uniform(-0.4, 0.4, 5),
                rng.uniform(0.1, 0.5, 5),
                rng.uniform(-0.4, 0.4, 5),
                rng.uniform(0.1, 0.5, 5),
                strict=True,
            )
        )
        for _ in range(count)
    ]
    return torch.from_numpy(np.stack(images).astype(np.complex64))


def fit_of(steps: int, *, form: str = "residual", seed: int = 0) -> Fit:
    torch.manual_seed(seed)
    k, echo = radial(GEOMETRY, 4, SAMPLES)
    if form == "residual":
        sampling = ResidualTrajectory(k, GEOMETRY, paper_scanner(), dwell_s=DWELL_S, echo_sample=echo)
        recon = CgSense(6, 0.01)
    else:
        sampling = FixedTrajectory(k, dwell_s=DWELL_S)
        recon = AdjointUnet(channels=4, levels=2)
    return Fit(
        sampling, recon, acquisition(), objects, recipe=choose("quick"), steps=steps, scanner=paper_scanner(), seed=seed
    )


def test_learning_the_trajectory_improves_held_out_images() -> None:
    fit = fit_of(80)
    k, _ = radial(GEOMETRY, 4, SAMPLES)
    list(fit.steps())
    truth = objects(10_000, 8)
    with torch.no_grad():
        learned = fit.sampling().k_per_m
    judge = CgSense(6, 0.01)
    before = evaluate(torch.tensor(k, dtype=torch.float32), judge, acquisition(), truth, seed=5).psnr_db.mean()
    after = evaluate(learned, judge, acquisition(), truth, seed=5).psnr_db.mean()
    assert after > before + 0.5


def test_the_echo_stays_at_k_zero_while_learning() -> None:
    fit = fit_of(3)
    list(fit.steps())
    with torch.no_grad():
        assert float(fit.sampling().k_per_m[:, SAMPLES // 2].abs().max()) == 0.0


@pytest.mark.parametrize("form", ["residual", "fixed"])
def test_a_restored_fit_ends_where_the_unbroken_one_ends(form: str) -> None:
    whole = fit_of(9, form=form)
    losses = [step.loss for step in whole.steps()]
    first = fit_of(9, form=form)
    begun = [step.loss for _, step in zip(range(5), first.steps(), strict=False)]
    second = fit_of(9, form=form, seed=0)
    second.restore(first.state())
    assert begun + [step.loss for step in second.steps()] == losses


def test_training_a_network_on_a_fixed_trajectory_improves_held_out_images() -> None:
    fit = fit_of(100, form="fixed")
    k, truth = fit.sampling().k_per_m, objects(10_000, 8)
    before = evaluate(k, fit.recon, acquisition(), truth, seed=5).psnr_db.mean()
    list(fit.steps())
    after = evaluate(k, fit.recon, acquisition(), truth, seed=5).psnr_db.mean()
    assert after > before + 1.0


def test_a_diverged_run_says_so() -> None:
    fit = fit_of(3)
    fit.batch_of = lambda index: torch.full((1, 32, 32), float("nan"), dtype=torch.complex64)
    with pytest.raises(SeqoptError, match="diverged"):
        list(fit.steps())


def test_the_same_noise_meets_every_trial() -> None:
    k = torch.tensor(radial(GEOMETRY, 4, SAMPLES)[0], dtype=torch.float32)
    scores = [evaluate(k, CgSense(6, 0.01), acquisition(0.1), objects(1), seed=seed).psnr_db for seed in (3, 3, 4)]
    assert (scores[0] == scores[1]).all()
    assert (scores[0] != scores[2]).all()


def test_more_noise_wants_more_regularisation() -> None:
    k = torch.tensor(radial(GEOMETRY, 4, SAMPLES)[0], dtype=torch.float32)
    chosen = [
        tune_cg_sense(k, acquisition(sigma), objects(1), seed=1, iterations=20, regularisations=(1e-4, 0.01, 0.3))
        for sigma in (0.001, 1.0)
    ]
    assert chosen[0].regularisation < chosen[1].regularisation
