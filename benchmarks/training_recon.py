"""Which reconstruction to train through: gain per second of cg-sense and adjoint+unet in the loop, same data and seed.

Both designs are projected and judged by both reconstructions. Run: python benchmarks/training_recon.py [--steps 100]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from seqopt.core import Geometry, Protocol
from seqopt.gradients.profiles import load_scanner
from seqopt.learn.recipe import choose
from seqopt.workflows.design import design
from seqopt.workflows.design_request import DesignRequest

ARMS = {
    "cg-sense": {"recon": "cg-sense"},
    "cg-sense, L1 + SSIM": {"recon": "cg-sense", "loss": {"l1": 1.0, "ssim": 1.0}},
    "cg-sense, adjoint weight 1": {"recon": "cg-sense", "adjoint_weight": 1.0},
    "adjoint+unet": {"recon": "adjoint+unet", "loss": {"l1": 1.0, "ssim": 1.0}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--matrix", type=int, default=256)
    parser.add_argument("--shots", type=int, default=16)
    arguments = parser.parse_args()
    print(
        "| trained through | seconds of learning | cg-sense gain dB (per minute) | adjoint+unet gain dB (per minute) |"
    )
    print("|---|---|---|---|")
    for label, changes in ARMS.items():
        recipe = replace(choose("quick", steps=arguments.steps, network_steps=60), **changes)
        spent = {"begin": 0.0, "end": 0.0}

        def watch(stage: str, done: int, total: int, remark: str, spent: dict[str, float] = spent) -> None:
            if stage == "learn":
                spent["begin" if done == 0 else "end"] = time.perf_counter()

        with tempfile.TemporaryDirectory() as scratch:
            outcome, _ = design(
                _request(Path(scratch) / "design", recipe, arguments.matrix, arguments.shots), watch=watch
            )
        seconds = spent["end"] - spent["begin"]
        gains = [outcome.gain_db(judge) for judge in ("cg-sense", "adjoint+unet")]
        cells = [f"{gain:+.2f} ({gain / seconds * 60:+.2f})" for gain in gains]
        print(f"| {label} | {seconds:.0f} | {cells[0]} | {cells[1]} |", flush=True)


def _request(out: Path, recipe: object, matrix: int, shots: int) -> DesignRequest:
    return DesignRequest(
        out=out,
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(matrix, matrix)),
        scanner=load_scanner("paper"),
        protocol=Protocol(),
        recipe=recipe,  # type: ignore[arg-type]
        shots=shots,
    )


if __name__ == "__main__":
    main()
