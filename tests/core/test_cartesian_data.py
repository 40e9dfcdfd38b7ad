"""`CartesianData` refuses what does not fit together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seqopt.core import CartesianData, Geometry
from seqopt.core.cartesian_data import central_run
from seqopt.errors import SeqoptError


def data() -> CartesianData:
    samples = np.arange(1, 2 * 3 * 4 * 10 + 1, dtype=np.complex64).reshape(2, 3, 4, 10)
    return CartesianData(
        samples=samples,
        lines=np.array([1, 5, 6, 11]),
        acquired=np.array([[True] * 4, [True, True, True, False]]),
        geometry=Geometry(fov_m=(0.2, 0.24), matrix=(10, 12), slices=2),
        dwell_s=1e-5,
        calibration=samples[:, :, 1:3],
        calibration_lines=np.array([5, 6]),
    )


def test_the_grid_holds_each_slices_own_lines():
    made = data()
    assert made.mask(1).nonzero()[0].tolist() == [1, 5, 6]
    assert np.array_equal(made.grid(0)[:, [1, 5, 6, 11]], made.samples[0])
    assert not made.grid(1)[:, [0, 2, 3, 4, 7, 8, 9, 10, 11]].any()


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"samples": np.zeros((3, 4, 10), np.complex64)}, "expected .slices, coils, lines, x."),
        ({"geometry": Geometry(fov_m=(0.2, 0.24), matrix=(12, 12))}, "lines have 10 samples, expected 12"),
        ({"acquired": np.ones((2, 3), bool)}, "acquired has shape"),
        ({"acquired": np.array([[True] * 4, [False] * 4])}, "no line at all"),
        ({"lines": np.array([1, 5, 5, 11])}, "ascending, each once"),
        ({"lines": np.array([1, 5, 6, 12])}, "got 1..12, expected 0..11"),
        ({"calibration_lines": np.array([5])}, "calibration has shape"),
        ({"calibration": np.full((2, 3, 2, 10), np.nan, np.complex64)}, "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(changes, saying):
    with pytest.raises(SeqoptError, match=saying):
        replace(data(), **changes)


def test_the_central_run_reaches_k_zero_without_a_gap():
    assert central_run(np.array([0, 3, 4, 5, 6, 7, 9]), 12).tolist() == [3, 4, 5, 6, 7]
    assert central_run(np.array([0, 1, 7]), 12).tolist() == []
    assert central_run(np.arange(0), 12).tolist() == []
