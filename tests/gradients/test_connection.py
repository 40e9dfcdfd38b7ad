"""The connections: from rest to where a readout begins, in whole rasters, and no independent method needs fewer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from designs import paper_scanner
from scipy.optimize import linprog

from seqopt.errors import SeqoptError
from seqopt.gradients.connection import Connection, Limits, connect, connect_within, slice_lobe

LIMITS = Limits.of(paper_scanner())
RASTER = 10e-6
SIDES = np.exp(2j * np.pi * np.arange(64) / 64)


def ends(k_per_m, gradient_hz_per_m):
    k, g = np.atleast_1d(np.asarray(k_per_m, complex)), np.atleast_1d(np.asarray(gradient_hz_per_m, complex))
    return np.stack([k - g * RASTER / 2, k + g * RASTER / 2], axis=1)  # their mean is k, their difference g


def played(found: Connection):
    """Gradient on edges and k at its end by trapezoids."""
    gradient = np.diff(found.coefficients, axis=1) / RASTER
    return gradient, ((gradient[:, 1:] + gradient[:, :-1]) / 2).sum(1) * RASTER


def possible(rasters, k_per_m, gradient_hz_per_m, slice_area_per_m):
    """Whether a linear program with polygons about the circles finds a way: false is a proof that there is none."""
    z = slice_lobe(slice_area_per_m, rasters, LIMITS).edges_hz_per_m()
    grad = np.sqrt(np.maximum(LIMITS.grad_hz_per_m**2 - z**2, 0))
    step = np.sqrt(np.maximum((LIMITS.slew_hz_per_m_per_s * RASTER) ** 2 - np.diff(z) ** 2, 0))
    inner = np.eye(rasters + 1)[:, 1:-1]  # edges x unknown edges
    last = np.eye(rasters + 1)[:, -1] * 1.0
    rows, limits = [], []
    for side in SIDES:
        turn = np.array([side.real, side.imag])
        end = turn @ [np.real(gradient_hz_per_m), np.imag(gradient_hz_per_m)]
        for matrix, radius, fixed in ((inner, grad, last), (np.diff(inner, axis=0), step, np.diff(last))):
            rows.append(np.kron(matrix, turn))
            limits.append(radius - end * fixed)
    amount = np.kron((inner[1:] + inner[:-1]).sum(0) / 2 * RASTER, np.eye(2)).reshape(2, -1, order="F")
    amount = np.stack([np.kron(np.full(rasters - 1, RASTER), unit) for unit in np.eye(2)])
    rest = k_per_m - gradient_hz_per_m * RASTER / 2
    scale = LIMITS.grad_hz_per_m
    answer = linprog(
        np.zeros(2 * (rasters - 1)),
        A_ub=np.concatenate(rows),
        b_ub=np.concatenate(limits) / scale,
        A_eq=amount / RASTER,
        b_eq=np.array([np.real(rest), np.imag(rest)]) / scale / RASTER,
        bounds=(None, None),
    )
    return answer.status == 0


CASES = [  # k 1/m, gradient Hz/m at its end, slice 1/m
    (580.0, 0.0, 0.0),
    (580.0, 290e3, -300.0),
    (580.0, -290e3, 0.0),
    (300 + 400j, 1e6 - 1e6j, -400.0),
    (0.0, 1.5e6j, 0.0),
]


@pytest.mark.parametrize(("k", "gradient", "area"), CASES)
def test_a_connection_arrives_within_the_limits_and_one_raster_less_is_impossible(k, gradient, area):
    found = connect(ends(k, gradient), LIMITS, slice_area_per_m=area)
    rasters = found.lobe.rasters
    waveform, arrived = played(found)
    assert np.abs(waveform[0, 0]) < 1e-3
    assert np.abs(waveform[0, -1] - gradient) < 1.0
    assert np.abs(arrived[0] - k) < 1e-6
    z = found.lobe.edges_hz_per_m()
    assert z.sum() * RASTER == pytest.approx(area, abs=1e-9)
    whole = np.stack([waveform[0].real, waveform[0].imag, z], -1)
    assert np.linalg.norm(whole, axis=-1).max() <= LIMITS.grad_hz_per_m * (1 + 1e-9)
    assert np.linalg.norm(np.diff(whole, axis=0), axis=-1).max() / RASTER <= LIMITS.slew_hz_per_m_per_s * (1 + 1e-9)
    assert possible(rasters, k, gradient, area)
    assert not possible(rasters - 1, k, gradient, area)


def test_a_way_from_rest_to_rest_takes_what_the_trapezoid_formula_says():
    for area in (50.0, 200.0, 580.0, 2000.0):
        grad, slew = LIMITS.grad_hz_per_m, LIMITS.slew_hz_per_m_per_s
        formula = 2 * np.sqrt(area / slew) if area < grad**2 / slew else area / grad + grad / slew
        found = connect(ends(area, 0.0), LIMITS)
        assert found.lobe.rasters - formula / RASTER == pytest.approx(0.6, abs=0.6)


def test_many_shots_share_the_duration_of_the_slowest_and_the_others_go_gently():
    k = np.array([100.0, 580.0, 300j, -50.0, 20.0, 10.0 + 5j])
    together = connect(ends(k, np.zeros(6)), LIMITS)
    alone = connect(ends(580.0, 0.0), LIMITS)
    assert together.lobe.rasters == alone.lobe.rasters
    assert together.share.max() <= 1.0
    assert np.argmax(together.share) == 1
    assert together.share[4] < 0.05
    assert np.allclose(played(together)[1], k)


def test_a_duration_that_does_not_suffice_gives_nothing():
    shortest = connect(ends(580.0, 290e3), LIMITS, slice_area_per_m=-300.0).lobe.rasters
    for rasters, there in ((shortest, True), (shortest - 1, False), (10, False), (2, False)):
        found = connect_within(rasters, ends(580.0, 290e3), LIMITS, slice_area_per_m=-300.0)
        assert (found is not None) == there
    longer = connect_within(2 * shortest, ends(580.0, 290e3), LIMITS)
    assert longer is not None
    assert longer.share.max() < 0.6


def test_a_share_of_the_slew_rate_is_kept_and_costs_time():
    full, half = (connect(ends(580.0, 0.0), LIMITS, slew_share=share) for share in (1.0, 0.5))
    steepest = np.abs(np.diff(played(half)[0])).max() / RASTER
    assert 0.45 * LIMITS.slew_hz_per_m_per_s < steepest <= 0.5 * LIMITS.slew_hz_per_m_per_s * (1 + 1e-9)
    assert half.lobe.rasters > 1.25 * full.lobe.rasters
    alone = connect(ends(0.0, 0.0), LIMITS, slice_area_per_m=-500.0, slew_share=0.5).lobe
    triangle = 2 * np.sqrt(500.0 / (0.5 * LIMITS.slew_hz_per_m_per_s)) / RASTER
    assert triangle <= alone.rasters <= triangle + 3


def test_where_each_axis_has_its_limits_the_slice_takes_nothing_from_x_and_y():
    axes = replace(LIMITS, vector=False)
    plain, beside, of_vector = (
        connect(ends(580.0, 0.0), limits, slice_area_per_m=area).lobe.rasters
        for limits, area in ((axes, 0.0), (axes, -500.0), (LIMITS, -500.0))
    )
    assert plain == beside < of_vector


def test_nothing_to_do_takes_the_least_time():
    assert connect(ends(0.0, 0.0), LIMITS, least_rasters=7).lobe.rasters == 7


def test_an_end_that_no_duration_reaches_is_refused():
    with pytest.raises(SeqoptError, match="no prephaser or rewinder of"):
        connect(ends(100.0, 3e6), Limits(grad_hz_per_m=2e6, slew_hz_per_m_per_s=1e5, raster_s=RASTER))


def test_a_system_that_rounding_made_singular_ends_the_search_of_its_shot_at_the_best_point(monkeypatch):
    solve, calls = np.linalg.solve, []

    def singular_once(*arguments):
        calls.append(len(calls))
        if len(calls) == 30:
            raise np.linalg.LinAlgError("Singular matrix")
        return solve(*arguments)

    monkeypatch.setattr(np.linalg, "solve", singular_once)
    found = connect(ends([580.0, 300.0], [290e3, 0.0]), LIMITS)
    _, arrived = played(found)
    assert len(calls) > 30
    assert np.abs(arrived - [580.0, 300.0]).max() < 1e-6
    assert found.share.max() <= 1.0
