"""Delays and corrected k against signals summed point by point along the path that lagging gradients play."""

import numpy as np
import pytest

from seqopt.core import CalibrationScan
from seqopt.errors import SeqoptError
from seqopt.recon.gradient_delays import delayed_k, estimate_delays

SAMPLES, DWELL_S, FOV_M = 128, 4e-6, 0.2


def spokes():
    """(4, samples, 2) nominal k: x to and fro, y to and fro."""
    along = (np.arange(SAMPLES) - SAMPLES // 2) / (2 * FOV_M)
    k = np.zeros((4, SAMPLES, 2))
    k[0, :, 0], k[1, :, 0], k[2, :, 1], k[3, :, 1] = along, -along, along, -along
    return k


def scan(delays_s, *, off_hz=0.0, noise=0.0, points=25, coils=3):
    rng = np.random.default_rng(7)
    place = rng.uniform(-0.4, 0.4, (points, 2)) * FOV_M
    weight = rng.normal(size=(coils, points)) + 1j * rng.normal(size=(coils, points))
    speed = 1 / (2 * FOV_M) / DWELL_S
    played = spokes()
    for readout, (axis, sign) in enumerate(((0, 1), (0, -1), (1, 1), (1, -1))):
        played[readout, :, axis] -= sign * speed * delays_s[axis]
    phases = np.exp(-2j * np.pi * (played @ place.T))  # (4, samples, points)
    samples = np.einsum("rsp,cp->crs", phases, weight)
    samples = samples * np.exp(2j * np.pi * off_hz * np.arange(SAMPLES) * DWELL_S)
    samples = samples + noise * (rng.normal(size=samples.shape) + 1j * rng.normal(size=samples.shape))
    return CalibrationScan(
        kind="delays", samples=samples[None].astype(np.complex64), k_per_m=spokes(), lines=np.arange(4),
        echoes=np.zeros(4, dtype=int), dwell_s=DWELL_S,
    )  # fmt: skip


@pytest.mark.parametrize("delays_us", [(3.0, 3.0), (0.0, 0.0), (-2.5, 7.25), (12.0, -0.4)])
def test_delays_of_each_axis_and_sign_are_found(delays_us):
    delays = tuple(1e-6 * value for value in delays_us)
    assert np.array(estimate_delays(scan(delays))) * 1e6 == pytest.approx(delays_us, abs=0.05)


def test_noise_and_off_resonance_move_the_estimate_little():
    found = estimate_delays(scan((3e-6, -2e-6), off_hz=40.0, noise=2.0))
    assert np.array(found) * 1e6 == pytest.approx((3.0, -2.0), abs=0.3)


def test_spokes_without_signal_or_of_another_scan_are_refused():
    silent = scan((0.0, 0.0), points=1)
    with pytest.raises(SeqoptError, match="no signal"):
        estimate_delays(
            CalibrationScan(
                kind="delays",
                samples=silent.samples * 0,
                k_per_m=silent.k_per_m,
                lines=silent.lines,
                echoes=silent.echoes,
                dwell_s=DWELL_S,
            )
        )
    with pytest.raises(SeqoptError, match="expected four spokes"):
        estimate_delays(
            CalibrationScan(
                kind="maps",
                samples=silent.samples,
                k_per_m=silent.k_per_m,
                lines=silent.lines,
                echoes=silent.echoes,
                dwell_s=DWELL_S,
            )
        )


def test_corrected_k_is_the_path_so_much_earlier_on_each_axis():
    time = np.arange(400) * DWELL_S

    def path(t):
        return np.stack([300 * np.sin(2 * np.pi * 900 * t), 200 * np.cos(2 * np.pi * 1300 * t)], -1)

    found = delayed_k(path(time)[None], (3e-6, -5e-6), DWELL_S)[0]
    due = np.stack([path(time - 3e-6)[:, 0], path(time + 5e-6)[:, 1]], -1)
    assert np.abs(found - due).max() < 1e-3  # 1/m; the shift itself is of the order of 10
    assert np.allclose(delayed_k(path(time), (0.0, 0.0), DWELL_S), path(time), atol=1e-9)
