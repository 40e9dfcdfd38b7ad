"""Nerve stimulation and resonances of a design: what training keeps, and what is refused before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from seqopt.core import Scanner
from seqopt.errors import SeqoptError
from seqopt.gradients.penalty import resonance_penalty, soft_stimulation, stimulation_penalty, with_ramps
from seqopt.gradients.pns import LIMIT_MARGIN, limited
from seqopt.learn.fit import SoftLimit
from seqopt.pulseq.gre import plan_gre
from seqopt.sampling.trajectory import Path

if TYPE_CHECKING:
    from seqopt.workflows.design_request import DesignRequest


BAND_MARGIN = 0.75
"""Share of the limit inside a band that readouts may take: prephasers, rewinders and slice gradients add to it."""


def guarded(scanner: Scanner, *, limit_pns: float | None, avoid_resonances: bool) -> Scanner:
    """The scanner with the limits that a design was asked to keep; refuses what its profile has no numbers for."""
    if avoid_resonances and not scanner.bands:
        raise SeqoptError(
            f"--avoid-resonances: scanner {scanner.name} has no forbidden bands; give --asc FILE of its coil, or a "
            ".toml with [[resonances]]"
        )
    return scanner if limit_pns is None else limited(scanner, limit_pns)


def soft_limits(request: DesignRequest) -> tuple[SoftLimit, ...]:
    """Penalties on the path, of what the request asks for; they aim at a little less than the limits."""
    scanner = request.scanner
    slew = scanner.margin * scanner.max_slew_hz_per_m_per_s
    limits: list[SoftLimit] = []
    model = scanner.stimulation
    if request.limit_pns is not None and model is not None:
        stimulation: dict[str, Any] = {
            "limit": LIMIT_MARGIN * request.limit_pns,
            "max_slew_hz_per_m_per_s": slew,
        }
        limits.append(
            lambda path: stimulation_penalty(path.k_uniform_per_m, model, raster_s=path.step_s, **stimulation)
        )
    bands = scanner.bands
    if request.avoid_resonances and bands:
        resonance: dict[str, Any] = {
            "period_s": plan_gre(request.baseline()).tr_s / request.geometry.slices,
            "limit_hz_per_m": BAND_MARGIN * scanner.max_band_hz_per_m,
            "max_slew_hz_per_m_per_s": slew,
        }
        limits.append(lambda path: resonance_penalty(path.k_uniform_per_m, bands, raster_s=path.step_s, **resonance))
    return tuple(limits)


def readout_stimulation(path: Path, scanner: Scanner) -> float:
    """Largest stimulation of the readouts with their ramps, as a share of the model's limit."""
    if scanner.stimulation is None:
        raise SeqoptError(f"scanner {scanner.name} has no nerve stimulation coefficients")
    gradient: Tensor = path.k_uniform_per_m.diff(dim=1) / path.step_s
    slew = scanner.margin * scanner.max_slew_hz_per_m_per_s
    ramped = with_ramps(gradient, raster_s=path.step_s, slew_hz_per_m_per_s=slew)
    return float(soft_stimulation(ramped, scanner.stimulation, raster_s=path.step_s).max())
