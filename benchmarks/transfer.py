"""Designs of an evaluation on images that no one of them has seen: another head, another source.

CG-SENSE with true maps, iterations and regularisation as tuned in each design; every slice of the images that holds an
object is judged. Also says how far into k-space each trajectory reaches: the radius within which 99 % of the samples
lie, in k-max.
Run: python benchmarks/transfer.py evaluation --images another-head.mgz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from seqopt.encoding.acquisition import Acquisition
from seqopt.images import evaluation_images, load_images, noise_sigma, simulated_coil_maps
from seqopt.learn.evaluate import evaluate
from seqopt.mrd.recon_config import read_recon_config
from seqopt.recon.in_loop import CgSense
from seqopt.workflows.scores import paired_p
from seqopt.workflows.store import load_design


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--snr", type=float, default=50.0)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--limit", type=int, default=24)
    arguments = parser.parse_args()
    print("| design | fixed (dB) | learned (dB) | gain (dB) | p | SSIM | reach fixed | reach learned |")
    print("|---|---|---|---|---|---|---|---|")
    acquisition, truth = None, None
    for folder in sorted((arguments.evaluation / "cells").iterdir()):
        if not (folder / "fixed" / "design.h5").exists():
            continue
        pair = {"fixed": folder / "fixed", "learned": folder}
        designs = {which: load_design(path) for which, path in pair.items()}
        if acquisition is None or truth is None:
            geometry = designs["learned"].geometry
            images = load_images(arguments.images, matrix=geometry.matrix[0], fov_m=geometry.fov_m[0])
            chosen = np.concatenate([evaluation_images(images, split, seed=0) for split in sorted(images.splits)])
            step = max(1, len(chosen) // arguments.limit)
            truth = torch.from_numpy(chosen[step // 2 :: step])
            sigma = noise_sigma(arguments.snr, images.images[np.arange(0, len(images.images), 4)])
            acquisition = Acquisition(geometry, simulated_coil_maps(arguments.coils, geometry), noise_sigma=sigma)
        scores = {}
        for which, design in designs.items():
            config = read_recon_config(pair[which] / "recon.toml")
            k = torch.tensor(design.k_per_m, dtype=torch.float32)
            scores[which] = evaluate(k, CgSense(config.iterations, config.regularisation), acquisition, truth, seed=4)
        reach = {which: _reach(design) for which, design in designs.items()}
        fixed, learned = scores["fixed"], scores["learned"]
        print(
            f"| {folder.name} | {fixed.psnr_db.mean():.2f} | {learned.psnr_db.mean():.2f} | "
            f"{(learned.psnr_db - fixed.psnr_db).mean():+.2f} | {paired_p(learned.psnr_db, fixed.psnr_db):.1g} | "
            f"{fixed.ssim.mean():.3f} -> {learned.ssim.mean():.3f} | {reach['fixed']:.2f} | {reach['learned']:.2f} |",
            flush=True,
        )


def _reach(design: object) -> float:
    k, k_max = design.k_per_m, design.geometry.k_max_per_m[0]  # type: ignore[attr-defined]
    return float(np.quantile(np.linalg.norm(k, axis=-1), 0.99) / k_max)


if __name__ == "__main__":
    main()
