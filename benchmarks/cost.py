"""Cost of one encoding step, forward and backward in k, as each of its factors grows; NUFFTs are counted.

The step: the Gram kernel of the trajectory, A^H W A of every coil image, and the derivative of a loss in k. One factor
at a time moves about 16 shots x 1000 samples, 8 coils, 4 images, 256 x 256. The exponent is the slope of seconds over
the factor on a log-log plot; the number of NUFFTs is counted at the engine, and may not depend on coils or images.
The noise of training, which is no part of A, is counted and timed apart: one type 1 transform a coil image.

Run: python benchmarks/cost.py [--full] [--figure docs/figures/cost.png]
--full takes every point five times instead of three and goes on to 8 images x 32 coils.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from spokes import spokes
from torch import Tensor

from seqopt.core import Geometry
from seqopt.encoding.acquisition import Acquisition
from seqopt.encoding.backends import Engine
from seqopt.encoding.gram import coil_gram
from seqopt.images import simulated_coil_maps
from seqopt.report.png import to_png_bytes
from seqopt.report.style import INK, LEARNED, new_figure, styled


@dataclass(frozen=True)
class Work:
    """One encoding step."""

    shots: int = 16
    samples: int = 1000
    coils: int = 8
    images: int = 4
    matrix: int = 256


@dataclass(frozen=True)
class Point:
    """What one step took."""

    value: int
    seconds: float
    nuffts: int
    """Transforms of one array each."""


FACTORS = {
    "shots": (4, 8, 16, 32, 64, 128),
    "samples": (250, 500, 1000, 2000, 4000),
    "coils": (1, 2, 4, 8, 16, 32),
    "images": (1, 2, 4, 8),
    "matrix": (128, 192, 256, 384, 512),
}


class Counting:
    """An engine that counts the arrays that it transforms."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.count = engine, 0

    def type2(self, images: Tensor, omega: Tensor) -> Tensor:
        """As the engine's."""
        self.count += len(images)
        return self.engine.type2(images, omega)

    def type1(self, samples: Tensor, omega: Tensor, shape: tuple[int, int]) -> Tensor:
        """As the engine's."""
        self.count += len(samples)
        return self.engine.type1(samples, omega, shape)


def measure(work: Work, value: int, rounds: int) -> Point:
    """Median of ``rounds`` steps after one to warm up."""
    acquisition, k, weights, images = _prepared(work, noise_sigma=0.0)
    counter = acquisition.kernel.nufft.engine = Counting(acquisition.kernel.nufft.engine)
    times = []
    for _ in range(rounds + 1):
        counter.count = 0
        moving = k.clone().requires_grad_()
        begin = time.perf_counter()
        coils = coil_gram(images, acquisition.kernel(moving, weights), acquisition.shifted)
        (coils.real.square() + coils.imag.square()).sum().backward()  # type: ignore[no-untyped-call]
        times.append(time.perf_counter() - begin)
    return Point(value, statistics.median(times[1:]), counter.count)


def noise_share(work: Work, rounds: int) -> Point:
    """What the noise of `Acquisition.measure` costs beside the step."""
    acquisition, k, weights, images = _prepared(work, noise_sigma=0.05)
    counter = acquisition.nufft.engine = Counting(acquisition.nufft.engine)
    spectrum = acquisition.kernel(k, weights)
    times = []
    for _ in range(rounds + 1):
        counter.count = 0
        begin = time.perf_counter()
        acquisition.measure(images, k, weights, torch.Generator().manual_seed(0), spectrum=spectrum)
        times.append(time.perf_counter() - begin)
    return Point(work.images * work.coils, statistics.median(times[1:]), counter.count)


def _prepared(work: Work, *, noise_sigma: float) -> tuple[Acquisition, Tensor, Tensor, Tensor]:
    """Acquisition, k (shots, samples, 2) 1/m, weights, images."""
    geometry = Geometry(fov_m=(0.22, 0.22), matrix=(work.matrix, work.matrix))
    generator = torch.Generator().manual_seed(0)
    maps = simulated_coil_maps(work.coils, geometry)
    k = torch.tensor(spokes(geometry, work.shots, work.samples), dtype=torch.float32)
    k += 2.0 * torch.randn(k.shape, generator=generator)
    weights = torch.rand(k.shape[:2], generator=generator)
    images = torch.randn(work.images, *geometry.shape, dtype=torch.complex64, generator=generator)
    return Acquisition(geometry, maps, noise_sigma=noise_sigma, backend="finufft"), k, weights, images


def slope(points: list[Point]) -> float:
    """Exponent of the power law through all points."""
    values, seconds = ([getattr(point, name) for point in points] for name in ("value", "seconds"))
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


@styled
def cost_figure(curves: dict[str, list[Point]]) -> Figure:
    """One panel a factor, all with the same axis of seconds."""
    figure = new_figure(2.7)
    axes = figure.subplots(1, len(curves), sharey=True)
    for panel, (name, points) in zip(axes, curves.items(), strict=True):
        values = [point.value for point in points]
        panel.loglog(values, [point.seconds for point in points], "o-", color=LEARNED, markersize=4)
        panel.set_title(name)
        ticks = values if len(values) < 5 else values[::2]
        panel.set_xticks(ticks, [str(value) for value in ticks])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.grid(visible=True, which="major")
        panel.set_xlabel(f"slope {slope(points):.2f}\n{_nuffts(points)} NUFFTs a step", color=INK)
    axes[0].set_ylabel("seconds, forward and backward")
    return figure


def _nuffts(points: list[Point]) -> str:
    counts = sorted({point.nuffts for point in points})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}..{counts[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    rounds = 5 if arguments.full else 3
    base = Work()
    curves = {
        name: [measure(replace(base, **{name: value}), value, rounds) for value in values]
        for name, values in FACTORS.items()
    }
    about = "{} shots x {} samples, {} coils, {} images, {} pixels a side".format(*astuple(base))
    print(f"{torch.get_num_threads()} threads, medians of {rounds}; one factor at a time moves about {about}")
    print("| factor | values | seconds | slope on a log plot | NUFFTs a step |\n|---|---|---|---|---|")
    for name, points in curves.items():
        values = ", ".join(str(point.value) for point in points)
        seconds = ", ".join(f"{point.seconds:.3f}" for point in points)
        print(f"| {name} | {values} | {seconds} | {slope(points):.2f} | {_nuffts(points)} |", flush=True)
    noise = noise_share(base, rounds)
    print(f"the noise of training, beside the step: {noise.seconds:.3f} s, {noise.nuffts} NUFFTs")
    if arguments.full:
        most = measure(replace(base, coils=32, images=8), 8 * 32, rounds)
        print(f"8 images x 32 coils: {most.seconds:.3f} s, {most.nuffts} NUFFTs")
    if arguments.figure:
        arguments.figure.parent.mkdir(parents=True, exist_ok=True)
        arguments.figure.write_bytes(to_png_bytes(cost_figure(curves)))


if __name__ == "__main__":
    main()
