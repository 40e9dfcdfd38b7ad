from __future__ import annotations

import numpy as np
import pytest
import torch
from references import reference_ssim
from scipy.ndimage import uniform_filter

from seqopt.errors import SeqoptError
from seqopt.learn.losses import image_loss, nmse, psnr, ssim


def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = uniform_filter(rng.random((2, 40, 36)), (0, 5, 5))
    return truth, truth + 0.05 * rng.standard_normal(truth.shape)


def test_ssim_is_that_of_an_independent_implementation() -> None:
    truth, estimate = pair()
    ours = ssim(torch.from_numpy(estimate), torch.from_numpy(truth)).numpy()
    assert ours == pytest.approx([reference_ssim(e, t) for e, t in zip(estimate, truth, strict=True)], abs=1e-9)


def test_psnr_and_nmse_follow_their_definitions() -> None:
    truth, estimate = pair()
    error = ((estimate - truth) ** 2).mean((1, 2))
    assert psnr(torch.from_numpy(estimate), torch.from_numpy(truth)).numpy() == pytest.approx(
        10 * np.log10(truth.max((1, 2)) ** 2 / error)
    )
    energy = (truth**2).mean((1, 2))
    assert nmse(torch.from_numpy(estimate), torch.from_numpy(truth)).numpy() == pytest.approx(error / energy)


@pytest.mark.parametrize("name", ["l1", "ssim", "mse", "rmse"])
def test_a_loss_is_least_at_the_truth_and_blind_to_the_unit(name: str) -> None:
    truth, estimate = (torch.from_numpy(array) for array in pair())
    at_truth, away = image_loss(truth, truth, {name: 1.0}), image_loss(estimate, truth, {name: 1.0})
    assert float(at_truth) < 1e-5 < float(away)
    assert float(image_loss(7 * estimate, 7 * truth, {name: 1.0})) == pytest.approx(float(away))


def test_losses_add_up_by_weight_and_unknown_names_are_refused() -> None:
    truth, estimate = (torch.from_numpy(array) for array in pair())
    both = image_loss(estimate, truth, {"l1": 2.0, "mse": 3.0})
    parts = 2 * image_loss(estimate, truth, {"l1": 1.0}) + 3 * image_loss(estimate, truth, {"mse": 1.0})
    assert float(both) == pytest.approx(float(parts))
    with pytest.raises(SeqoptError, match="known: l1, ssim"):
        image_loss(estimate, truth, {"l3": 1.0})
