from __future__ import annotations

import numpy as np
import pytest
import torch
from designs import paper_scanner
from together import PINNED, spokes

from seqopt.core import Geometry
from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.images import simulated_coil_maps
from seqopt.learn.evaluate import evaluate, tune_cg_sense
from seqopt.learn.fit import Batch, BatchOf, Fit, Step
from seqopt.learn.recipe import choose
from seqopt.recon.in_loop import AdjointUnet, CgSense
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
    k = spokes()
    if form == "residual":
        sampling = ResidualTrajectory(
            k, GEOMETRY, paper_scanner(), dwell_s=DWELL_S, echo_sample=SAMPLES // 2, pinned=PINNED
        )
        recon = CgSense(6, 0.01)
    else:
        sampling = FixedTrajectory(k, dwell_s=DWELL_S)
        recon = AdjointUnet(channels=4, levels=2)
    return Fit(
        sampling,
        recon,
        acquisition(),
        lambda index: Batch(objects(index)),
        recipe=choose("quick"),
        steps=steps,
        scanner=paper_scanner(),
        seed=seed,
    )


def test_learning_the_trajectory_improves_held_out_images() -> None:
    fit = fit_of(80)
    k = spokes()
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
    fit.batch_of = lambda index: Batch(torch.full((1, 32, 32), float("nan"), dtype=torch.complex64))
    with pytest.raises(SeqoptError, match="diverged"):
        list(fit.steps())


def test_the_same_noise_meets_every_trial() -> None:
    k = torch.tensor(spokes(), dtype=torch.float32)
    scores = [evaluate(k, CgSense(6, 0.01), acquisition(0.1), objects(1), seed=seed).psnr_db for seed in (3, 3, 4)]
    assert (scores[0] == scores[1]).all()
    assert (scores[0] != scores[2]).all()


def test_more_noise_wants_more_regularisation() -> None:
    k = torch.tensor(spokes(), dtype=torch.float32)
    chosen = [
        tune_cg_sense(k, acquisition(sigma), objects(1), seed=1, iterations=20, regularisations=(1e-4, 0.01, 0.3))
        for sigma in (0.001, 1.0)
    ]
    assert chosen[0].regularisation < chosen[1].regularisation


def brightness(estimate: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A task: tell the mean of each image."""
    return (estimate.mean((-2, -1)) - labels).abs().mean()


def labelled(index: int) -> Batch:
    return Batch(objects(index), torch.full((2,), 0.3))


def with_task(fit: Fit, batch_of: BatchOf = labelled, **changes: object) -> Fit:
    """The same fit with a task and without image losses."""
    recipe = choose("quick")
    object.__setattr__(recipe, "loss", {})
    options = {"recipe": recipe, "steps": 3, "scanner": paper_scanner(), "seed": 0, **changes}
    return Fit(fit.sampling, fit.recon, fit.acquisition, batch_of, **options)  # type: ignore[arg-type]


def test_a_task_alone_can_be_learned_from() -> None:
    fit = with_task(fit_of(3), task=brightness, task_weight=2.0)
    step = next(fit.steps())
    with torch.no_grad():
        assert 0.01 < step.loss < 2.0
    assert any(float(one.grad.abs().max()) > 0 for one in fit.parameters if one.grad is not None)


def test_a_task_adds_its_weighted_loss() -> None:
    losses = {
        weight: next(with_task(fit_of(3), task=brightness, task_weight=weight, recipe=choose("quick")).steps()).loss
        for weight in (0.0, 1.0, 3.0)
    }
    assert losses[3.0] - losses[0.0] == pytest.approx(3 * (losses[1.0] - losses[0.0]), rel=1e-4)
    assert losses[1.0] > losses[0.0]


def test_the_plain_adjoint_adds_its_weighted_error() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0])
    losses = []
    for weight in weights.tolist():
        torch.manual_seed(0)
        fit = fit_of(3)
        fit.recipe = choose("quick", adjoint_weight=weight)
        losses.append(next(fit.steps()).loss)
    truth = objects(0)
    with torch.no_grad():
        k = fit_of(3).sampling().k_per_m
        field = acquisition()
        areas = field.weights(k)
        coils = field.nufft.adjoint(field.nufft.forward(truth[:, None] * field.maps, k) * areas, k)
    plain, peak = coils.abs().square().sum(1).sqrt(), truth.abs().amax((1, 2), keepdim=True)
    expected = 10 * float((((plain - truth.abs()) / peak) ** 2).mean((1, 2)).sqrt().mean())
    assert losses[1] - losses[0] == pytest.approx(expected, rel=0.05)  # the sum leaves out the noise
    assert losses[2] - losses[0] == pytest.approx(3 * (losses[1] - losses[0]), rel=1e-4)


def test_a_task_without_labels_and_a_fit_without_any_loss_are_refused() -> None:
    with pytest.raises(SeqoptError, match="without labels"):
        next(with_task(fit_of(3), lambda index: Batch(objects(index)), task=brightness, task_weight=1.0).steps())
    with pytest.raises(SeqoptError, match="no term and no task"):
        with_task(fit_of(3))


def test_a_step_is_read_when_it_is_asked_and_not_before() -> None:
    class Unread(torch.Tensor):
        def tolist(self) -> list[float]:
            reads.append(1)
            return super().tolist()

    reads: list[int] = []
    step = Step(4, torch.tensor([1.0, 2.0, 3.0]).as_subclass(Unread))
    assert reads == []
    assert (step.loss, step.gradient_excess, step.slew_excess) == (1.0, 2.0, 3.0)
    assert reads == [1]
    with pytest.raises(SeqoptError, match="diverged at step 4"):
        _ = Step(4, torch.tensor([float("inf"), 0.0, 0.0])).loss
