"""K-space as the gradient system plays it, by its measured impulse response (GIRF)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len

from seqopt.core import TrajectoryDesign
from seqopt.core.asked_gradient import AskedGradient
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.waveform import k_at

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

AXES = ("x", "y", "z")
_MARGIN_S = 20e-3  # responses last no longer
_ALIKE = 0.5  # 1/FOV by which three samples together may differ: other conventions of when a sample is taken
_OTHER = "other than those of the sequence; give the one that was played, by --seq or --design"
_UNITY = 0.2


@dataclass(frozen=True)
class Girf:
    """Response of the physical axes to what is asked of them."""

    frequency_hz: FloatArray
    """(n,) ascending from 0."""
    response: ComplexArray
    """(axes, n), 1 where the axis plays what it is asked for."""


def read_girf(path: Path) -> Girf:
    """Read a CSV whose first line is ``frequency_hz,x_re,x_im,y_re,y_im`` (and ``,z_re,z_im`` for oblique slices).

    Frequencies ascend from 0; those of negative sign are the conjugates; beyond the last, the response is 0. Raises
    `SeqoptError` for anything else, and for a response at 0 Hz that is not about 1.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = [name.strip() for name in lines[0].split(",")]
        table = np.loadtxt(lines[1:], delimiter=",", ndmin=2)
    except (OSError, UnicodeDecodeError, IndexError, ValueError) as error:
        raise SeqoptError(f"{path} cannot be read as a table of the gradient response ({error})") from error
    axes = (len(header) - 1) // 2
    wanted = ["frequency_hz", *(f"{axis}_{part}" for axis in AXES[:axes] for part in ("re", "im"))]
    if axes not in (2, 3) or header != wanted or table.shape[1:] != (len(wanted),):
        raise reject(
            f"{path.name}: columns",
            got=",".join(header),
            expected="frequency_hz,x_re,x_im,y_re,y_im[,z_re,z_im]",
            remedy="write one line a frequency",
        )
    frequency_hz, response = table[:, 0], (table[:, 1::2] + 1j * table[:, 2::2]).T
    if not np.isfinite(table).all() or frequency_hz[0] != 0 or (np.diff(frequency_hz) <= 0).any():
        raise SeqoptError(f"{path.name}: frequencies must ascend from 0 Hz, and all numbers be finite")
    if np.abs(response[:, 0] - 1).max() > _UNITY:
        worst = response[:, 0][np.abs(response[:, 0] - 1).argmax()]
        raise SeqoptError(
            f"{path.name}: the response at 0 Hz is {worst:.2f}, expected about 1; divide by the amplitude"
        )
    return Girf(frequency_hz, response)


def played_k(
    k_per_m: FloatArray,
    asked: Sequence[AskedGradient],
    girf: Girf,
    fov_m: tuple[float, float],
    directions: FloatArray | None = None,
) -> FloatArray:
    """K (..., shots, samples, 2) in 1/m with what the response adds to the gradients that were ``asked`` for.

    A shot's gradients are those of the readout whose k is its own. In: ``directions`` (3, 3) the physical unit vectors
    of the image's x, y and slice; None for x, y and z themselves. Raises `SeqoptError` for shots that nobody asked for,
    and for oblique slices without the response of z. Source: Vannesjo et al., MRM 69:583 (2013).
    """
    axes = len(girf.response)
    frame = np.eye(3) if directions is None else np.asarray(directions, dtype=float)
    if axes == 2 and np.abs(frame[:2, 2]).max() > 1e-3:
        raise SeqoptError("the slices are oblique and the table of the gradient response has no axis z")
    shots = k_per_m.reshape(-1, *k_per_m.shape[-2:])
    owners = _owners(shots, asked, np.array(fov_m))
    added = {owner: _added(asked[owner], girf, frame[:, :axes], shots.shape[1]) for owner in set(owners)}
    return k_per_m + np.stack([added[owner] for owner in owners]).reshape(k_per_m.shape)


def asked_of_design(design: TrajectoryDesign) -> list[AskedGradient]:
    """The readouts' own waveforms; what precedes them, the prephaser, counts as played as asked."""
    raster_s = design.scanner.grad_raster_s
    times_s: FloatArray = np.arange(design.gradient_hz_per_m.shape[1], dtype=np.float64) * raster_s
    return [
        AskedGradient(
            times_s=times_s,
            gradient_hz_per_m=np.pad(gradient, ((0, 0), (0, 1))),
            raster_s=raster_s,
            from_s=0.0,
            adc_start_s=design.adc_start_edge * raster_s,
            dwell_s=design.dwell_s,
            k_per_m=k_per_m,
        )
        for gradient, k_per_m in zip(design.gradient_hz_per_m, design.k_per_m, strict=True)
    ]


def _owners(shots: FloatArray, asked: Sequence[AskedGradient], fov_m: FloatArray) -> list[int]:
    """Which of the readouts each shot (shots, samples, 2) is, by three of its samples."""
    from scipy.spatial import cKDTree

    samples = min(len(one.k_per_m) for one in asked)
    if samples > shots.shape[1]:
        raise SeqoptError(f"the response needs these shots' waveforms: {shots.shape[1]} samples are {_OTHER}")
    seen = [0, samples // 2, samples - 1]
    known = np.stack([(one.k_per_m[seen] * fov_m).ravel() for one in asked])
    apart, owners = cKDTree(known).query((shots[:, seen] * fov_m).reshape(len(shots), -1))
    if apart.max() > _ALIKE:
        raise SeqoptError(f"the response needs these shots' waveforms: shot {int(apart.argmax())} is {_OTHER}")
    return [int(owner) for owner in owners]


def _added(asked: AskedGradient, girf: Girf, frame: FloatArray, samples: int) -> FloatArray:
    """(samples, 2) what the response (axes) adds to k; ``frame`` (3, axes)."""
    step_s = asked.raster_s / 2
    start_s = float(asked.times_s[0]) - _MARGIN_S
    sampled_s = asked.sample_times_s(samples)
    end_s = max(float(asked.times_s[-1]), float(sampled_s[-1])) + 2 * step_s
    edges = next_fast_len(int(np.ceil((end_s - start_s) / step_s)) + 1, real=True)
    edges_s = start_s + np.arange(edges) * step_s
    logical = [np.interp(edges_s, asked.times_s, one, left=0.0, right=0.0) for one in asked.gradient_hz_per_m.T]
    frequency_hz: FloatArray = np.fft.rfftfreq(edges, step_s).astype(np.float64)
    response = np.stack([_interpolated(frequency_hz, girf.frequency_hz, one) for one in girf.response], -1)
    spectrum = np.fft.rfft(np.stack(logical, -1) @ frame, axis=0)
    more = np.fft.irfft(spectrum * (response - 1.0), n=edges, axis=0) @ frame[:2].T
    events_s = np.array([asked.from_s, *asked.turned_s])
    reached = k_at(np.concatenate([events_s, sampled_s]) - start_s, more, raster_s=step_s)
    carried = np.zeros(2)
    for before, after in pairwise(reached[: len(events_s)]):
        carried = -(carried + after - before)
    return np.asarray(reached[len(events_s) :] - reached[len(events_s) - 1] + carried)


def _interpolated(wanted_hz: FloatArray, known_hz: FloatArray, response: ComplexArray) -> ComplexArray:
    real, imaginary = (np.interp(wanted_hz, known_hz, part, right=0.0) for part in (response.real, response.imag))
    return real + 1j * imaginary
