"""Greedy choice of lines by one gradient against the greedy choice by trying every line.

32 lines of the embedded brain: zero-filled images by L1, MSE and SSIM, and by the Dice of a small U-Net trained on
fully sampled ones. For 1, 2, 4 and 8 candidates a step (1: the derivative alone, as in the paper) a pick is equal when,
at the mask that this choice has reached, trying every unset line would take the same one. The loss ratio compares the
target with that of trying every line, after as many lines, each on its own path: above 1, trying every line is better.
The cost is in passes forward and backward; a forward pass counts by its measured share of one.

Run: python benchmarks/igs_brute_force.py [--full] [--lines] [--target dice]
--full takes four times as many images; --lines prints every number of lines too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from igs_images import batches_of, brain, split_scores

from seqopt.encoding.cartesian import CartesianAcquisition
from seqopt.learn.line_scores import LineScores
from seqopt.learn.losses import image_loss
from seqopt.learn.select import Selection, select
from seqopt.recon.cartesian_loop import ZeroFilled
from seqopt.sampling.masks import mask_of

LINES = 32
CANDIDATES = (1, 2, 4, 8)
NOISE_SIGMA = 0.02
BATCH = 64


def zero_filled(images: torch.Tensor, loss: str) -> LineScores:
    """The target of any lines over some images."""
    return LineScores(
        batches_of(images, BATCH),
        CartesianAcquisition(noise_sigma=NOISE_SIGMA),
        ZeroFilled(),
        lambda estimate, truth, _: image_loss(estimate, truth, {loss: 1.0}),
    )


def tried(scores: LineScores, order: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(LINES,) the target with each unset line added; infinite where a line is set."""
    values = np.full(LINES, np.inf)
    for line in np.setdiff1d(np.arange(LINES), order):
        values[line] = scores.value(mask_of(np.append(order, line), LINES))
    return values


def by_trying(scores: LineScores) -> npt.NDArray[np.float64]:
    """The target after each line of the choice by trying, from two lines on."""
    order, curve = np.array([LINES // 2]), []
    while len(order) < LINES:
        values = tried(scores, order)
        order, curve = np.append(order, values.argmin()), [*curve, float(values.min())]
    return np.array(curve)


def ranks_of(scores: LineScores, found: Selection) -> list[int]:
    """The place of each pick among all lines that could have been taken, 1 the best."""
    ranks = []
    for lines in range(1, LINES):
        values = tried(scores, found.order[:lines])
        ranks.append(int((values < values[found.order[lines]]).sum()) + 1)
    return ranks


def seconds_of(work: Callable[[], object], rounds: int = 5) -> float:
    """CPU seconds, the median of some rounds."""
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return float(np.median(times))


def compare(name: str, scores: LineScores, *, every_line: bool) -> None:
    """Print the tables of one target."""
    mask = mask_of(np.arange(LINES // 2 - 4, LINES // 2 + 4), LINES)
    share = seconds_of(lambda: scores.value(mask)) / seconds_of(lambda: scores.gradient(mask))
    trying = by_trying(scores)
    print(f"\n{name}, {len(scores.values(mask))} images; a forward pass costs {share:.2f} of one forward and backward")
    print("| candidates | picks equal | loss ratio at 4, 8, 16 lines | median | largest | cost, passes |")
    print("|---|---|---|---|---|---|")
    curves, ranks = {}, {}
    for candidates in CANDIDATES:
        found = select(scores, lines=LINES, candidates=candidates)
        curves[candidates] = np.array([value for _, value in found.curve[1:]])
        ranks[candidates], ratios = ranks_of(scores, found), curves[candidates] / trying
        equal = float(np.mean(np.array(ranks[candidates]) == 1))
        some = ", ".join(f"{ratios[lines - 2]:.4f}" for lines in (4, 8, 16))
        print(
            f"| {candidates} | {equal:.0%} | {some} | {np.median(ratios):.4f} | {ratios.max():.4f} "
            f"| {found.passes} + {found.trials} x {share:.2f} = {found.passes + share * found.trials:.0f} |",
            flush=True,
        )
    if every_line:
        print("\n" + "\n".join(line_rows(trying, curves, ranks)))


def line_rows(
    trying: npt.NDArray[np.float64], curves: dict[int, npt.NDArray[np.float64]], ranks: dict[int, list[int]]
) -> Iterator[str]:
    """The table over the number of lines."""
    yield "| lines | by trying | " + " | ".join(f"{n}: target (rank of pick)" for n in CANDIDATES) + " |"
    yield "|---|---|" + "---|" * len(CANDIDATES)
    for place, value in enumerate(trying):
        cells = (f"{curves[n][place]:.4g} ({ranks[n][place]})" for n in CANDIDATES)
        yield f"| {place + 2} | {value:.4g} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--target", action="append", choices=("l1", "mse", "ssim", "dice"))
    arguments = parser.parse_args()
    images = brain(LINES, 64 if arguments.full else 16)
    print(f"{torch.get_num_threads()} threads, {LINES} lines")
    for name in arguments.target or ("l1", "mse", "ssim", "dice"):
        if name == "dice":
            scores = split_scores(LINES, task="segmentation", target="dice", images=64 if arguments.full else 16)
            compare("U-Net, dice", scores["train"], every_line=arguments.lines)
        else:
            compare(f"zero-filled, {name}", zero_filled(images, name), every_line=arguments.lines)


if __name__ == "__main__":
    main()
