"""The main job: images -> learned, projected, judged trajectory -> certified files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqopt.core import Certificate, Geometry, TrajectoryDesign
from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.gradients.penalty import kinematic_penalty
from seqopt.images import ImageSet, evaluation_images, training_batches
from seqopt.learn.evaluate import Scores, evaluate, tune_cg_sense
from seqopt.learn.fit import Fit
from seqopt.pulseq.gre import plan_gre
from seqopt.recon.in_loop import AdjointUnet, CgSense, in_loop
from seqopt.sampling.trajectory import FixedTrajectory, SegmentsTrajectory, forms
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.design_output import DesignOutcome, write_design
from seqopt.workflows.design_request import DesignRequest, slowest
from seqopt.workflows.design_setup import images_and_coils, prepare_folder

FloatArray = npt.NDArray[np.float64]
Watch = Callable[[str, int, int, str], None]
"""Called as (stage, done, total, remark)."""


class InterruptedRunError(Exception):
    """The user stopped the run; a checkpoint is there."""


@dataclass
class _Run:
    """What every stage needs."""

    request: DesignRequest
    images: ImageSet
    acquisition: Acquisition
    checkpoint: Checkpoint
    watch: Watch
    stop: Callable[[], bool]

    def truth(self, split: str) -> Tensor:
        """Complex held-out images (n, y, x), the same in each run of a seed."""
        limit = self.request.recipe.limit_images
        chosen = evaluation_images(self.images, split, seed=self.request.seed, limit=limit)
        return torch.from_numpy(chosen).to(self.acquisition.device)

    def batch_of(self, size: int, stream: int) -> Callable[[int], Tensor]:
        """Training images of a step: a function of the seed and the step alone."""

        def batch(index: int) -> Tensor:
            generator = np.random.default_rng([self.request.seed, stream, index])
            images = next(training_batches(self.images, size, generator))
            return torch.from_numpy(images).to(self.acquisition.device)

        return batch


def design(
    request: DesignRequest, *, watch: Watch = lambda *_: None, stop: Callable[[], bool] = lambda: False
) -> tuple[DesignOutcome, Certificate]:
    """Learn, project, judge, write and certify one design into ``request.out``.

    ``stop`` is asked after each step; when true, a checkpoint is written and `InterruptedRunError` raised. Everything
    random depends on the seed and the step only, so that a resumed run ends where the unbroken one would have.
    """
    checkpoint = prepare_folder(request)
    initial_k, echo = request.initial()
    fixed = request.designed(initial_k, echo)
    try:  # a TE, TR or flip angle that cannot be: refuse now, not after the training
        plan_gre(slowest(fixed))
    except SeqoptError as error:
        raise SeqoptError(
            f"{error} (that fits whatever is learned; without --te and --tr you get the shortest)"
        ) from error
    watch("images", 0, 1, "")
    run = _Run(request, *images_and_coils(request), checkpoint, watch, stop)
    watch("images", 1, 1, run.images.source)

    learned = _learn(run, fixed)
    outcome = _judge(run, fixed, learned)
    outcome, certificate = write_design(request, outcome, watch=watch)
    checkpoint.remove()
    return outcome, certificate


def _learn(run: _Run, fixed: TrajectoryDesign) -> TrajectoryDesign:
    """Train the trajectory and project what came out."""
    request, recipe = run.request, run.request.recipe
    torch.manual_seed(request.seed)
    device = run.acquisition.device
    sampling = forms[recipe.form](
        fixed.initial_k_per_m,
        request.geometry,
        request.scanner,
        dwell_s=request.dwell_s,
        echo_sample=fixed.echo_sample,
    ).to(device)
    recon = _loop_recon(request).to(device)
    fit = Fit(
        sampling,
        recon,
        run.acquisition,
        run.batch_of(recipe.batch, 1),
        recipe=recipe,
        steps=recipe.steps,
        scanner=request.scanner,
        seed=request.seed,
    )
    truth = run.truth("validation")[:4]

    def validate(k_per_m: Tensor) -> float:
        return float(evaluate(k_per_m, recon, run.acquisition, truth, seed=request.seed + 1).psnr_db.mean())

    def each(index: int) -> None:
        if index % recipe.validate_every == 0 or index == recipe.steps:
            with torch.no_grad():
                _note(run, "validation PSNR (dB)/before projection", index, validate(sampling().k_per_m))

    with torch.no_grad():
        raw = _train(run, "learn", fit, each)
    sampling.load_state_dict(raw["sampling"])
    with torch.no_grad():
        path = sampling()
        gradient, slew = kinematic_penalty(path.k_uniform_per_m, raster_s=path.step_s, **fit.limits)
    facts: dict[str, Any] = {
        "raw_gradient_excess": float(gradient),
        "raw_slew_excess": float(slew),
        "training_steps": recipe.steps,
    }
    if isinstance(sampling, SegmentsTrajectory):
        facts["raw_joint_gap_per_fov"] = sampling.ode.joint_gap_per_m() * request.geometry.fov_m[0]
    run.watch("project", 0, 1, "")
    k_per_m, facts["raw_largest_k_share_of_k_max"] = _within_k_max(
        path.k_per_m.double().cpu().numpy(), request.geometry
    )
    learned = request.designed(k_per_m, fixed.echo_sample, learning=facts)
    moved = learned.provenance["projection"]["moved_max_per_fov"]
    run.watch("project", 1, 1, f"moved k by at most {moved:.3g}/FOV")
    return learned


def _loop_recon(request: DesignRequest) -> nn.Module:
    recipe = request.recipe
    if recipe.recon == "cg-sense":
        return CgSense(recipe.iterations, recipe.regularisation)
    if recipe.recon == "adjoint+unet":
        return AdjointUnet(recipe.network_channels)
    return in_loop[recipe.recon]()


def _within_k_max(k_per_m: FloatArray, geometry: Geometry) -> tuple[FloatArray, float]:
    """Shrink a trajectory that leaves the k-space of the image's grid, where simulation would fold it; and its share.

    By 2 % at most as a whole; what lies farther out (training keeps it from that) is cut off.
    """
    limit = np.array(geometry.k_max_per_m)
    share = float(np.abs(k_per_m / limit).max())
    return np.clip(k_per_m / min(max(share, 1.0), 1.02), -limit, limit), share


def _train(run: _Run, stage: str, fit: Fit, each: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """Run one training to its end, or fetch it from the checkpoint; returns its state."""
    checkpoint, every = run.checkpoint, run.request.recipe.checkpoint_every
    if stage in checkpoint.finished:
        result: dict[str, Any] = checkpoint.finished[stage]
        run.watch(stage, fit.total, fit.total, "from the checkpoint")
        return result
    if checkpoint.stage == stage and checkpoint.state is not None:
        fit.restore(checkpoint.state)
    elif fit.done == 0:
        each(0)
    run.watch(stage, fit.done, fit.total, "")
    with torch.enable_grad():
        for step in fit.steps():
            _note(run, f"loss/{stage}", step.index, step.loss)
            if fit.moves:
                _note(run, "excess over limits/gradient", step.index, step.gradient_excess)
                _note(run, "excess over limits/slew", step.index, step.slew_excess)
            each(fit.done)
            run.watch(stage, fit.done, fit.total, f"loss {step.loss:.4f}")
            if fit.done == fit.total:
                break
            stopped = run.stop()
            if stopped or fit.done % every == 0:
                checkpoint.save(stage, fit.state())
            if stopped:
                raise InterruptedRunError(stage)
    state = fit.state()
    kept = {"sampling": state["sampling"], "recon": state["recon"]}
    checkpoint.finish(stage, kept)
    if run.stop():
        raise InterruptedRunError(stage)
    return kept


def _note(run: _Run, name: str, index: int, value: float) -> None:
    run.checkpoint.history.setdefault(name, []).append((index, value))


def _judge(run: _Run, fixed: TrajectoryDesign, learned: TrajectoryDesign) -> DesignOutcome:
    """Both judges on held-out images, for the fixed and for the projected learned trajectory."""
    request, recipe, acquisition = run.request, run.request.recipe, run.acquisition
    test, validation = run.truth("test"), run.truth("validation")[::4]
    scores: dict[str, dict[str, Scores]] = {"cg-sense": {}, "adjoint+unet": {}}
    cg_sense: dict[str, CgSense] = {}
    networks: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    for which, one in (("fixed", fixed), ("learned", learned)):
        torch.manual_seed(request.seed)  # the same initial weights for both
        recon = AdjointUnet(recipe.network_channels).to(acquisition.device)
        trajectory = FixedTrajectory(one.k_per_m, dwell_s=request.dwell_s).to(acquisition.device)
        fit = Fit(
            trajectory,
            recon,
            acquisition,
            run.batch_of(recipe.network_batch, 2),
            recipe=replace(recipe, loss=recipe.network_loss),
            steps=recipe.network_steps,
            scanner=request.scanner,
            seed=request.seed + 2,
        )
        with torch.no_grad():
            state = _train(run, f"U-Net {which}", fit)
        recon.load_state_dict(state["recon"])
        k = trajectory().k_per_m
        cg_sense[which] = tune_cg_sense(k, acquisition, validation, seed=request.seed + 3)
        judges = {"cg-sense": cg_sense[which], "adjoint+unet": recon}
        for name, judge in judges.items():
            scores[name][which] = evaluate(k, judge, acquisition, test, seed=request.seed + 4)
        networks[which] = {key: value.cpu().numpy() for key, value in recon.unet.state_dict().items()}
    run.watch("judge", 2, 2, "")
    return DesignOutcome(
        fixed=fixed,
        learned=learned,
        scores=scores,
        cg_settings={
            which: {"iterations": one.iterations, "regularisation": one.regularisation}
            for which, one in cg_sense.items()
        },
        networks=networks,
        truth=test.abs().cpu().numpy(),
        psf={which: _psf(acquisition, one) for which, one in (("fixed", fixed), ("learned", learned))},
        history={name: list(points) for name, points in run.checkpoint.history.items()},
        image_source=run.images.source,
        counts={split: len(run.images.splits[split]) for split in run.images.splits},
    )


def _psf(acquisition: Acquisition, one: TrajectoryDesign) -> npt.NDArray[np.float32]:
    """Magnitude (y, x) of A^H W 1, peak 1."""
    k = torch.tensor(one.k_per_m, dtype=torch.float32, device=acquisition.device)
    weights = acquisition.weights(k)
    spread = acquisition.nufft.adjoint(weights.to(torch.complex64)[None, None], k)[0, 0].abs()
    return (spread / spread.max()).cpu().numpy()
