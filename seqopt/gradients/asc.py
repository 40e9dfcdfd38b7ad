"""Reader of a Siemens gradient coil's .asc file: SAFE coefficients and forbidden frequency bands.

Lines are ``name[index].name = value``; what else the file holds is passed over. Two layouts are in use: names at the
top (``flGSWDTauX[0]``, ``aflGCAcousticResonanceFrequency[0]``) and nested ones (``GradPatSup.Phys.PNS.flGSWDTauX[0]``,
``asGPAParameters[0].sGCParameters.aflAcousticResonanceFrequency[0]``).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from seqopt.core import ForbiddenBand, SafeAxis, SafeModel
from seqopt.errors import SeqoptError

LARGEST_BYTES = 4_000_000
MOST_BANDS = 64
_LINE = re.compile(r"\s*([A-Za-z0-9_.\[\]]{1,200})\s*=\s*([-+0-9.eE]{1,40})\s*(?:$|#|//)")
_PNS = ("", "GradPatSup.Phys.PNS.")
_SCALE = ("", "asGPAParameters[0].sGCParameters.", "asGPAParameters.sGCParameters.")
_BAND = ("aflGCAcousticResonance", *(f"{prefix}aflAcousticResonance" for prefix in _SCALE))
_SCALE_UNSAID = 1.0 / math.pi  # what the public readers take where the file does not say

SAFE_EXAMPLE = SafeModel(
    name="SAFE example",
    source="safe_example_hw of the public safe_pns_prediction (BSD-3, Szczepankiewicz & Witzel): an example, no real "
    "scanner",
    axes=(
        SafeAxis(tau_s=(0.20e-3, 0.03e-3, 3.00e-3), weights=(0.40, 0.10, 0.50), limit_t_per_m_per_s=30.0, scale=0.35),
        SafeAxis(tau_s=(1.50e-3, 2.50e-3, 0.15e-3), weights=(0.55, 0.15, 0.30), limit_t_per_m_per_s=15.0, scale=0.31),
        SafeAxis(tau_s=(2.00e-3, 0.12e-3, 1.00e-3), weights=(0.42, 0.40, 0.18), limit_t_per_m_per_s=25.0, scale=0.25),
    ),
)


@dataclass(frozen=True)
class CoilData:
    """What an .asc file says; None for what it leaves out."""

    stimulation: SafeModel | None
    bands: tuple[ForbiddenBand, ...] | None


def read_asc(path: Path) -> CoilData:
    """Coefficients and bands of a user's .asc file.

    Raises ``SeqoptError``, one line, for a file that cannot be read, is too large, holds neither, or only some of the
    numbers of either.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise SeqoptError(f"{path}: {size} bytes, expected at most {LARGEST_BYTES}; this is no .asc file of a coil")
        with path.open("rb") as file:
            text = file.read(LARGEST_BYTES + 1)[:LARGEST_BYTES].decode("utf-8", errors="replace")
    except OSError as error:
        raise SeqoptError(f"cannot read {path} ({error.strerror}); give the coil's MP_GPA_*.asc file") from error
    values: dict[str, float] = {}
    for line in text.splitlines():
        found = _LINE.match(line)
        if found:
            try:
                values[found[1]] = float(found[2])
            except ValueError:
                continue  # a version or date, not one of ours; a missing number is named below
    stimulation, bands = _stimulation(path, values), _bands(path, values)
    if stimulation is None and bands is None:
        other = re.search(r"\$INCLUDE\s+([\w.\-]{1,120})", text)
        remedy = f"it includes {other[1]}, give that file" if other else "give the coil's MP_GPA_*.asc file"
        raise SeqoptError(f"{path} holds neither SAFE coefficients (flGSWDTauX[0], ...) nor resonances; {remedy}")
    return CoilData(stimulation, bands)


def _stimulation(path: Path, values: dict[str, float]) -> SafeModel | None:
    prefix = next((one for one in _PNS for name in values if name.startswith(f"{one}flGSWD")), None)
    if prefix is None:
        return None
    axes = []
    for axis in "XYZ":
        tau = tuple(_value(path, values, f"{prefix}flGSWDTau{axis}[{i}]") * 1e-3 for i in range(3))
        weights = tuple(_value(path, values, f"{prefix}flGSWDA{axis}[{i}]") for i in range(3))
        limit = _value(path, values, f"{prefix}flGSWDStimulationLimit{axis}")
        scale = next((values[k] for k in (f"{p}flGScaleFactor{axis}" for p in _SCALE) if k in values), _SCALE_UNSAID)
        try:
            axes.append(
                SafeAxis(
                    tau_s=(tau[0], tau[1], tau[2]),
                    weights=(weights[0], weights[1], weights[2]),
                    limit_t_per_m_per_s=limit,
                    scale=scale,
                )
            )
        except SeqoptError as error:
            raise SeqoptError(f"{path}: axis {axis.lower()}: {error}") from error
    said = any(f"{one}flGScaleFactorX" in values for one in _SCALE)
    source = path.name if said else f"{path.name}, with gradient scale factors of 1/pi, which it does not state"
    return SafeModel(name=f"SAFE, {path.stem}", source=source, axes=(axes[0], axes[1], axes[2]))


def _bands(path: Path, values: dict[str, float]) -> tuple[ForbiddenBand, ...] | None:
    prefix = next((one for one in _BAND for name in values if name.startswith(f"{one}Frequency[")), None)
    if prefix is None:
        return None
    bands = []
    for index in range(MOST_BANDS):
        centre = values.get(f"{prefix}Frequency[{index}]", 0.0)
        if centre:
            try:
                bands.append(ForbiddenBand(centre, _value(path, values, f"{prefix}Bandwidth[{index}]")))
            except SeqoptError as error:
                raise error if str(path) in str(error) else SeqoptError(f"{path}: {error}") from error
    return tuple(bands)


def _value(path: Path, values: dict[str, float], name: str) -> float:
    if name not in values:
        raise SeqoptError(f"{path}: {name} is missing; the file is cut or of another kind")
    return values[name]
