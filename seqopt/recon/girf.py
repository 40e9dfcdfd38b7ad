"""K-space as the gradient system plays it, by its measured impulse response (GIRF)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqopt.core import TrajectoryDesign
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.waveform import moment_matrix, sample_times

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

AXES = ("x", "y", "z")
_MARGIN_S = 20e-3  # responses last no longer; before and after the waveform
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
    k_per_m: FloatArray, design: TrajectoryDesign, girf: Girf, directions: FloatArray | None = None
) -> FloatArray:
    """K (shots, samples, 2) in 1/m with what the response adds to the design's waveform.

    In: ``directions`` (2, 3) the physical unit vectors of the image's x and y; None for x and y themselves. What
    precedes the readout, the prephaser, counts as played as asked. Raises `SeqoptError` for shots of another design,
    and for oblique slices without the response of z. Source: Vannesjo et al., MRM 69:583 (2013).
    """
    if k_per_m.shape[-3:] != design.k_per_m.shape:
        raise SeqoptError(f"the response needs the waveforms of these {k_per_m.shape[-3]} shots; give their --design")
    axes = len(girf.response)
    frame = np.eye(2, 3) if directions is None else np.asarray(directions, dtype=float)
    if axes == 2 and np.abs(frame[:, 2]).max() > 1e-3:
        raise SeqoptError("the slices are oblique and the table of the gradient response has no axis z")
    raster_s = design.scanner.grad_raster_s
    margin = int(np.ceil(_MARGIN_S / raster_s))
    physical = np.pad(design.gradient_hz_per_m @ frame[:, :axes], ((0, 0), (margin, margin), (0, 0)))
    edges = physical.shape[1]
    frequency_hz: FloatArray = np.fft.rfftfreq(edges, raster_s).astype(np.float64)
    response = np.stack([_interpolated(frequency_hz, girf.frequency_hz, one) for one in girf.response], -1)
    spectrum = np.fft.rfft(physical, axis=1)
    more = np.fft.irfft(spectrum * (response - 1.0), n=edges, axis=1) @ frame[:, :axes].T
    start_s = design.adc_start_edge * raster_s + margin * raster_s
    times_s = sample_times(design.samples, dwell_s=design.dwell_s, adc_start_s=start_s)
    return np.asarray(k_per_m + np.einsum("ne,sed->snd", moment_matrix(times_s, edges=edges, raster_s=raster_s), more))


def _interpolated(wanted_hz: FloatArray, known_hz: FloatArray, response: ComplexArray) -> ComplexArray:
    real, imaginary = (np.interp(wanted_hz, known_hz, part, right=0.0) for part in (response.real, response.imag))
    return real + 1j * imaginary
