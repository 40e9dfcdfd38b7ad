"""Cartesian masks that nobody learned: the baselines, as orders in which phase-encoding lines enter.

Line l of N lies at ky = (l - N/2) / FOV. The first lines of an order are the mask; calibration lines lead it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from seqopt.errors import reject
from seqopt.registry import Registry

IntArray = npt.NDArray[np.int64]

DENSITY_POWER = 3.0
"""Of the variable density, as high as keeps a few lines near the edge at an acceleration of 16."""

LineOrder = Callable[[int, int, int, np.random.Generator], IntArray]
"""Lines N, shots m, calibration lines L, generator -> at least m line numbers, the calibration lines first."""

baseline_masks: Registry[LineOrder] = Registry("mask")


def baseline_order(name: str, lines: int, shots: int, *, calibration: int = 0, seed: int = 0) -> IntArray:
    """The order of a baseline by name: its first ``shots`` lines are the mask.

    ``seed`` matters to those that draw. Raises `SeqoptError` for an odd number of lines, more shots than lines, or more
    calibration lines than shots.
    """
    make = baseline_masks[name]
    refuse_impossible_mask(lines, shots, calibration)
    return make(lines, shots, calibration, np.random.default_rng(seed))


def refuse_impossible_mask(lines: int, shots: int, calibration: int) -> None:
    """Raise `SeqoptError` unless calibration <= shots <= lines, 1 shot or more, and an even number of lines."""
    if lines < 2 or lines % 2:
        raise reject("lines of the matrix", got=lines, expected="an even number", remedy=f"use {max(lines + 1, 2)}")
    if not 1 <= shots <= lines:
        raise reject(
            "shots of the mask", got=shots, expected=f"1..{lines}", remedy="a line is acquired once; give fewer"
        )
    if not 0 <= calibration <= shots:
        raise reject("calibration lines", got=calibration, expected=f"0..{shots}", remedy="give fewer, or more shots")


def centre_out(lines: int) -> IntArray:
    """(lines,) all lines, lowest frequency first: N/2, N/2 - 1, N/2 + 1, N/2 - 2, ..."""
    from_centre = np.arange(lines) - lines // 2
    return np.lexsort((from_centre, np.abs(from_centre))).astype(np.int64)


def mask_of(chosen: IntArray, lines: int) -> npt.NDArray[np.bool_]:
    """(lines,) true for the lines of these numbers."""
    mask = np.zeros(lines, dtype=bool)
    mask[chosen] = True
    return mask


@baseline_masks.register("center")
def center(lines: int, shots: int, calibration: int, generator: np.random.Generator) -> IntArray:
    """The lowest frequencies: one nested order of all lines, whatever the shots."""
    return centre_out(lines)


@baseline_masks.register("fastmri-equispaced")
def fastmri_equispaced(lines: int, shots: int, calibration: int, generator: np.random.Generator) -> IntArray:
    """A block of central lines and the others (N - c) / (m - c) apart, from a random first one.

    The spacing is that of fastMRI's ``EquispacedMaskFunc``. Counted among the lines outside the block it gives exactly
    ``shots`` lines, where fastMRI's own count varies by what the block swallows. Source: Zbontar et al.,
    arXiv:1811.08839, and fastmri/data/subsample.py.
    """
    block, outside = _fastmri_block(lines, shots, calibration)
    others = shots - len(block)
    if not others:
        return block
    spacing = len(outside) / others
    ascending = np.sort(outside)
    return np.concatenate([block, _by_frequency(ascending[_comb(others, spacing, generator)], lines)])


@baseline_masks.register("fastmri-random")
def fastmri_random(lines: int, shots: int, calibration: int, generator: np.random.Generator) -> IntArray:
    """A block of central lines and others uniformly at random, ``shots`` in all.

    fastMRI's ``RandomMaskFunc`` draws each line outside the block by itself, so that only the expected number is right;
    here it is exact. Source: Zbontar et al., arXiv:1811.08839, and fastmri/data/subsample.py.
    """
    block, outside = _fastmri_block(lines, shots, calibration)
    others = generator.choice(outside, shots - len(block), replace=False)
    return np.concatenate([block, _by_frequency(others, lines)])


@baseline_masks.register("variable-density")
def variable_density(lines: int, shots: int, calibration: int, generator: np.random.Generator) -> IntArray:
    """Random lines of density (1 - |k| / k-max)^3 about the calibration lines, at least k = 0: all, nested.

    The lines are drawn one after another without putting back. Source: Lustig, Donoho, Pauly, MRM 58:1182 (2007).
    """
    order = centre_out(lines)
    first, rest = order[: max(calibration, 1)], order[max(calibration, 1) :]
    share = np.abs(rest - lines // 2) / (lines // 2 + 1)  # the last line's density is not quite zero
    waits = generator.exponential(size=len(rest)) / (1.0 - share) ** DENSITY_POWER  # who comes first is drawn first
    return np.concatenate([first, rest[np.argsort(waits, kind="stable")]])


def fastmri_central_share(lines: int, shots: int) -> float:
    """8 % of the lines up to an acceleration of 4, 4 % beyond: fastMRI's pairs are 4 and 8 %, 8 and 4 %."""
    return 0.08 if lines <= 4 * shots else 0.04


def _fastmri_block(lines: int, shots: int, calibration: int) -> tuple[IntArray, IntArray]:
    """The block's lines, lowest frequency first, and the lines outside it; a short scan may have the block only."""
    size = min(max(round(lines * fastmri_central_share(lines, shots)), calibration, 1), shots)
    order = centre_out(lines)
    return order[:size], order[size:]


def _comb(count: int, spacing: float, generator: np.random.Generator) -> IntArray:
    return np.asarray((np.arange(count) + generator.uniform()) * spacing, dtype=np.int64)


def _by_frequency(chosen: IntArray, lines: int) -> IntArray:
    """Lowest frequency first."""
    rank = np.empty(lines, dtype=np.int64)
    rank[centre_out(lines)] = np.arange(lines)
    return np.asarray(chosen[np.argsort(rank[chosen])])
