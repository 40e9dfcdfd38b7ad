"""What a scanner profile may say about nerves, resonances, heating and oblique slices; each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqopt.core import ForbiddenBand, NerveResponse, SafeAxis, SafeModel, StimulationModel
from seqopt.errors import SeqoptError
from seqopt.gradients.asc import SAFE_EXAMPLE, read_asc

EXAMPLE = "example"
SAFETY_KEYS = ("asc", "pns", "resonances", "resonances_source", "oblique")
_RESPONSE = {  # key in the file: (field, factor)
    "chronaxie_us": ("chronaxie_s", 1e-6),
    "rheobase_t_per_s": ("rheobase_t_per_s", 1.0),
    "effective_length_m": ("effective_length_m", 1.0),
}


def safety_fields(path: Path, table: Mapping[str, Any], asc: str | None) -> dict[str, Any]:
    """Fields of ``Scanner`` from a profile's table; ``asc`` (a path or ``example``) comes before what the profile says.

    A profile names its own .asc file relative to itself. Raises ``SeqoptError``, one line.
    """
    fields: dict[str, Any] = {}
    if "oblique" in table:
        fields["oblique"] = table["oblique"]
    try:
        if "pns" in table:
            fields["stimulation"] = _stimulation(table["pns"])
        if "resonances" in table:
            fields["bands"] = _bands(table["resonances"])
            fields["bands_source"] = _text(table, "resonances_source")
    except SeqoptError as error:
        raise SeqoptError(f"scanner profile {path}: {error}") from error
    if asc is None and "asc" in table:
        asc = str(path.parent / _text(table, "asc"))
    return fields if asc is None else {**fields, **_from_asc(asc)}


def _from_asc(asc: str) -> dict[str, Any]:
    if asc == EXAMPLE:
        return {"stimulation": SAFE_EXAMPLE}
    found = read_asc(Path(asc).expanduser())
    fields: dict[str, Any] = {}
    if found.stimulation is not None:
        fields["stimulation"] = found.stimulation
    if found.bands is not None:
        fields |= {"bands": found.bands, "bands_source": Path(asc).name}
    return fields


def _stimulation(table: Any) -> StimulationModel:
    if not isinstance(table, dict):
        raise SeqoptError(f"pns: got {table!r}, expected a table [pns] with model and source")
    model, source = _text(table, "model"), _text(table, "source")
    name = str(table.get("name", model))
    if model == "nerve-response":
        _only(table, (*_RESPONSE, "model", "source", "name"))
        numbers = {field: _number(table, key) * factor for key, (field, factor) in _RESPONSE.items()}
        return NerveResponse(name=name, source=source, **numbers)
    if model != "safe":
        raise SeqoptError(f"pns.model: got {model!r}, expected safe or nerve-response")
    _only(table, ("model", "source", "name", "x", "y", "z"))
    x, y, z = (_safe_axis(axis, table.get(axis)) for axis in "xyz")
    return SafeModel(name=name, source=source, axes=(x, y, z))


def _safe_axis(axis: str, table: Any) -> SafeAxis:
    if not isinstance(table, dict):
        raise SeqoptError(
            f"pns.{axis}: missing; write {axis} = "
            "{tau_ms = [..], weights = [..], limit_t_per_m_per_s = .., scale = ..}"
        )
    _only(table, ("tau_ms", "weights", "limit_t_per_m_per_s", "scale"))
    tau, weights = _three(axis, table, "tau_ms"), _three(axis, table, "weights")
    return SafeAxis(
        tau_s=(tau[0] * 1e-3, tau[1] * 1e-3, tau[2] * 1e-3),
        weights=(weights[0], weights[1], weights[2]),
        limit_t_per_m_per_s=_number(table, "limit_t_per_m_per_s"),
        scale=_number(table, "scale"),
    )


def _bands(rows: Any) -> tuple[ForbiddenBand, ...]:
    if not isinstance(rows, list):
        raise SeqoptError("resonances: expected entries [[resonances]] with centre_hz and width_hz")
    bands = []
    for row in rows:
        if not isinstance(row, dict):
            raise SeqoptError(f"resonances: got {row!r}, expected entries [[resonances]] with centre_hz and width_hz")
        _only(row, ("centre_hz", "width_hz"))
        bands.append(ForbiddenBand(_number(row, "centre_hz"), _number(row, "width_hz")))
    return tuple(bands)


def _only(table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise SeqoptError(f"unknown key {key!r}; known: {', '.join(known)}")


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise SeqoptError(f"{key}: got {value!r}, expected a text")
    return value


def _number(table: Mapping[str, Any], key: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise SeqoptError(f"{key}: got {value!r}, expected a number")
    return float(value)


def _three(axis: str, table: Mapping[str, Any], key: str) -> list[float]:
    values = table.get(key)
    if not isinstance(values, list) or len(values) != 3:
        raise SeqoptError(f"pns.{axis}.{key}: got {values!r}, expected three numbers")
    return [_number({key: value}, key) for value in values]
