"""Peripheral nerve stimulation of a whole sequence, as it is played and under other slice orientations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, NerveResponse, Scanner, StimulationModel
from seqopt.gradients.asc import SAFE_EXAMPLE
from seqopt.gradients.pns import combined, memory_s, stimulation_filter
from seqopt.pulseq.rastered import Piece, pieces, too_long
from seqopt.pulseq.readback import AXES, PlayedSequence
from seqopt.units import GAMMA_HZ_PER_T

FloatArray = npt.NDArray[np.float64]
NORMAL_MODE = 0.8
ORIENTATIONS = 24
EXAMPLE_S = 10.0
"""How much of a long sequence the example coil is tried on, which checks nothing."""
_PEAKS = 2


@dataclass(frozen=True)
class Stimulation:
    """The largest stimulation of a sequence."""

    peak: float
    time_s: float
    axes: FloatArray
    """(3,) shares at that time."""
    worst_orientation: float
    """Largest around the highest peaks under orientations tried; the same for a model that is alike on all axes."""


@dataclass
class _Highest:
    """The highest peaks so far, in windows that do not overlap."""

    spacing: int
    found: list[tuple[float, int, FloatArray]] = field(default_factory=list)

    def add(self, total: FloatArray, axes: FloatArray, first: int) -> None:
        for start in range(0, len(total), self.spacing):
            part = total[start : start + self.spacing]
            at = start + int(np.argmax(part))
            if len(self.found) < _PEAKS or total[at] > self.found[-1][0]:
                self.found.append((float(total[at]), first + at, axes[:, at].copy()))
                self.found.sort(key=lambda entry: -entry[0])
                del self.found[_PEAKS:]


def measure_stimulation(
    played: PlayedSequence,
    model: StimulationModel,
    *,
    raster_s: float,
    oblique: bool = True,
    until_s: float = np.inf,
) -> Stimulation | None:
    """Run a model over the whole sequence; None when it plays gradients for longer than can be computed.

    ``oblique`` turns the slice, too, around the highest peaks; ``until_s`` takes the start of the sequence alone.
    """
    if too_long(played, raster_s):
        return None
    rest = memory_s(model)
    highest = _Highest(spacing=max(1, round(rest / raster_s)))
    for piece, slew in _slews(pieces(played, raster_s=raster_s, rest_s=rest, within_s=(0.0, until_s)), raster_s):
        if piece.after_rest:
            running = stimulation_filter(model, raster_s)
        axes = running.feed(slew)
        highest.add(combined(axes), axes, piece.first)
    if not highest.found:
        return Stimulation(0.0, 0.0, np.zeros(3), 0.0)
    peak, at, shares = highest.found[0]
    worst = peak
    if oblique and not isinstance(model, NerveResponse):
        marks = [entry[1] for entry in highest.found]
        worst = max(peak, _other_orientations(played, model, marks, raster_s, rest))
    return Stimulation(peak, at * raster_s, shares, worst)


def _slews(given: Iterator[Piece], raster_s: float) -> Iterator[tuple[Piece, FloatArray]]:
    """Slew rates (3, n) T/m/s between the centres of neighbouring rasters."""
    last = np.zeros((3, 1))
    for piece in given:
        if piece.after_rest:
            last = np.zeros((3, 1))
        slew = np.diff(piece.gradient_hz_per_m, axis=1, prepend=last) / (raster_s * GAMMA_HZ_PER_T)
        last = piece.gradient_hz_per_m[:, -1:]
        yield piece, slew


def _other_orientations(
    played: PlayedSequence, model: StimulationModel, marks: list[int], raster_s: float, rest_s: float
) -> float:
    """Largest stimulation of a SAFE model near the marked rasters over orientations of the slice."""
    largest = 0.0
    for mark in marks:
        within = (mark * raster_s - rest_s / 2, mark * raster_s + rest_s / 8)
        near = list(_slews(pieces(played, raster_s=raster_s, rest_s=rest_s, within_s=within), raster_s))
        for turn in orientations():
            for piece, slew in near:
                if piece.after_rest:
                    running = stimulation_filter(model, raster_s)
                largest = max(largest, float(combined(running.feed(turn @ slew)).max()))
    return largest


def orientations() -> FloatArray:
    """(24, 3, 3) rotations: the slice's axes on the scanner's in each order, the rest spread evenly at random."""
    generator = np.random.default_rng(0)
    orders = [np.eye(3)[[0, 1, 2]], np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]]
    orders += [-np.eye(3)[[1, 0, 2]], -np.eye(3)[[0, 2, 1]], -np.eye(3)[[2, 1, 0]]]
    spread = []
    for _ in range(ORIENTATIONS - len(orders)):
        q, r = np.linalg.qr(generator.normal(size=(3, 3)))
        q = q * np.sign(np.diag(r))
        spread.append(q * np.linalg.det(q))
    return np.stack([*orders, *spread])


def pns_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], list[str]]:
    """Stimulation against the profile's limit; without coefficients its value on the published example, unchecked.

    Judged is the orientation that the file plays. That of other slices is told and no check: a maximum over some
    orientations proves nothing, and the scanner computes the prescribed one before it starts.
    """
    model = scanner.stimulation or SAFE_EXAMPLE
    own = scanner.stimulation is not None
    until = np.inf if own else EXAMPLE_S
    found = measure_stimulation(played, model, raster_s=scanner.grad_raster_s, oblique=own, until_s=until)
    name = "peripheral nerve stimulation (PNS)"
    if found is None:
        return [], [f"{name}: {too_long(played, scanner.grad_raster_s)}"]
    if not own:
        part = f" in its first {EXAMPLE_S:g} s" if played.duration_s > until else ""
        return [], [
            f"{name}: profile {scanner.name} has no coefficients, give --asc FILE of its coil; on the published "
            f"example coil, which is no real one, the sequence would reach {found.peak:.2f} of the limit{part}"
        ]
    limit = scanner.stimulation_limit
    turned = []
    if scanner.oblique == "vector" and found.peak <= limit < found.worst_orientation:
        turned = [
            f"PNS in other slice orientations: {found.worst_orientation:.2f} in the worst of {ORIENTATIONS} tried; the "
            "scanner judges the one that is prescribed"
        ]
    return [
        Check(
            name="pns.peak",
            held=found.peak <= limit,
            value=round(found.peak, 4),
            limit=limit,
            unit="of the limit",
            where=_where(found, model),
            remedy=_remedy(found, limit),
        )
    ], turned


def _remedy(found: Stimulation, limit: float) -> str:
    if found.peak > limit:
        return "lower the slew rate there; seqopt design has --limit-pns"
    if found.peak > NORMAL_MODE:
        return f"above {NORMAL_MODE}: only in the first level controlled operating mode"
    return ""


def _where(found: Stimulation, model: StimulationModel) -> str:
    turned = f"{found.worst_orientation:.2f} in the worst of {ORIENTATIONS} slice orientations tried"
    if isinstance(model, NerveResponse):
        turned = "the same in every slice orientation"
    return f"largest at {found.time_s * 1e3:.3f} ms, mostly {AXES[int(np.argmax(found.axes))]}; {turned}; {model.name}"
