"""Families of parallel lines: Cartesian, Cartesian with a dense centre, and interleaved EPI."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from seqopt.sampling.curves import Ride, fastest, richest, rounded_polyline
from seqopt.sampling.readouts import InitialPath, Readouts, pinned_at_echo

FloatArray = npt.NDArray[np.float64]
_DENSITY_RATIO = 4.0  # spacing of the lines at the edge over that at the centre, where the matrix leaves room for it
_CORNER_SHARE = 0.125  # radius of an EPI train's corners at most, in k-max


def cartesian(readouts: Readouts) -> InitialPath:
    """Parallel lines through kx at equal distances in ky, from -k-max on and through 0 (Peng et al., CVPR 2022)."""
    return _parallel(readouts, "cartesian", _equispaced(readouts.shots) * readouts.geometry.k_max_per_m[1])


def cartesian_dense_centre(readouts: Readouts) -> InitialPath:
    """Parallel lines whose distance grows fourfold from the centre to the edge, yet nowhere below 1/FOV."""
    spacing = readouts.geometry.matrix[1] / max(readouts.shots, 1)  # in 1/FOV, if equal
    widest = float(np.arccosh(_DENSITY_RATIO))  # y = sinh(c u) / sinh c: distances grow by cosh c
    grown = widest
    if spacing * widest / np.sinh(widest) < 1.0:
        grown = brentq(lambda c: spacing * c / np.sinh(c) - 1.0, 1e-9, widest) if spacing > 1.0 + 1e-9 else 0.0
    share = _equispaced(readouts.shots)
    bent = np.sinh(grown * share) / np.sinh(grown) if grown > 1e-6 else share
    return _parallel(readouts, "cartesian-vd", bent * readouts.geometry.k_max_per_m[1])


def _equispaced(lines: int) -> FloatArray:
    """(lines,) positions in -1 .. 1, zero among them."""
    return np.asarray((np.arange(lines) - lines // 2) * (2.0 / lines), dtype=float)


def _parallel(readouts: Readouts, family: str, ky_per_m: FloatArray) -> InitialPath:
    readouts.refuse_golden(family)
    matrix = readouts.geometry.matrix[1]
    readouts.refuse_more_shots_than(matrix, f"one line for each of the {matrix} rows of the matrix")
    k_max = readouts.geometry.k_max_per_m[0]
    readouts.refuse_shorter_than(2 * k_max / readouts.max_grad_hz_per_m, "to reach k-max")
    echo = readouts.samples // 2
    kx = (np.arange(readouts.samples) - echo) / (readouts.samples / 2) * k_max
    shape = (readouts.shots, readouts.samples)
    k = np.stack([np.broadcast_to(kx, shape), np.broadcast_to(ky_per_m[:, None], shape)], -1)
    return InitialPath(k_per_m=k, echo_sample=echo, pinned=_along_x(k[:, echo]))


def epi(readouts: Readouts) -> InitialPath:
    """Interleaved trains of an odd number of lines, as many as the readout holds, with blips between them.

    Line l of shot s has place l shots + s of all in ky; the centre line's kx = 0 is the echo of every shot.
    """
    readouts.refuse_golden("epi")
    matrix, shots = readouts.geometry.matrix[1], readouts.shots
    readouts.refuse_more_shots_than(matrix // 3, f"three lines a shot and at most {matrix} lines in all")
    most = (matrix // shots - 1) // 2 * 2 + 1
    ride, lines = richest(lambda lines: _train(readouts, round(lines)), readouts, least=3, most=most, step=2)
    readouts.refuse_shorter_than(ride.needed_s, "to play three lines out to k-max")
    path, echo = ride.path(readouts)
    ky = (np.arange(shots) - shots // 2) * 2 * readouts.geometry.k_max_per_m[1] / (shots * lines)
    k = path[None] + np.stack([np.zeros(shots), ky], -1)[:, None]
    return InitialPath(k_per_m=k, echo_sample=echo, pinned=_along_x(k[:, echo]))


def _train(readouts: Readouts, lines: int) -> Ride:
    """Lines from edge to edge at distances of 2 k-max / lines, the centre line through k = 0."""
    x_max, y_max = readouts.geometry.k_max_per_m
    ky = (np.arange(lines) - lines // 2) * 2 * y_max / lines
    return train(readouts, np.full(lines, x_max), ky)


def train(readouts: Readouts, reach_per_m: FloatArray, ky_per_m: FloatArray) -> Ride:
    """The shortest ride to and fro along lines (lines,) at ky that reach from -reach to reach in kx."""
    side = np.where(np.arange(len(ky_per_m)) % 2, -1.0, 1.0)
    ends = np.stack([-side * reach_per_m, side * reach_per_m], -1) + 1j * ky_per_m[:, None]
    curve = rounded_polyline(ends.ravel(), radius_per_m=_CORNER_SHARE * readouts.k_max_per_m)
    return fastest(curve, readouts, echo_in_middle=True)


def _along_x(echo_k_per_m: FloatArray) -> FloatArray:
    return pinned_at_echo(echo_k_per_m, np.broadcast_to(np.array([1.0, 0.0]), echo_k_per_m.shape))
