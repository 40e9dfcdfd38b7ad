"""What a scanner can do: the profile against which designs are projected and files certified."""

from __future__ import annotations

from dataclasses import dataclass

from seqopt.errors import reject
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m


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
        if not 0.1 <= self.margin <= 1.0:
            raise reject(f"scanner {self.name}: margin", got=self.margin, expected="0.1..1", remedy="give a share")
