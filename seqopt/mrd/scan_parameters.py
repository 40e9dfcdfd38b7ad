"""What an MRD header says of the acquisition that images keep: times, angle, field, how the patient lay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ScanParameters:
    """Numbers of the header, of contrast 0, 1, ...; empty or None where it does not say."""

    tr_ms: tuple[float, ...] = ()
    te_ms: tuple[float, ...] = ()
    ti_ms: tuple[float, ...] = ()
    flip_deg: tuple[float, ...] = ()
    field_t: float | None = None
    frequency_hz: float | None = None
    patient_position: str = ""
    """As HFS: head first, supine."""
    manufacturer: str = ""

    @classmethod
    def of(cls, header: Any) -> ScanParameters:
        """From ``ismrmrd.xsd.ismrmrdHeader``; nothing of it that names a person, a place or a day."""
        sequence, system = header.sequenceParameters, header.acquisitionSystemInformation
        measurement, conditions = header.measurementInformation, header.experimentalConditions
        position = getattr(measurement, "patientPosition", None)

        def numbers(name: str) -> tuple[float, ...]:
            return tuple(float(value) for value in getattr(sequence, name, None) or ())

        field_t = getattr(system, "systemFieldStrength_T", None)
        frequency_hz = getattr(conditions, "H1resonanceFrequency_Hz", None)
        return cls(
            tr_ms=numbers("TR"),
            te_ms=numbers("TE"),
            ti_ms=numbers("TI"),
            flip_deg=numbers("flipAngle_deg"),
            field_t=None if field_t is None else float(field_t),
            frequency_hz=float(frequency_hz) if frequency_hz else None,
            patient_position=str(getattr(position, "value", position) or ""),
            manufacturer=str(getattr(system, "systemVendor", None) or ""),
        )

    def of_contrast(self, name: str, contrast: int) -> float | None:
        """One number of a contrast: its own, or the only one there is."""
        values: tuple[float, ...] = getattr(self, name)
        if not values:
            return None
        return values[contrast] if contrast < len(values) else values[0] if len(values) == 1 else None
