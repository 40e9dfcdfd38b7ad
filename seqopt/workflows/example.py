"""Example data as MRD: a human brain that a package carries, no download, no design needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import PlannedReadout
from seqopt.mrd.header import write_readouts
from seqopt.mrd.placement import Placement
from seqopt.mrd.xml_header import HeaderFields
from seqopt.registry import Registry
from seqopt.workflows.store import replacing

examples: Registry[Callable[[Path], str]] = Registry("example")

_SAMPLES, _READOUTS, _COILS, _ECHOES = 512, 400, 16, 16  # found by trial; the package documents nothing
_ANGLE_RAD = np.radians(111.246)  # golden angle from readout to readout
_DELAY_PER_FOV = 0.1  # along each spoke in cycles/FOV, where the background outside the head is darkest
_FOV_M = 0.22  # not recorded: the head spans 88 % of it
_DWELL_S = 5e-6  # not recorded


def write_example(name: str, path: Path) -> str:
    """Write the example ``name`` as acquired MRD data; returns one line that says what it is."""
    make = examples[name]
    return make(path)


@examples.register("invivo")
def invivo(path: Path) -> str:
    """A 16-coil in-vivo radial multi-echo spin echo of a human brain (mrbabel-data, MIT licence).

    Each echo is scaled by its mean centre signal, which decays from 1 to 0.24, so that spokes of different echoes fit
    together. The readout is oversampled twice: k in steps of 1/(2 FOV) up to 128/FOV, for a matrix of 256.
    """
    samples = _equalised(_read_cfl())
    geometry = Geometry(fov_m=(_FOV_M, _FOV_M), matrix=(_SAMPLES // 2, _SAMPLES // 2))
    cycles = _spokes_cycles()
    readouts = [
        PlannedReadout(samples=_SAMPLES, dwell_s=_DWELL_S, shot=shot, echo_sample=_SAMPLES // 2, k_cycles=cycles[shot])
        for shot in range(_READOUTS)
    ]
    fields = HeaderFields(
        geometry=geometry,
        shots=_READOUTS,
        samples=_SAMPLES,
        echo_sample=_SAMPLES // 2,
        coils=_COILS,
        field_t=3.0,
        vendor="unknown",
        model="mrbabel-data ME-SE (field strength, field of view and dwell time are not recorded)",
        protocol="in-vivo radial multi-echo spin echo",
        trajectory="radial",
    )
    with replacing(path) as temporary:
        write_readouts(temporary, fields, readouts, Placement.axial(geometry), samples)
    return (
        f"{_READOUTS} golden-angle spokes x {_SAMPLES} samples x {_COILS} coils of a human brain (mrbabel-data, MIT); "
        f"the field of view is not recorded, {1e3 * _FOV_M:g} mm assumed"
    )


def _read_cfl() -> npt.NDArray[np.complex64]:
    """(coils, shots, samples)."""
    try:
        import mrbabel_data
    except ImportError as error:
        raise SeqoptError("the example needs a data package: pip install mrbabel-data") from error
    base = mrbabel_data.testdata("bart")
    whole = np.fromfile(f"{base}.cfl", dtype=np.complex64)
    if whole.size != _SAMPLES * _READOUTS * _COILS:
        raise SeqoptError(
            f"{base}.cfl holds {whole.size} samples, expected {_SAMPLES} x {_READOUTS} x {_COILS}; "
            "another mrbabel-data? pip install mrbabel-data==1.0.1"
        )
    return whole.reshape(_COILS, _READOUTS, _SAMPLES)


def _equalised(samples: npt.NDArray[np.complex64]) -> npt.NDArray[np.complex64]:
    """Divide each readout by the mean centre signal of its echo, relative to the first echo's."""
    centre = np.sqrt((np.abs(samples[:, :, _SAMPLES // 2]) ** 2).sum(0))  # (shots,)
    echo = np.arange(_READOUTS) % _ECHOES
    level = np.array([centre[echo == number].mean() for number in range(_ECHOES)])
    scaled: npt.NDArray[Any] = samples * (level[0] / level)[echo][None, :, None]
    return scaled.astype(np.complex64)


def _spokes_cycles() -> npt.NDArray[np.float32]:
    """(shots, samples, 2) in cycles per encoded sample."""
    angle = np.arange(_READOUTS) * _ANGLE_RAD
    per_fov = (np.arange(_SAMPLES) - _SAMPLES // 2) / 2 + _DELAY_PER_FOV
    axis = np.stack([np.cos(angle), np.sin(angle)], -1)
    return np.asarray(per_fov[None, :, None] * axis[:, None] / (_SAMPLES // 2), dtype=np.float32)
