"""Choice of lines: against brute force and closed forms, nested, deterministic, resumable."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from line_images import COLUMNS, LINES, images, mask_of, scores_of
from torch import Tensor, nn

from seqopt.core import central_lines
from seqopt.encoding.cartesian import CartesianAcquisition, CartesianMeasurement
from seqopt.errors import SeqoptError
from seqopt.learn.line_scores import LineScores
from seqopt.learn.losses import image_loss
from seqopt.learn.select import Selection, select, selections
from seqopt.recon.cartesian_loop import ZeroFilled
from seqopt.recon.unet import UNet


class Signal(nn.Module):
    """The image itself, real and imaginary part: linear in the weights."""

    def forward(self, measurement: CartesianMeasurement) -> Tensor:
        return torch.view_as_real(measurement.combined())


def line_energies(some: Tensor) -> np.ndarray:
    """(lines,) sum of |samples|^2 by a direct sum along y; along x the transform is unitary."""
    at = np.arange(LINES) - LINES // 2
    matrix = np.exp(-2j * np.pi * np.outer(at, at) / LINES)
    return (np.abs(np.einsum("ky,nyx->nkx", matrix, some.numpy())) ** 2).sum((0, 2))


def test_by_squared_error_of_the_signal_lines_enter_by_their_energy():
    """Parseval: L(w) = sum (1 - w_i)^2 E_i, so that gradient, brute force and sorting the energies agree exactly."""
    some = images()
    scores = LineScores(
        lambda: ((part, torch.view_as_real(part)) for part in some.split(4)),
        CartesianAcquisition(),
        Signal(),
        lambda estimate, _, labels: (estimate - labels).square().sum((1, 2, 3)).mean(),
    )
    energies = line_energies(some)
    expected = sorted(set(range(LINES)) - {LINES // 2}, key=lambda line: -energies[line])
    found = select(scores, lines=LINES)
    assert found.order.tolist() == [LINES // 2, *expected]
    order = found.order[:1]
    while len(order) < LINES:  # and so does trying every line
        free = np.setdiff1d(np.arange(LINES), order)
        order = np.append(order, free[np.argmin([scores.value(mask_of(np.append(order, line))) for line in free])])
    assert np.array_equal(order, found.order)


def test_on_a_linear_target_one_derivative_equals_trying_every_line():
    weights = torch.randn(LINES, COLUMNS, 2, generator=torch.Generator().manual_seed(1))
    scores = scores_of(recon=Signal(), target=lambda estimate, *_: (estimate * weights).sum((1, 2, 3)).mean())
    mask = mask_of(np.array([3, 8]))
    value, gradient = scores.gradient(mask)
    for line in np.flatnonzero(~mask):
        assert scores.value(mask | mask_of(line)) - value == pytest.approx(gradient[line], rel=1e-3, abs=1e-5)


def test_the_scores_are_the_derivative_of_the_value_over_all_images():
    """The weights are pushed off the mask by hand, in double precision."""
    some = images().to(torch.complex128)
    scores, mask, step = scores_of(some, loss="ssim"), mask_of(np.array([5, 7, 8])), 1e-6
    _, gradient = scores.gradient(mask)
    for line in (0, 6, 8):
        values = []
        for sign in (-1.0, 1.0):
            weights = torch.from_numpy(mask).double()
            weights[line] += sign * step
            noisy = [
                scores.acquisition.encode(image[None], torch.Generator().manual_seed(number))
                for number, image in enumerate(some)
            ]
            estimate = ZeroFilled()(scores.acquisition.measurement(torch.cat(noisy), weights))
            values.append(float(image_loss(estimate, some.abs(), {"ssim": 1.0})))
        assert gradient[line] == pytest.approx((values[1] - values[0]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("calibration", [0, 1, 4, 5])
def test_calibration_lines_are_always_in_and_every_mask_contains_the_smaller_one(calibration):
    steps = list(selections(scores_of(), lines=12, calibration=calibration))
    for before, after in pairwise(steps):
        assert np.array_equal(after.order[: len(before.order)], before.order)
    order, fixed = steps[-1].order, max(calibration, 1)
    assert len(np.unique(order)) == 12
    assert set(order[:fixed]) == set(central_lines(LINES, fixed))
    assert [lines for lines, _ in steps[-1].curve] == list(range(fixed, 13))
    assert steps[-1].passes == 12 - fixed


def test_a_shorter_choice_is_the_beginning_of_a_longer_one():
    assert np.array_equal(select(scores_of(), lines=5).order, select(scores_of(), lines=LINES).order[:5])


def test_the_curve_is_the_target_of_each_mask():
    scores = scores_of()
    found = select(scores, lines=LINES)
    for lines, value in found.curve:
        assert value == pytest.approx(scores.value(mask_of(found.order[:lines])), rel=1e-6)
    assert found.curve[-1][1] < 0.5 * found.curve[0][1]


def test_several_lines_a_step_are_the_best_of_one_pass():
    scores = scores_of()
    found = select(scores, lines=8, calibration=2, per_step=4)
    _, gradient = scores.gradient(mask_of(found.order[:2]))
    free = np.setdiff1d(np.arange(LINES), found.order[:2])
    assert set(found.order[2:6]) == set(free[np.argsort(gradient[free])[:4]])
    assert [lines for lines, _ in found.curve] == [2, 6, 8]
    assert found.passes == 2


def test_batches_the_cache_and_repetition_change_nothing():
    reference = select(scores_of(), lines=LINES)
    for other in (scores_of(), scores_of(size=1), scores_of(cache_bytes=0), scores_of(size=6, cache_bytes=3000)):
        found = select(other, lines=LINES)
        assert np.array_equal(found.order, reference.order)
        assert np.allclose([value for _, value in found.curve], [value for _, value in reference.curve], rtol=1e-5)
    assert select(scores_of(seed=1), lines=LINES).curve != reference.curve


def test_samples_are_kept_between_passes_only_where_they_fit():
    calls = []
    for cache_bytes in (0, 1 << 20):
        count = [0]

        def batches(count=count):
            count[0] += 1
            return iter([(images(),)])

        scores = LineScores(
            batches, CartesianAcquisition(), ZeroFilled(), lambda e, t, _: (e - t).abs().mean(), cache_bytes=cache_bytes
        )
        select(scores, lines=5)
        calls.append(count[0])
    assert calls == [1 + 5, 1 + 1]  # once to see the size, then every pass or one


def test_a_watched_choice_tells_its_curve_and_stops_when_asked():
    seen: list[tuple[int, float]] = []
    whole = select(scores_of(), lines=10, each=lambda *step: seen.append(step))
    assert tuple(seen) == whole.curve
    assert len(select(scores_of(), lines=10, stop=lambda: True).order) == 2
    assert select(scores_of(), lines=10, start=whole) is whole


@pytest.mark.parametrize("candidates", [1, 3])
def test_a_choice_stopped_after_any_pass_goes_on_as_if_it_had_not_been_stopped(candidates):
    states = list(selections(scores_of(), lines=7, candidates=candidates))
    for part in states[:-1]:
        resumed = select(scores_of(), lines=7, candidates=candidates, start=part)
        assert np.array_equal(resumed.order, states[-1].order)
        assert (resumed.curve, resumed.passes, resumed.trials) == (
            states[-1].curve,
            states[-1].passes,
            states[-1].trials,
        )


class Given:
    """Scores that are given, whatever the mask."""

    lines = LINES

    def __init__(self, **gradient: float) -> None:
        self.numbers = np.full(LINES, 1.0)
        for line, number in gradient.items():
            self.numbers[int(line[1:])] = number

    def gradient(self, mask: np.ndarray) -> tuple[float, np.ndarray]:
        return 0.0, self.numbers

    def value(self, mask: np.ndarray) -> float:
        return 0.0


def test_derivatives_that_rounding_cannot_tell_apart_go_to_the_lower_frequency_then_the_lower_line():
    assert select(Given(_3=-1.0, _6=-1.0, _10=-1.0 - 1e-7), lines=4).order.tolist() == [8, 6, 10, 3]
    assert select(Given(_3=-1.0, _6=-1.0, _10=-1.0 - 1e-3), lines=4).order.tolist() == [8, 10, 6, 3]


def test_a_line_is_set_even_where_no_derivative_is_negative():
    assert select(Given(_2=0.5), lines=3).order.tolist() == [8, 2, 7]


def test_k_and_minus_k_of_real_images_are_a_tie_that_the_lower_line_wins():
    """Whatever the rounding: lines come in pairs about k = 0, the lower one first."""
    order = select(scores_of(images().abs(), sigma=0.0), lines=LINES - 2).order
    firsts, seconds = order[1::2] - LINES // 2, order[2::2] - LINES // 2
    assert firsts[0] < 0
    assert seconds[0] == -firsts[0]


def test_the_network_judges_and_stays_as_it_is():
    torch.manual_seed(0)
    network = UNet(channels=4, levels=2)
    nn.init.normal_(network.last.weight)
    with pytest.raises(SeqoptError, match="still learns"):
        scores_of(network=network)
    before = [parameter.clone() for parameter in network.eval().requires_grad_(False).parameters()]
    judged, plain = select(scores_of(network=network), lines=8), select(scores_of(), lines=8)
    assert judged.curve != plain.curve
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_of_several_candidates_the_one_that_helps_most_enters():
    """Each step against trying the same candidates here; and with all as candidates against trying every line."""
    for candidates in (3, LINES):
        scores = scores_of(loss="ssim")
        found = select(scores, lines=9, calibration=2, candidates=candidates)
        trials = 0
        for size in range(2, 9):
            gradient = scores.gradient(mask_of(found.order[:size]))[1]
            free = np.setdiff1d(np.arange(LINES), found.order[:size])
            shortlist = free[np.argsort(gradient[free])[:candidates]]
            values = [scores.value(mask_of(np.append(found.order[:size], line))) for line in shortlist]
            assert found.order[size] == shortlist[np.argmin(values)]
            trials += len(shortlist)
        assert (found.passes, found.trials) == (7, trials)
    assert not np.array_equal(found.order, select(scores, lines=9, calibration=2).order)


def test_of_several_candidates_as_many_enter_as_a_step_sets_the_best_first():
    scores = scores_of(loss="ssim")
    found = select(scores, lines=6, calibration=2, per_step=2, candidates=5)
    values = {line: scores.value(mask_of(np.append(found.order[:2], line))) for line in range(LINES)}
    assert values[found.order[2]] < values[found.order[3]]
    assert (found.passes, found.trials) == (2, 10)
    assert np.array_equal(
        select(scores, lines=6, per_step=2, candidates=2).order, select(scores, lines=6, per_step=2).order
    )


def test_candidates_that_rounding_cannot_tell_apart_enter_in_the_order_of_their_derivatives():
    assert select(Given(_3=-1.0, _6=-1.0, _10=-2.0), lines=4, candidates=3).order.tolist() == [8, 10, 6, 3]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"lines": LINES + 1}, "shots"),
        ({"lines": 4, "calibration": 5}, "calibration"),
        ({"lines": 4, "per_step": 0}, "lines a step"),
        ({"lines": 4, "candidates": 0}, "candidates: got 0"),
        ({"lines": 4, "per_step": 3, "candidates": 2}, "candidates: got 2, expected 3 or more"),
        ({"lines": 4, "start": Selection(np.array([3, 8]))}, "start of the choice"),
        ({"lines": 4, "start": Selection(np.array([8, 99]))}, "start of the choice"),
        ({"lines": 2, "start": Selection(np.array([8, 7, 9]))}, "start of the choice"),
    ],
)
def test_impossible_choices_are_refused_in_one_line(request_, text):
    with pytest.raises(SeqoptError, match=text) as refused:
        select(scores_of(), **request_)
    assert "\n" not in str(refused.value)


def test_bad_data_and_targets_are_refused_in_one_line():
    nothing = LineScores(lambda: [], CartesianAcquisition(), ZeroFilled(), lambda e, t, _: e.mean())
    odd = scores_of(images()[:, 1:])
    hard = scores_of(target=lambda e, t, _: (e > t).float().mean())
    broken = scores_of(target=lambda e, t, _: e.mean() / 0.0)
    pairs = LineScores(
        lambda: [(images(), torch.zeros(5))], CartesianAcquisition(), ZeroFilled(), lambda e, *_: e.mean()
    )
    mixed = LineScores(
        lambda: [(images(),), (torch.zeros(1, 8, 8),)], CartesianAcquisition(), ZeroFilled(), lambda e, *_: e.mean()
    )
    cases = [(nothing, "no images"), (odd, "even"), (hard, "soft"), (broken, "finite"), (pairs, "labels")]
    for scores, text in [*cases, (mixed, "grid")]:
        with pytest.raises(SeqoptError, match=text) as refused:
            select(scores, lines=4)
        assert "\n" not in str(refused.value)
