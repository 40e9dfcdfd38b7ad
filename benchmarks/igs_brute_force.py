"""Greedy choice of lines by one gradient against the greedy choice by trying every line.

Zero-filled reconstruction of embedded-brain slices on 32 lines. A pick is equal when, at the mask that the gradient's
choice has reached, trying every unset line would take the same one; its rank is the place of the gradient's pick among
all that were tried. The ratio compares the target of both choices with the same number of lines, each on its own path:
above 1, trying every line is better. Refined is the mask of the gradient after swaps that the slices in between judged;
its column is the target on the slices of training, as in the others.

Run: python benchmarks/igs_brute_force.py [--full]
--full takes four times as many images.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt
import torch
from igs_images import batches_of, brain

from seqopt.encoding.cartesian import CartesianAcquisition
from seqopt.learn.line_scores import LineScores
from seqopt.learn.losses import image_loss
from seqopt.learn.select import refine, selections
from seqopt.recon.cartesian_loop import ZeroFilled

LINES = 32
NOISE_SIGMA = 0.02
BATCH = 64


def scores_of(images: torch.Tensor, loss: str, seed: int) -> LineScores:
    """The target of any lines over some images."""
    acquisition = CartesianAcquisition(noise_sigma=NOISE_SIGMA)
    return LineScores(
        batches_of(images, BATCH),
        acquisition,
        ZeroFilled(),
        lambda estimate, truth, _: image_loss(estimate, truth, {loss: 1.0}),
        seed=seed,
    )


def mask_of(order: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(LINES, dtype=bool)
    mask[order] = True
    return mask


def tried(scores: LineScores, order: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(LINES,) the target with each unset line added; infinite where a line is set."""
    values = np.full(LINES, np.inf)
    for line in np.setdiff1d(np.arange(LINES), order):
        values[line] = scores.value(mask_of(np.append(order, line)))
    return values


def by_trying(scores: LineScores) -> list[float]:
    """The target after each line of the choice by trying, from one line on."""
    order, curve = np.array([LINES // 2]), [scores.value(mask_of(np.array([LINES // 2])))]
    while len(order) < LINES:
        values = tried(scores, order)
        order, curve = np.append(order, values.argmin()), [*curve, float(values.min())]
    return curve


def compare(images: torch.Tensor, loss: str) -> None:
    """Print the table of one target."""
    training, validation = scores_of(images[::2], loss, seed=0), scores_of(images[1::2], loss, seed=1)
    begin = time.perf_counter()
    steps = list(selections(training, lines=LINES))
    seconds = time.perf_counter() - begin
    order, curve = steps[-1].order, [value for _, value in steps[-1].curve]
    begin = time.perf_counter()
    trying = by_trying(training)
    ranks = []
    for lines in range(1, LINES):
        values = tried(training, order[:lines])
        ranks.append(int((values < values[order[lines]]).sum()) + 1)
    picks = np.array(ranks) == 1
    print(f"\n{loss}, {len(images[::2])} images: {picks.sum()} of {len(picks)} picks equal ({picks.mean():.0%})")
    print("| lines | rank of pick | by gradient | by trying | ratio | refined | swaps |\n|---|---|---|---|---|---|---|")
    for lines in range(1, LINES):
        one, other = curve[lines], trying[lines]
        better = refine(order, lines + 1, training=training, validation=validation)
        refined = training.value(mask_of(better.order[: lines + 1]))
        print(
            f"| {lines + 1} | {ranks[lines - 1]} | {one:.4g} | {other:.4g} | {one / other:.4f} | {refined:.4g} "
            f"| {len(better.swaps)} |"
        )
    ratios = np.array(curve[1:]) / np.array(trying[1:])
    print(f"loss ratio: median {np.median(ratios):.4f}, largest {ratios.max():.4f}; gradient's choice {seconds:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    images = brain(LINES, 128 if arguments.full else 32)
    print(f"{torch.get_num_threads()} threads, {LINES} lines, noise {NOISE_SIGMA} a sample, images of peak about 1")
    for loss in ("l1", "mse", "ssim"):
        compare(images, loss)


if __name__ == "__main__":
    main()
