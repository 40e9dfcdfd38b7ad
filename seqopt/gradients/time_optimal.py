"""The same paths in the least time: all shots with one number of samples and one echo sample.

Along the arc s the squared speed w obeys w <= Gmax^2, w kappa <= Smax and (dw/ds / 2)^2 + (w kappa)^2 <= Smax^2; one
pass back and one forward give the largest (Lustig, Kim & Pauly, IEEE TMI 27:866, 2008). The slowest shot before the
echo and the slowest after it decide; the others are held to a lower top speed in that half, so that all shots pass
their echo at the same sample and the speed stays continuous. The projection then makes limits and joints exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from seqopt.core import Scanner
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.connection import Limits

FloatArray = npt.NDArray[np.float64]
_HEADROOM = 0.95  # of the slew limit, for what the projection has to smooth
_CORNER_PER_FOV = 0.02  # radius to which sharper corners are rounded by the projection
_POINTS = 2000  # of a curve, at least two a sample
_UNEVEN = 1e-3  # of the time of a half, evened out by stretching it
_ROUNDS = 30  # 5 to 12 suffice


@dataclass(frozen=True, kw_only=True)
class Retimed:
    """Paths with a new time."""

    k_per_m: FloatArray
    """(shots, new samples, 2) on the old paths."""
    echo_sample: int
    position: FloatArray
    """(shots, new samples) of the samples among the old ones, to retime what belongs to them."""


def retime(
    k_per_m: FloatArray,
    scanner: Scanner,
    *,
    dwell_s: float,
    echo_sample: int,
    fov_m: float,
    like_per_m: FloatArray | None = None,
    fits: Callable[[int], bool] = lambda _: True,
) -> Retimed:
    """Play the paths (shots, samples, 2) 1/m as fast as amplitude, slew and sampling along the path allow.

    ``dwell_s`` stays: no two samples are farther apart along the path than 1/FOV, or than those of ``like_per_m``
    (shots, samples, 2) at that place, where the path began. The number of samples is the least multiple of the ADC's
    divisor that ``fits``, as segments of the ADC ask. Echo, first and last sample keep their k.
    Raises ``SeqoptError`` for an echo outside and where no number of samples fits.
    """
    if not 0 <= echo_sample < k_per_m.shape[1]:
        raise reject("echo sample", got=echo_sample, expected=f"0..{k_per_m.shape[1] - 1}", remedy="move it inside")
    limits = Limits.of(scanner)
    apart = np.full((len(k_per_m), k_per_m.shape[1] - 1), 1.0 / fov_m)
    if like_per_m is not None:
        apart = np.maximum(apart, np.linalg.norm(np.diff(like_per_m, axis=1), axis=-1))
    curve = _Curves(k_per_m, echo_sample, fov_m, apart / dwell_s)
    top = limits.grad_hz_per_m
    slew = _HEADROOM * limits.slew_hz_per_m_per_s
    before, after = curve.halves_s(curve.speed(slew, np.full((curve.shots, 2), top)))
    echo = int(np.ceil(before.max() / dwell_s - 1e-6))
    divisor = scanner.adc_samples_divisor
    fewest = int(np.ceil((echo + 1 + after.max() / dwell_s) / divisor - 1e-6)) * divisor
    samples = next((n for n in range(fewest, 2 * fewest + 4096, divisor) if fits(n)), None)
    if samples is None:
        raise SeqoptError(
            f"the time-optimal readout needs {fewest} samples, which the receiver of scanner {scanner.name} does not "
            "take; lengthen the dwell, lower the matrix or change --adc-segments"
        )
    wanted = np.array([echo, samples - 1 - echo]) * dwell_s
    times = curve.times_s(slew, top, wanted)
    at = np.arange(samples) * dwell_s
    position = np.stack([np.interp(at, times[shot], curve.parameter) for shot in range(curve.shots)])
    return Retimed(k_per_m=curve.at(position), echo_sample=echo, position=position)


def path_distance(k_per_m: FloatArray, path_per_m: FloatArray) -> float:
    """Largest distance in 1/m of samples (shots, n, 2) from the curves through (shots, samples, 2)."""
    fine = np.linspace(0, path_per_m.shape[1] - 1, 40 * (path_per_m.shape[1] - 1) + 1)
    curves = CubicSpline(np.arange(path_per_m.shape[1]), path_per_m, axis=1)(fine)
    return max(float(cKDTree(curve).query(played)[0].max()) for curve, played in zip(curves, k_per_m, strict=True))


class _Curves:
    """Cubic splines through the samples, on points of one parameter: the old sample's number."""

    def __init__(self, k_per_m: FloatArray, echo_sample: int, fov_m: float, sampled_hz_per_m: FloatArray) -> None:
        self.shots, samples, _ = k_per_m.shape
        self.spline = CubicSpline(np.arange(samples), k_per_m, axis=1)
        fine = max(2, round(_POINTS / samples))
        self.parameter = np.linspace(0, samples - 1, fine * (samples - 1) + 1)
        self.echo = fine * echo_sample
        steps = np.arange(samples - 1) + 0.5
        self.sampled_hz_per_m = np.stack([np.interp(self.parameter, steps, row) for row in sampled_hz_per_m])
        first, second = self.spline(self.parameter, 1), self.spline(self.parameter, 2)
        size = np.maximum(np.linalg.norm(first, axis=-1), 1e-9 / fov_m)
        turn = np.abs(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])
        self.curvature_m = np.minimum(turn / size**3, fov_m / _CORNER_PER_FOV)
        back = (first[:, 1:] * first[:, :-1]).sum(-1) < 0  # a cusp: the path turns on the spot
        self.curvature_m[:, 1:][back] = fov_m / _CORNER_PER_FOV
        self.arc_per_m = (size[:, 1:] + size[:, :-1]) / 2 / fine

    def at(self, position: FloatArray) -> FloatArray:
        """(shots, n) parameters -> (shots, n, 2) 1/m."""
        return np.stack([self.spline(row)[shot] for shot, row in enumerate(position)])

    def speed(self, slew: float, top: FloatArray) -> FloatArray:
        """(shots, points) largest speed in Hz/m with a top speed (shots, 2) before and after the echo."""
        cap = np.where(np.arange(len(self.parameter)) <= self.echo, top[:, :1], top[:, 1:])
        cap = np.minimum(cap, self.sampled_hz_per_m)
        square = np.ascontiguousarray(np.minimum(cap**2, slew / np.maximum(self.curvature_m, 1e-12)).T)
        last = len(square) - 1
        for here in range(last, 0, -1):
            self._run(square, here, here - 1, here - 1, slew)
        for here in range(last):
            self._run(square, here, here + 1, here, slew)
        return np.asarray(np.sqrt(square.T))

    def _run(self, square: FloatArray, here: int, there: int, arc: int, slew: float) -> None:
        """What the slew rate lets the squared speed grow from one point to its neighbour."""
        bent = self._bends[here] * square[here]
        reach = square[here] + self._arcs[arc] * np.sqrt(np.maximum(slew**2 - bent * bent, 0.0))
        np.minimum(square[there], reach, out=square[there])

    @cached_property
    def _bends(self) -> FloatArray:
        return np.ascontiguousarray(self.curvature_m.T)

    @cached_property
    def _arcs(self) -> FloatArray:
        return np.ascontiguousarray(2 * self.arc_per_m.T)

    def _steps_s(self, speed: FloatArray) -> FloatArray:
        return np.asarray(2 * self.arc_per_m / np.maximum(speed[:, 1:] + speed[:, :-1], 1e-3))

    def halves_s(self, speed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(shots,) seconds before and after the echo."""
        steps = self._steps_s(speed)
        return steps[:, : self.echo].sum(1), steps[:, self.echo :].sum(1)

    def _late(self, speed: FloatArray, wanted_s: FloatArray) -> FloatArray:
        """(shots, 2) time that each half takes over the wanted one; 1 of a half without length."""
        took = np.stack(self.halves_s(speed), -1)
        return np.where(wanted_s > 0, took / np.maximum(wanted_s, 1e-12), 1.0)

    def times_s(self, slew: float, top: float, wanted_s: FloatArray) -> FloatArray:
        """(shots, points) times at which every half takes the wanted (2,) seconds."""
        speed = self.speed(slew, np.full((self.shots, 2), top))
        tops = np.stack([speed[:, : self.echo + 1].max(1), speed[:, self.echo :].max(1)], -1)
        late = self._late(speed, wanted_s)
        slope = np.full(tops.shape, -1.0)  # of log time over log top speed
        for _ in range(_ROUNDS):
            if (np.abs(late[:, wanted_s > 0] - 1) < _UNEVEN).all():
                break
            old, missed = tops, late
            tops = np.minimum(tops * np.exp(np.clip(-np.log(late) / slope, -1.0, 1.0)), top)
            tops = np.where(wanted_s > 0, tops, top)
            speed = self.speed(slew, tops)
            late = self._late(speed, wanted_s)
            step = np.log(tops / old)
            known = np.abs(step) > 1e-9
            slope = np.where(known, np.clip(np.log(late / missed) / np.where(known, step, 1.0), -1.0, -0.1), slope)
        steps = self._steps_s(speed)
        steps[:, : self.echo] /= late[:, :1]
        steps[:, self.echo :] /= late[:, 1:]
        return np.concatenate([np.zeros((self.shots, 1)), np.cumsum(steps, axis=1)], axis=1)
