"""Training for a task: it learns, the seed decides, fine-tuning helps on blurred images and leaves the original."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from seqopt.errors import SeqoptError
from seqopt.learn.targets import score
from seqopt.learn.tasks import Classification, Segmentation
from seqopt.learn.train_task import fine_tune, train_task, training

NAMES = ("background", "ring", "core")
KINDS = ("plain", "spotted")


def discs(index: int, count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (count, 32, 32) of rings with a core, and class numbers of the same shape."""
    rng = np.random.default_rng([5, index])
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    radius = [np.hypot(y - a, x - b) / c for a, b, c in rng.uniform((-0.2, -0.2, 0.5), (0.2, 0.2, 0.7), (count, 3))]
    labels = np.array([(one < 1).astype(np.int64) + (one < 0.55) for one in radius])
    images = np.array([0.02, 0.5, 0.9])[labels] + 0.05 * rng.standard_normal(labels.shape)
    return torch.from_numpy(np.abs(images).astype(np.float32)), torch.from_numpy(labels)


def spots(index: int, count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """The same images, every other one with a bright spot; class numbers (count,)."""
    images, labels = discs(index, count)[0], torch.arange(count) % 2
    for image, place in zip(images[1::2], np.random.default_rng(index).integers(10, 20, (count, 2)), strict=False):
        image[place[0] : place[0] + 3, place[1] : place[1] + 3] += 0.8
    return images, labels


def blurred(index: int, count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = discs(index, count)
    return functional.avg_pool2d(images[:, None], (9, 1), 1, (4, 0))[:, 0], labels


def segmenter(seed: int = 0, steps: int = 60, **options: object) -> Segmentation:
    return train_task(lambda: Segmentation(4, 3, classes=NAMES, **options), discs, steps=steps, seed=seed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained() -> Segmentation:
    return segmenter()


def dice(task: Segmentation, batch: tuple[torch.Tensor, torch.Tensor]) -> float:
    return score(batch[0], batch[0], batch[1], task).overall["Dice"]


def test_it_learns_class_numbers_and_judges_frozen(trained):
    assert dice(trained, discs(1000, 8)) > 0.9
    assert dice(Segmentation(4, 3, classes=NAMES), discs(1000, 8)) < 0.6
    assert not trained.training and not any(parameter.requires_grad for parameter in trained.parameters())


def test_attention_learns_as_well():
    assert dice(segmenter(network="attention-unet"), discs(1000, 8)) > 0.9


def test_a_classifier_learns_to_see_a_spot():
    task = train_task(lambda: Classification(4, 2, classes=KINDS), spots, steps=60, seed=0, rate=1e-2)
    images, labels = spots(1000, 32)
    assert score(images, images, labels, task).overall["F1"] > 0.9
    plain = discs(1000, 32)[0]
    assert score(plain, plain, labels, task).overall["F1"] < 0.7


def test_the_seed_decides_and_nothing_else():
    state = torch.get_rng_state()
    first, same, other = (segmenter(seed, steps=2) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    weights = [torch.cat([one.flatten() for one in task.parameters()]) for task in (first, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.allclose(weights[0], weights[2], atol=1e-2)


def test_a_training_stopped_after_any_step_goes_on_to_the_very_same_weights(tmp_path):
    def make() -> Classification:
        return Classification(4, 2, classes=KINDS)

    whole = train_task(make, spots, steps=5, seed=0).state_dict()
    for stopped in range(1, 5):
        first = training(make, spots, steps=5, seed=0)
        for _ in zip(range(stopped), first.steps(), strict=False):
            pass
        torch.save(first.state(), tmp_path / "state.pt")
        second = training(make, spots, steps=5, seed=1)
        second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
        assert second.done == stopped
        resumed = second.run().state_dict()
        assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_fine_tuning_helps_on_what_a_mask_leaves_and_spares_the_original(trained):
    before = {key: one.clone() for key, one in trained.state_dict().items()}
    seen: list[int] = []
    tuned, again = (fine_tune(trained, blurred, steps=30, each=lambda done, loss: seen.append(done)) for _ in range(2))
    assert seen == [*range(1, 31)] * 2
    assert dice(tuned, blurred(1000, 8)) > dice(trained, blurred(1000, 8)) + 0.05
    assert all(torch.equal(one, before[key]) for key, one in trained.state_dict().items())
    assert all(torch.equal(one, again.state_dict()[key]) for key, one in tuned.state_dict().items())
    assert not any(parameter.requires_grad for parameter in (*tuned.parameters(), *trained.parameters()))


def test_the_unit_and_the_background_of_an_image_do_not_matter(trained):
    images, _ = discs(1000)
    assert torch.equal(trained(1e4 * images).argmax(1), trained(images).argmax(1))
    quiet = images * (discs(1000)[1] > 0)
    wide = functional.pad(quiet, (8, 8, 8, 8))
    scale = [one.square().sum() / one.sum() for one in (quiet, wide)]
    assert torch.allclose(scale[0], scale[1])


@pytest.mark.parametrize("network", ["unet", "attention-unet"])
def test_a_task_comes_back_from_its_weights(network):
    task = segmenter(steps=1, network=network)
    stored = {key: one.numpy() for key, one in task.state_dict().items()}
    images, _ = discs(3)
    assert torch.equal(Segmentation.of_weights(stored, NAMES)(images), task(images))
    with pytest.raises(SeqoptError, match="weights that do not fit 2 classes"):
        Segmentation.of_weights(stored, NAMES[:2])
    with pytest.raises(SeqoptError, match="weights of no known network"):
        Segmentation.of_weights({"foreign": np.zeros(3)}, NAMES)


def test_bad_requests_are_refused(trained):
    with pytest.raises(SeqoptError, match="steps of the segmentation network: got 0"):
        fine_tune(trained, discs, steps=0)
    with pytest.raises(SeqoptError, match="the classification network diverged at step 0"):
        train_task(
            lambda: Classification(4, 2, classes=KINDS),
            lambda _: (torch.full((2, 16, 16), torch.nan), torch.tensor([0, 1])),
            steps=1,
            seed=0,
        )
    with pytest.raises(SeqoptError, match=r"labels of shape \(2, 16\), expected the maps ring, core"):
        trained.dice(torch.zeros(2, 16, 16), torch.zeros(2, 16))
