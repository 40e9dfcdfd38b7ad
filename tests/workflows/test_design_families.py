"""Every family and both ODE forms the whole way: learned, projected, certified, with an MRD header."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from designs import paper_scanner

from seqopt.core import Geometry, Protocol
from seqopt.errors import SeqoptError
from seqopt.learn.recipe import choose
from seqopt.workflows.design import design
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.store import load_design, load_network

FAMILIES = ("cartesian", "radial", "spiral", "spiral-in-out", "epi", "propeller", "rosette")


def request(out: Path, **changes: object) -> DesignRequest:
    standard = DesignRequest(
        out=out,
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(32, 32)),
        scanner=paper_scanner(),
        protocol=Protocol(dummy_shots=1),
        recipe=replace(choose("smoke"), steps=2, network_steps=1),
        shots=3,
        coils=2,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


def combinations() -> list[object]:
    """Families by forms; the paper's form of most families takes its turn among the slow tests."""
    quick = [pytest.param(family, "residual") for family in FAMILIES]
    return quick + [
        pytest.param(family, "segments", marks=[] if family == "epi" else pytest.mark.slow) for family in FAMILIES
    ]


@pytest.mark.parametrize(("family", "form"), combinations())
def test_every_family_goes_the_whole_way_in_both_forms(family: str, form: str, tmp_path: Path) -> None:
    asked = request(tmp_path / "out", traj=family)
    asked = replace(asked, recipe=replace(asked.recipe, form=form))
    outcome, certificate = design(asked)
    assert certificate.holds, [check for check in certificate.checks if not check.held]
    assert (tmp_path / "out" / f"{family}-3.mrd").exists()
    learned = load_design(tmp_path / "out")
    initial = asked.initial()
    assert np.abs(learned.k_per_m - outcome.fixed.k_per_m).max() * 0.22 > 0.01
    moved = learned.k_per_m[:, learned.echo_sample] - initial.k_per_m[:, learned.echo_sample]
    assert np.abs(np.einsum("sij,sj->si", initial.pinned, moved)).max() * 0.22 < 1e-3
    if form == "segments":
        assert learned.provenance["learning"]["raw_joint_gap_per_fov"] > 0.0


def test_a_warm_start_begins_where_the_earlier_design_ended(tmp_path: Path) -> None:
    first = request(tmp_path / "first")
    first = replace(first, recipe=replace(first.recipe, steps=12))
    design(first)
    earlier = load_design(tmp_path / "first")
    tiny = replace(first.recipe, steps=1, rate_trajectory=1e-9)
    design(request(tmp_path / "second", warm_start=tmp_path / "first", recipe=tiny))
    later = load_design(tmp_path / "second")
    cold = request(tmp_path / "third", recipe=tiny)
    design(cold)

    def apart(one: np.ndarray) -> float:
        return float(np.sqrt(((one - earlier.k_per_m) ** 2).sum(-1).mean())) * 0.22

    assert apart(later.k_per_m) < 0.7 * apart(load_design(tmp_path / "third").k_per_m)
    assert later.initial_k_per_m == pytest.approx(earlier.initial_k_per_m)  # the baseline stays the family's


def test_a_warm_start_of_another_kind_is_refused_before_the_training(tmp_path: Path) -> None:
    design(request(tmp_path / "first"))
    with pytest.raises(SeqoptError, match="another shots and samples"):
        design(request(tmp_path / "second", shots=4, warm_start=tmp_path / "first"))
    with pytest.raises(SeqoptError, match="no design at"):
        design(request(tmp_path / "third", warm_start=tmp_path / "nothing"))


def test_what_was_learned_through_the_unrolled_network_keeps_its_weights(tmp_path: Path) -> None:
    asked = request(tmp_path / "out")
    outcome, _ = design(replace(asked, recipe=replace(asked.recipe, recon="unrolled")))
    assert set(outcome.scores) == {"cg-sense", "adjoint+unet", "unrolled"}
    assert load_network(tmp_path / "out", "unrolled")
    assert load_network(tmp_path / "out" / "fixed", "unrolled")


def test_a_task_in_the_loss_is_judged_too(tmp_path: Path) -> None:
    asked = request(tmp_path / "out")
    outcome, _ = design(replace(asked, recipe=replace(asked.recipe, loss={"rmse": 1.0, "segmentation": 0.5})))
    dice = outcome.scores["cg-sense"]["learned"].task
    assert dice
    assert all(((values >= 0) & (values <= 1)).all() for values in dice.values())
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["scores"]
    assert set(dice) < set(scores["cg-sense"]["fixed"])


def test_learning_stops_early_at_the_best_validation(tmp_path: Path) -> None:
    asked = request(tmp_path / "out")
    recipe = replace(asked.recipe, steps=40, patience=1, validate_every=1, rate_trajectory=0.3, warmup_share=0.1)
    design(replace(asked, recipe=recipe))
    learned = load_design(tmp_path / "out")
    curve = dict(learned.provenance["history"]["validation PSNR (dB)/before projection"])
    counted = {step: value for step, value in curve.items() if step > 4}
    assert learned.provenance["learning"]["training_steps"] == max(counted, key=lambda step: counted[step])
    assert max(counted) < 40
