from __future__ import annotations

import pytest

from seqopt.errors import SeqoptError
from seqopt.learn.recipe import Recipe, choose, parse_loss, presets


def test_a_budget_scales_every_training_and_a_named_number_stays_as_given():
    quick, half = choose("quick"), choose("quick", budget=0.5)
    assert (half.steps, half.network_steps) == (quick.steps // 2, quick.network_steps // 2)
    assert choose("paper", budget=0.1, steps=7).steps == 7
    assert choose("smoke", budget=1e-6).steps == 1


def test_the_paper_preset_has_the_papers_settings():
    paper = presets["paper"]
    assert (paper.form, paper.recon) == ("segments", "adjoint+unet")
    assert (paper.rate_trajectory, paper.rate_network) == (0.01, 0.001)
    assert paper.loss == {"l1": 1.0, "ssim": 1.0} == paper.network_loss
    assert (paper.penalty, paper.warmup_share, paper.anneal) == (0.1, 0.25, False)
    assert paper.steps == 100 * 65  # epochs of the embedded training slices


def test_a_loss_is_read_by_name_and_weight():
    known = ["l1", "ssim", "segmentation"]
    assert parse_loss("l1=2, ssim", known) == {"l1": 2.0, "ssim": 1.0}
    with pytest.raises(SeqoptError, match="known: l1, ssim, segmentation"):
        parse_loss("l2=1", known)
    with pytest.raises(SeqoptError, match="not a number"):
        parse_loss("l1=much", known)


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"loss": {"l1": -1.0}}, "weights above 0"),
        ({"loss": {"l1": float("nan")}}, "weights above 0"),
        ({"coarse_share": 0.0}, "coarse share"),
        ({"k_harmonics": -1}, "k harmonics"),
        ({"patience": 0}, "patience"),
        ({"steps": 0}, "steps"),
    ],
)
def test_numbers_that_cannot_be_are_refused(changes, saying):
    with pytest.raises(SeqoptError, match=saying):
        Recipe(**changes)


def test_a_budget_out_of_range_is_refused():
    with pytest.raises(SeqoptError, match="budget"):
        choose("quick", budget=0.0)
