"""Units of a trajectory that nobody states: told by extent, said, overridden, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.mrd.trajectory_units import Space, factors, trajectory_units

FILE = Path("scan.mrd")
ENCODED = Space(matrix=np.array([64.0, 64.0]), fov_m=np.array([0.22, 0.22]))
K_MAX = 32 / 0.22


def spokes(k_max: float | tuple[float, float], share: float = 1.0) -> np.ndarray:
    angle = np.linspace(0, np.pi, 17)[:, None]
    radius = share * np.linspace(-1, 1, 33)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1) * np.asarray(k_max)


WRITERS = {
    "cycles_per_encoded_sample": 0.5,
    "cycles_per_fov": 32.0,
    "per_m": K_MAX,
    "rad_per_m": 2 * np.pi * K_MAX,
    "rad_per_encoded_sample": np.pi,
    "normalised": 1.0,
}


@pytest.mark.parametrize("unit", list(trajectory_units))
@pytest.mark.parametrize("share", [0.75, 1.0, 1.05])
def test_the_extent_tells_every_unit_that_writers_use(unit, share):
    notes: list[str] = []
    found = spokes(WRITERS[unit], share)
    scale = factors(FILE, found, None, [ENCODED, ENCODED], notes, asked=False)
    assert np.abs(found * scale).max() == pytest.approx(share * K_MAX)
    assert f"tells {unit}" in notes[0]


def test_of_units_that_fit_the_nearest_to_k_max_is_taken():
    """In 1.05 m numbers in 1/m and in 1/FOV are alike."""
    wide = Space(matrix=np.array([64.0, 64.0]), fov_m=np.array([1.05, 1.05]))
    assert np.allclose(factors(FILE, spokes(32 / 1.05), None, [wide, wide], [], asked=False), 1.0)


def test_a_stated_unit_comes_first_even_where_little_of_k_space_is_covered():
    found = spokes(0.5)
    assert np.allclose(factors(FILE, found, "per_m", [ENCODED, ENCODED], [], asked=True), 1.0)
    notes: list[str] = []
    factors(FILE, found, "cycles_per_fov", [ENCODED, ENCODED], notes, asked=True)
    assert notes == ["the trajectory was read as cycles_per_fov; it reaches 0.0156 k-max"]


def test_a_low_resolution_trajectory_is_taken_for_cycles_per_sample():
    assert np.allclose(factors(FILE, spokes(0.1), None, [ENCODED, ENCODED], [], asked=False), 64 / 0.22)


def test_where_only_the_readout_is_oversampled_the_images_space_may_be_meant():
    """Radial by a converter whose encoded x is doubled, with k in 1/FOV of the image on both axes."""
    doubled = Space(matrix=np.array([128.0, 64.0]), fov_m=np.array([0.44, 0.22]))
    scale = factors(FILE, spokes(32.0), None, [doubled, ENCODED], [], asked=False)
    assert np.allclose(scale, 1 / 0.22)
    cartesian_like = factors(FILE, spokes((64.0, 32.0)), None, [doubled, ENCODED], [], asked=False)
    assert np.allclose(cartesian_like, [1 / 0.44, 1 / 0.22])


@pytest.mark.parametrize(
    ("found", "unit", "saying"),
    [
        (spokes(5000.0), None, "neither cycles per sample .* --trajectory-units"),
        (spokes(0.5), "furlongs", "unknown trajectory_unit 'furlongs'; known: cycles_per_encoded_sample"),
        (spokes(32.0), "cycles_per_encoded_sample", "out of range, as cycles_per_encoded_sample it reaches 64 times"),
        (np.zeros((2, 4, 2)), None, "0 everywhere"),
    ],
)
def test_what_cannot_be_is_refused(found, unit, saying):
    with pytest.raises(SeqoptError, match=saying):
        factors(FILE, found, unit, [ENCODED, ENCODED], [], asked=False)
