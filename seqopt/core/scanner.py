"""What a scanner can do: the profile against which designs are projected and files certified."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqopt.core.stimulation import ForbiddenBand, StimulationModel, stimulation_from_dict
from seqopt.errors import reject
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m, mt_per_m_to_hz_per_m


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """Limits and rasters of one scanner; made from a TOML profile with its source."""

    name: str
    source: str
    """Where the numbers were published."""
    vendor: str
    max_grad_hz_per_m: float
    max_slew_hz_per_m_per_s: float
    field_t: float
    grad_raster_s: float = 10e-6
    rf_raster_s: float = 1e-6
    adc_raster_s: float = 100e-9
    block_raster_s: float = 10e-6
    rf_dead_time_s: float = 100e-6
    rf_ringdown_time_s: float = 30e-6
    adc_dead_time_s: float = 10e-6
    max_b1_hz: float = 851.52  # 20 uT
    max_rf_offset_hz: float = 250e3
    adc_max_samples: int = 8192
    adc_samples_divisor: int = 4
    margin: float = 0.95
    """Share of the limits that designs may use; certificates compare with the full limits."""
    oblique: str = "vector"
    """``vector``: the length of (x, y, z) keeps the limits, since a slice may turn it onto one axis; or ``axis``."""
    connection_slew_share: float = 1.0
    """Share of the slew rate that prephasers, rewinders and spoilers use, against nerve stimulation."""
    most_connection_slew_share: float = 1.0
    """What that may be where a limit on stimulation that is kept otherwise sets it."""
    stimulation: StimulationModel | None = None
    """None where the coefficients are not published."""
    stimulation_limit: float = 1.0
    """Largest share of the model's limit: 1 stops the scan, 0.8 is that of the normal operating mode."""
    bands: tuple[ForbiddenBand, ...] | None = None
    """Mechanical resonances; None where they are not published."""
    bands_source: str = ""
    max_band_hz_per_m: float = mt_per_m_to_hz_per_m(10.0)
    """Largest steady oscillation inside a band; 10 mT/m is a convention, no vendor publishes one."""
    band_limit_is_own: bool = False
    """Whether the profile sets that limit; otherwise it is the convention."""
    max_rms_grad_hz_per_m: float | None = None
    """Largest root mean square of one axis; None where it is not published."""
    rms_window_s: float = 1.0
    overrides: tuple[str, ...] = ()
    """What was put in place of the limits of the profile of this name, in words; a certificate repeats it."""

    def __post_init__(self) -> None:
        grad_mt_per_m = hz_per_m_to_mt_per_m(self.max_grad_hz_per_m)
        slew_t_per_m_per_s = hz_per_m_per_s_to_t_per_m_per_s(self.max_slew_hz_per_m_per_s)
        if not 1.0 <= grad_mt_per_m <= 1000.0:
            raise reject(
                f"scanner {self.name}: largest gradient",
                got=f"{grad_mt_per_m:g} mT/m",
                expected="1..1000 mT/m",
                remedy="was it given in T/m or Hz/m?",
            )
        if not 1.0 <= slew_t_per_m_per_s <= 2000.0:
            raise reject(
                f"scanner {self.name}: largest slew rate",
                got=f"{slew_t_per_m_per_s:g} T/m/s",
                expected="1..2000 T/m/s",
                remedy="was it given in mT/m/ms or Hz/m/s?",
            )
        for name in ("grad_raster_s", "rf_raster_s", "adc_raster_s", "block_raster_s"):
            value = getattr(self, name)
            if not 1e-9 <= value <= 1e-3:
                raise reject(
                    f"scanner {self.name}: {name}", got=f"{value:g} s", expected="1e-9..1e-3 s", remedy="give seconds"
                )
        for name in ("rf_dead_time_s", "rf_ringdown_time_s", "adc_dead_time_s"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1e-2:
                raise reject(
                    f"scanner {self.name}: {name}", got=f"{value:g} s", expected="0..0.01 s", remedy="give seconds"
                )
        if not 0.001 <= self.field_t <= 20.0:
            raise reject(
                f"scanner {self.name}: field", got=f"{self.field_t:g} T", expected="0.001..20 T", remedy="give tesla"
            )
        self._check_safety()

    def _check_safety(self) -> None:
        shares = {
            "margin": (0.1, self.margin),
            "connection_slew_share": (0.05, self.connection_slew_share),
            "most_connection_slew_share": (0.05, self.most_connection_slew_share),
            "stimulation_limit": (0.05, self.stimulation_limit),
        }
        for name, (least, value) in shares.items():
            if not least <= value <= 1.0:
                raise reject(f"scanner {self.name}: {name}", got=value, expected=f"{least:g}..1", remedy="give a share")
        if self.oblique not in ("vector", "axis"):
            raise reject(
                f"scanner {self.name}: oblique",
                got=self.oblique,
                expected="vector or axis",
                remedy="vector suits slices of any orientation",
            )
        if not 0.0 < self.max_band_hz_per_m <= self.max_grad_hz_per_m * 10:
            raise reject(
                f"scanner {self.name}: oscillation inside a band",
                got=f"{hz_per_m_to_mt_per_m(self.max_band_hz_per_m):g} mT/m",
                expected="above 0",
                remedy="give mT/m",
            )
        if self.max_rms_grad_hz_per_m is not None and not 0.0 < self.max_rms_grad_hz_per_m <= self.max_grad_hz_per_m:
            raise reject(
                f"scanner {self.name}: RMS gradient",
                got=f"{hz_per_m_to_mt_per_m(self.max_rms_grad_hz_per_m):g} mT/m",
                expected="above 0, at most the largest gradient",
                remedy="give mT/m",
            )
        if not 0.01 <= self.rms_window_s <= 3600.0:
            raise reject(
                f"scanner {self.name}: RMS window",
                got=f"{self.rms_window_s:g} s",
                expected="0.01..3600 s",
                remedy="give seconds",
            )

    @property
    def plays_segments(self) -> bool:
        """Whether its interpreter plays segments that TRID labels mark, as GE's does."""
        return re.match(r"GE\b|General Electric", self.vendor, re.IGNORECASE) is not None

    @property
    def design_slew_hz_per_m_per_s(self) -> float:
        """Slew rate that prephasers, rewinders and spoilers may use: margin and nerve derating taken off."""
        return self.margin * self.connection_slew_share * self.max_slew_hz_per_m_per_s


def scanner_from_dict(table: Mapping[str, Any]) -> Scanner:
    """Undo ``dataclasses.asdict``, as it comes back from JSON; raises ``TypeError`` for unknown or missing fields."""
    fields = dict(table)
    if fields.get("stimulation") is not None:
        fields["stimulation"] = stimulation_from_dict(fields["stimulation"])
    if fields.get("bands") is not None:
        fields["bands"] = tuple(ForbiddenBand(**band) for band in fields["bands"])
    fields["overrides"] = tuple(fields.get("overrides", ()))
    return Scanner(**fields)
