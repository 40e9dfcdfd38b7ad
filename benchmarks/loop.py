"""Simulated scan to image against the same encoding done in memory, both by CG-SENSE with estimated maps.

For the learned design and for the fixed baseline beside it, on objects twice as fine as the image's grid.

The scan goes the long way: written .seq, read back, played on a finer grid, noise, MRD file, `seqopt recon`. In memory:
the design's own k, no files. PSNR after the best common scale, since reconstructed data are in units of the noise.
Run: python benchmarks/loop.py DESIGN_DIR
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.encoding.density import pipe_menon
from seqopt.encoding.nufft import Nufft
from seqopt.images import complex_noise, load_images, noise_sigma, simulated_coil_maps, smooth_phase
from seqopt.mrd.recon_config import read_recon_config
from seqopt.recon.coil_maps import estimate_maps
from seqopt.recon.registry import reconstructions
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.simulate import simulate
from seqopt.workflows.store import load_design

COILS, SNR = 8, 50.0
AnyArray = npt.NDArray[Any]


def main() -> None:
    folder = Path(sys.argv[1])
    print("| design | .seq -> MRD -> seqopt recon, PSNR dB | in memory, PSNR dB | difference |\n|---|---|---|---|")
    learned, fixed = (both_ways(one) for one in (folder, folder / "fixed"))
    print(f"gain of the learned design by the long way: {learned - fixed:+.2f} dB")


def both_ways(folder: Path) -> float:
    """PSNR of the long way; prints a row."""
    with tempfile.TemporaryDirectory() as scratch:
        scan, truth_file = Path(scratch) / "scan.mrd", Path(scratch) / "truth.npy"
        simulate(folder, scan, coils=COILS, snr=SNR, truth=truth_file)
        summary = reconstruct(scan, Path(scratch) / "recon", design_path=folder, method="cg-sense")
        truth = np.load(truth_file)
        by_file = np.mean([psnr(image, one) for image, one in zip(summary.images, truth, strict=True)])
    in_memory = np.mean([psnr(image, one) for image, one in zip(directly(folder, truth), truth, strict=True)])
    name = load_design(folder).name
    print(f"| {name} | {by_file:.3f} | {in_memory:.3f} | {by_file - in_memory:+.3f} |", flush=True)
    return float(by_file)


def directly(folder: Path, truth: AnyArray) -> AnyArray:
    """The same slices, coils, phases and noise level, encoded at the design's k and reconstructed without any file."""
    design, config = load_design(folder), read_recon_config(folder / "recon.toml")
    geometry = design.geometry
    finer = replace(geometry, matrix=(2 * geometry.matrix[0], 2 * geometry.matrix[1]))
    generator = np.random.default_rng(0)
    images = load_images(None, matrix=finer.matrix[0], fov_m=finer.fov_m[0])
    objects = images.images[images.select("test", geometry.slices)]
    phased = [one * smooth_phase(one.shape, generator) for one in objects]
    maps = simulated_coil_maps(COILS, finer)
    k = torch.from_numpy(design.k_per_m)
    weights = pipe_menon(design.k_per_m, geometry)
    sigma = noise_sigma(SNR, truth)
    estimates = []
    for one in phased:
        coils = torch.from_numpy((one * maps).astype(np.complex64))[None]
        samples = Nufft(finer, tolerance=1e-6).forward(coils, k)[0].numpy() / 2
        samples = samples + complex_noise(samples.shape, sigma, generator)
        found = estimate_maps(samples, design.k_per_m, geometry, method=config.maps, calibration=config.calibration)
        image = reconstructions["cg-sense"](
            torch.from_numpy(samples)[None],
            k,
            torch.from_numpy(weights.astype(np.float32)),
            torch.from_numpy(found),
            geometry,
            iterations=config.iterations,
            regularisation=config.regularisation,
        )
        estimates.append(image[0].abs().numpy())
    return np.stack(estimates)


def psnr(image: AnyArray, truth: AnyArray) -> float:
    """In dB, after the scale that suits best."""
    scaled = image * (image * truth).sum() / (image * image).sum()
    return float(10 * np.log10(truth.max() ** 2 / np.mean((scaled - truth) ** 2)))


if __name__ == "__main__":
    main()
