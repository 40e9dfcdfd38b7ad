"""The projection: exact limits, exact k, and no farther from the wish than an independent solver gets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from designs import paper_scanner, radial_design
from scipy.integrate import cumulative_simpson
from scipy.optimize import NonlinearConstraint, minimize

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.gradients.projection import Projection, project, ramp_rasters

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
    assert twice.moved_max_per_fov < 0.05


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


def test_ramps_leave_the_adc_dead_time_and_room_to_stop():
    scanner = dataclasses.replace(paper_scanner(), adc_dead_time_s=95e-6)
    projection = project(wild(1), GEOMETRY, scanner, dwell_s=DWELL, echo_sample=64)
    assert projection.adc_start_edge >= 10
    duration = (projection.gradient_hz_per_m.shape[1] - 1) * scanner.grad_raster_s
    assert duration - projection.adc_start_edge * scanner.grad_raster_s - 128 * DWELL > 95e-6 - 1e-9
    fast = ramp_rasters(slow(samples=128), paper_scanner(), dwell_s=DWELL)
    assert fast > ramp_rasters(slow(samples=1024), paper_scanner(), dwell_s=DWELL)


def test_shots_are_projected_each_on_its_own():
    together = project(wild(7), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    twice = project(np.concatenate([wild(7), wild(7)]), GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
    assert np.abs(twice.k_per_m[:3] - together.k_per_m).max() * GEOMETRY.fov_m[0] < 0.02
    assert np.abs(twice.k_per_m[3:] - twice.k_per_m[:3]).max() * GEOMETRY.fov_m[0] < 1e-6


@pytest.mark.parametrize(("seed", "roughness"), [(8, 1.0), (11, 2.0)])
def test_no_independent_solver_gets_nearer(seed, roughness):
    """SLSQP on one short shot with the same limits gets as far and no farther."""
    scanner = paper_scanner()
    wish = wild(seed, shots=1, samples=40, roughness=roughness)
    projection = project(wish, GEOMETRY, scanner, dwell_s=DWELL, echo_sample=20)
    edges, raster = projection.gradient_hz_per_m.shape[1], scanner.grad_raster_s
    limit_g = scanner.margin * scanner.max_grad_hz_per_m
    limit_s = scanner.margin * scanner.max_slew_hz_per_m_per_s * raster
    times = projection.adc_start_edge * raster + (np.arange(40) + 0.5) * DWELL
    fine = np.linspace(0, (edges - 1) * raster, 20 * (edges - 1) + 1)
    hats = np.stack([np.interp(fine, np.arange(edges) * raster, row) for row in np.eye(edges)[1:-1]])
    running = np.pad(np.cumsum((hats[:, 1:] + hats[:, :-1]) / 2, axis=1) * (fine[1] - fine[0]), ((0, 0), (1, 0)))
    k_of = np.stack([np.interp(times, fine, row) for row in running], -1)  # (samples, inner edges)
    k_of = (k_of - k_of[20]) * limit_g * GEOMETRY.fov_m[0]
    target = (wish[0] - wish[0, 20]) * GEOMETRY.fov_m[0]

    size = 0.5 * float((target**2).sum())

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        difference = k_of @ u.reshape(-1, 2) - target
        return 0.5 * float((difference**2).sum()) / size, (k_of.T @ difference).ravel() / size

    def room(u: np.ndarray) -> np.ndarray:
        g = np.pad(u.reshape(-1, 2), ((1, 1), (0, 0)))
        return np.concatenate([(g**2).sum(-1)[1:-1], ((np.diff(g, axis=0) * limit_g / limit_s) ** 2).sum(-1)])

    def room_slope(u: np.ndarray) -> np.ndarray:
        inner, differences = np.eye(edges)[1:-1, 1:-1], np.diff(np.eye(edges)[:, 1:-1], axis=0) * limit_g / limit_s
        rows = np.concatenate([inner, differences])
        return (2 * rows[:, :, None] * (rows @ u.reshape(-1, 2))[:, None, :]).reshape(len(rows), -1)

    best = minimize(
        objective,
        np.zeros(2 * (edges - 2)),
        jac=True,
        method="SLSQP",
        constraints=NonlinearConstraint(room, -np.inf, 1.0, jac=room_slope),
        options={"maxiter": 500, "ftol": 1e-9},
    )
    assert best.success
    ours, _ = objective(projection.gradient_hz_per_m[0, 1:-1].ravel() / limit_g)
    assert best.fun > 0.01  # of the wish's energy: it is out of reach
    assert ours < 1.0005 * best.fun  # 1.0013 to 1.0045 if ADMM forgets its dual variable
    assert room(projection.gradient_hz_per_m[0, 1:-1].ravel() / limit_g).max() <= 1 + 1e-9


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


def test_damaged_trajectories_and_echoes_outside_are_refused():
    k = wild(0)
    with pytest.raises(SeqoptError, match=r"echo sample: got 128, expected 0\.\.127"):
        project(k, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=128)
    k[1, 5, 0] = np.nan
    with pytest.raises(SeqoptError, match="NaN or infinity"):
        project(k, GEOMETRY, paper_scanner(), dwell_s=DWELL, echo_sample=64)
