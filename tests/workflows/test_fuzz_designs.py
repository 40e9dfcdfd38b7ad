"""Random settings of a design end in a certificate that holds, or in one line before anything is written."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from design_fuzz import case

SECONDS = 150
SEED = 1


def test_random_settings_are_certified_or_refused_in_one_line():
    outcomes = [case(0, index, small=True) for index in range(22)]
    kinds = Counter(outcome.kind for outcome in outcomes)
    faults = [f"{outcome.text}\n{outcome.settings}" for outcome in outcomes if outcome.kind == "fault"]
    assert not faults, "\n".join(faults)
    assert kinds["held"] >= 7
    assert kinds["refused"] >= 2
    assert kinds["late"] <= 1


@pytest.mark.slow
def test_many_random_settings_are_certified_or_refused_in_one_line():
    end, faults, kinds = time.monotonic() + SECONDS, [], Counter()
    while time.monotonic() < end:
        outcome = case(SEED, kinds.total())
        kinds[outcome.kind] += 1
        if outcome.kind == "fault":
            faults.append(f"{outcome.text}\n{outcome.settings}")
    print(f"seed {SEED}: {dict(kinds)}")
    assert not faults, "\n".join(faults[:20])
    assert kinds["held"] > 0.2 * kinds.total()
