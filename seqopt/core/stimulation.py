"""Published numbers of nerves and gradient coils: stimulation models and forbidden frequency bands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqopt.errors import SeqoptError, reject

Three = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class SafeAxis:
    """One physical axis of the SAFE model (Hebrank & Gebhardt, ISMRM 2000, 2007)."""

    tau_s: Three
    """Time constants of the three low-pass filters."""
    weights: Three
    """Their shares, which sum to 1; the second filter acts on the slew rate's magnitude."""
    limit_t_per_m_per_s: float
    scale: float
    """Gradient scale factor of the coil."""

    def __post_init__(self) -> None:
        if len(self.tau_s) != 3 or any(not 1e-7 <= tau <= 1.0 for tau in self.tau_s):
            raise reject("SAFE time constants", got=self.tau_s, expected="three of 1e-7..1 s", remedy="was it in ms?")
        if len(self.weights) != 3 or any(not weight >= 0 for weight in self.weights):
            raise reject("SAFE weights", got=self.weights, expected="three, 0 or more", remedy="correct them")
        if not abs(math.fsum(self.weights) - 1.0) <= 1e-3:
            raise reject("SAFE weights", got=self.weights, expected="a sum of 1", remedy="correct them")
        if not 0.1 <= self.limit_t_per_m_per_s <= 1e4:
            raise reject(
                "SAFE limit", got=f"{self.limit_t_per_m_per_s:g} T/m/s", expected="0.1..10000", remedy="give T/m/s"
            )
        if not 1e-3 <= self.scale <= 10.0:
            raise reject("SAFE scale", got=self.scale, expected="0.001..10", remedy="give flGScaleFactor")


@dataclass(frozen=True, kw_only=True)
class SafeModel:
    """Nerve stimulation of one coil by the SAFE model: physical axes x, y, z; 1 is the coil's limit."""

    name: str
    source: str
    axes: tuple[SafeAxis, SafeAxis, SafeAxis]

    def __post_init__(self) -> None:
        if len(self.axes) != 3:
            raise reject("SAFE axes", got=len(self.axes), expected="three: x, y, z", remedy="give all")


@dataclass(frozen=True, kw_only=True)
class NerveResponse:
    """Nerve impulse response of IEC 60601-2-33:2022, eq. AA.21, the same on every axis; 1 is the threshold."""

    name: str
    source: str
    chronaxie_s: float
    rheobase_t_per_s: float
    effective_length_m: float

    def __post_init__(self) -> None:
        if not 1e-5 <= self.chronaxie_s <= 0.01:
            raise reject(
                "chronaxie", got=f"{self.chronaxie_s:g} s", expected="0.00001..0.01 s", remedy="was it given in us?"
            )
        if not 0.1 <= self.rheobase_t_per_s <= 1000.0:
            raise reject("rheobase", got=f"{self.rheobase_t_per_s:g} T/s", expected="0.1..1000", remedy="give T/s")
        if not 0.01 <= self.effective_length_m <= 10.0:
            raise reject(
                "effective coil length", got=f"{self.effective_length_m:g} m", expected="0.01..10", remedy="give metres"
            )

    @property
    def threshold_t_per_m_per_s(self) -> float:
        """Slew rate of endless duration that stimulates."""
        return self.rheobase_t_per_s / self.effective_length_m


StimulationModel = SafeModel | NerveResponse


@dataclass(frozen=True)
class ForbiddenBand:
    """Frequencies at which gradients must not drive the scanner's structure."""

    centre_hz: float
    width_hz: float
    """Whole width, as in the .asc files of Siemens."""

    def __post_init__(self) -> None:
        if not 1.0 <= self.centre_hz <= 20e3 or not 0.0 < self.width_hz <= 20e3:
            raise reject(
                "forbidden band",
                got=f"{self.centre_hz:g} Hz, {self.width_hz:g} Hz wide",
                expected="1..20000 Hz, wider than 0",
                remedy="give centre and whole width in Hz",
            )

    @property
    def low_hz(self) -> float:
        """Lower edge."""
        return max(0.0, self.centre_hz - self.width_hz / 2)

    @property
    def high_hz(self) -> float:
        """Upper edge."""
        return self.centre_hz + self.width_hz / 2


def stimulation_from_dict(table: Mapping[str, Any]) -> StimulationModel:
    """Undo ``dataclasses.asdict`` of either model, as it comes back from JSON; raises for other content."""
    try:
        if "chronaxie_s" in table:
            return NerveResponse(**table)
        axes = tuple(
            SafeAxis(**{**axis, "tau_s": tuple(axis["tau_s"]), "weights": tuple(axis["weights"])})
            for axis in table["axes"]
        )
        return SafeModel(**{**table, "axes": axes})
    except (TypeError, KeyError) as error:
        raise SeqoptError(f"stimulation model: {error}; the numbers are not those of a model") from error
