"""The projection: exact limits, exact k, and no farther from the wish than an independent solver gets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from designs import paper_scanner, radial_design
from scipy.integrate import cumulative_simpson
from scipy.optimize import LinearConstraint, NonlinearConstraint, minimize

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.gradients.projection import Ends, Projection, project

GEOMETRY = Geometry(fov_m=(0.22, 0.22), matrix=(64, 64))
DWELL = 4e-6


def wild(seed: int, *, shots: int = 3, samples: int = 128, roughness: float = 8.0) -> np.ndarray:
    """Random paths across k-space, far beyond what gradients can do."""
    generator = np.random.default_rng(seed)
    t = np.arange(samples) / samples
    orders = np.arange(1, 15)
    waves = np.sin(2 * np.pi * orders[None, :, None] * t + generator.uniform(0, 2 * np.pi, (shots * 2, 14, 1)))
    size = generator.normal(size=(shots * 2, 14, 1)) / orders[None, :, None]
    k = (size * waves).sum(1).reshape(shots, 2, samples).transpose(0, 2, 1)
    return roughness * k / GEOMETRY.fov_m[0]


def slow(*, shots: int = 3, samples: int = 512) -> np.ndarray:
    """Curved spokes that a scanner can play as they are."""
    t = (np.arange(samples) - samples // 2) / (samples // 2)
    angle = np.arange(shots)[:, None] * np.pi / shots + 0.3 * t**2
    return (0.95 * GEOMETRY.k_max_per_m[0] * t)[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def lengths(projection: Projection, raster: float) -> tuple[float, float]:
    """Largest vector amplitude and slew rate, written out without the package's helpers."""
    g = projection.gradient_hz_per_m
    rate = (g[:, 1:] - g[:, :-1]) / raster
    return float(np.sqrt((g**2).sum(-1)).max()), float(np.sqrt((rate**2).sum(-1)).max())


@pytest.mark.parametrize("seed", range(6))
def test_a_projected_trajectory_never_exceeds_its_limits(seed):
    scanner = paper_scanner()
    wish = wild(seed, roughness=[2.0, 8.0, 30.0][seed % 3])
    projection = project(wish, GEOMETRY, scanner, dwell_s=DWELL, echo_sample=64)
    amplitude, rate = lengths(projection, scanner.grad_raster_s)
    assert amplitude <= scanner.margin * scanner.max_grad_hz_per_m * (1 + 1e-9)
    assert rate <= scanner.margin * scanner.max_slew_hz_per_m_per_s * (1 + 1e-9)
    assert rate > 0.9 * scanner.margin * scanner.max_slew_hz_per_m_per_s  # and it uses them


@pytest.mark.parametrize("margin", [1.0, 0.6])
def test_the_margin_is_respected(margin):
    scanner = dataclasses.replace(paper_scanner(), margin=margin)
    projection = project(wild(1), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=64)
    amplitude, rate = lengths(projection, scanner.grad_raster_s)
    assert amplitude <= margin * scanner.max_grad_hz_per_m * (1 + 1e-9)
    assert rate <= margin * scanner.max_slew_hz_per_m_per_s * (1 + 1e-9)
    assert rate > 0.9 * margin * scanner.max_slew_hz_per_m_per_s


def test_both_limits_bind_where_amplitude_is_scarce():
    scanner = dataclasses.replace(paper_scanner(), max_grad_hz_per_m=3e5)
    projection = project(wild(3, roughness=30.0), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=64)
    amplitude, rate = lengths(projection, scanner.grad_raster_s)
    assert 0.99 * scanner.margin * 3e5 < amplitude <= scanner.margin * 3e5 * (1 + 1e-9)
    assert rate <= scanner.margin * scanner.max_slew_hz_per_m_per_s * (1 + 1e-9)


def test_a_playable_trajectory_stays_where_it_is():
    scanner = paper_scanner()
    projection = project(slow(), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=256)
    assert projection.moved_max_per_fov < 0.01
    moved = np.linalg.norm((projection.k_per_m - slow()) * GEOMETRY.fov_m[0], axis=-1)
    assert moved.max() == pytest.approx(projection.moved_max_per_fov)
    assert np.sqrt((moved**2).mean()) == pytest.approx(projection.moved_rms_per_fov)


def test_projecting_twice_changes_little():
    once = project(wild(2), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    twice = project(once.k_per_m, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    assert twice.moved_max_per_fov < 1e-3


@pytest.mark.parametrize("echo", [0, 17, 64, 127])
def test_the_echo_is_pinned_to_the_centre(echo):
    projection = project(wild(4), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=echo)
    assert np.abs(projection.k_per_m[:, echo]).max() * GEOMETRY.fov_m[0] < 1e-9


def test_the_gradient_is_zero_at_both_ends():
    gradient = project(wild(5), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64).gradient_hz_per_m
    assert np.abs(gradient[:, [0, -1]]).max() == 0.0
    assert np.abs(gradient[:, 1:-1]).max() > 0.0


def test_k_is_the_integral_of_the_gradient():
    """Integrated anew on a grid of 1 us, on which ADC centres and raster edges both lie: Simpson's rule is exact."""
    projection = project(wild(6), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    edges = projection.gradient_hz_per_m.shape[1]
    fine = np.arange((edges - 1) * 10 + 1) * 1e-6
    for shot, path in enumerate(projection.k_per_m):
        for axis in range(2):
            played = np.interp(fine, np.arange(edges) * 10e-6, projection.gradient_hz_per_m[shot, :, axis])
            trapezoids = np.concatenate([[0.0], np.cumsum((played[1:] + played[:-1]) / 2) * 1e-6])
            assert np.allclose(trapezoids[::10], cumulative_simpson(played, dx=1e-6, initial=0.0)[::10], atol=1e-3)
            k = trapezoids + projection.k_start_per_m[shot, axis]
            centres = projection.adc_start_edge * 10 + 2 + 4 * np.arange(path.shape[0])
            assert np.abs(k[centres] - path[:, axis]).max() * GEOMETRY.fov_m[0] < 1e-9


def test_the_adc_has_its_dead_time_before_and_after_it():
    scanner = dataclasses.replace(paper_scanner(), adc_dead_time_s=0.952e-3)
    projection = project(slow(), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=256)
    assert projection.adc_start_edge == 96
    duration = (projection.gradient_hz_per_m.shape[1] - 1) * scanner.grad_raster_s
    after = duration - projection.adc_start_edge * scanner.grad_raster_s - 512 * DWELL
    assert after == pytest.approx(0.952e-3, abs=1e-9)  # 2 us of which are left of the readout's last raster


def test_the_waveform_holds_its_prephaser_and_its_rewinder():
    """From rest at k = 0 to rest at k = 0, integrated by trapezoids, which is exact on raster edges."""
    projection = project(wild(9), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    assert np.abs(projection.gradient_hz_per_m.sum(axis=1)).max() * 10e-6 * GEOMETRY.fov_m[0] < 1e-9
    assert np.abs(projection.k_start_per_m).max() == 0.0
    assert np.abs(projection.k_per_m[:, 0]).max() * GEOMETRY.fov_m[0] > 1.0


def test_a_readout_need_not_begin_or_end_at_rest():
    projection = project(slow(), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=256)
    at_adc = np.linalg.norm(projection.gradient_hz_per_m[:, projection.adc_start_edge], axis=-1)
    speed = np.linalg.norm(slow()[:, 1] - slow()[:, 0], axis=-1) / DWELL
    assert np.allclose(at_adc, speed, rtol=0.01)


def test_the_slice_takes_its_part_of_the_limits_on_the_vector():
    """With a rephaser and a spoiler the way to the readout takes longer; the vector of all three keeps the limits."""
    scanner = paper_scanner()
    plain = project(slow(), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=256)
    ends = Ends(slice_before_per_m=-300.0, slice_after_per_m=800.0)
    both = project(slow(), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=256, ends=ends)
    assert both.adc_start_edge > plain.adc_start_edge
    assert both.gradient_hz_per_m.shape[1] > plain.gradient_hz_per_m.shape[1]
    assert np.abs(both.k_per_m - plain.k_per_m).max() * GEOMETRY.fov_m[0] < 1e-6  # the readout is the same


def test_a_gentler_prephaser_takes_longer_and_uses_its_share_of_the_slew_rate():
    scanner = dataclasses.replace(paper_scanner(), connection_slew_share=0.4)
    plain = project(slow(), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=256)
    gentle = project(slow(), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=256)
    assert gentle.adc_start_edge > 1.4 * plain.adc_start_edge
    rate = np.linalg.norm(np.diff(gentle.gradient_hz_per_m, axis=1), axis=-1) / 10e-6
    assert rate.max() <= 0.4 * scanner.margin * scanner.max_slew_hz_per_m_per_s * (1 + 1e-9)
    assert rate.max() > 0.38 * scanner.margin * scanner.max_slew_hz_per_m_per_s


def test_a_readout_and_a_hurried_prephaser_keep_to_shares_of_their_own():
    scanner = dataclasses.replace(paper_scanner(), connection_slew_share=0.4)
    plain = project(wild(1), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=64, slew_share=0.5)
    ends = Ends(most_before=plain.adc_start_edge - 2)
    hurried = project(wild(1), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=64, slew_share=0.5, ends=ends)
    assert (plain.yielded, hurried.yielded) == (False, True)
    for projection in (plain, hurried):
        steps = np.linalg.norm(np.diff(projection.gradient_hz_per_m, axis=1), axis=-1)
        share = steps / (10e-6 * scanner.margin * scanner.max_slew_hz_per_m_per_s)
        first = projection.adc_start_edge
        assert 0.48 < share[:, first : first + 52].max() <= 0.5 * (1 + 1e-9)
        assert 0.38 < share[:, :first].max() <= 0.4 * (1 + 1e-9)
        assert share[:, first + 52 :].max() <= 0.4 * (1 + 1e-9)


def test_a_path_that_would_reach_much_less_far_is_refused_where_that_is_asked():
    with pytest.raises(SeqoptError, match=r"got a path that reaches 0\.\d+ times as far.* expected 0\.95\.\.1\.2"):
        project(
            wild(2, roughness=30.0), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64, reach_shares=(0.95, 1.2)
        )
    assert project(slow(), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=256, reach_shares=(0.95, 1.2))


def test_the_whole_at_once_is_what_its_parts_are():
    """The joint problem with the durations that the parts found, less nothing: the same k; with less time, farther."""
    wish = wild(2)
    free = project(wish, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    before = free.adc_start_edge
    moved = [free.moved_rms_per_fov]
    for fewer in (1, 6, 12):
        ends = Ends(most_before=before - fewer)
        short = project(wish, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64, ends=ends)
        assert short.yielded
        assert short.adc_start_edge == before - fewer
        assert np.abs(short.k_per_m[:, 64]).max() * GEOMETRY.fov_m[0] < 1e-6
        assert np.abs(short.gradient_hz_per_m.sum(axis=1)).max() * 10e-6 * GEOMETRY.fov_m[0] < 1e-6
        amplitude, rate = lengths(short, 10e-6)
        assert amplitude <= 0.95 * paper_scanner().max_grad_hz_per_m * (1 + 1e-9)
        assert rate <= 0.95 * paper_scanner().max_slew_hz_per_m_per_s * (1 + 1e-9)
        moved.append(short.moved_rms_per_fov)
    assert moved[0] == pytest.approx(moved[1], rel=0.01)
    assert moved == sorted(moved)
    assert not free.yielded


def test_a_shot_is_projected_alike_wherever_it_points():
    turned = wild(3) @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    straight = project(wild(3), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    other = project(turned, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    back = other.gradient_hz_per_m @ np.array([[0.6, 0.8], [-0.8, 0.6]]).T
    assert np.abs(back - straight.gradient_hz_per_m).max() < 1e-5 * paper_scanner().max_grad_hz_per_m


def test_the_method_converges_faster_than_linearly_to_a_proof():
    projection = project(wild(4), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    residual = np.array(projection.history_per_fov)
    way = projection.moved_rms_per_fov * np.sqrt(128 * 3)
    assert projection.residual < 3e-4 * way
    assert projection.iterations <= 25
    assert (residual[4::4] < 0.2 * residual[:-4:4]).all()


def test_shots_are_projected_each_on_its_own():
    together = project(wild(7), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    twice = project(np.concatenate([wild(7), wild(7)]), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    assert np.abs(twice.k_per_m[:3] - together.k_per_m).max() * GEOMETRY.fov_m[0] < 1e-9
    assert np.abs(twice.k_per_m[3:] - twice.k_per_m[:3]).max() * GEOMETRY.fov_m[0] < 1e-9


@pytest.mark.parametrize(("seed", "roughness"), [(8, 1.0), (11, 2.0)])
def test_no_independent_solver_gets_nearer(seed, roughness):
    """SLSQP on the readout of one short shot with the same limits, its ends free, gets as far and no farther."""
    wish = wild(seed, shots=1, samples=40, roughness=roughness)
    projection = project(wish, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=20)
    first = projection.adc_start_edge
    nearest_and_ours_agree(wish, projection.gradient_hz_per_m[0, first : first + 17], 0, at_rest=False)


def test_no_independent_solver_gets_nearer_with_too_little_time_for_the_prephaser():
    """The whole from rest to rest at k = 0, with k pinned at the echo, against SLSQP."""
    wish = wild(8, shots=1, samples=40, roughness=1.0)
    scanner = dataclasses.replace(paper_scanner(), max_slew_hz_per_m_per_s=2.5e9)
    plain = project(wish, GEOMETRY, scanner, dwell_s=DWELL, echo_sample=20)
    rewinder = plain.gradient_hz_per_m.shape[1] - 17 - plain.adc_start_edge
    ends = Ends(most_before=plain.adc_start_edge - 4, most_after=rewinder - 2)
    short = project(wish, GEOMETRY, scanner, dwell_s=DWELL, echo_sample=20, ends=ends)
    nearest_and_ours_agree(wish, short.gradient_hz_per_m[0], short.adc_start_edge, at_rest=True, scanner=scanner)


def nearest_and_ours_agree(wish, gradient, first, *, at_rest, scanner=None):
    scanner = scanner or paper_scanner()
    edges, raster = len(gradient), scanner.grad_raster_s
    limit_g = scanner.margin * scanner.max_grad_hz_per_m
    limit_s = scanner.margin * scanner.max_slew_hz_per_m_per_s * raster
    times = first * raster + (np.arange(40) + 0.5) * DWELL
    fine = np.linspace(0, (edges - 1) * raster, 20 * (edges - 1) + 1)
    sought = np.eye(edges)[1:-1] if at_rest else np.eye(edges)
    hats = np.stack([np.interp(fine, np.arange(edges) * raster, row) for row in sought])
    running = np.pad(np.cumsum((hats[:, 1:] + hats[:, :-1]) / 2, axis=1) * (fine[1] - fine[0]), ((0, 0), (1, 0)))
    absolute = np.stack([np.interp(times, fine, row) for row in running], -1) * limit_g * GEOMETRY.fov_m[0]
    k_of = absolute - absolute[20]
    target = wish[0] * GEOMETRY.fov_m[0]
    size = 0.5 * float((target**2).sum())

    def objective(u):
        difference = k_of @ u.reshape(-1, 2) - target
        return 0.5 * float((difference**2).sum()) / size, (k_of.T @ difference).ravel() / size

    steps = np.diff(sought.T, axis=0) * limit_g / limit_s
    rows = np.concatenate([np.eye(len(sought)), steps])

    def room(u):
        return ((rows @ u.reshape(-1, 2)) ** 2).sum(-1)

    def room_slope(u):
        return (2 * rows[:, :, None] * (rows @ u.reshape(-1, 2))[:, None, :]).reshape(len(rows), -1)

    constraints = [NonlinearConstraint(room, -np.inf, 1.0, jac=room_slope)]
    if at_rest:  # the echo at k = 0 counted from the start, and k = 0 at the end
        through = np.kron(
            np.stack([absolute[20], np.full(len(sought), raster * limit_g * GEOMETRY.fov_m[0])]), np.eye(2)
        )
        constraints.append(LinearConstraint(through, 0.0, 0.0))
    best = minimize(
        objective,
        np.zeros(2 * len(sought)),
        jac=True,
        method="SLSQP",
        constraints=constraints,
        options={"maxiter": 1000, "ftol": 1e-10},
    )
    assert best.success
    mine = (gradient[1:-1] if at_rest else gradient).ravel() / limit_g
    ours, _ = objective(mine)
    assert best.fun > 0.01  # of the wish's energy: it is out of reach
    assert ours < 1.0002 * best.fun
    assert ours > 0.9998 * best.fun  # and no limit is broken for it
    assert room(mine).max() <= 1 + 1e-9


def test_a_design_takes_what_the_projection_gives():
    """The projection's result passes the design's own checks."""
    wish = slow(shots=8)
    projection = project(wish, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=256)
    design = dataclasses.replace(
        radial_design(),
        gradient_hz_per_m=projection.gradient_hz_per_m,
        k_start_per_m=projection.k_start_per_m,
        k_per_m=projection.k_per_m,
        initial_k_per_m=wish,
        adc_start_edge=projection.adc_start_edge,
        echo_sample=256,
    )
    assert design.shots == 8


def test_what_cannot_be_played_is_refused_with_the_numbers_and_never_returned():
    k = wild(1)
    echo = np.full((3, 2), 200.0 / GEOMETRY.fov_m[0])  # not to be reached in four rasters and 0.1 ms
    with pytest.raises(SeqoptError, match=r"no playable path after \d+ iterations .*lengthen TE, TR"):
        project(
            k,
            GEOMETRY,
            paper_scanner(),
            dwell_s=DWELL,
            echo_sample=20,
            echo_k_per_m=echo,
            ends=Ends(most_before=4, most_after=40),
        )
    with pytest.raises(SeqoptError, match=r"the slice's moment: got 0\.1 ms"):
        project(
            k,
            GEOMETRY,
            paper_scanner(),
            dwell_s=DWELL,
            echo_sample=20,
            ends=Ends(slice_before_per_m=400.0, most_before=10),
        )


def test_damaged_trajectories_and_echoes_outside_are_refused():
    k = wild(0)
    with pytest.raises(SeqoptError, match=r"echo sample: got 128, expected 0\.\.127"):
        project(k, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=128)
    k[1, 5, 0] = np.nan
    with pytest.raises(SeqoptError, match="NaN or infinity"):
        project(k, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)


def test_where_slices_are_never_oblique_each_axis_has_the_limits_to_itself():
    """A fast wave along the diagonal: x and y together may be faster than either."""
    geometry = Geometry(fov_m=(0.22, 0.22), matrix=(64, 64))
    t = np.arange(256) * 4e-6
    k = (11.0 * np.sin(2 * np.pi * 4e3 * t))[None, :, None] * np.array([1.0, 1.0])
    of_vector, of_axes = (
        project(k, geometry, dataclasses.replace(paper_scanner(), oblique=way), dwell_s=4e-6, echo_sample=0)
        for way in ("vector", "axis")
    )
    assert of_axes.moved_rms_per_fov < 0.1 * of_vector.moved_rms_per_fov
    scanner = paper_scanner()
    slew = np.abs(np.diff(of_axes.gradient_hz_per_m, axis=1)) / scanner.grad_raster_s
    assert slew.max() <= 0.95 * scanner.max_slew_hz_per_m_per_s * (1 + 1e-9)
    assert np.abs(of_axes.gradient_hz_per_m).max() <= 0.95 * scanner.max_grad_hz_per_m * (1 + 1e-9)
    assert np.allclose(of_axes.gradient_hz_per_m[..., 0], of_axes.gradient_hz_per_m[..., 1], atol=1.0)
