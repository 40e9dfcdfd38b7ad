"""Coil maps from the data against the true maps: what counts is the image reconstructed with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from designs import radial_design

from seqopt.encoding.density import pipe_menon
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError
from seqopt.images.coils import simulated_coil_maps
from seqopt.recon.coil_maps import calibration_kspace, estimate_maps, interpolated, walsh
from seqopt.recon.registry import reconstructions


@pytest.fixture(scope="module")
def scan():
    """A smooth-phased ellipse with holes, 8 coils, 32 spokes, SNR about 50."""
    design = radial_design(shots=32, samples=256, matrix=64)
    y, x = np.mgrid[:64, :64] / 64 - 0.5
    image = ((x / 0.38) ** 2 + (y / 0.45) ** 2 < 1) * (1 - 0.6 * (np.hypot(x - 0.1, y + 0.1) < 0.08))
    image = (image * (1 + 0.3 * np.sin(20 * x)) * np.exp(1j * (2 * x + 3 * y * y))).astype(np.complex64)
    maps = simulated_coil_maps(8, design.geometry)
    k = torch.from_numpy(design.k_per_m)
    samples = Nufft(design.geometry).forward(torch.from_numpy(image * maps)[None], k)
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((2, *samples.shape)) * 0.02 / np.sqrt(2)
    return design, image, maps, samples + torch.from_numpy((noise[0] + 1j * noise[1]).astype(np.complex64))


def error_with(maps: np.ndarray, scan) -> float:
    design, image, _, samples = scan
    weights = torch.from_numpy(pipe_menon(design.k_per_m, design.geometry).astype(np.float32))
    k = torch.from_numpy(design.k_per_m)
    result = reconstructions["cg-sense"](samples, k, weights, torch.from_numpy(maps), design.geometry)[0].abs().numpy()
    truth = np.abs(image)
    return float(np.linalg.norm(result * (result * truth).sum() / (result**2).sum() - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("method", ["walsh", "espirit"])
def test_estimated_maps_reconstruct_about_as_well_as_the_true_ones(scan, method):
    design, _, truth, samples = scan
    maps = estimate_maps(samples[0].numpy(), design.k_per_m, design.geometry, method=method)
    assert maps.shape == truth.shape
    assert maps.dtype == np.complex64
    assert error_with(maps, scan) < 1.1 * error_with(truth, scan)


def test_maps_are_the_true_ones_up_to_a_common_phase_in_the_object(scan):
    design, image, truth, samples = scan
    maps = estimate_maps(samples[0].numpy(), design.k_per_m, design.geometry)
    overlap = np.abs((maps.conj() * truth).sum(0))[np.abs(image) > 0.5]
    assert overlap.min() > 0.97
    assert np.allclose((np.abs(maps) ** 2).sum(0), 1.0, atol=1e-4)


def test_maps_of_a_larger_image_lie_where_those_of_the_coarse_grid_do_and_keep_their_unit():
    """Pixel N/2 is the centre of any grid: a ramp stays one; squares sum to 1 between pixels, too."""
    y, x = (np.arange(n) - n // 2 for n in (64, 32))
    ramp = (y[:, None] / 64 + 2j * x / 32)[None]
    found = interpolated(ramp, (96, 80))
    wanted = (np.arange(96)[:, None] - 48) / 96 + 2j * (np.arange(80) - 40) / 80
    assert np.allclose(found[0, :-2, :-3], wanted[:-2, :-3])  # the last ones lie beyond the last coarse pixel
    kspace = np.random.default_rng(0).normal(size=(4, 24, 24, 2)) @ [1, 1j]
    assert np.allclose((np.abs(walsh(kspace, (96, 80))) ** 2).sum(0), 1.0, atol=1e-4)


def test_the_phase_of_the_maps_is_smooth(scan):
    """Eigenvectors have a free phase in each pixel; unreferenced, neighbours would differ at random."""
    design, image, _, samples = scan
    maps = estimate_maps(samples[0].numpy(), design.k_per_m, design.geometry)
    neighbours = (maps[:, :, 1:] * maps[:, :, :-1].conj()).sum(0)
    inside = (np.abs(image) > 0.5)[:, 1:] & (np.abs(image) > 0.5)[:, :-1]
    assert np.abs(np.angle(neighbours[inside])).max() < 0.3


def test_the_calibration_region_is_the_cartesian_centre_of_k_space(scan):
    """Against the exact DFT of the coil images at the same spots."""
    design, image, maps, samples = scan
    found = calibration_kspace(samples[0].numpy(), design.k_per_m, design.geometry, size=16)[:, 4:12, 4:12]
    y, x = np.mgrid[:64, :64] - 32
    exact = np.array(
        [
            [
                [(coil * np.exp(-2j * np.pi * (kx * x + ky * y) / 64)).sum() for kx in range(-4, 4)]
                for ky in range(-4, 4)
            ]
            for coil in image * maps
        ]
    )
    scale = (found.conj() * exact).sum() / (np.abs(found) ** 2).sum()
    assert np.linalg.norm(scale * found - exact) < 0.05 * np.linalg.norm(exact)


def test_a_centre_without_samples_is_refused(scan):
    design, _, _, samples = scan
    with pytest.raises(SeqoptError, match="only 0 samples lie within"):
        estimate_maps(samples[0].numpy()[:, :, :40], design.k_per_m[:, :40], design.geometry)


def test_an_unknown_method_lists_the_known_ones(scan):
    design, _, _, samples = scan
    with pytest.raises(SeqoptError, match="known: walsh, espirit"):
        estimate_maps(samples[0].numpy(), design.k_per_m, design.geometry, method="sum")
