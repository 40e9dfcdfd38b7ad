"""Projection of a learned trajectory onto what the gradients can play, exactly.

What can be played, |G| <= Gmax and |G'| <= Smax as vectors with k fixed at the echo, is convex in the gradient on
raster edges (Chauffert, Weiss, Kahn & Ciuciu, IEEE TMI 35:2026, 2016). The nearest readout is found by an
interior-point method (`interior_point`) with its duality gap as proof, then connected with rest at k = 0 at both ends
(`connection`). Since a readout by itself can only lie nearer than one with its connections, the whole is the nearest
waveform from rest to rest. Where a given time is too short for them, the whole is projected at once and the readout
gives way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Scanner
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.connection import Limits, Lobe, connect, connect_within, leftover, slice_lobe
from seqopt.gradients.interior_point import SplineSolution, minimise
from seqopt.gradients.spline import ComplexArray, Sampling, as_plane, as_vectors, bending_bands, spline_sampling
from seqopt.gradients.spline_newton import SplineProgram
from seqopt.gradients.waveform import k_at, sample_times, worst_axis, worst_vector

FloatArray = npt.NDArray[np.float64]
_SLACK = 1e-6  # of the limits, for the last digits of the solver
_SMOOTHING = 1e-8  # (1/FOV)^2 a raster at the largest slew: makes k unique where no sample asks for it
_TOGETHER = 8  # shots at once: what fits into the processor's cache


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A playable trajectory and how far it lies from the one that was asked for."""

    gradient_hz_per_m: FloatArray
    """(shots, edges, 2) on raster edges: prephaser, readout and rewinder, zero at both ends."""
    k_start_per_m: FloatArray
    """(shots, 2) k at the first edge: zero, since the waveform holds its prephaser."""
    k_per_m: FloatArray
    """(shots, samples, 2) at the ADC samples, exact integral of the gradient."""
    adc_start_edge: int
    moved_max_per_fov: float
    """Largest distance between asked and playable k, in 1/FOV."""
    moved_rms_per_fov: float
    residual: float
    """Proof: no playable path of any shot lies nearer by more than this (root of the sum over samples, 1/FOV)."""
    iterations: int
    history_per_fov: tuple[float, ...]
    """The residual of the worst shot over the iterations."""
    yielded: bool
    """Whether the readout gave way to connections that were asked to be shorter than it needs."""


@dataclass(frozen=True, kw_only=True)
class Ends:
    """What lies before and after the readout, in the same waveform."""

    slice_before_per_m: float = 0.0
    """Moment along the slice that is to be played before the ADC opens: the slice rephaser."""
    slice_after_per_m: float = 0.0
    """After the ADC: the spoiler."""
    most_before: int | None = None
    """Rasters there are before the ADC for a wanted echo time; None for as few as possible."""
    most_after: int | None = None
    """After it, for a wanted repetition time."""


def project(
    k_per_m: FloatArray,
    geometry: Geometry,
    scanner: Scanner,
    *,
    dwell_s: float,
    echo_sample: int,
    echo_k_per_m: FloatArray | None = None,
    ends: Ends | None = None,
    slew_share: float = 1.0,
    reach_shares: tuple[float, float] = (0.0, np.inf),
    tolerance_per_fov: float = 1e-3,
) -> Projection:
    """Find the playable trajectory nearest to k (shots, samples, 2) 1/m in the least-squares sense.

    The limits are the scanner's times its margin, on the Euclidean length of (x, y, z), or on each of them where its
    ``oblique`` is ``axis``. The waveform starts and ends at zero gradient and k = 0; prephaser and rewinder are as
    short as the slowest shot allows, at least the ADC's dead time. ``echo_k_per_m`` (shots, 2) is where k lies at the
    echo sample, exactly; the centre unless given. The readout keeps to ``slew_share`` of the slew rate, its connections
    to the scanner's own share. The result lies within ``tolerance_per_fov`` of the nearest, or some 1e-4 of the way
    moved where rounding ends it: `residual`.

    Raises ``SeqoptError`` for NaN, for an echo outside the readout, where the largest of k, along x or y, is no share
    of the asked within ``reach_shares``, and where no path keeps the limits or the solver finds none: a result always
    keeps them.
    """
    if not np.isfinite(k_per_m).all():
        raise SeqoptError("the trajectory to project holds NaN or infinity; training diverged, lower the learning rate")
    if not 0 <= echo_sample < k_per_m.shape[1]:
        raise reject(
            "echo sample", got=echo_sample, expected=f"0..{k_per_m.shape[1] - 1}", remedy="move it into the readout"
        )
    task = _Task(k_per_m, geometry, scanner, dwell_s, echo_sample, echo_k_per_m, slew_share, tolerance_per_fov)
    return task.result(ends or Ends(), reach_shares)


class _Task:
    """One projection; coefficients are in the unit of the limits, see ``Limits.unit_per_m``."""

    def __init__(
        self,
        k_per_m: FloatArray,
        geometry: Geometry,
        scanner: Scanner,
        dwell_s: float,
        echo_sample: int,
        echo_k_per_m: FloatArray | None,
        slew_share: float,
        tolerance_per_fov: float,
    ) -> None:
        self.k_per_m, self.scanner, self.dwell_s, self.echo_sample = k_per_m, scanner, dwell_s, echo_sample
        shots, samples, _ = k_per_m.shape
        self.limits, self.slew_share = Limits.of(scanner), slew_share
        self.derated = self.limits.derated(scanner.connection_slew_share)
        self.unit = self.limits.unit_per_m
        self.per_fov = float(np.mean(geometry.fov_m))
        self.target = self._apart(as_plane(k_per_m)) / self.unit
        pinned = np.zeros((shots, 2)) if echo_k_per_m is None else echo_k_per_m
        self.pinned = self._apart(as_plane(pinned)) / self.unit
        self.body = int(np.ceil(samples * dwell_s / scanner.grad_raster_s - 1e-9))
        self._both = 2.0 if self.limits.vector else 4.0  # of a path's two parts each has a gap of its own
        self.gap = (tolerance_per_fov / self.per_fov / self.unit) ** 2 / self._both

    def result(self, ends: Ends, reach_shares: tuple[float, float]) -> Projection:
        """Readout and connections by themselves, or the whole at once where the time is short."""
        solution = self._solve(0, 0, None, None)
        free = solution.coefficients
        self._refuse_other_reach(free, reach_shares)
        before, after = self._connected(free[:, :2], ends.slice_before_per_m, ends.most_before, True), None
        if before is not None:
            after = self._connected(free[:, :-3:-1], ends.slice_after_per_m, ends.most_after, False)
        if before is not None and after is not None:
            joined = [before[0][:, :-2] / self.unit, free, after[0][:, -3::-1] / self.unit]
            return self._finished(np.concatenate(joined, axis=1), before[1].rasters, solution, yielded=False)
        lobes = self._lobes(free, ends)
        solution = self._solve(lobes[0].rasters, lobes[1].rasters, *lobes)
        return self._finished(solution.coefficients, lobes[0].rasters, solution, yielded=True)

    def _refuse_other_reach(self, free: ComplexArray, shares: tuple[float, float]) -> None:
        played = as_vectors(self._together(self._sampling(0, self.body).at(free)))
        share = worst_axis(played) * self.unit / max(worst_axis(self.k_per_m), 1e-9)
        if not shares[0] <= share <= shares[1]:
            raise reject(
                f"the projection at {self.slew_share:.3g} of the slew rate",
                got=f"a path that reaches {share:.3g} times as far from the centre",
                expected=f"{shares[0]:g}..{shares[1]:g}",
                remedy="lengthen the readout",
            )

    def _apart(self, plane: ComplexArray) -> ComplexArray:
        """(shots, ...) -> the same, or (2 shots, ...) real: x and y by themselves where limits hold on each axis."""
        return plane if self.limits.vector else np.concatenate([plane.real, plane.imag]).astype(complex)

    def _together(self, apart: ComplexArray) -> ComplexArray:
        """Undo ``_apart``."""
        half = len(apart) // 2
        return apart if self.limits.vector else np.asarray(apart[:half].real + 1j * apart[half:].real)

    def _least(self, *, before: bool) -> int:
        """Rasters that the ADC's dead time asks for."""
        raster = self.scanner.grad_raster_s
        tail = 0.0 if before else self.body * raster - self.k_per_m.shape[1] * self.dwell_s
        return max(3, int(np.ceil((self.scanner.adc_dead_time_s - tail) / raster - 1e-9)))

    def _connected(
        self, ends: ComplexArray, area_per_m: float, most: int | None, before: bool
    ) -> tuple[ComplexArray, Lobe] | None:
        """The shortest connection; None where it takes more than ``most`` rasters."""
        options = {"slice_area_per_m": area_per_m, "slew_share": self.scanner.connection_slew_share}
        least = self._least(before=before)
        if most is not None and connect_within(max(most, least), ends * self.unit, self.limits, **options) is None:
            return None
        found = connect(ends * self.unit, self.limits, least_rasters=least, **options)
        return found.coefficients, found.lobe

    def _lobes(self, free: ComplexArray, ends: Ends) -> tuple[Lobe, Lobe]:
        """Lobes along the slice over the rasters that there are, or that suffice where nothing was asked."""
        lobes = []
        for most, area, meeting, before in (
            (ends.most_before, ends.slice_before_per_m, free[:, :2], True),
            (ends.most_after, ends.slice_after_per_m, free[:, :-3:-1], False),
        ):
            if most is None:
                found = self._connected(meeting, area, None, before)
                assert found is not None
                lobes.append(found[1])
            else:
                lobes.append(slice_lobe(area, max(most, self._least(before=before)), self.derated))
        return lobes[0], lobes[1]

    def _solve(self, before: int, after: int, first: Lobe | None, last: Lobe | None) -> SplineSolution:
        """Nearest coefficients over ``before``, the readout's and ``after`` rasters; from rest if there are lobes."""
        rasters = before + self.body + after
        at_rest = 0 if first is None else 2
        size, shots = rasters + 2, len(self.target)
        sampling = self._sampling(before, rasters)
        grad, slew = self._radii(before, rasters, first, last)
        row = np.zeros(size)
        row[sampling.first[self.echo_sample] + np.arange(3)] = sampling.weights[self.echo_sample]
        smoothing = _SMOOTHING / (self.per_fov * self.unit) ** 2
        bands = sampling.normal_bands(size) + smoothing * self.limits.steepness**2 * bending_bands(size)
        rest = np.zeros((shots, at_rest), dtype=complex)
        parts = []
        for begin in range(0, shots, _TOGETHER):
            some = slice(begin, begin + _TOGETHER)
            program = SplineProgram(
                head=rest[some],
                tail=rest[some],
                free=size - 2 * at_rest,
                bands=bands,
                linear=-sampling.adjoint(self.target[some], size),
                constant=0.5 * (np.abs(self.target[some]) ** 2).sum(1),
                steepness=self.limits.steepness,
                grad_radius=grad * (1 - _SLACK),
                slew_radius=slew * (1 - _SLACK),
                row=row[at_rest : size - at_rest],
                pinned=self.pinned[some],
            )
            parts.append(minimise(program, gap=self.gap))
        return _joined(parts)

    def _sampling(self, before: int, rasters: int) -> Sampling:
        raster = self.scanner.grad_raster_s
        times = sample_times(self.k_per_m.shape[1], dwell_s=self.dwell_s, adc_start_s=before * raster)
        return spline_sampling(times, rasters=rasters, raster_s=raster)

    def _radii(self, before: int, rasters: int, first: Lobe | None, last: Lobe | None) -> tuple[FloatArray, FloatArray]:
        """What is left of the limits to x and y on every edge and raster."""
        grad, slew = np.ones(rasters + 1), np.full(rasters, self.slew_share)
        if first is None or last is None:
            return grad, slew
        for lobe, start in ((first, 0), (last, before + self.body)):
            free = leftover(lobe, self.derated)
            if free is None:
                raise SeqoptError(
                    f"the slice's moment: got {lobe.rasters * self.scanner.grad_raster_s * 1e3:g} ms for it, which the "
                    "limits do not allow; lengthen TE or TR, or thicken the slice"
                )
            grad[start : start + lobe.rasters + 1] = free[0]
            slew[start : start + lobe.rasters] = free[1] * self.scanner.connection_slew_share
        return grad, slew

    def _finished(
        self, coefficients: ComplexArray, before: int, solution: SplineSolution, *, yielded: bool
    ) -> Projection:
        raster = self.scanner.grad_raster_s
        gradient = as_vectors(np.diff(self._together(coefficients), axis=1)) * self.limits.grad_hz_per_m
        gradient[:, [0, -1]] = 0.0
        self._refuse_impossible(gradient, solution)
        times = sample_times(self.k_per_m.shape[1], dwell_s=self.dwell_s, adc_start_s=before * raster)
        k = k_at(times, gradient, raster_s=raster)
        moved = np.linalg.norm((k - self.k_per_m) * self.per_fov, axis=-1)
        proof = np.sqrt(self._both * np.nanmax(solution.history, axis=1)) * self.unit * self.per_fov
        return Projection(
            gradient_hz_per_m=gradient,
            k_start_per_m=np.zeros((len(k), 2)),
            k_per_m=k,
            adc_start_edge=before,
            moved_max_per_fov=float(moved.max()),
            moved_rms_per_fov=float(np.sqrt(np.mean(moved**2))),
            residual=float(np.sqrt(self._both * solution.gap.max()) * self.unit * self.per_fov),
            iterations=solution.iterations,
            history_per_fov=tuple(float(value) for value in proof),
            yielded=yielded,
        )

    def _refuse_impossible(self, gradient: FloatArray, solution: SplineSolution) -> None:
        length = worst_vector if self.limits.vector else worst_axis
        grad = length(gradient) / self.limits.grad_hz_per_m
        slew = length(np.diff(gradient, axis=1)) / self.scanner.grad_raster_s
        excess = max(grad, slew / self.limits.slew_hz_per_m_per_s) - 1.0
        residual = np.sqrt(self._both * solution.gap.max()) * self.unit * self.per_fov
        if not (excess <= 1e-9 and solution.violation.max() < 1e-5):
            raise SeqoptError(
                f"the projection found no playable path after {solution.iterations} iterations (excess over the limits "
                f"{max(excess, solution.violation.max()):.2g}, distance {residual:.2g}/FOV unproven); lengthen TE, TR "
                "or the readout, train longer or raise the penalty"
            )


def _joined(parts: list[SplineSolution]) -> SplineSolution:
    longest = max(part.iterations for part in parts)
    history = [np.pad(p.history, ((0, longest - p.iterations), (0, 0)), constant_values=np.nan) for p in parts]
    return SplineSolution(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("coefficients", "gap", "violation")
        },
        iterations=longest,
        history=np.concatenate(history, axis=1),
    )
