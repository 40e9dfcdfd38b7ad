"""Projection of a learned trajectory onto what the gradients can play, exactly.

The set {|G| <= Gmax, |G'| <= Smax, G = 0 at both ends, k fixed at the echo} is convex in the gradient on raster edges
(Chauffert, Weiss, Kahn & Ciuciu, IEEE TMI 35:2026, 2016). The nearest feasible trajectory is found by ADMM, all shots
at once, with the vector norm: what an oblique slice may put on one physical axis. The constraint sets are balls about
zero, so the last rounding is a common scaling that makes the result feasible to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from seqopt.core import Geometry, Scanner
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.waveform import moment_matrix, sample_times

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A playable trajectory and how far it lies from the one that was asked for."""

    gradient_hz_per_m: FloatArray
    """(shots, edges, 2) on raster edges, zero at both ends."""
    k_start_per_m: FloatArray
    """(shots, 2) moment that the prephaser must bring."""
    k_per_m: FloatArray
    """(shots, samples, 2) at the ADC samples, exact integral of the gradient."""
    adc_start_edge: int
    moved_max_per_fov: float
    """Largest distance between asked and playable k, in 1/FOV."""
    moved_rms_per_fov: float
    residual: float
    """Relative excess over the limits before the last rounding; the result itself has none."""
    iterations: int


def project(
    k_per_m: FloatArray,
    geometry: Geometry,
    scanner: Scanner,
    *,
    dwell_s: float,
    echo_sample: int,
    echo_k_per_m: FloatArray | None = None,
    max_iterations: int = 6000,
    tolerance: float = 2e-4,
) -> Projection:
    """Find the playable trajectory nearest to k (shots, samples, 2) 1/m in the least-squares sense.

    The limits are the scanner's times its margin, on the Euclidean length of (x, y). Ramps from and to zero are added
    before and after the ADC, as short as the fastest shot allows. ``echo_k_per_m`` (shots, 2) is where k lies at the
    echo sample, exactly; the centre unless given. Raises `SeqoptError` for NaN and for an echo outside
    the readout.
    """
    shots, samples, _ = k_per_m.shape
    if not np.isfinite(k_per_m).all():
        raise SeqoptError("the trajectory to project holds NaN or infinity; training diverged, lower the learning rate")
    if not 0 <= echo_sample < samples:
        raise reject("echo sample", got=echo_sample, expected=f"0..{samples - 1}", remedy="move it into the readout")
    raster = scanner.grad_raster_s
    max_grad = scanner.margin * scanner.max_grad_hz_per_m
    max_step = scanner.margin * scanner.max_slew_hz_per_m_per_s * raster
    ramp = ramp_rasters(k_per_m, scanner, dwell_s=dwell_s)
    body = int(np.ceil(samples * dwell_s / raster - 1e-9))
    edges = 2 * ramp + body + 1
    times = sample_times(samples, dwell_s=dwell_s, adc_start_s=ramp * raster)
    moments = moment_matrix(times, edges=edges, raster_s=raster)
    pinned = (moments - moments[echo_sample])[:, 1:-1]  # the prephaser brings k to its place at the echo, always
    echo_k = np.zeros((shots, 2)) if echo_k_per_m is None else echo_k_per_m

    # unknown: gradient / max_grad on the inner edges; target in 1/FOV
    to_fov = np.array(geometry.fov_m)
    system = pinned * max_grad * to_fov.mean()
    target = (k_per_m - k_per_m[:, [echo_sample]]) * to_fov.mean()
    unit, residual, iterations = _admm(
        system,
        target.transpose(1, 0, 2).reshape(samples, -1),
        max_grad / max_step,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    inner = unit.reshape(edges - 2, shots, 2).transpose(1, 0, 2) * max_grad
    gradient = np.pad(inner, ((0, 0), (1, 1), (0, 0)))
    excess = np.maximum(
        np.linalg.norm(gradient, axis=-1).max(1) / max_grad,
        np.linalg.norm(np.diff(gradient, axis=1), axis=-1).max(1) / max_step,
    )
    gradient /= np.maximum(excess, 1.0)[:, None, None] * (1.0 + 1e-12)
    start = echo_k - np.einsum("e,sed->sd", moments[echo_sample], gradient)
    playable = np.einsum("ne,sed->snd", moments, gradient) + start[:, None]
    moved = np.linalg.norm((playable - k_per_m) * to_fov, axis=-1)
    return Projection(
        gradient_hz_per_m=gradient,
        k_start_per_m=start,
        k_per_m=playable,
        adc_start_edge=ramp,
        moved_max_per_fov=float(moved.max()),
        moved_rms_per_fov=float(np.sqrt(np.mean(moved**2))),
        residual=residual,
        iterations=iterations,
    )


def ramp_rasters(k_per_m: FloatArray, scanner: Scanner, *, dwell_s: float) -> int:
    """Rasters that the ramps before and after the ADC need, at least the ADC's dead time and one raster."""
    ends = np.stack([k_per_m[:, 1] - k_per_m[:, 0], k_per_m[:, -1] - k_per_m[:, -2]]) / dwell_s
    speed = min(float(np.linalg.norm(ends, axis=-1).max()), scanner.max_grad_hz_per_m)
    ramp_s = speed / (scanner.margin * scanner.max_slew_hz_per_m_per_s)
    dead = int(np.ceil(scanner.adc_dead_time_s / scanner.grad_raster_s - 1e-9))
    return max(dead, int(np.ceil(1.2 * ramp_s / scanner.grad_raster_s)) + 1)


def _admm(
    system: FloatArray, target: FloatArray, steepness: float, *, max_iterations: int, tolerance: float
) -> tuple[FloatArray, float, int]:
    """Minimise |system u - target|^2 / 2 with |u| <= 1 and |steepness u'| <= 1 over pairs of columns (x, y of a shot).

    u' are the differences of neighbours, with a zero before the first and after the last.
    """
    normal, right = system.T @ system, system.T @ target
    size = system.shape[1]
    gram = (1 + 2 * steepness**2) * np.eye(size) - steepness**2 * (np.eye(size, k=1) + np.eye(size, k=-1))
    rho = float(np.trace(normal) / np.trace(gram))
    inverse = _inverse(normal + rho * gram)
    start = linalg.solve(normal + 1e-10 * np.trace(normal) / len(normal) * gram, right, assume_a="pos")
    split = _into_unit_balls(_constrained(start, steepness))
    dual = np.zeros_like(split)
    excess = np.inf
    unit = np.zeros_like(right)
    for iteration in range(1, max_iterations + 1):
        unit = inverse @ (right + rho * _constrained_adjoint(split - dual, steepness))
        image = _constrained(unit, steepness)
        relaxed = 1.7 * image - 0.7 * split
        previous, split = split, _into_unit_balls(relaxed + dual)
        dual += relaxed - split
        if iteration % 25:
            continue
        excess = float(_lengths(image).max()) - 1.0
        primal = float(np.abs(image - split).max())
        moving = float(np.abs(split - previous).max())
        if excess < tolerance and primal < tolerance and moving < tolerance:
            return unit, max(excess, 0.0), iteration
        ratio = float(np.linalg.norm(image - split)) / max(float(np.linalg.norm(split - previous)), 1e-30)
        if iteration % 100 == 0 and iteration < max_iterations // 2 and not 0.2 < ratio < 5.0:
            scale = float(np.clip(np.sqrt(ratio), 0.2, 5.0))
            rho, dual = rho * scale, dual / scale
            inverse = _inverse(normal + rho * gram)
    return unit, max(excess, 0.0), max_iterations


def _constrained(unit: FloatArray, steepness: float) -> FloatArray:
    """What must stay in unit balls: (edges, columns) -> the values, then their differences (2 edges + 1, columns)."""
    ends = np.zeros((1, unit.shape[1]))
    return np.concatenate([unit, steepness * np.diff(unit, axis=0, prepend=ends, append=ends)])


def _constrained_adjoint(stacked: FloatArray, steepness: float) -> FloatArray:
    size = len(stacked) // 2
    return np.asarray(stacked[:size] - steepness * np.diff(stacked[size:], axis=0))


def _inverse(positive: FloatArray) -> FloatArray:
    """Explicit, since it is small, used hundreds of times, and a product runs faster than two triangular solves."""
    return np.asarray(linalg.cho_solve(linalg.cho_factor(positive), np.eye(len(positive))))


def _lengths(stacked: FloatArray) -> FloatArray:
    """Euclidean length of each (x, y) pair of neighbouring columns."""
    return np.asarray(np.hypot(stacked[:, 0::2], stacked[:, 1::2]))


def _into_unit_balls(stacked: FloatArray) -> FloatArray:
    shrink = 1.0 / np.maximum(_lengths(stacked), 1.0)
    return stacked * np.repeat(shrink, 2, axis=1)
