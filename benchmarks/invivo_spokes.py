"""In-vivo 400 spokes against fewer of them: SSIM of every method, and what 64 and 32 spokes look like.

The scan is mrbabel-data's human brain (16 coils, golden angle), of which the first n spokes are taken. Coil maps come
from those n spokes alone. Truth is the CG-SENSE image of all 400, which is kind to CG-SENSE. Writes
``invivo-spokes.png`` and prints the table:

    python benchmarks/invivo_spokes.py --out docs/figures
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from scipy.ndimage import binary_fill_holes, gaussian_filter

from seqopt.core import KspaceData
from seqopt.encoding.density import pipe_menon
from seqopt.learn.losses import ssim_map
from seqopt.mrd.scan import read_scan
from seqopt.recon.coil_maps import estimate_maps
from seqopt.recon.registry import DEFAULTS, reconstructions
from seqopt.report import to_png_bytes
from seqopt.report.style import new_figure, styled
from seqopt.workflows.example import write_example

AnyArray = npt.NDArray[Any]
METHODS = {"adjoint": "#8a949f", "cg-sense": "#1f6fb4", "l1-wavelet": "#c8641b", "tv": "#1c7a43"}
COUNTS = (16, 24, 32, 48, 64, 96, 128, 200, 400)
SHOWN = (64, 32)
REFERENCE = ("cg-sense", 400)
HEAD_BLUR, HEAD_LEVEL = 4.0, 0.12  # pixels, and the share of the brightest that is head


@dataclass(frozen=True)
class Made:
    """One reconstruction."""

    image: AnyArray
    """(y, x) magnitude."""
    seconds: float


def reconstructed(data: KspaceData, method: str, spokes: int) -> Made:
    """The first ``spokes`` by a method, with its usual settings."""
    samples, k_per_m = np.ascontiguousarray(data.samples[0, :, :spokes]), np.ascontiguousarray(data.k_per_m[:spokes])
    maps = estimate_maps(samples, k_per_m, data.geometry)
    weights = torch.from_numpy(pipe_menon(k_per_m, data.geometry).astype(np.float32))
    iterations, regularisation = DEFAULTS.get(method, (1, 0.0))
    began = time.perf_counter()
    image = reconstructions[method](
        torch.from_numpy(samples)[None],
        torch.from_numpy(k_per_m),
        weights,
        torch.from_numpy(maps),
        data.geometry,
        iterations=iterations,
        regularisation=regularisation,
    )
    return Made(np.abs(image[0].numpy()), time.perf_counter() - began)


def similarity(image: AnyArray, truth: AnyArray) -> float:
    """Mean SSIM over the head after the best common scale; air, of which most pixels are, would drown it in noise."""
    scaled = image * float((image * truth).sum() / (image**2).sum())
    peak = float(truth.max())
    estimate, target = (torch.from_numpy((one / peak).astype(np.float32))[None] for one in (scaled, truth))
    found = ssim_map(estimate, target, data_range=1.0)[0].numpy()
    smooth = gaussian_filter(truth, HEAD_BLUR)
    head = binary_fill_holes(smooth > HEAD_LEVEL * smooth.max())
    edge = (head.shape[0] - found.shape[0]) // 2
    return float(found[head[edge:-edge, edge:-edge]].mean())


@styled
def spokes_figure(made: dict[tuple[str, int], Made], scores: dict[tuple[str, int], float]) -> Figure:
    """Curves above; below the images of every method at ``SHOWN`` spokes beside the truth."""
    counts = sorted({spokes for _, spokes in made})
    figure = new_figure(7.6)
    grid = figure.add_gridspec(3, 1 + len(METHODS), height_ratios=(1.5, 1.0, 1.0))
    curves = figure.add_subplot(grid[0, :])
    for method, colour in METHODS.items():
        mine = [count for count in counts if (method, count) != REFERENCE]  # of itself it would be 1
        curves.plot(mine, [scores[method, count] for count in mine], "o-", color=colour, label=method, markersize=4)
    curves.set(xscale="log", xlabel="spokes", ylabel="SSIM over the head, truth: 400 spokes")
    curves.set_xticks(counts, [str(count) for count in counts])
    curves.minorticks_off()
    curves.grid(True)
    curves.legend(loc="lower right")
    top = float(np.quantile(made[REFERENCE].image, 0.997))
    for row, spokes in enumerate(SHOWN, start=1):
        shown = {"400 spokes": made[REFERENCE]} | {method: made[method, spokes] for method in METHODS}
        for column, (name, one) in enumerate(shown.items()):
            axes = figure.add_subplot(grid[row, column])
            scale = float((one.image * made[REFERENCE].image).sum() / (one.image**2).sum())
            axes.imshow(scale * one.image, cmap="gray", vmin=0.0, vmax=top)
            axes.set_axis_off()
            axes.set_title(name if column == 0 else f"{name}, {spokes}: {scores[name, spokes]:.2f}", fontsize=8.5)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for invivo-spokes.png")
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="spokes, 64, 32 and 400 among them")
    arguments = parser.parse_args()
    counts = sorted({*arguments.counts, *SHOWN, REFERENCE[1]})
    with tempfile.TemporaryDirectory() as folder:
        write_example("invivo", Path(folder) / "scan.mrd")
        data = read_scan(Path(folder) / "scan.mrd").kspace
    made = {(method, count): reconstructed(data, method, count) for count in counts for method in METHODS}
    truth = made[REFERENCE].image
    scores = {key: similarity(one.image, truth) for key, one in made.items()}
    print("| spokes | " + " | ".join(f"{method} SSIM (s)" for method in METHODS) + " |")
    print("|---" * (1 + len(METHODS)) + "|")
    for count in counts:
        cells = (f"{scores[method, count]:.3f} ({made[method, count].seconds:.1f})" for method in METHODS)
        print(f"| {count} | " + " | ".join(cells) + " |")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "invivo-spokes.png").write_bytes(to_png_bytes(spokes_figure(made, scores), dpi=100))


if __name__ == "__main__":
    main()
