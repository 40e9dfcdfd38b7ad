"""Swaps of lines: they prove themselves on other images, keep the order nested, and go on after any pass."""

from __future__ import annotations

import numpy as np
import pytest
from line_images import LINES, images, mask_of, scores_of

from seqopt.errors import SeqoptError
from seqopt.learn.select import select
from seqopt.learn.swaps import refine, refinements

POOR = np.array([8, 7, 9, 0, 1, 15, 2])  # the edge of k-space


def both_sets() -> dict[str, object]:
    return {"training": scores_of(), "validation": scores_of(images(seed=1), seed=1)}


def test_a_swap_never_worsens_the_validation_target_and_the_order_stays_nested():
    sets = both_sets()
    found = refine(POOR, 6, calibration=3, **sets)
    assert found.before == pytest.approx(sets["validation"].value(mask_of(POOR[:6])), rel=1e-6)
    assert found.after == pytest.approx(sets["validation"].value(mask_of(found.order[:6])), rel=1e-6)
    targets = [found.before, *(swap.target for swap in found.swaps)]
    assert np.all(np.diff(targets) < 0)
    assert found.gain == found.before - found.after > 0
    assert found.order[:3].tolist() == [8, 7, 9]
    assert len(np.unique(found.order)) == len(found.order)
    assert set(POOR) <= set(found.order)
    kept, rest = [line for line in found.order[:6] if line in POOR], found.order[6:].tolist()
    assert kept == [line for line in POOR if line in kept]
    assert rest == [line for line in POOR if line in rest]
    assert found.passes == len(found.swaps) + 1


def test_a_refinement_stopped_after_any_pass_goes_on_as_if_it_had_not_been_stopped():
    states = list(refinements(POOR, 6, calibration=3, errors=0.5, **both_sets()))
    whole = states[-1]
    assert len(states) == whole.passes + whole.trials
    assert len(whole.swaps) > 1
    for part in states:
        resumed = refine(POOR, 6, calibration=3, errors=0.5, start=part, **both_sets())
        assert np.array_equal(resumed.order, whole.order)
        for name in ("before", "each", "swaps", "passes", "trials", "untried"):
            assert getattr(resumed, name) == getattr(whole, name), name


def test_a_fall_within_the_standard_error_of_the_validation_images_is_no_swap():
    """The first swap kept by any fall, judged by hand against the spread over the images."""
    sets = both_sets()
    first = next(state for state in refinements(POOR, 6, calibration=3, errors=0.0, **sets) if state.swaps)
    swapped = (set(POOR[:6]) - {first.swaps[0].removed}) | {first.swaps[0].added}
    fall = sets["validation"].values(mask_of(POOR[:6])) - sets["validation"].values(mask_of(np.array(sorted(swapped))))
    in_errors = fall.mean() / (fall.std(ddof=1) / np.sqrt(len(fall)))
    assert refine(POOR, 6, calibration=3, errors=0.99 * in_errors, tries=1, **sets).swaps[0] == first.swaps[0]
    assert refine(POOR, 6, calibration=3, errors=1.01 * in_errors, tries=1, **sets).swaps == ()


def test_the_values_of_single_images_do_not_depend_on_their_batches():
    mask = mask_of(POOR)
    each = scores_of(loss="ssim", size=4).values(mask)
    assert np.allclose(each, scores_of(loss="ssim", size=1).values(mask), rtol=1e-5)
    assert each.mean() == pytest.approx(scores_of(loss="ssim").gradient(mask)[0], rel=1e-6)


def test_a_mask_that_no_swap_improves_stays_and_says_so():
    scores = scores_of()
    order = select(scores, lines=LINES).order
    every = refine(order, LINES, training=scores, validation=scores)
    assert (every.swaps, every.gain) == ((), 0.0)
    assert np.array_equal(every.order, order)


def test_more_shots_than_the_order_has_are_refused():
    with pytest.raises(SeqoptError, match="shots to refine"):
        refine(np.array([8, 7]), 3, training=scores_of(), validation=scores_of())
