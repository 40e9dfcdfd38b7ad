"""Re-timing: the same paths, one echo sample, within the limits, and as fast as closed forms say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from designs import paper_scanner

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.gradients.projection import project
from seqopt.gradients.time_optimal import path_distance, retime

FOV = 0.22
DWELL = 4e-6
GEOMETRY = Geometry(fov_m=(FOV, FOV), matrix=(64, 64))


def spokes(*, shots=3, samples=512, bend=0.3):
    t = (np.arange(samples) - samples // 2) / (samples // 2)
    angle = np.arange(shots)[:, None] * np.pi / shots + bend * np.arange(shots)[:, None] * t**2
    return (0.95 * GEOMETRY.k_max_per_m[0] * t)[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def quick(k, *, scanner=None, echo=256, dwell=DWELL, **options):
    return retime(k, scanner or paper_scanner(), dwell_s=dwell, echo_sample=echo, fov_m=FOV, **options)


def test_the_new_samples_lie_on_the_old_paths():
    k = spokes()
    fast = quick(k)
    assert path_distance(fast.k_per_m, k) * FOV < 3e-3  # of which half is the grid of points on the curve
    assert np.allclose(fast.k_per_m[:, fast.echo_sample], k[:, 256], atol=0.05 / FOV)
    assert np.allclose(fast.k_per_m[:, 0], k[:, 0], atol=1e-6)
    assert (np.diff(fast.position, axis=1) >= 0).all()


def test_no_two_samples_are_farther_apart_than_one_over_the_field_of_view():
    fast = quick(spokes(bend=0.0))
    steps = np.linalg.norm(np.diff(fast.k_per_m, axis=1), axis=-1) * FOV
    assert steps.max() < 1.01
    assert steps.max() > 0.95  # and nothing else slows a straight line


def test_a_path_that_began_with_wider_steps_may_keep_them_there_and_only_there():
    k = spokes(bend=0.0)
    like = k * np.linspace(0, 16, 512)[:, None]  # steps grow outwards, past 1/FOV
    wide = np.linalg.norm(np.diff(like, axis=1), axis=-1) * FOV
    fast = quick(k, like_per_m=like)
    assert fast.k_per_m.shape[1] < quick(k).k_per_m.shape[1]
    steps = np.linalg.norm(np.diff(fast.k_per_m, axis=1), axis=-1) * FOV
    middle = np.clip((fast.position[:, 1:] + fast.position[:, :-1]) / 2, 0, 511)
    allowed = np.stack([np.interp(at, np.arange(511) + 0.5, row) for at, row in zip(middle, wide, strict=True)])
    assert (steps <= 1.05 * np.maximum(1.0, allowed)).all()
    assert steps.max() > 1.2


def test_a_straight_line_takes_a_sample_for_each_cell_of_k_space():
    k = spokes(shots=1, bend=0.0)
    length = np.linalg.norm(k[0, -1] - k[0, 0]) * FOV
    assert quick(k).k_per_m.shape[1] == pytest.approx(length, abs=6)


def test_where_amplitude_is_scarce_it_sets_the_speed():
    scanner = replace(paper_scanner(), max_grad_hz_per_m=1e5)
    k = spokes(shots=1, bend=0.0)
    length_per_m = np.linalg.norm(k[0, -1] - k[0, 0])
    assert quick(k, scanner=scanner).k_per_m.shape[1] * DWELL == pytest.approx(length_per_m / 0.95e5, rel=0.01)


def test_on_a_circle_the_slew_rate_sets_the_speed():
    """v^2 / radius is the slew rate: the time for a turn is 2 pi sqrt(radius / slew), here with the headroom of 5 %."""
    radius = 60.0
    angle = np.linspace(0, 2 * np.pi, 400)
    k = radius * np.stack([np.cos(angle), np.sin(angle)], -1)[None]
    scanner = paper_scanner()
    fast = quick(k, echo=0, dwell=1e-6)
    turn = 2 * np.pi * np.sqrt(radius / (0.95 * 0.95 * scanner.max_slew_hz_per_m_per_s))
    assert fast.k_per_m.shape[1] * 1e-6 == pytest.approx(turn, rel=0.02)


def test_the_projection_has_little_to_do_after_it():
    k = spokes()
    fast = quick(k)
    playable = project(fast.k_per_m, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=fast.echo_sample)
    assert playable.moved_max_per_fov < 0.05
    assert path_distance(playable.k_per_m, k) * FOV < 0.02
    at_echo = playable.k_per_m[:, fast.echo_sample]
    assert np.abs(at_echo).max() * FOV < 1e-6


def test_shots_of_different_lengths_pass_their_echo_at_one_sample():
    k = spokes() * np.array([1.0, 0.5, 0.2])[:, None, None]
    fast = quick(k)
    at_echo = np.linalg.norm(fast.k_per_m[:, fast.echo_sample], axis=-1) * FOV
    assert at_echo.max() < 0.05
    assert np.allclose(fast.k_per_m[:, -1], k[:, -1], atol=0.6 / FOV)


def test_a_cusp_is_turned_on_the_spot():
    """There and back along a line: the played path rounds the corner within a small part of a cell."""
    there = np.linspace(0, 100.0, 200)
    x = np.concatenate([there, there[-2::-1]])
    k = np.stack([x, np.zeros_like(x)], -1)[None]
    fast = quick(k, echo=0)
    steps = np.sort(np.linalg.norm(np.diff(fast.k_per_m[0], axis=0), axis=-1))
    slowest = np.sqrt(0.95 * 0.95 * paper_scanner().max_slew_hz_per_m_per_s * 0.02 / FOV)  # on a radius of 0.02/FOV
    assert steps[:3].sum() < 5 * slowest * DWELL < steps[-3:].sum()
    playable = project(fast.k_per_m, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=0)
    assert path_distance(playable.k_per_m, k) * FOV < 0.1
    assert playable.k_per_m[..., 0].max() > 95.0


def test_the_number_of_samples_suits_the_receiver():
    assert quick(spokes()).k_per_m.shape[1] % 4 == 0
    assert quick(spokes(), fits=lambda samples: samples % 100 == 0).k_per_m.shape[1] == 100
    with pytest.raises(SeqoptError, match="does not take"):
        quick(spokes(), fits=lambda _: False)
    with pytest.raises(SeqoptError, match="echo sample"):
        quick(spokes(), echo=512)
