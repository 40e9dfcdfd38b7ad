"""Baseline masks: exact counts, calibration first, fastMRI's rule, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from designs import paper_scanner

from seqopt.core import Geometry, Protocol, central_lines
from seqopt.core.mask_design import MaskDesign
from seqopt.errors import SeqoptError
from seqopt.sampling.masks import baseline_masks, baseline_order, centre_out

NAMES = list(baseline_masks)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("lines", "shots", "calibration"), [(256, 16, 0), (256, 16, 16), (256, 64, 24), (256, 3, 0), (32, 31, 5), (8, 8, 8)]
)
def test_every_mask_has_exactly_its_shots_and_its_calibration_lines_first(name, lines, shots, calibration):
    for seed in range(5):
        order = baseline_order(name, lines, shots, calibration=calibration, seed=seed)
        assert len(order) >= shots
        assert len(np.unique(order)) == len(order)
        assert order.min() >= 0
        assert order.max() < lines
        assert order[0] == lines // 2
        assert set(order[:calibration]) == set(central_lines(lines, calibration))


@pytest.mark.parametrize("calibration", [0, 1, 2, 7, 16])
def test_the_central_lines_are_those_of_a_mask_design(calibration):
    """The design refuses an order that its own calibration lines do not lead."""
    for name in NAMES:
        design = MaskDesign(
            name="x",
            family=name,
            geometry=Geometry(fov_m=(0.2, 0.2), matrix=(64, 64)),
            scanner=paper_scanner(),
            protocol=Protocol(),
            order=baseline_order(name, 64, 20, calibration=calibration),
            shots=20,
            calibration=calibration,
        )
        assert design.mask.sum() == 20
        assert np.array_equal(design.calibration_lines, np.sort(centre_out(64)[:calibration]))


def test_center_is_the_lowest_frequencies_for_every_number_of_shots():
    order = baseline_order("center", 256, 1)
    assert order[:5].tolist() == [128, 127, 129, 126, 130]
    distances = np.abs(order - 128)
    assert np.all(np.diff(distances) >= 0)
    assert len(order) == 256


@pytest.mark.parametrize("name", ["fastmri-equispaced", "fastmri-random"])
@pytest.mark.parametrize(("shots", "block"), [(64, 20), (32, 10), (16, 10)])  # 8 % at x4, 4 % at x8 and x16
def test_fastmri_masks_have_the_published_central_share(name, shots, block):
    order = baseline_order(name, 256, shots, seed=1)
    assert set(order[:block]) == set(range(128 - block // 2, 128 + block // 2))
    outside = np.sort(order[block:shots])
    assert len(np.intersect1d(outside, order[:block])) == 0
    if name == "fastmri-equispaced":
        spacing = (256 - block) / (shots - block)  # fastMRI's adjusted acceleration
        place = np.where(outside > 128, outside - block, outside)  # counted outside the block
        assert set(np.diff(place)) <= {int(np.floor(spacing)), int(np.ceil(spacing))}


def test_equispaced_lines_start_anywhere_and_draws_differ_by_seed_alone():
    for name in ("fastmri-equispaced", "fastmri-random", "variable-density"):
        draws = {tuple(np.sort(baseline_order(name, 256, 32, seed=seed)[:32])) for seed in range(8)}
        assert len(draws) > 3
        assert np.array_equal(baseline_order(name, 256, 32, seed=3), baseline_order(name, 256, 32, seed=3))


def test_a_variable_density_order_is_nested_and_denser_in_the_middle():
    order = baseline_order("variable-density", 256, 16, seed=0)
    assert np.array_equal(order, baseline_order("variable-density", 256, 64, seed=0))
    assert len(order) == 256
    distances = [np.abs(baseline_order("variable-density", 256, 32, seed=seed)[1:32] - 128) for seed in range(200)]
    shares = np.histogram(np.concatenate(distances), bins=4, range=(0, 128))[0] / (200 * 31)
    assert np.all(np.diff(shares) < 0)
    assert 0.5 < shares[0] < 0.7  # 1 - (3/4)^4 = 0.68 where lines could be drawn twice


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((255, 16, 0), "even"), ((256, 257, 0), "shots"), ((256, 0, 0), "shots"), ((256, 8, 9), "calibration")],
)
def test_impossible_masks_are_refused_in_one_line(numbers, text):
    lines, shots, calibration = numbers
    for name in NAMES:
        with pytest.raises(SeqoptError, match=text) as refused:
            baseline_order(name, lines, shots, calibration=calibration)
        assert "\n" not in str(refused.value)


def test_an_unknown_mask_is_refused_with_the_known_ones():
    with pytest.raises(SeqoptError, match="known: center, fastmri-equispaced"):
        baseline_order("radial", 256, 16)
