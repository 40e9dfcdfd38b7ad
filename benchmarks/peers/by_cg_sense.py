"""Fixed trajectories and peers judged by CG-SENSE alone, as `seqopt evaluate` judges with it, in seconds each.

The same images, coils, noise, seeds and tuning as the cells of an evaluation with the default options, so that the
numbers stand beside its CG-SENSE column. Names as for `seqopt evaluate --baseline`.
Run: python benchmarks/peers/by_cg_sense.py [spiral-vd radial+golden cartesian-vd "file:peers/mri-nufft-{shots}.npy"]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from seqopt.core import Geometry, Protocol
from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner
from seqopt.images import evaluation_images
from seqopt.learn.evaluate import evaluate, tune_cg_sense
from seqopt.learn.recipe import choose
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.design_setup import images_and_coils


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["cartesian-vd", "radial+golden", "spiral-vd"])
    parser.add_argument("--shots", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--unit", default="1/fov", help="of files")
    arguments = parser.parse_args()
    print("| trajectory | shots | PSNR (dB) | SSIM | moved by the projection (1/FOV) | CG iterations |")
    print("|---|---|---|---|---|---|")
    shared = None
    for shots in arguments.shots:
        for name in arguments.names:
            traj = name.removesuffix("+golden").replace("{shots}", str(shots))
            request = DesignRequest(
                out=Path("unused"),
                geometry=Geometry(fov_m=(0.22, 0.22), matrix=(256, 256), slices=8, slice_gap_m=1e-3),
                scanner=load_scanner("paper"),
                protocol=Protocol(),
                recipe=choose("quick"),
                traj=traj,
                shots=shots,
                golden=name.endswith("+golden"),
                trajectory_unit=arguments.unit if traj.startswith("file:") else None,
            )
            if shared is None:
                shared = images_and_coils(request, torch.device("cpu"))
            images, acquisition = shared
            try:
                path = request.initial()
                one = request.designed(path.k_per_m, path)
            except SeqoptError as error:
                print(f"| {name} | {shots} | refused: {error} | | | |", flush=True)
                continue
            k = torch.tensor(one.k_per_m, dtype=torch.float32)
            test, validation = (
                torch.from_numpy(evaluation_images(images, split, seed=0)) for split in ("test", "validation")
            )
            tuned = tune_cg_sense(k, acquisition, validation[::4], seed=3)
            scores = evaluate(k, tuned, acquisition, test, seed=4)
            moved = path.facts.get("moved_max_per_fov", one.provenance["projection"]["moved_max_per_fov"])
            print(
                f"| {name} | {shots} | {scores.psnr_db.mean():.2f} | {scores.ssim.mean():.3f} | {moved:.3g} | "
                f"{tuned.iterations} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
