"""The field map against two echoes summed pixel by pixel."""

import numpy as np
import pytest

from seqopt.core import CalibrationScan, Geometry
from seqopt.errors import SeqoptError
from seqopt.recon.field_map import field_map_hz

N, LINES, SPACING_S = 32, 16, 2e-3
GEOMETRY = Geometry(fov_m=(0.2, 0.2), matrix=(N, N))


def scan(field_hz, **changes):
    """Low-resolution lines of a smooth disc at two echo times, by direct sums over the fine pixels."""
    y, x = np.meshgrid(*[(np.arange(N) - N // 2) / N * 0.2] * 2, indexing="ij")
    disc = np.exp(-(((x**2 + y**2) / 0.06**2) ** 3))
    coils = np.stack([disc * np.exp(1j * 3 * x / 0.2), disc * (1 + 2 * y / 0.2) * 1j])
    kx = (np.arange(64) - 32) / 64 * LINES / 0.2
    k, samples = np.zeros((2 * LINES, 64, 2)), np.zeros((2, 2 * LINES, 64), complex)
    for line in range(LINES):
        for echo in range(2):
            k[2 * line + echo] = np.stack([kx, np.full(64, (line - LINES // 2) / 0.2)], -1)
            spins = coils * np.exp(-2j * np.pi * field_hz * SPACING_S * echo)
            phases = np.exp(-2j * np.pi * (k[2 * line + echo] @ np.stack([x.ravel(), y.ravel()])))
            samples[:, 2 * line + echo] = spins.reshape(2, -1) @ phases.T
    fields = {
        "kind": "b0", "samples": samples[None].astype(np.complex64), "k_per_m": k, "dwell_s": 4e-6,
        "lines": np.repeat(np.arange(LINES), 2), "echoes": np.tile([0, 1], LINES), "echo_spacing_s": SPACING_S,
    }  # fmt: skip
    return CalibrationScan(**(fields | changes)), disc


def test_a_smooth_field_is_found_where_there_is_signal():
    x = np.broadcast_to(np.linspace(-1, 1, N), (N, N))
    field = 60 * x + 25.0
    calibration, disc = scan(field)
    found = field_map_hz(calibration, GEOMETRY)[0]
    inside = disc > 0.7
    assert np.abs(found - field)[inside].max() < 8.0
    assert np.abs(found - field)[inside].mean() < 2.0
    assert (found[disc < 1e-3] == 0).mean() > 0.5


def test_the_sign_is_that_of_faster_precession():
    calibration, disc = scan(np.full((N, N), 100.0))
    assert field_map_hz(calibration, GEOMETRY)[0][disc > 0.7] == pytest.approx(100.0, abs=0.5)


def test_a_scan_without_second_echo_is_refused():
    calibration, _ = scan(np.zeros((N, N)), echo_spacing_s=None)
    with pytest.raises(SeqoptError, match="two echoes"):
        field_map_hz(calibration, GEOMETRY)
