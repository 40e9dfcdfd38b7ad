"""The learning stage: a trajectory trained jointly with a reconstruction, then projected to what can be played."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqopt.core import Geometry, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.gradients.penalty import kinematic_penalty
from seqopt.learn.evaluate import evaluate
from seqopt.learn.fit import Fit
from seqopt.recon.in_loop import CgSense, load_stored, make_in_loop, stored
from seqopt.recon.trainable import InLoop
from seqopt.sampling.initial import InitialPath
from seqopt.sampling.trajectory import Path, ResidualTrajectory, SegmentsTrajectory, forms
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m
from seqopt.workflows.run import Run
from seqopt.workflows.safety import readout_stimulation, soft_limits
from seqopt.workflows.store import load_network, load_trajectory_design

FloatArray = npt.NDArray[np.float64]


LEAST_REGULARISATION = 0.01
"""With less, CG-SENSE undoes in training what another reconstruction cannot, and only CG-SENSE gains."""


def learn(run: Run, initial: InitialPath, tuned: CgSense) -> TrajectoryDesign:
    """Train the trajectory and project what came out.

    ``tuned`` is the best CG-SENSE of the initial trajectory: through more iterations than those, one would learn from
    the noise that they let in.
    """
    request, recipe, device = run.request, run.request.recipe, run.acquisition.device
    torch.manual_seed(request.seed)
    sampling = make_sampling(run, initial).to(device)
    recon = make_recon(run, tuned).to(device)
    truth = run.truth("validation")[:4]

    def validate() -> float:
        with torch.no_grad():
            k_per_m = sampling().k_per_m
            scores = evaluate(k_per_m, recon, run.acquisition, truth, seed=request.seed + 1, world=run.world)
        return float(scores.psnr_db.mean())

    with run.batches(recipe.batch, 1, recipe.steps) as batch_of, torch.no_grad():
        fit = Fit(
            sampling,
            recon,
            run.acquisition,
            batch_of,
            recipe=run.image_recipe(recipe),
            steps=recipe.steps,
            scanner=request.scanner,
            seed=request.seed,
            task=None if run.task is None else run.task.loss,
            task_weight=0.0 if run.task is None else run.task.weight,
            world=run.world,
            amp=request.amp,
            compile=request.compile,
            soft_limits=soft_limits(request),
        )
        raw = run.train("learn", fit, validate, patience=recipe.patience)
        sampling.load_state_dict(raw["sampling"])
        path = sampling()
    facts: dict[str, Any] = {
        "training_steps": int(raw["steps"]),
        "training_recon": _described(recon),
        **_violations(path, fit),
    }
    if request.limit_pns is not None:
        facts["raw_readout_stimulation"] = readout_stimulation(path, request.scanner)
    if isinstance(sampling, SegmentsTrajectory):
        facts["raw_joint_gap_per_fov"] = sampling.ode.joint_gap_per_m() * request.geometry.fov_m[0]
    run.watch("project", 0, 1, "")
    k_per_m, facts["raw_largest_k_share_of_k_max"] = _within_k_max(
        path.k_per_m.double().cpu().numpy(), request.geometry
    )
    learned = request.designed(k_per_m, initial, yields=True, learning=facts)
    retimed, moved = learned.samples != request.samples, learned.provenance["projection"]["moved_max_per_fov"]
    run.watch(
        "project", 1, 1, f"re-timed to {learned.samples} samples" if retimed else f"moved k by at most {moved:.3g}/FOV"
    )
    return learned


def _described(recon: nn.Module) -> str:
    """The reconstruction in training, in words."""
    if isinstance(recon, CgSense):
        return f"cg-sense, {recon.iterations} iterations, regularisation {recon.regularisation:g}"
    return type(recon).__name__


def make_sampling(run: Run, initial: InitialPath) -> ResidualTrajectory | SegmentsTrajectory:
    """The ODE in the form of the recipe, starting from the initial trajectory or from an earlier design's."""
    request, recipe = run.request, run.request.recipe
    base = initial.k_per_m if request.warm_start is None else _earlier(run, initial)
    common: dict[str, Any] = {
        "dwell_s": request.dwell_s,
        "echo_sample": initial.echo_sample,
        "pinned": initial.pinned,
    }
    if recipe.form == "residual":
        common |= {
            "k_harmonics": recipe.k_harmonics,
            "co_moving": initial.co_moving,
            "adjoint": recipe.adjoint,
        }
        if request.warm_start is not None:
            common["start_share"] = 0.0  # what was learned is where to go on
    elif recipe.k_harmonics:
        raise SeqoptError(f"k harmonics: the form {recipe.form!r} has none; leave out --k-harmonics")
    return forms[recipe.form](base, request.geometry, request.scanner, **common)


def _earlier(run: Run, initial: InitialPath) -> FloatArray:
    """K of the design to start from; refuses one of another kind."""
    request = run.request
    assert request.warm_start is not None
    earlier = load_trajectory_design(request.warm_start)
    for what, got, expected in (
        ("shots and samples", earlier.k_per_m.shape[:2], initial.k_per_m.shape[:2]),
        ("field of view and matrix", _place(earlier.geometry), _place(request.geometry)),
        ("dwell", earlier.dwell_s, request.dwell_s),
        ("echo sample", earlier.echo_sample, initial.echo_sample),
    ):
        if got != expected:
            raise SeqoptError(
                f"warm start: {request.warm_start} has another {what} ({got}) than asked for ({expected}); "
                "give the options that it was made with"
            )
    return earlier.k_per_m


def _place(geometry: Geometry) -> tuple[tuple[float, float], tuple[int, int]]:
    return geometry.fov_m, geometry.matrix


def make_recon(run: Run, tuned: CgSense) -> InLoop:
    """The reconstruction to learn through, with the weights of an earlier design's network where it has some."""
    request, recipe = run.request, run.request.recipe
    recon = make_in_loop(
        recipe.recon,
        iterations=min(recipe.iterations, tuned.iterations),
        regularisation=max(LEAST_REGULARISATION, tuned.regularisation),
        channels=recipe.network_channels,
    )
    kept = stored(recon)
    if request.warm_start is not None and kept is not None:
        load_stored(recon, load_network(request.warm_start, kept[0]))
    return recon


def _violations(path: Path, fit: Fit) -> dict[str, float]:
    """How far the path as it was learned breaks the limits, before the projection."""
    with torch.no_grad():
        gradient, slew = kinematic_penalty(path.k_uniform_per_m, raster_s=path.step_s, **fit.limits)
    speed = path.k_uniform_per_m.diff(dim=1) / path.step_s
    rate = speed.diff(dim=1) / path.step_s
    lengths = {"grad": speed.norm(dim=-1), "slew": rate.norm(dim=-1)}
    limits = {"grad": fit.limits["max_grad_hz_per_m"], "slew": fit.limits["max_slew_hz_per_m_per_s"]}
    return {
        "raw_gradient_excess": float(gradient),
        "raw_slew_excess": float(slew),
        "raw_largest_gradient_mt_per_m": hz_per_m_to_mt_per_m(float(lengths["grad"].max())),
        "raw_largest_slew_t_per_m_per_s": hz_per_m_per_s_to_t_per_m_per_s(float(lengths["slew"].max())),
        "raw_share_over_gradient_limit": _share_over(lengths["grad"], limits["grad"]),
        "raw_share_over_slew_limit": _share_over(lengths["slew"], limits["slew"]),
    }


def _share_over(values: Tensor, limit: float) -> float:
    return float((values > limit).double().mean())


def _within_k_max(k_per_m: FloatArray, geometry: Geometry) -> tuple[FloatArray, float]:
    """Shrink a trajectory that leaves the k-space of the image's grid, where simulation would fold it; and its share.

    By 2 % at most as a whole; what lies farther out (training keeps it from that) is cut off.
    """
    limit = np.array(geometry.k_max_per_m)
    share = float(np.abs(k_per_m / limit).max())
    return np.clip(k_per_m / min(max(share, 1.0), 1.02), -limit, limit), share
