"""GRAPPA: the lines of regular gaps as sums over neighbours in k-space and coils (Griswold, MRM 47:1202, 2002)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

AnyArray = npt.NDArray[Any]
IntArray = npt.NDArray[np.integer]
WIDTH = 5
"""Neighbours along x."""
REGULARISATION = 1e-3
"""Of the kernel, relative to the mean eigenvalue of its normal matrix."""
_REMEDY = "use cg-sense or l1-wavelet"


def grappa_lines(
    samples: AnyArray, mask: npt.NDArray[np.bool_], calibration: AnyArray, calibration_lines: IntArray
) -> npt.NDArray[np.complex64]:
    """All lines (coils, y, x) complex64; acquired ones stay exactly as they are.

    In: samples (coils, y, x), mask (y,), calibration (coils, lines, x) of line numbers that follow each other.
    Lines beyond half-scanned k-space stay zero. Raises `SeqoptError` for irregular masks and too few calibration lines.
    """
    filled = np.asarray(samples * mask[:, None], dtype=np.complex64)
    acceleration, offset = regular_pattern(mask, calibration_lines)
    if acceleration == 1:
        return filled
    if (np.diff(calibration_lines) != 1).any():
        raise SeqoptError(f"grappa needs calibration lines without gaps; {_REMEDY}")
    rows = _rows(len(calibration_lines), acceleration)
    known = filled.copy()
    for gap in range(1, acceleration):
        weights = kernel(calibration, acceleration=acceleration, gap=gap, rows=rows)
        lines = np.arange(len(mask))
        targets = lines[((lines - offset) % acceleration == gap) & ~mask]
        targets = targets[_has_neighbour(mask, targets, gap, acceleration)]
        filled[:, targets] = _applied(weights, known, targets - gap, acceleration, rows)
    return filled


def regular_pattern(mask: npt.NDArray[np.bool_], calibration_lines: IntArray) -> tuple[int, int]:
    """Distance of the lines and the first of them, told by those outside the calibration block."""
    if mask.all():
        return 1, 0
    acquired = np.flatnonzero(mask)
    outer = np.setdiff1d(acquired, calibration_lines)
    distance = int(np.gcd.reduce(np.diff(outer))) if len(outer) > 1 else 0
    if distance < 2 or not mask[np.arange(outer[0], outer[-1] + 1, distance)].all():
        raise SeqoptError(f"grappa fills regular gaps only, and the {len(acquired)} lines are not regular; {_REMEDY}")
    return distance, int(outer[0]) % distance


def kernel(
    calibration: AnyArray, *, acceleration: int, gap: int, rows: IntArray, regularisation: float = REGULARISATION
) -> npt.NDArray[np.complex64]:
    """Weights (coils, coils, rows, width): a line from those ``gap`` before it plus ``rows`` * acceleration lines.

    In: calibration (coils, lines, x). The least-squares solution over all places of the kernel in the block.
    """
    coils, lines, x = calibration.shape
    block = calibration.astype(np.complex128)
    first = -int(rows[0]) * acceleration
    places = np.arange(first, lines - int(rows[-1]) * acceleration)  # of the known line before the target
    span = x - WIDTH + 1
    sources = np.stack(
        [block[:, places + row * acceleration, dx : dx + span] for row in rows for dx in range(WIDTH)], 1
    ).reshape(coils * len(rows) * WIDTH, -1)
    targets = block[:, places + gap, WIDTH // 2 : WIDTH // 2 + span].reshape(coils, -1)
    normal = sources.conj() @ sources.T
    normal[np.diag_indices(len(normal))] += regularisation * np.trace(normal).real / len(normal)
    weights = np.linalg.solve(normal, sources.conj() @ targets.T).T
    return np.asarray(weights.reshape(coils, coils, len(rows), WIDTH), dtype=np.complex64)


def _rows(calibration: int, acceleration: int) -> IntArray:
    """Two known lines on either side where the calibration block allows for it, or else one."""
    for rows in (np.arange(-1, 3), np.arange(2)):
        if calibration > (rows[-1] - rows[0]) * acceleration:
            return rows
    raise SeqoptError(
        f"grappa needs more than {acceleration} calibration lines for gaps of {acceleration}, got {calibration}; "
        "design with --calibration, or use the method 'zero-filled'"
    )


def _has_neighbour(mask: npt.NDArray[np.bool_], targets: IntArray, gap: int, acceleration: int) -> AnyArray:
    """Whether the next line of the pattern, before or after, was acquired."""
    padded = np.pad(mask, acceleration)
    return padded[targets - gap + acceleration] | padded[targets - gap + 2 * acceleration]


def _applied(weights: AnyArray, known: AnyArray, before: IntArray, acceleration: int, rows: IntArray) -> AnyArray:
    """Lines (coils, targets, x) from the known lines ``before`` them and around; zeros outside k-space."""
    margin, half = 3 * acceleration, WIDTH // 2
    padded = np.pad(known, ((0, 0), (margin, margin), (half, half)))
    x = known.shape[-1]
    result = np.zeros((len(known), len(before), x), np.complex64)
    for place, row in enumerate(rows):
        lines = padded[:, before + margin + row * acceleration]
        for dx in range(WIDTH):
            result += np.einsum("dc,clx->dlx", weights[:, :, place, dx], lines[..., dx : dx + x], optimize=True)
    return result
