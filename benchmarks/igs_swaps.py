"""Whether swaps last: what they gain on the validation images that proved them, and on images that saw nothing.

Embedded brain on 64 lines, one coil, SNR 50, zero-filled: 32 images propose swaps, 16 prove them, all of the test block
judge. A swap is kept when the target on the validation images falls by more than so many standard errors of the mean
difference. Gains are falls of the target, those on the test images with the standard error of their paired mean; slices
are neighbours of one head, so that the true errors are larger.

Run: python benchmarks/igs_swaps.py [--task reconstruction --target ssim] [--seeds 3] [--tries 4]
"""

from __future__ import annotations

import argparse

import numpy as np
from igs_images import split_scores

from seqopt.learn.select import select
from seqopt.learn.swaps import refine
from seqopt.sampling.masks import mask_of

LINES = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="reconstruction")
    parser.add_argument("--target", default="ssim")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tries", type=int, default=4, help="pairs a round")
    parser.add_argument("--network-steps", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{arguments.task}, target {arguments.target}, {LINES} lines, {arguments.tries} pairs a round")
    print("| seed | lines | standard errors | swaps | passes | gain, validation | gain, test |")
    print("|---|---|---|---|---|---|---|")
    for seed in range(arguments.seeds):
        scores = split_scores(
            LINES, task=arguments.task, target=arguments.target, task_steps=arguments.network_steps, seed=seed
        )
        order = select(scores["train"], lines=LINES // 2).order
        for shots in (8, 16, 32):
            before = scores["test"].values(mask_of(order[:shots], LINES))
            for errors in (0.0, 1.0, 2.0):
                found = refine(
                    order,
                    shots,
                    training=scores["train"],
                    validation=scores["validation"],
                    tries=arguments.tries,
                    errors=errors,
                )
                gain = before - scores["test"].values(mask_of(found.order[:shots], LINES))
                error = gain.std(ddof=1) / np.sqrt(len(gain))
                print(
                    f"| {seed} | {shots} | {errors:g} | {len(found.swaps)} | {found.passes} | {found.gain:+.5f} "
                    f"| {gain.mean():+.5f} ± {error:.5f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
