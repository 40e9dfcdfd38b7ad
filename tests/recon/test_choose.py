"""The method ``auto``."""

from __future__ import annotations

import numpy as np
import pytest

from seqopt.core import CartesianData, Geometry
from seqopt.recon.choose import choose_for_lines, choose_for_trajectory, covered

GEOMETRY = Geometry(fov_m=(0.2, 0.2), matrix=(64, 64))


def radial(shots: int) -> np.ndarray:
    angle = np.arange(shots) * np.pi / shots
    radius = (np.arange(128) - 64) / 2 / 0.2
    return np.stack([radius * np.cos(angle)[:, None], radius * np.sin(angle)[:, None]], -1)


def lines(numbers: list[int], calibration: list[int], coils: int = 8) -> CartesianData:
    samples = np.ones((1, coils, len(numbers), 64), np.complex64)
    return CartesianData(
        samples=samples,
        lines=np.array(numbers),
        acquired=np.ones((1, len(numbers)), bool),
        geometry=GEOMETRY,
        dwell_s=4e-6,
        calibration=np.ones((1, coils, len(calibration), 64), np.complex64),
        calibration_lines=np.array(calibration, dtype=int),
    )


def test_coverage_counts_cells():
    assert covered(radial(200), GEOMETRY) > 0.97
    assert 0.15 < covered(radial(10), GEOMETRY) < 0.35
    grid = np.stack(np.meshgrid(np.arange(-32, 32), np.arange(-32, 32)), -1) / 0.2
    assert covered(grid, GEOMETRY) > 0.98


@pytest.mark.parametrize(
    ("shots", "networks", "method", "why"),
    [
        (200, (), "cg-sense", "cover"),
        (12, (), "l1-wavelet", "cover only"),
        (12, ("unet",), "unet", "trained for it"),
        (200, ("unet", "unrolled"), "unrolled", "trained for it"),
    ],
)
def test_along_trajectories_by_what_is_covered(shots, networks, method, why):
    chosen, reason = choose_for_trajectory(radial(shots), GEOMETRY, networks)
    assert chosen == method
    assert why in reason


CENTRE = list(range(24, 40))


@pytest.mark.parametrize(
    ("acquired", "calibration", "coils", "method"),
    [
        (range(64), CENTRE, 8, "zero-filled"),
        (sorted({*range(0, 64, 2), *CENTRE}), CENTRE, 8, "grappa"),
        (sorted({*range(0, 64, 4), *CENTRE}), CENTRE, 4, "l1-wavelet"),
        (sorted({1, 2, 7, 9, 50, 59, *CENTRE}), CENTRE, 8, "l1-wavelet"),
        (range(0, 64, 2), [], 8, "zero-filled"),
        (sorted({1, 2, 7, 9, 50, 59, *CENTRE}), [], 1, "l1-wavelet"),
    ],
)
def test_for_lines_by_their_pattern(acquired, calibration, coils, method):
    assert choose_for_lines(lines(list(acquired), list(calibration), coils), ())[0] == method


def test_a_network_of_the_design_comes_first():
    assert choose_for_lines(lines(list(range(64)), CENTRE), ("unet",))[0] == "unet"
