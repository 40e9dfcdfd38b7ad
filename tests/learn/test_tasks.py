"""Segmentation as a task: it is learned, it judges, it teaches; Dice and its loss against sums written out here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import assert_derivative

from seqopt.errors import SeqoptError
from seqopt.learn.tasks import CLASSES, TISSUES, Segmentation, class_maps, tasks, train_segmenter


def labelled(index: int, count: int = 2, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Discs of grey with a core of white: complex images (count, y, x), soft maps (count, 2, y, x)."""
    rng = np.random.default_rng([3, index])
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    images, maps = [], []
    for _ in range(count):
        radius = np.hypot(y - rng.uniform(-0.2, 0.2), x - rng.uniform(-0.2, 0.2)) / rng.uniform(0.5, 0.7)
        white, whole = (1 / (1 + np.exp(40 * (radius - edge))) for edge in (0.55, 1.0))
        maps.append([whole - white, white])
        images.append((0.5 * (whole - white) + 0.9 * white) * np.exp(1j * rng.uniform(-3, 3)))
    return torch.from_numpy(np.array(images, np.complex64)), torch.from_numpy(np.array(maps, np.float32))


@pytest.fixture(scope="module")
def segmenter() -> Segmentation:
    return train_segmenter(labelled, steps=60, seed=0, width=4, levels=3)


def test_it_finds_tissues_in_images_it_has_not_seen(segmenter):
    images, maps = labelled(1000, 6)
    dice = segmenter.dice(images.abs(), maps)
    assert dice.shape == (6, 3)
    assert float(dice.mean(0).min()) > 0.85
    untrained = Segmentation(4, 3).dice(images.abs(), maps)
    assert float(untrained[:, 1:].mean()) < 0.6


def test_the_unit_of_the_image_does_not_matter(segmenter):
    images, maps = labelled(1000)
    assert torch.equal(segmenter.dice(1e4 * images.abs(), maps), segmenter.dice(images.abs(), maps))


def test_dice_is_twice_the_overlap_over_the_sum(segmenter):
    images, maps = labelled(1001)
    found = segmenter(images.abs()).argmax(1).numpy()
    grey, white = maps.numpy().transpose(1, 0, 2, 3)
    wanted = np.argmax([1 - grey - white, grey, white], 0)
    for image in range(2):
        for label in range(3):
            a, b = found[image] == label, wanted[image] == label
            expected = 2 * (a & b).sum() / (a.sum() + b.sum())
            assert float(segmenter.dice(images.abs(), maps)[image, label]) == pytest.approx(expected)


def test_a_class_that_is_neither_there_nor_found_counts_as_found(segmenter):
    dice = segmenter.dice(torch.zeros(1, 32, 32), torch.zeros(1, 2, 32, 32))
    found = segmenter(torch.zeros(1, 32, 32)).argmax(1).unique().tolist()
    for label in (1, 2):
        assert float(dice[0, label]) == (0.0 if label in found else 1.0)


def test_the_loss_is_soft_dice_of_the_tissues_plus_cross_entropy(segmenter):
    images, maps = labelled(1002)
    logits = segmenter(images.abs()).double().numpy()
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = class_maps(maps).double().numpy()
    overlap = [
        (2 * (chance[b, c] * truth[b, c]).sum() + 1) / (chance[b, c].sum() + truth[b, c].sum() + 1)
        for b in range(2)
        for c in (1, 2)
    ]
    entropy = -(truth * np.log(chance)).sum(1).mean()
    assert float(segmenter.loss(images.abs(), maps)) == pytest.approx(1 - np.mean(overlap) + entropy, rel=1e-4)


def test_a_spoilt_image_costs_more_and_the_derivative_leads_back(segmenter):
    images, maps = labelled(1003)
    blurred = torch.nn.functional.avg_pool2d(images.abs()[:, None], 9, 1, 4)[:, 0]
    start = float(segmenter.loss(blurred, maps))
    assert start > 1.2 * float(segmenter.loss(images.abs(), maps))
    estimate = blurred.clone().requires_grad_()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(segmenter.loss(estimate, maps), estimate)
        estimate = (estimate - 0.3 * gradient / gradient.norm()).detach().requires_grad_()
    assert float(segmenter.loss(estimate.detach(), maps)) < 0.9 * start


def test_the_derivative_in_the_image_agrees_with_finite_differences():
    torch.manual_seed(0)
    task, (images, maps) = Segmentation(4, 2).double().freeze(), labelled(4, size=16)
    assert_derivative(lambda x: task.loss(x, maps.double()), images.abs().double() + 0.1, step=1e-6, tolerance=1e-4)


def test_a_frozen_segmenter_does_not_learn_and_its_seed_decides(segmenter):
    assert not any(parameter.requires_grad for parameter in segmenter.parameters())
    state = torch.get_rng_state()
    first, same, other = (train_segmenter(labelled, steps=2, seed=seed, width=4, levels=2) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    images = labelled(0)[0].abs()
    assert torch.equal(first(images), same(images))
    assert not torch.allclose(first(images), other(images), atol=1e-2)


def test_training_is_watched_step_by_step():
    seen: list[tuple[int, float]] = []
    train_segmenter(labelled, steps=3, seed=0, width=4, levels=2, each=lambda done, loss: seen.append((done, loss)))
    assert [done for done, _ in seen] == [1, 2, 3]
    assert all(np.isfinite(loss) for _, loss in seen)


def test_the_likeliest_class_is_taken_and_the_rest_is_background():
    grey = torch.tensor([[[0.5, 0.2, 0.45, 0.0]]])
    white = torch.tensor([[[0.3, 0.3, 0.05, 1.0]]])
    maps = class_maps(torch.stack([grey, white], 1))
    assert maps[0].argmax(0).tolist() == [[1, 0, 0, 2]]
    assert bool((maps.sum(1) == 1).all())
    assert len(CLASSES) == 1 + len(TISSUES)


def test_bad_requests_are_refused():
    assert tasks["segmentation"] is Segmentation
    with pytest.raises(SeqoptError, match="unknown task 'diagnosis'; known: segmentation"):
        tasks["diagnosis"]
    with pytest.raises(SeqoptError, match=r"labels of shape \(2, 3, 8, 8\), expected the maps GM, WM"):
        class_maps(torch.zeros(2, 3, 8, 8))
    with pytest.raises(SeqoptError, match="steps of the segmentation network: got 0"):
        train_segmenter(labelled, steps=0, seed=0)
    with pytest.raises(SeqoptError, match="diverged at step 0"):
        train_segmenter(lambda _: (torch.full((1, 16, 16), torch.nan), torch.zeros(1, 2, 16, 16)), seed=0, steps=1)
