"""Gradient duty cycle: the root mean square of each axis over a sliding window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, Scanner
from seqopt.pulseq.distinct import distinct_corners
from seqopt.pulseq.readback import AXES, PlayedSequence
from seqopt.units import hz_per_m_to_mt_per_m

FloatArray = npt.NDArray[np.float64]


def largest_rms(played: PlayedSequence, window_s: float) -> tuple[FloatArray, FloatArray]:
    """Root mean square (3,) Hz/m of the hardest window, and when it ends (3,) s, of each axis.

    Windows end with a block and hold the exact integral of whole blocks; of the first one the share that lies inside.
    A sequence shorter than the window is measured over its own length.
    """
    energy = _energy(played)
    total = np.concatenate([np.zeros((1, 3)), np.cumsum(energy[played.gradients.key_numbers], axis=0)])
    starts = played.starts_s
    window = min(window_s, played.duration_s)
    if window <= 0:
        return np.zeros(3), np.zeros(3)
    ends = np.maximum(starts, window)
    spent = np.stack([np.interp(ends, starts, one) - np.interp(ends - window, starts, one) for one in total.T])
    at = spent.argmax(axis=1)
    return np.sqrt(np.maximum(spent.max(axis=1), 0.0) / window), ends[at]


def _energy(played: PlayedSequence) -> FloatArray:
    """(keys, 3) integral of the square of each axis over each distinct block."""
    energy = np.zeros((len(played.gradients.keys), 3))
    if played.gradients.kernels is not None:
        for number, key in enumerate(played.gradients.keys):
            times, axes = played.gradients.axes_of(key)
            played.gradients.kernels.energy_of_block(times, *axes, energy[number])
        return energy
    for corners in distinct_corners(played):
        g = corners.gradient_hz_per_m
        a, b, width = g[:-1], g[1:], np.diff(corners.times_s)[:, None]
        part = np.where(np.diff(corners.owner)[:, None] == 0, width * (a * a + a * b + b * b) / 3, 0.0)
        for axis in range(3):
            energy[:, axis] += np.bincount(corners.owner[:-1], part[:, axis], minlength=len(energy))
    return energy


def duty_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], list[str]]:
    """RMS of each axis against the profile's limit, where it has one; the value alone otherwise."""
    found, ends_s = largest_rms(played, scanner.rms_window_s)
    rms = [hz_per_m_to_mt_per_m(float(value)) for value in found]
    window = min(scanner.rms_window_s, played.duration_s)
    limit = scanner.max_rms_grad_hz_per_m
    if limit is None:
        said = ", ".join(f"{axis} {value:.2f}" for axis, value in zip(AXES, rms, strict=True))
        return [], [
            f"gradient duty cycle and heating: profile {scanner.name} has no limit; RMS over {window:.3g} s at most "
            f"{said} mT/m"
        ]
    return [
        Check(
            name=f"gradient.rms_{axis}",
            held=bool(found[index] <= limit),
            value=round(rms[index], 4),
            limit=round(hz_per_m_to_mt_per_m(limit), 4),
            unit="mT/m",
            where=f"the {window:.3g} s before {ends_s[index] * 1e3:.1f} ms",
            remedy="" if found[index] <= limit else "lengthen TR or lower the gradients",
        )
        for index, axis in enumerate(AXES)
    ], []
