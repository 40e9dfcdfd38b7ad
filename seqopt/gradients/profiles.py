"""Scanner profiles: one TOML file a scanner, in the units that people read."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from seqopt.core import Scanner
from seqopt.errors import SeqoptError
from seqopt.gradients.profile_safety import EXAMPLE, SAFETY_KEYS, safety_fields
from seqopt.units import GAMMA_HZ_PER_T, mt_per_m_to_hz_per_m, t_per_m_per_s_to_hz_per_m_per_s

_FOLDER = Path(__file__).with_name("scanners")
_TEXTS = ("name", "source", "vendor")
_NUMBERS = {  # key in the file: (field of Scanner, factor to its unit)
    "field_t": ("field_t", 1.0),
    "max_grad_mt_per_m": ("max_grad_hz_per_m", mt_per_m_to_hz_per_m(1.0)),
    "max_slew_t_per_m_per_s": ("max_slew_hz_per_m_per_s", t_per_m_per_s_to_hz_per_m_per_s(1.0)),
    "grad_raster_us": ("grad_raster_s", 1e-6),
    "rf_raster_us": ("rf_raster_s", 1e-6),
    "adc_raster_us": ("adc_raster_s", 1e-6),
    "block_raster_us": ("block_raster_s", 1e-6),
    "rf_dead_time_us": ("rf_dead_time_s", 1e-6),
    "rf_ringdown_time_us": ("rf_ringdown_time_s", 1e-6),
    "adc_dead_time_us": ("adc_dead_time_s", 1e-6),
}
_OPTIONAL = {
    "max_b1_ut": ("max_b1_hz", 1e-6 * GAMMA_HZ_PER_T),
    "max_rf_offset_khz": ("max_rf_offset_hz", 1e3),
    "adc_max_samples": ("adc_max_samples", 1),
    "adc_samples_divisor": ("adc_samples_divisor", 1),
    "margin": ("margin", 1.0),
    "connection_slew_share": ("connection_slew_share", 1.0),
    "pns_limit": ("stimulation_limit", 1.0),
    "resonance_limit_mt_per_m": ("max_band_hz_per_m", mt_per_m_to_hz_per_m(1.0)),
    "max_rms_grad_mt_per_m": ("max_rms_grad_hz_per_m", mt_per_m_to_hz_per_m(1.0)),
    "rms_window_s": ("rms_window_s", 1.0),
}
_WHOLE = ("adc_max_samples", "adc_samples_divisor")


def scanner_names() -> list[str]:
    """Names of the profiles that come with seqopt, ``paper`` (the default) first."""
    names = sorted(path.stem for path in _FOLDER.glob("*.toml"))
    return sorted(names, key=lambda name: name != "paper")


def load_scanner(
    name_or_path: str,
    *,
    max_grad_mt_per_m: float | None = None,
    max_slew_t_per_m_per_s: float | None = None,
    asc: str | None = None,
) -> Scanner:
    """Read a profile by name, or by the path of a user's own TOML file, with limits replaced where they are given.

    In: mT/m and T/m/s, as people write them; ``asc`` is the path of the coil's .asc file, or ``example``. Out: a
    ``Scanner`` in Hz/m, Hz/m/s and seconds, which names what was replaced.
    Raises ``SeqoptError`` for an unknown name and for unknown, missing or implausible values.
    """
    path = _find(str(name_or_path))
    table = _read(path)
    overrides = [] if path.parent == _FOLDER else [f"profile file {_hashed(path)}"]
    for key, option, value, unit in (
        ("max_grad_mt_per_m", "--max-grad", max_grad_mt_per_m, "mT/m"),
        ("max_slew_t_per_m_per_s", "--max-slew", max_slew_t_per_m_per_s, "T/m/s"),
    ):
        if value is not None:
            table[key] = value
            overrides.append(f"{option} {value:g} {unit}")
    known = [*_TEXTS, *_NUMBERS, *_OPTIONAL, *SAFETY_KEYS]
    unknown = [key for key in table if key not in known]
    if unknown:
        raise SeqoptError(f"scanner profile {path}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    missing = [key for key in [*_TEXTS, *_NUMBERS] if key not in table]
    if missing:
        raise SeqoptError(f"scanner profile {path}: missing {', '.join(missing)}; add them, `paper` is an example")
    for key in _TEXTS:
        if not isinstance(table[key], str) or not table[key].strip():
            raise SeqoptError(f"scanner profile {path}: {key} must be a text; got {table[key]!r}")
    fields = {field: _number(path, table, key, factor) for key, (field, factor) in _NUMBERS.items()}
    fields |= {field: _number(path, table, key, factor) for key, (field, factor) in _OPTIONAL.items() if key in table}
    safety = safety_fields(path, table, asc)
    if asc is not None:
        overrides.append(f"--asc {asc if asc == EXAMPLE else _hashed(Path(asc).expanduser())}")
    elif "asc" in table:
        overrides.append(f"its coil file {_hashed(path.parent / table['asc'])}")
    safety |= {"band_limit_is_own": "resonance_limit_mt_per_m" in table, "overrides": tuple(overrides)}
    return Scanner(**{key: table[key] for key in _TEXTS}, **fields, **safety)  # type: ignore[arg-type]


def _hashed(path: Path) -> str:
    """A file's name with the start of its SHA-256, since files of one name differ."""
    return f"{path.name} (SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]})"


def _find(name_or_path: str) -> Path:
    if name_or_path in scanner_names():
        return _FOLDER / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        if not path.is_file():
            raise SeqoptError(f"no scanner profile at {path}; give a TOML file or one of: {', '.join(scanner_names())}")
        return path
    raise SeqoptError(
        f"unknown scanner {name_or_path!r}; known: {', '.join(scanner_names())} (or the path of your own .toml)"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SeqoptError(f"scanner profile {path} is not valid TOML: {error}") from error


def _number(path: Path, table: dict[str, Any], key: str, factor: float) -> float | int:
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise SeqoptError(f"scanner profile {path}: {key} must be a number; got {value!r}")
    if key in _WHOLE:
        if not isinstance(value, int) or value < 1:
            raise SeqoptError(f"scanner profile {path}: {key} must be a whole number of at least 1; got {value!r}")
        return value
    return round(value * factor, 12) if factor == 1e-6 else value * factor
