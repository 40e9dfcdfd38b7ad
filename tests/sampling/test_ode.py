from __future__ import annotations

import numpy as np
import pytest
import torch
from designs import paper_scanner, radial_path, readouts
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicHermiteSpline

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.sampling.initial import initial_trajectories
from seqopt.sampling.residual import ResidualOde, hermite_matrices
from seqopt.sampling.trajectory import ResidualTrajectory, SegmentsTrajectory, forms

GEOMETRY = Geometry(fov_m=(0.22, 0.22), matrix=(64, 64))
SAMPLES, DWELL_S = 400, 4e-6


def trajectory(
    form: str, samples: int = SAMPLES, *, base: np.ndarray | None = None, **options: object
) -> ResidualTrajectory | SegmentsTrajectory:
    torch.manual_seed(0)
    path = radial_path(GEOMETRY, 3, samples)
    base = path.k_per_m if base is None else base
    options = {"dwell_s": DWELL_S, "echo_sample": path.echo_sample, "pinned": path.pinned, **options}
    return forms[form](base, GEOMETRY, paper_scanner(), **options)


def test_spokes_lie_at_equal_angles_and_pass_the_centre_on_the_echo() -> None:
    path = radial_path(GEOMETRY, 5, 400)
    k = path.k_per_m
    assert np.abs(k[:, path.echo_sample]).max() == 0.0
    assert np.linalg.norm(k, axis=-1).max() == pytest.approx(GEOMETRY.k_max_per_m[0])
    angle = np.arctan2(k[:, -1, 1], k[:, -1, 0])
    assert angle == pytest.approx(np.arange(5) * np.pi / 5)


def test_unknown_trajectories_are_refused_with_the_known_ones() -> None:
    with pytest.raises(SeqoptError, match=r"known: cartesian, .*radial"):
        initial_trajectories["zigzag"]


def test_the_residual_form_solves_its_equation() -> None:
    """scipy's adaptive solver on the same right-hand side agrees with the fixed steps."""
    module = trajectory("residual")
    ode: ResidualOde = module.ode
    with torch.no_grad():
        values, slopes = ode()

        def rhs(t: float, d: np.ndarray) -> np.ndarray:
            state = torch.tensor(d.reshape(3, 2), dtype=torch.float32)
            return ode.derivative(torch.tensor(t, dtype=torch.float32), state).double().numpy().ravel()

        exact = solve_ivp(
            rhs,
            (0, 1),
            ode.start.double().numpy().ravel(),
            t_eval=ode.node_times.double().numpy(),
            rtol=1e-6,
            atol=1e-9,
        )
    angle = ode.base[..., 2].double().numpy()  # (shots, nodes) of the frame
    solved = exact.y.T.reshape(len(exact.t), 3, 2).transpose(1, 0, 2)  # (shots, nodes, 2) along and across
    turned = np.exp(1j * angle) * (solved[..., 0] + 1j * solved[..., 1])
    ours = values.double().numpy() / ode.k_max_per_m
    size = np.abs(turned).max()
    assert np.abs(ours[..., 0] + 1j * ours[..., 1] - turned).max() < 0.02 * size
    assert torch.isfinite(slopes).all()


def test_in_a_frame_that_turns_the_slopes_are_those_of_the_curve_through_the_values() -> None:
    path = initial_trajectories["spiral"](readouts(GEOMETRY, shots=3, samples=SAMPLES))
    module = ResidualTrajectory(
        path.k_per_m,
        GEOMETRY,
        paper_scanner(),
        dwell_s=DWELL_S,
        echo_sample=path.echo_sample,
        pinned=path.pinned,
        node_s=2e-6,
        co_moving=True,
    )
    with torch.no_grad():
        values, slopes = (array.double().numpy() for array in module.ode())
    step_s = SAMPLES * DWELL_S / (values.shape[1] - 1)
    measured = (values[:, 2:] - values[:, :-2]) / (2 * step_s)
    apart = np.abs(measured - slopes[:, 1:-1])[:, 5:]  # the frame turns fast where the spiral starts
    assert apart.max() < 0.05 * np.abs(slopes).max()
    turn = np.unwrap(np.arctan2(*np.gradient(path.k_per_m, axis=1)[0].T[::-1]))
    assert abs(turn[-1] - turn[0]) > np.pi  # or the test would not see the frame turn


def test_the_deviation_stays_within_its_reach() -> None:
    module = trajectory("residual", reach_share=0.3)
    with torch.no_grad():
        module.ode.out.bias.fill_(50.0)  # the network at full throttle
        values, _ = module.ode()
    assert float(values.abs().max()) <= 0.3 * GEOMETRY.k_max_per_m[0] * 2**0.5 * 1.001


def test_the_curve_between_nodes_is_scipys_hermite_spline() -> None:
    rng = np.random.default_rng(0)
    nodes, duration = 11, 4e-3
    times = np.sort(rng.uniform(0, duration, 50))
    values, slopes = rng.normal(size=nodes), rng.normal(size=nodes) * 1e3
    from_values, from_slopes = hermite_matrices(times, nodes=nodes, duration_s=duration)
    spline = CubicHermiteSpline(np.linspace(0, duration, nodes), values, slopes)
    assert from_values @ values + from_slopes @ slopes == pytest.approx(spline(times), abs=1e-9)


@pytest.mark.parametrize("form", ["residual", "segments"])
def test_every_form_pins_the_echo_and_has_a_derivative_in_all_parameters(form: str) -> None:
    module = trajectory(form)
    path = module()
    assert path.k_per_m.shape == (3, SAMPLES, 2)
    assert float(path.k_per_m[:, SAMPLES // 2].detach().abs().max()) == 0.0
    path.k_per_m.square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("form", ["residual", "segments"])
def test_only_what_is_pinned_stays_at_the_echo(form: str) -> None:
    """Of two parallel lines: along the first, and neither along nor across the second."""
    base = np.zeros((2, SAMPLES, 2))
    base[..., 0] = (np.arange(SAMPLES) - SAMPLES // 2) * 0.5
    base[0, :, 1] = 30.0
    pinned = np.array([[[1.0, 0.0], [0.0, 0.0]], np.eye(2)])
    module = trajectory(form, base=base, pinned=pinned, echo_sample=SAMPLES // 2 + 1)  # on no control point
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        moved = module().k_per_m.double().numpy()[:, SAMPLES // 2 + 1] - base[:, SAMPLES // 2 + 1]
    assert np.abs(moved[0, 0]) < 1e-4
    assert np.abs(moved[1]).max() < 1e-4
    assert np.abs(moved[0, 1]) > 1e-2


def test_the_adjoint_method_gives_the_gradient_of_direct_back_propagation() -> None:
    grads = []
    for adjoint in (False, True):
        module = trajectory("residual", adjoint=adjoint)
        (module().k_per_m / GEOMETRY.k_max_per_m[0]).square().sum().backward()
        grads.append(torch.cat([parameter.grad.flatten() for parameter in module.parameters()]))
    assert float((grads[0] - grads[1]).norm() / grads[0].norm()) < 0.02


def test_the_segments_start_on_the_initial_trajectory_and_keep_their_control_points() -> None:
    k = radial_path(GEOMETRY, 3, SAMPLES).k_per_m
    module = trajectory("segments")
    ours = module().k_per_m.detach().double().numpy()
    assert np.abs(ours - k).max() * 0.22 < 0.5
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    moved = module.ode().detach().double().numpy()
    assert moved[:, :: SAMPLES // 100] == pytest.approx(k[:, :: SAMPLES // 100], abs=1e-3)
    assert np.abs(moved - k).max() * 0.22 > 0.001
    assert module.ode.joint_gap_per_m() > 0.0


def test_samples_that_do_not_divide_into_segments_are_refused() -> None:
    with pytest.raises(SeqoptError, match="multiple of 100"):
        trajectory("segments", samples=404)


def test_opening_the_band_lets_fast_time_features_through() -> None:
    features = trajectory("residual").ode.features
    time = torch.linspace(0, 1, 50)
    features.open_to(0.0)
    assert float(features(time)[:, 1:].abs().max()) == 0.0
    features.open_to(1.0)
    assert float(features(time)[:, -1].abs().max()) > 0.9
