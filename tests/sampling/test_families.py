"""Every family of initial trajectories: playable, reaching k-max, with its echo, and refusing what cannot be."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from designs import readouts

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner
from seqopt.gradients.projection import project
from seqopt.sampling.initial import InitialPath, Readouts, initial_trajectories

SMALL, LARGE = (Geometry(fov_m=(0.22, 0.22), matrix=(size, size)) for size in (64, 256))
FAMILIES = list(initial_trajectories)
PARALLEL = ("cartesian", "cartesian-vd", "epi")
CASES = [(4, "paper"), (4, "prisma"), (4, "freemax"), (1, "paper"), (16, "paper")]


@cache
def made(family: str, asked: Readouts) -> InitialPath:
    return initial_trajectories[family](asked)


def small(shots: int = 4, scanner: str = "paper", **changes: object) -> Readouts:
    return readouts(SMALL, shots, 640, scanner=load_scanner(scanner), **changes)


def assert_playable(path: InitialPath, asked: Readouts) -> None:
    """Differences of samples are means of gradient and slew, so they keep every limit that those keep."""
    speed = np.diff(path.k_per_m, axis=1) / asked.dwell_s
    slew = np.diff(speed, axis=1) / asked.dwell_s
    scanner = asked.scanner
    assert np.sqrt((speed**2).sum(-1)).max() <= scanner.margin * scanner.max_grad_hz_per_m * (1 + 1e-9)
    assert np.sqrt((slew**2).sum(-1)).max() <= scanner.margin * scanner.max_slew_hz_per_m_per_s


@pytest.mark.parametrize(("shots", "scanner"), CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_playable_before_any_learning_ramps_included(family: str, shots: int, scanner: str) -> None:
    asked = small(shots, scanner)
    path = made(family, asked)
    assert_playable(path, asked)
    echo = path.echo_sample
    played = project(
        path.k_per_m,
        SMALL,
        asked.scanner,
        dwell_s=asked.dwell_s,
        echo_sample=echo,
        echo_k_per_m=path.k_per_m[:, echo],
    )
    assert played.moved_max_per_fov < 0.02
    assert np.abs(played.k_per_m[:, echo] - path.k_per_m[:, echo]).max() * 0.22 < 1e-9


@pytest.mark.parametrize(
    ("shots", "samples", "scanner"), [(1, 2000, "paper"), (32, 1000, "prisma"), (8, 1500, "mr750")]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_playable_at_a_matrix_of_256(family: str, shots: int, samples: int, scanner: str) -> None:
    asked = readouts(LARGE, shots, samples, scanner=load_scanner(scanner))
    path = made(family, asked)
    assert_playable(path, asked)
    assert np.abs(path.k_per_m).max() <= LARGE.k_max_per_m[0] * 1.001


@pytest.mark.parametrize("shots", [1, 4, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_shot_reaches_k_max_and_none_leaves_it(family: str, shots: int) -> None:
    k = made(family, small(shots)).k_per_m
    k_max = SMALL.k_max_per_m[0]
    reach = np.abs(k[..., 0]) if family in PARALLEL else np.linalg.norm(k, axis=-1)
    assert reach.max(axis=1).min() >= 0.98 * k_max
    assert np.abs(k).max() <= 1.001 * k_max
    assert k.shape == (shots, 640, 2)


@pytest.mark.parametrize("shots", [1, 4, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_shot_is_at_or_nearest_to_the_centre_on_its_echo(family: str, shots: int) -> None:
    path = made(family, small(shots))
    k, pinned = path.k_per_m[:, path.echo_sample], path.pinned
    assert pinned @ pinned == pytest.approx(pinned)
    assert pinned == pytest.approx(pinned.transpose(0, 2, 1))
    through = np.linalg.norm(k, axis=-1) < 1e-9
    assert (pinned[through] == np.eye(2)).all()
    if family in PARALLEL:
        assert through.sum() == 1
        assert np.abs(k[:, 0]).max() < 1e-9
        assert (pinned[~through] == np.diag([1.0, 0.0])).all()
    else:
        assert through.all()
    nearest = np.linalg.norm(path.k_per_m, axis=-1).min(axis=1)
    assert np.linalg.norm(k, axis=-1) == pytest.approx(nearest, abs=1e-3)


def test_epi_lines_lie_at_equal_distances_through_all_shots() -> None:
    k = made("epi", readouts(SMALL, 4, 1000)).k_per_m
    ky = []
    for shot in k:
        at = np.flatnonzero(np.diff(np.sign(shot[:, 0] + 1e-7)))
        part = -shot[at, 0] / (shot[at + 1, 0] - shot[at, 0])
        ky += (shot[at, 1] + part * (shot[at + 1, 1] - shot[at, 1])).tolist()
    lines = np.sort(ky)
    assert len(lines) % 4 == 0
    assert len(lines) // 4 >= 5
    assert np.diff(lines) == pytest.approx(2 * SMALL.k_max_per_m[1] / len(lines), rel=1e-3)
    assert lines[0] == pytest.approx(-SMALL.k_max_per_m[1], rel=1e-3)
    assert np.abs(lines).min() < 1e-3


@pytest.mark.parametrize("family", ["cartesian", "cartesian-vd"])
def test_a_full_set_of_lines_is_the_cartesian_grid(family: str) -> None:
    ky = made(family, small(64)).k_per_m[:, 0, 1]
    assert ky * 0.22 == pytest.approx(np.arange(-32, 32))


def test_lines_and_spirals_of_variable_density_are_denser_in_the_centre() -> None:
    gaps = np.diff(made("cartesian-vd", small(16)).k_per_m[:, 0, 1])
    even = np.diff(made("cartesian", small(16)).k_per_m[:, 0, 1])
    assert gaps[7] < 0.6 * even[7]
    assert gaps[0] > 2.5 * gaps[7]
    half = {}
    for family in ("spiral", "spiral-vd"):
        path = made(family, readouts(LARGE, 4, 1000)).k_per_m[0]
        size, turned = np.linalg.norm(path, axis=-1), np.unwrap(np.arctan2(path[1:, 1], path[1:, 0]))
        half[family] = np.interp(LARGE.k_max_per_m[0] / 2, size[1:], turned) / turned[-1]
    assert half["spiral"] == pytest.approx(0.5, abs=0.03)
    assert half["spiral-vd"] > 0.62


def test_spirals_with_time_enough_meet_nyquist_between_their_turns() -> None:
    """Radii at which all interleaves cross the x axis are 1/FOV apart."""
    crossings = []
    for shot in made("spiral", readouts(SMALL, 16, 1000)).k_per_m:
        at = np.flatnonzero((np.diff(np.sign(shot[:, 1])) != 0) & (shot[1:, 0] > 0))
        part = shot[at, 1] / (shot[at, 1] - shot[at + 1, 1])
        crossings += (shot[at, 0] + part * (shot[at + 1, 0] - shot[at, 0])).tolist()
    gaps = np.diff(np.sort([one for one in crossings if one > 3 / 0.22])) * 0.22
    assert len(gaps) > 20
    assert gaps == pytest.approx(1.0, abs=0.05)


def test_a_spiral_out_of_time_uses_the_slew_rate_that_there_is() -> None:
    asked = readouts(LARGE, 1, 1000)
    slew = np.diff(made("spiral", asked).k_per_m[0], n=2, axis=0) / asked.dwell_s**2
    used = np.linalg.norm(slew, axis=-1) / asked.max_slew_hz_per_m_per_s
    assert np.median(used) > 0.9


@pytest.mark.parametrize("family", ["propeller", "spiral-in-out"])
def test_a_path_with_its_echo_in_the_middle_is_symmetric_about_it(family: str) -> None:
    path = made(family, small())
    around = np.arange(1, 300)
    echo = path.echo_sample
    there, back = path.k_per_m[:, echo + around], path.k_per_m[:, echo - around]
    assert np.abs(there + back).max() * 0.22 < 0.05


def test_a_rosette_spreads_its_petals_over_the_circle() -> None:
    k = made("rosette", readouts(SMALL, 4, 1000)).k_per_m.reshape(-1, 2)
    tips = k[np.linalg.norm(k, axis=-1) > 0.999 * SMALL.k_max_per_m[0]]
    angles = np.sort(np.degrees(np.arctan2(tips[:, 1], tips[:, 0])))
    assert np.diff(angles).max() < 360 / 12


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_gives_the_same_numbers_each_time(family: str) -> None:
    again = initial_trajectories[family](small())
    assert np.array_equal(made(family, small()).k_per_m, again.k_per_m)


@pytest.mark.parametrize(
    ("family", "step_deg"),
    [("radial", 111.246), ("spiral", 222.492), ("spiral-in-out", 111.246), ("propeller", 111.246)],
)
def test_golden_angles_follow_the_golden_ratio(family: str, step_deg: float) -> None:
    k = made(family, small(golden=True)).k_per_m
    end = k[..., -1, 0] + 1j * k[..., -1, 1]
    step = np.degrees(np.angle(end[1:] / end[:-1])) % 360
    assert step == pytest.approx(step_deg, abs=1e-3)


@pytest.mark.parametrize("family", PARALLEL)
def test_families_without_an_angle_refuse_golden_ones(family: str) -> None:
    with pytest.raises(SeqoptError, match="leave out --golden"):
        made(family, small(golden=True))


@pytest.mark.parametrize(
    ("family", "most"),
    [
        ("cartesian", 64),
        ("cartesian-vd", 64),
        ("epi", 21),
        ("radial", 101),
        ("propeller", 101),
        ("spiral", 64),
        ("spiral-vd", 64),
        ("spiral-in-out", 32),
        ("rosette", 64),
    ],
)
def test_more_shots_than_the_matrix_has_room_for_are_refused_and_the_largest_number_is_taken(
    family: str, most: int
) -> None:
    with pytest.raises(SeqoptError, match=rf"shots: got {most + 1}, expected 1\.\.{most}\b.*use --shots {most}"):
        made(family, small(most + 1))
    assert len(made(family, small(most)).k_per_m) == most


@pytest.mark.parametrize("scanner", ["paper", "freemax"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_shortest_readout_that_a_refusal_names_is_taken_and_no_shorter_one(family: str, scanner: str) -> None:
    options = {"scanner": load_scanner(scanner), "dwell_s": 2e-6}
    with pytest.raises(SeqoptError, match="at least") as refusal:
        made(family, readouts(LARGE, 4, 100, **options))
    assert "\n" not in str(refusal.value)
    found = re.search(r"at least ([\d.]+) ms", str(refusal.value))
    assert found is not None
    samples = float(found.group(1)) * 1e-3 / 2e-6
    assert samples == pytest.approx(round(samples), abs=1e-3)
    assert round(samples) % 4 == 0
    enough = readouts(LARGE, 4, round(samples), **options)
    assert_playable(made(family, enough), enough)
    with pytest.raises(SeqoptError, match="at least"):
        made(family, readouts(LARGE, 4, round(samples) - 4, **options))
