"""Anybody's trajectory as the initial one: .npy and .npz arrays, MRD files and Pulseq sequences."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from seqopt.core import Geometry
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.projection import project
from seqopt.gradients.waveform import sample_times
from seqopt.sampling.readouts import InitialPath, Readouts, pinned_at_echo

FloatArray = npt.NDArray[np.float64]
_LARGEST_SHARE = 1.5  # of k-max; beyond it the unit is wrong
_FITTING_SHARE = 1.02  # of k-max; beyond it the grid folds the samples back
_SMALLEST_SHARE = 0.1
_THROUGH_ZERO_CYCLES = 0.5  # a shot that comes as near to k = 0 as this at the echo passes it
_MOVED_SHARE = 0.05  # of k-max, by which the projection onto the limits may move a sample


@dataclass(frozen=True, kw_only=True)
class LoadedTrajectory:
    """K-space of one file."""

    k_per_m: FloatArray
    """(shots, samples, 2)"""
    dwell_s: float | None
    """None where the file does not say."""
    echo_sample: int
    """Where all shots together come nearest to k = 0."""


def load_trajectory(path: Path, geometry: Geometry, *, unit: str | None = None) -> LoadedTrajectory:
    """Read (shots, samples, 2) from .npy, .npz (``unit`` needed), .mrd, .h5 or .seq (units of their own).

    Raises `SeqoptError` for a missing or damaged file, another shape, or values that cannot be in that unit.
    """
    if not path.is_file():
        raise SeqoptError(f"no trajectory at {path}; give a .npy, .npz, .mrd, .h5 or .seq file")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        k_per_m, dwell_s = _in_1_per_m(path, _read_array(path), geometry, unit), None
    elif unit is not None:
        raise reject(
            "trajectory unit", got=f"{unit} for {path.name}", expected="none: such files state theirs",
            remedy="leave it out",
        )  # fmt: skip
    elif suffix in (".mrd", ".h5"):
        k_per_m, dwell_s = _read_mrd(path)
    elif suffix == ".seq":
        k_per_m, dwell_s = _read_seq(path)
    else:
        raise reject("trajectory file", got=path.name, expected=".npy, .npz, .mrd, .h5 or .seq", remedy="convert it")
    if not np.isfinite(k_per_m).all():
        raise SeqoptError(f"{path}: the trajectory holds NaN or infinity; the file is damaged, write it again")
    _refuse_extent(path, k_per_m, geometry, unit)
    echo = int(np.argmin((k_per_m**2).sum(axis=(0, 2))))
    return LoadedTrajectory(k_per_m=k_per_m, dwell_s=dwell_s, echo_sample=echo)


def path_from_file(path: Path, readouts: Readouts, *, unit: str | None = None) -> InitialPath:
    """A file's trajectory at the samples that are asked for, projected onto the limits where it breaks them.

    Raises `SeqoptError` where shots or readout do not fit, and where the limits move it by more than 5 % of k-max.
    """
    loaded = load_trajectory(path, readouts.geometry, unit=unit)
    if len(loaded.k_per_m) != readouts.shots:
        raise reject(
            "shots", got=readouts.shots, expected=f"{len(loaded.k_per_m)}, as in {path.name}",
            remedy=f"use --shots {len(loaded.k_per_m)}",
        )  # fmt: skip
    k_per_m = _resampled(path, loaded, readouts)
    echo = int(np.argmin((k_per_m**2).sum(axis=(0, 2))))
    nearest = k_per_m[:, echo]
    playable = project(
        k_per_m, readouts.geometry, readouts.scanner, dwell_s=readouts.dwell_s, echo_sample=echo, echo_k_per_m=nearest
    )
    limit = _MOVED_SHARE * readouts.k_max_per_m * max(readouts.geometry.fov_m)
    if playable.moved_max_per_fov > limit or playable.residual > 0.01:
        raise SeqoptError(
            f"{path.name} breaks the limits of scanner {readouts.scanner.name}: the nearest playable trajectory is "
            f"{playable.moved_max_per_fov:.3g}/FOV away, allowed are {limit:.3g}; lengthen --readout (its speed falls "
            "with it) or choose a stronger --scanner"
        )
    before, after = max(echo - 1, 0), min(echo + 1, readouts.samples - 1)
    return InitialPath(
        k_per_m=playable.k_per_m,
        echo_sample=echo,
        pinned=pinned_at_echo(
            nearest,
            k_per_m[:, after] - k_per_m[:, before],
            within_per_m=_THROUGH_ZERO_CYCLES / max(readouts.geometry.fov_m),
        ),
        facts={
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "samples_in_file": int(loaded.k_per_m.shape[1]),
            "moved_max_per_fov": playable.moved_max_per_fov,
            "moved_rms_per_fov": playable.moved_rms_per_fov,
        },
    )


def _resampled(path: Path, loaded: LoadedTrajectory, readouts: Readouts) -> FloatArray:
    """The same curve at the sample centres of another dwell; readouts must be equally long."""
    samples = loaded.k_per_m.shape[1]
    dwell_s = loaded.dwell_s or readouts.readout_s / samples
    if abs(samples * dwell_s - readouts.readout_s) > 0.5 * min(dwell_s, readouts.dwell_s):
        raise reject(
            "readout", got=f"{readouts.readout_s * 1e3:g} ms", expected=f"that of {path.name}",
            remedy=f"use --readout {samples * dwell_s * 1e3:.7g} --dwell {dwell_s * 1e6:g} --shots {readouts.shots}",
        )  # fmt: skip
    if samples == readouts.samples:
        return loaded.k_per_m
    then = sample_times(samples, dwell_s=dwell_s, adc_start_s=0.0)
    now = sample_times(readouts.samples, dwell_s=readouts.dwell_s, adc_start_s=0.0)
    return np.asarray(CubicSpline(then, loaded.k_per_m, axis=1)(now))


def _read_array(path: Path) -> FloatArray:
    try:
        found: Any = np.load(path, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            names = list(found)
            if len(names) != 1 and "k" not in names:
                raise SeqoptError(f"{path} holds {', '.join(names) or 'nothing'}; name the trajectory's array 'k'")
            found = found["k" if "k" in names else names[0]]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SeqoptError(
            f"{path} cannot be read as a plain numpy array ({error}); write it with numpy.save"
        ) from error
    if found.ndim != 3 or found.shape[-1] != 2 or found.shape[1] < 2 or found.dtype.kind not in "fiu":
        raise reject(
            f"trajectory in {path.name}", got=f"{found.dtype} {found.shape}",
            expected="real numbers (shots, samples, 2)", remedy="order the axes so",
        )  # fmt: skip
    return np.asarray(found, dtype=float)


def _in_1_per_m(path: Path, found: FloatArray, geometry: Geometry, unit: str | None) -> FloatArray:
    fov, voxel = np.array(geometry.fov_m), np.array(geometry.voxel_m)
    factors = {"1/m": np.ones(2), "1/fov": 1 / fov, "cycles": 1 / voxel, "radians": 1 / (2 * np.pi * voxel)}
    if unit not in factors:
        raise reject(
            f"unit of {path.name}", got=unit or "none",
            expected="1/m, 1/fov (+-N/2), cycles ([-0.5, 0.5] of the grid) or radians (+-pi)",
            remedy="give it with --trajectory-unit",
        )  # fmt: skip
    return np.asarray(found * factors[unit])


def _refuse_extent(path: Path, k_per_m: FloatArray, geometry: Geometry, unit: str | None) -> None:
    """Values that cannot be in their unit, and what lies outside the image's k-space."""
    share = float(np.abs(k_per_m / np.array(geometry.k_max_per_m)).max())
    stated = f" in {unit}" if unit else ""
    if not _SMALLEST_SHARE <= share <= _FITTING_SHARE:
        wrong = unit and not _SMALLEST_SHARE <= share <= _LARGEST_SHARE
        raise reject(
            f"trajectory in {path.name}",
            got=f"a reach of {share:.3g} k-max{stated}",
            expected=f"{_SMALLEST_SHARE:g}..{_FITTING_SHARE:g} of this --matrix and --fov",
            remedy="it cannot be in that unit, give another" if wrong else "choose --matrix and --fov for it",
        )


def _read_mrd(path: Path) -> tuple[FloatArray, float | None]:
    from seqopt.mrd.scan import read_plan

    k_per_m, dwell_s = read_plan(path)
    return k_per_m, dwell_s


def _read_seq(path: Path) -> tuple[FloatArray, float]:
    """Readouts of the first slice, counters other than LIN at their first value, in play order."""
    from seqopt.pulseq.readback import read_sequence

    imaging = [readout for readout in read_sequence(path).readouts if not readout.is_noise]
    for counter in ("SLC", "REP", "AVG", "SET", "PHS", "ECO"):
        least = min((readout.labels.get(counter, 0) for readout in imaging), default=0)
        imaging = [readout for readout in imaging if readout.labels.get(counter, 0) == least]
    if not imaging:
        raise SeqoptError(f"{path} reads no signal after an excitation; give an imaging sequence")
    sizes = {(readout.samples, round(readout.dwell_s, 12)) for readout in imaging}
    if len(sizes) > 1:
        raise SeqoptError(f"{path}: its readouts differ in samples or dwell; give a sequence with one kind of readout")
    whole = np.stack([readout.k_per_m for readout in imaging])
    if np.ptp(whole[..., 2]) > 0.02 * max(np.abs(whole[..., :2]).max(), 1e-9):
        raise SeqoptError(f"{path} encodes in 3-D (kz varies); seqopt designs 2-D slices")
    return whole[..., :2], imaging[0].dwell_s
