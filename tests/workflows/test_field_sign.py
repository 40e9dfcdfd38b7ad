"""A field that grows along x is a gradient: simulation, measurement and correction turn the phase as one would.

No sign is written here: the truth is the transform without field at k to which the gradient's own share is added.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import relative

from seqopt.core import CalibrationScan, Geometry
from seqopt.encoding.nufft import Nufft
from seqopt.recon.field_map import field_map_hz
from seqopt.recon.registry import reconstructions
from seqopt.workflows.simulate_field import dephased_signal

GEOMETRY = Geometry(fov_m=(0.2, 0.2), matrix=(24, 24))
VOXEL_M = 0.2 / 24
GRADIENT_HZ_PER_M = np.array([900.0, -400.0])
Y_M, X_M = (np.mgrid[:24, :24] - 12) * VOXEL_M
FIELD_HZ = np.stack([X_M, Y_M], -1) @ GRADIENT_HZ_PER_M
DISC = np.exp(-(((X_M**2 + Y_M**2) / 0.07**2) ** 3)) * (1.0 + (X_M > 0.02))
TIMES_S = np.arange(48) * 1e-4


def spokes() -> np.ndarray:
    """(40, 48, 2) 1/m."""
    angle, along = np.pi * np.arange(40) / 40, (np.arange(48) - 24) / 48 / VOXEL_M
    return np.stack([np.outer(np.cos(angle), along), np.outer(np.sin(angle), along)], -1)


def encoded(image: np.ndarray, k_per_m: np.ndarray) -> np.ndarray:
    """(shots, samples) of an image without any field."""
    images = torch.from_numpy(image.astype(np.complex64))[None, None]
    return Nufft(GEOMETRY, tolerance=1e-6).forward(images, torch.from_numpy(k_per_m))[0, 0].numpy()


def with_gradient() -> np.ndarray:
    """Signal of spokes while the gradient is on, besides."""
    return encoded(DISC, spokes() + TIMES_S[:, None] * GRADIENT_HZ_PER_M)


def test_the_simulated_signal_is_that_of_the_gradient():
    k_per_m = spokes()[:1]
    made = dephased_signal(lambda image: encoded(image, k_per_m), DISC.astype(np.complex64), FIELD_HZ, TIMES_S)
    assert relative(made, with_gradient()[:1]) < 5e-3


@pytest.mark.parametrize("method", ["cg-sense", "tv"])
def test_a_reconstruction_with_the_map_takes_the_gradient_out(method):
    samples = torch.from_numpy(with_gradient())[None, None]
    inputs = (samples, torch.from_numpy(spokes()), torch.ones(40, 48), torch.ones(1, 24, 24, dtype=torch.complex64))
    field = {"field_map_hz": torch.from_numpy(FIELD_HZ), "times_s": torch.from_numpy(TIMES_S), "segments": 12}
    image = reconstructions[method](*inputs, GEOMETRY, iterations=60, regularisation=1e-5, **field)[0]
    assert relative(image, DISC) < 0.1


def test_the_measured_map_is_the_gradient_times_the_offset():
    spacing_s, lines = 2e-3, 24
    k_x, k_y = (np.arange(48) - 24) / 48 / VOXEL_M, (np.arange(lines) - 12) / 0.2
    grid = np.stack(np.broadcast_arrays(k_x, k_y[:, None]), -1)
    first, second = encoded(DISC, grid), encoded(DISC, grid + spacing_s * GRADIENT_HZ_PER_M)
    scan = CalibrationScan(
        kind="b0",
        samples=np.concatenate([first, second])[None, None],
        k_per_m=np.concatenate([grid, grid]),
        dwell_s=4e-6,
        lines=np.tile(np.arange(lines), 2),
        echoes=np.repeat([0, 1], lines),
        echo_spacing_s=spacing_s,
    )
    inside = DISC > 0.8
    assert np.abs(field_map_hz(scan, GEOMETRY)[0] - FIELD_HZ)[inside].max() < 6.0
    assert np.abs(FIELD_HZ[inside]).max() > 40.0
