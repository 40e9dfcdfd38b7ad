"""What chosen lines are worth on held-out images: IGS, Center, fastMRI and variable density at the same lines.

brain           GM, WM and CSF of the embedded brain, U-Net, x16 and x8, as trained and fine-tuned
hippocampus     two labels of the Medical Segmentation Decathlon, folds by subject, x8 and x4 of small crops
cardiac         cine of a pig heart, frames 120 to 319; each slice position counts as a subject of its own, its
                neighbours 4 mm away may be in training
reconstruction  SSIM target on the embedded brain, 8 simulated coils and noise, x4, x8, x16
sense           the same, the lines chosen through CG-SENSE, which sees what the coils can tell apart
invivo          the same target, chosen on the embedded brain and judged on the coil images of a real 16-coil scan that
                no choice saw (mrbabel-data), with noise added; one slice, so draws of noise are no sample of people

Each prints the tables of `seqopt evaluate` in Markdown. A second run computes only what is missing in --out.

Run: python benchmarks/igs_tables.py [brain hippocampus cardiac reconstruction sense invivo] [--matrix 256] [--folds 5]
     [--hippocampus FOLDER] [--cardiac FOLDER] [--out benchmarks/igs_tables] [--jobs 2] [--budget 1] [--tiny]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import torch
from torch import Tensor

from seqopt.core import Geometry, Protocol
from seqopt.encoding.cartesian import CartesianAcquisition, centred_fft2
from seqopt.encoding.density import pipe_menon
from seqopt.encoding.nufft import Nufft
from seqopt.gradients.profiles import load_scanner
from seqopt.images import noise_sigma
from seqopt.learn.targets import score
from seqopt.mrd.scan import read_scan
from seqopt.recon.cartesian_loop import CartesianCgSense, ZeroFilled
from seqopt.recon.coil_maps import map_methods
from seqopt.workflows.evaluate_masks import EvaluateMasksRequest, evaluate_masks, lines_of
from seqopt.workflows.example import write_example
from seqopt.workflows.mask_choice import Choice, choose_lines
from seqopt.workflows.mask_judging import REGULARISATION, candidates
from seqopt.workflows.mask_recipe import MaskRecipe, choose_mask_recipe
from seqopt.workflows.mask_request import MaskRequest, usual_calibration
from seqopt.workflows.mask_run import MaskRun

TINY = MaskRecipe(
    task_steps=4, tune_steps=2, selection_images=3, validation_images=2, test_images=4, draws=2, subjects=6
)
FRAMES = slice(120, 320)
SNRS = (50.0, 20.0)
NOISE_DRAWS = 4
CALIBRATION = 24


def mask_request(arguments: argparse.Namespace, name: str, *, lines: tuple[int, ...], **changes: object) -> MaskRequest:
    matrix = changes.pop("matrix", arguments.matrix)
    fov_m = changes.pop("fov_m", 0.22)
    recipe = TINY if arguments.tiny else choose_mask_recipe("quick", budget=arguments.budget)
    settings = {"coils": 1, "order_lines": max(lines)} | changes
    return MaskRequest(
        out=arguments.out / name,
        geometry=Geometry(fov_m=(fov_m, fov_m), matrix=(matrix, matrix)),
        scanner=load_scanner("paper"),
        protocol=Protocol(),
        recipe=recipe,
        shots=min(lines),
        **settings,  # type: ignore[arg-type]
    )


def table(arguments: argparse.Namespace, name: str, accelerations: tuple[float, ...], **changes: object) -> None:
    """Cross-validate, and print what `seqopt evaluate` wrote."""
    lines = lines_of(accelerations, int(changes.get("matrix", arguments.matrix)))  # type: ignore[call-overload]
    base = mask_request(arguments, name, lines=lines, **changes)
    request = EvaluateMasksRequest(out=base.out, base=base, lines=lines, folds=arguments.folds, jobs=arguments.jobs)
    _, failures = evaluate_masks(request, watch=lambda text: print(text, flush=True))
    for cell, why in failures.items():
        print(f"FAILED {cell}: {why}")
    print((base.out / "evaluation.md").read_text(encoding="utf-8"), flush=True)


def brain(arguments: argparse.Namespace) -> None:
    table(arguments, "brain", (8, 16), task="segmentation")


def hippocampus(arguments: argparse.Namespace) -> None:
    if arguments.hippocampus is None:
        print("hippocampus: left out, give --hippocampus FOLDER")
        return
    table(arguments, "hippocampus", (4, 8), task="segmentation", images=arguments.hippocampus, matrix=64, fov_m=0.064)


def cardiac(arguments: argparse.Namespace) -> None:
    if arguments.cardiac is None:
        print("cardiac: left out, give --cardiac FOLDER")
        return
    folder = cardiac_pairs(arguments.cardiac / "cine_sax_lv.npz", arguments.out / "cardiac-pairs")
    table(arguments, "cardiac", (8, 16), task="segmentation", images=folder, fov_m=0.21)


def cardiac_pairs(source: Path, folder: Path) -> Path:
    """Image and label volumes, one of each slice position, its heart phases as slices."""
    stored = np.load(source)
    images, labels = (stored[name][FRAMES] for name in ("image", "label"))
    places, pixel_mm = stored["slice_location"][FRAMES], float(stored["pixel_mm"])
    affine = np.diag([pixel_mm, pixel_mm, pixel_mm, 1.0])  # the third axis is time
    for number, place in enumerate(np.unique(places)):
        for kind, array in (("images", images), ("labels", labels)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            volume = array[places == place].transpose(2, 1, 0).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(volume, affine), folder / kind / f"position-{number:02d}.nii.gz")
    return folder


def reconstruction(arguments: argparse.Namespace) -> None:
    table(arguments, "reconstruction", (4, 8, 16), task="reconstruction", coils=8)


def sense(arguments: argparse.Namespace) -> None:
    table(arguments, "sense", (4, 8, 16), task="reconstruction", coils=8, inner="cg-sense")


def invivo(arguments: argparse.Namespace) -> None:
    """Lines chosen on the embedded brain at the scan's matrix, judged on the scan."""
    coil_images, maps = measured_coils(arguments.out / "invivo.mrd")
    matrix = coil_images.shape[-1]
    print("# In-vivo brain, 16 coils, SSIM target chosen on the embedded brain\n")
    print("| accel. | SNR | judge | mask | SSIM | PSNR (dB) | NMSE |\n|---|---|---|---|---|---|---|", flush=True)
    lines = lines_of((4, 8, 16), matrix)
    calibration = usual_calibration(min(lines), coils=8)
    common = {"task": "reconstruction", "matrix": matrix, "coils": 8, "calibration": calibration, "overwrite": True}
    longest = mask_request(arguments, "invivo", lines=(max(lines),), swaps=False, **common)
    run = MaskRun.begin(longest, lambda *_: None, lambda: False)
    choice = choose_lines(run, None)
    for shots in lines:
        request = replace(longest, shots=shots, swaps=True)
        refined = choose_lines(replace(run, request=request), None)
        run.checkpoint.finished.pop("swaps")  # each acceleration has its own
        judge_measured(request, refined, coil_images, maps)
    run.checkpoint.remove()
    print(f"\n{choice.passes} passes for the nested order; swaps on validation slices of the embedded brain.\n")


def measured_coils(path: Path) -> tuple[Tensor, Tensor]:
    """Coil images and maps (coils, y, x) from all spokes, scaled so that the combined image peaks at about 1."""
    write_example("invivo", path)
    data = read_scan(path).kspace
    k_per_m = data.k_per_m if data.k_per_m.ndim == 3 else data.k_per_m[0]
    weights = torch.from_numpy(pipe_menon(k_per_m, data.geometry)).float()
    samples = torch.from_numpy(data.samples[:1]) * weights
    coil_images = Nufft(data.geometry).adjoint(samples, torch.from_numpy(k_per_m).float())[0]
    first = (coil_images.shape[-1] - CALIBRATION) // 2
    kspace = centred_fft2(coil_images)[:, first : first + CALIBRATION, first : first + CALIBRATION]
    maps = torch.from_numpy(map_methods["walsh"](kspace.numpy().astype(np.complex128), data.geometry.shape))
    combined = (coil_images * maps.conj()).sum(0).abs()
    return coil_images / torch.quantile(combined.flatten()[::7], 0.999), maps


def judge_measured(request: MaskRequest, choice: Choice, coil_images: Tensor, maps: Tensor) -> None:
    """A row a noise level, judge and mask: means over draws of noise and of masks; the truth is the scan itself."""
    truth = (coil_images * maps.conj()).sum(0).abs()[None]
    recons = {"zero-filled": ZeroFilled(), "cg-sense": CartesianCgSense(request.recipe.iterations, REGULARISATION)}
    masks = candidates(request, choice)
    for snr in SNRS:
        acquisition = CartesianAcquisition(noise_sigma=noise_sigma(snr, truth.numpy()))
        drawn = [
            acquisition.encode(coil_images, torch.Generator().manual_seed(draw)).transpose(0, 1)
            for draw in range(NOISE_DRAWS)
        ]
        for judge, recon in recons.items():
            for label in dict.fromkeys(one.label for one in masks):
                weights = [torch.from_numpy(one.mask.astype(np.float32)) for one in masks if one.label == label]
                estimates = [recon(acquisition.measurement(some, weight, maps)) for some in drawn for weight in weights]
                found = score(torch.cat(estimates), truth.expand(len(estimates), -1, -1)).each
                cells = [f"{found[name].mean():.4f} ± {found[name].std():.4f}" for name in ("SSIM", "PSNR", "NMSE")]
                accel = f"x{request.lines / request.shots:.3g}"
                print(f"| {accel} | {snr:g} | {judge} | {label} | {' | '.join(cells)} |", flush=True)


TABLES = {one.__name__: one for one in (brain, hippocampus, cardiac, reconstruction, sense, invivo)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help=", ".join(TABLES))
    parser.add_argument("--matrix", type=int, default=128, help="256 is the paper's")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1.0, help="scales the training steps")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--hippocampus", type=Path, help="folder with images/ and labels/")
    parser.add_argument("--cardiac", type=Path, help="folder with cine_sax_lv.npz")
    parser.add_argument("--out", type=Path, default=Path("benchmarks") / "igs_tables")
    parser.add_argument("--tiny", action="store_true", help="a few steps and images: whether it runs, no numbers")
    arguments = parser.parse_args()
    unknown = set(arguments.tables) - set(TABLES)
    if unknown:
        parser.error(f"unknown table {', '.join(sorted(unknown))}; known: {', '.join(TABLES)}")
    for name in arguments.tables or TABLES:
        TABLES[name](arguments)


if __name__ == "__main__":
    main()
