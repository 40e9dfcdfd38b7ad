"""Targets and scores against sums written out here; through a frozen network the derivative reaches the estimate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import assert_derivative
from references import reference_ssim

from seqopt.errors import SeqoptError
from seqopt.learn.targets import macro_f1, make_target, parse_target, score, targets
from seqopt.learn.tasks import Classification, Segmentation

NAMES = ("background", "ring", "core")


def segmentation(levels: int = 2) -> Segmentation:
    torch.manual_seed(0)
    return Segmentation(4, levels, classes=NAMES).freeze()


def classification(classes: int = 3) -> Classification:
    torch.manual_seed(0)
    return Classification(4, 2, classes=[f"kind {number}" for number in range(classes)]).freeze()


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Estimate, truth (5, 16, 16) and labels."""
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.random((5, 16, 16)).astype(np.float32))
    estimate = truth + 0.1 * torch.from_numpy(rng.random((5, 16, 16)).astype(np.float32))
    return estimate, truth, torch.from_numpy(rng.integers(0, 3, (5, 16, 16)))


KINDS = torch.tensor([0, 2, 1, 1, 0])


def chances(logits: torch.Tensor) -> np.ndarray:
    values = logits.double().numpy()
    values = np.exp(values - values.max(1, keepdims=True))
    return np.asarray(values / values.sum(1, keepdims=True))


def value(name: str, task: object, *given: torch.Tensor) -> float:
    return float(make_target({name: 1.0}, task)(*given))  # type: ignore[arg-type]


def test_image_targets_are_what_their_names_say(images):
    estimate, truth, labels = images
    e, t = estimate.double().numpy(), truth.double().numpy()
    peak = t.max((1, 2), keepdims=True)
    assert value("l1", None, estimate, truth, labels) == pytest.approx((np.abs(e - t) / peak).mean(), rel=1e-5)
    assert value("mse", None, estimate, truth, labels) == pytest.approx((((e - t) / peak) ** 2).mean(), rel=1e-5)
    decibel = [10 * np.log10(b.max() ** 2 / ((a - b) ** 2).mean()) for a, b in zip(e, t, strict=True)]
    assert value("psnr", None, estimate, truth, labels) == pytest.approx(-np.mean(decibel), rel=1e-5)
    similar = [reference_ssim(a, b) for a, b in zip(e, t, strict=True)]
    assert value("ssim", None, estimate, truth, labels) == pytest.approx(1 - np.mean(similar), rel=1e-4)


def test_the_dice_target_is_equation_2_of_the_paper_a_structure(images):
    estimate, truth, labels = images
    task = segmentation()
    chance = chances(task(estimate))
    terms = [
        1 - (2 * (chance[b, c] * y).sum() + 1) / (chance[b, c].sum() + y.sum() + 1)
        for b in range(5)
        for c in (1, 2)
        for y in [labels[b].numpy() == c]
    ]
    assert value("dice", task, estimate, truth, labels) == pytest.approx(np.mean(terms), rel=1e-5)


def test_cross_entropy_is_minus_the_log_of_the_true_class_chance(images):
    estimate, truth, labels = images
    pixels, whole = segmentation(), classification()
    chance = np.take_along_axis(chances(pixels(estimate)), labels.numpy()[:, None], 1)
    expected = -np.log(chance).mean()
    assert value("cross-entropy", pixels, estimate, truth, labels) == pytest.approx(expected, rel=1e-5)
    expected = -np.log(chances(whole(estimate))[range(5), KINDS.numpy()]).mean()
    assert value("cross-entropy", whole, estimate, truth, KINDS) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_soft_hinge_rounds_the_corner_of_the_hinge(images, classes):
    estimate, truth, _ = images
    task, labels = classification(classes), KINDS.clamp_max(classes - 1)
    terms = []
    for logits, label in zip(task(estimate).double().numpy(), labels.tolist(), strict=True):
        others = np.log(np.exp(np.delete(logits, label)).sum())
        terms.append(np.log(1 + np.exp(1 - (logits[label] - others))))
    assert value("soft-hinge", task, estimate, truth, labels) == pytest.approx(np.mean(terms), rel=1e-5)


def test_weighted_sums_add_up(images):
    estimate, truth, labels = images
    task = segmentation()
    parts = [value(name, task, estimate, truth, labels) for name in ("dice", "ssim")]
    compound = make_target(parse_target("dice=1, ssim=0.5"), task)(estimate, truth, labels)
    assert float(compound) == pytest.approx(parts[0] + 0.5 * parts[1], rel=1e-6)
    assert parse_target("dice") == {"dice": 1.0}


@pytest.mark.parametrize("name", ["l1", "ssim", "mse", "psnr", "rmse", "dice", "cross-entropy", "soft-hinge"])
def test_the_derivative_in_the_estimate_agrees_with_finite_differences(images, name):
    assert set(targets) == {"l1", "ssim", "mse", "psnr", "rmse", "dice", "cross-entropy", "soft-hinge"}
    estimate, truth, labels = (one.double() if one.is_floating_point() else one for one in images)
    task = (classification() if name == "soft-hinge" else segmentation()).double()
    target, given = make_target({name: 1.0}, task), KINDS if name == "soft-hinge" else labels
    assert_derivative(lambda x: target(x, truth, given), estimate, step=1e-6, tolerance=1e-4)


def test_the_derivative_stops_at_the_frozen_network(images):
    estimate, truth, labels = images
    for name, task, given in (("dice", segmentation(), labels), ("soft-hinge", classification(), KINDS)):
        before = {key: one.clone() for key, one in task.state_dict().items()}
        asked = estimate.clone().requires_grad_()
        make_target({name: 1.0}, task)(asked, truth, given).backward()
        assert asked.grad is not None and float(asked.grad.abs().max()) > 0
        assert all(parameter.grad is None for parameter in task.parameters())
        assert all(torch.equal(one, before[key]) for key, one in task.state_dict().items())


def test_scores_of_a_segmentation_are_counted_by_hand(images):
    estimate, truth, labels = images
    task = segmentation()
    found = task(estimate).argmax(1)
    scores = score(estimate, truth, labels, task, batch=2)
    for number, name in ((1, "ring"), (2, "core")):
        for image in range(5):
            a, b = found[image] == number, labels[image] == number
            assert scores.each[f"Dice {name}"][image] == pytest.approx(
                2 * int((a & b).sum()) / (int(a.sum()) + int(b.sum())), rel=1e-5
            )
    mean = np.mean([scores.each["Dice ring"], scores.each["Dice core"]])
    assert scores.overall["Dice"] == pytest.approx(mean) and "Dice background" not in scores.each
    errors = ((estimate - truth) ** 2).sum((1, 2)) / (truth**2).sum((1, 2))
    assert scores.each["NMSE"] == pytest.approx(errors.numpy(), rel=1e-5)
    assert set(score(estimate, truth).each) == {"PSNR", "SSIM", "NMSE"}


def test_scores_of_a_classification_are_counted_by_hand(images):
    estimate, truth, _ = images
    task = classification()
    found = task(estimate).argmax(1)
    scores = score(estimate, truth, KINDS, task, batch=2)
    assert scores.each["accuracy"].tolist() == (found == KINDS).double().tolist()
    assert scores.overall["accuracy"] == pytest.approx(float((found == KINDS).double().mean()))
    assert scores.overall["F1"] == macro_f1(found.numpy(), KINDS.numpy(), range(3))


def test_f1_is_the_mean_over_classes_of_a_direct_count():
    from sklearn.metrics import f1_score

    found, known = np.array([0, 0, 1, 2, 2, 2, 1]), np.array([0, 1, 1, 2, 0, 2, 2])
    # class 0: TP 1, FP 1, FN 1; class 1: TP 1, FP 1, FN 1; class 2: TP 2, FP 1, FN 1
    assert macro_f1(found, known, range(3)) == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)
    assert macro_f1(found, known, range(3)) == pytest.approx(f1_score(known, found, average="macro"))
    assert macro_f1(known, known, range(4)) == 1.0


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("dyce=1", "unknown term 'dyce'"),
        ("dice=much", "is not a number"),
        ("dice=-1", "weights must be 0 or more"),
        ("l1=0", "one above 0"),
        ("ssim=nan", "weights must be"),
    ],
)
def test_targets_that_cannot_be_are_refused(text, saying):
    with pytest.raises(SeqoptError, match=saying) as error:
        parse_target(text)
    assert "\n" not in str(error.value)


def test_targets_without_their_network_or_labels_are_refused(images):
    estimate, truth, labels = images
    for name, task in (("dice", None), ("dice", classification()), ("soft-hinge", segmentation())):
        with pytest.raises(SeqoptError, match=f"target '{name}' needs a network for"):
            make_target({name: 1.0}, task)
    with pytest.raises(SeqoptError, match="target 'dice' needs labels"):
        make_target({"dice": 1.0}, segmentation())(estimate, truth, None)
    with pytest.raises(SeqoptError, match=r"expected one class number an image"):
        make_target({"cross-entropy": 1.0}, classification())(estimate, truth, labels)
