"""Nerve stimulation: both models against code and formulas that share nothing with ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pypulseq.utils.safe_pns_prediction import safe_example_hw, safe_gwf_to_pns

from seqopt.errors import SeqoptError
from seqopt.gradients.asc import SAFE_EXAMPLE
from seqopt.gradients.pns import (
    combined,
    gentle_slew_share,
    limited,
    memory_s,
    stimulation,
    stimulation_filter,
)
from seqopt.gradients.profiles import load_scanner, scanner_names

RASTER_S = 10e-6
NERVES = load_scanner("ge-uhp").stimulation
WITH_MODEL = [name for name in scanner_names() if load_scanner(name).stimulation is not None]


def random_walk(samples: int, seed: int = 0) -> np.ndarray:
    """(3, samples) T/m of a few mT/m."""
    steps = np.random.default_rng(seed).normal(size=(3, samples))
    return np.cumsum(steps, axis=1) * 1e-4


def test_safe_agrees_with_the_public_implementation():
    gradient = random_walk(4000)
    padded = np.vstack([np.zeros((1, 3)), gradient.T])
    expected, _ = safe_gwf_to_pns(padded, np.ones(len(padded)), RASTER_S, safe_example_hw(), do_padding=False)
    found = stimulation(gradient, SAFE_EXAMPLE, raster_s=RASTER_S)
    assert found.max() > 0.05
    np.testing.assert_allclose(found.T, expected / 100, atol=1e-12)


@pytest.mark.parametrize("model", [SAFE_EXAMPLE, NERVES], ids=["SAFE", "nerve response"])
@pytest.mark.parametrize("cuts", [[1], [7, 8, 9, 5000], [11_000]])
def test_pieces_give_what_the_whole_gives(model, cuts):
    slew = np.random.default_rng(1).normal(size=(3, 12_000))
    whole = stimulation_filter(model, RASTER_S).feed(slew)
    running = stimulation_filter(model, RASTER_S)
    parts = [running.feed(part) for part in np.split(slew, cuts, axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-12)


@pytest.mark.parametrize("time_s", [0.1e-3, 0.5e-3, 2e-3, 10e-3])
def test_a_constant_slew_rate_stimulates_as_the_standard_says(time_s):
    """IEC 60601-2-33: S / Smin * t / (c + t), the law of the strength and duration of a stimulus."""
    slew = np.zeros((3, round(time_s / RASTER_S)))
    slew[1] = 120.0
    found = stimulation_filter(NERVES, RASTER_S).feed(slew)[1, -1]
    expected = 120.0 / (26.5 / 0.370) * time_s / (359e-6 + time_s)
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_nerve_response_is_the_convolution_with_its_kernel():
    """A sum on a ten times finer grid, by the midpoint rule."""
    slew = np.random.default_rng(2).normal(size=300)
    fine = RASTER_S / 10
    ages = (np.arange(3000) + 0.5) * fine
    weights = 359e-6 / (359e-6 + ages[::-1]) ** 2 * fine / (26.5 / 0.370)
    expected = abs(np.sum(np.repeat(slew, 10) * weights))
    found = stimulation_filter(NERVES, RASTER_S).feed(np.tile(slew, (3, 1)))[0, -1]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("model", [SAFE_EXAMPLE, NERVES], ids=["SAFE", "nerve response"])
def test_after_the_stated_rest_nothing_is_left(model):
    running = stimulation_filter(model, RASTER_S)
    running.feed(np.full((3, 100), 200.0))
    rest = running.feed(np.zeros((3, round(memory_s(model) / RASTER_S))))
    assert combined(rest)[-1] < 2e-3 * combined(rest)[0]


@pytest.mark.parametrize("name", WITH_MODEL)
def test_connections_of_a_profile_with_coefficients_stay_below_its_threshold(name):
    scanner = load_scanner(name)
    assert scanner.connection_slew_share <= gentle_slew_share(scanner, 1.0)


def test_a_limit_that_no_ramp_can_keep_is_refused_with_numbers():
    scanner = replace(load_scanner("paper"), stimulation=SAFE_EXAMPLE)
    with pytest.raises(SeqoptError, match=r"ramp at 9\.5 T/m/s.* nerves by 0\.\d+ of the limit where 0\.045"):
        limited(scanner, 0.05)


def test_the_gentle_share_is_that_of_a_ramp_that_just_reaches_the_limit():
    scanner = replace(load_scanner("paper"), stimulation=SAFE_EXAMPLE)
    share = gentle_slew_share(scanner, 0.8)
    assert 0.05 < share < 1.0

    def of_ramp(part: float) -> float:
        slew = part * 0.95 * 200.0
        return float(
            stimulation_filter(SAFE_EXAMPLE, RASTER_S).feed(np.full((3, round(0.0475 / slew / 1e-5)), slew)).max()
        )

    assert of_ramp(share) <= 0.8
    assert of_ramp(1.03 * share) > 0.8


def test_a_limit_without_coefficients_or_in_percent_is_refused():
    with pytest.raises(SeqoptError, match="no nerve stimulation coefficients; give --asc"):
        limited(load_scanner("prisma"), 0.8)
    with pytest.raises(SeqoptError, match=r"--limit-pns: got 80"):
        limited(load_scanner("mr750"), 80.0)
