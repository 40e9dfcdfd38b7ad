"""Nerve stimulation and resonances of a design: what training keeps, and what is refused before it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from seqopt.core import MaskDesign, Scanner, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.gradients.penalty import resonance_penalty, soft_stimulation, stimulation_penalty, with_ramps
from seqopt.gradients.pns import LIMIT_MARGIN, limited
from seqopt.learn.fit import SoftLimit
from seqopt.pulseq.cartesian import build_mask
from seqopt.pulseq.gre import build_gre, plan_gre
from seqopt.sampling.trajectory import Path
from seqopt.workflows.derating import RMS, Derating, Tried, Wanted, lowered, raised, tried

if TYPE_CHECKING:
    from seqopt.workflows.design_request import DesignRequest
    from seqopt.workflows.mask_request import MaskRequest


BAND_MARGIN = 0.75
"""Share of the limit inside a band that readouts may take: prephasers, rewinders and slice gradients add to it."""


def limits_to_keep(scanner: Scanner) -> tuple[float | None, bool]:
    """What designs keep unasked: the limits that the profile has numbers for, by which the certificate will judge.

    The share of the limit on stimulation, None without one, and whether resonances are avoided.
    """
    return 1.0 if scanner.stimulation is not None else None, bool(scanner.bands)


def guarded(scanner: Scanner, *, limit_pns: float | None, avoid_resonances: bool) -> Scanner:
    """The scanner with the limits that a design was asked to keep; refuses what its profile has no numbers for."""
    if avoid_resonances and not scanner.bands:
        raise SeqoptError(
            f"--avoid-resonances: scanner {scanner.name} has no forbidden bands; give --asc with the file of "
            "its own coil, or a .toml with [[resonances]]"
        )
    return scanner if limit_pns is None else limited(scanner, limit_pns)


def wanted_of(request: DesignRequest | MaskRequest) -> Wanted:
    """The limits that the request's sequences are to keep."""
    return Wanted(pns=request.limit_pns is not None, bands=request.avoid_resonances)


Play = Callable[[Scanner, float], TrajectoryDesign]
"""What is made of a scanner and the share of its slew rate for which readouts are planned or to which they are held."""


def within_limits(
    request: DesignRequest,
    play: Play,
    start: Derating,
    *,
    lower: bool,
) -> Tried[TrajectoryDesign]:
    """What is played at the least derating that keeps the limits to keep.

    Faster connections than at the ``start`` where they hold; gentler gradients where they do not and are to be
    ``lower``. What cannot keep them raises ``SeqoptError`` then, and is returned as it is otherwise.
    """
    scanner, wanted = request.scanner, wanted_of(request)

    def attempt(derating: Derating) -> Tried[TrajectoryDesign]:
        gentle = replace(scanner, connection_slew_share=derating.connections)
        return tried(play(gentle, derating.readouts), build_gre, wanted, derating)

    first = attempt(start)
    found: Tried[TrajectoryDesign] | None = first
    if first.share > 1.0 and lower:
        found = lowered(attempt, first)
    if found is None:
        raise SeqoptError(_impossible(request, first))
    if found.share > 1.0 or not wanted.pns:
        return found
    return raised(attempt, found, most=scanner.most_connection_slew_share)


def lines_within_limits(request: MaskRequest, design: MaskDesign) -> MaskDesign:
    """The lines that ask for most, at the least derating that keeps the limits to keep; refuses what cannot."""
    wanted = wanted_of(request)
    if not wanted.anything(design.scanner):
        return design

    def attempt(derating: Derating) -> Tried[MaskDesign]:
        gentle = replace(design.scanner, connection_slew_share=derating.connections)
        return tried(replace(design, scanner=gentle), build_mask, wanted, derating)

    first = attempt(Derating(design.scanner.connection_slew_share))
    found = first if first.share <= 1.0 else lowered(attempt, first, readouts=False)
    if found is None:
        raise SeqoptError(_impossible(request, first))
    most = design.scanner.most_connection_slew_share
    return (raised(attempt, found, most=most) if wanted.pns else found).design


def lines_within_rms(design: MaskDesign, *, tr_s: float | None) -> MaskDesign:
    """The design with a TR that keeps the RMS limit, unless it is wanted otherwise: inner lines leave TE shorter."""
    if design.scanner.max_rms_grad_hz_per_m is None or tr_s is not None:
        return design
    free = replace(design, protocol=replace(design.protocol, tr_s=None))
    return tried(free, build_mask, Wanted(), Derating(design.scanner.connection_slew_share)).design


def _impossible(request: DesignRequest | MaskRequest, found: Tried[Any]) -> str:
    name = found.worst.name
    if name.startswith(RMS):
        remedy = "no TR keeps it; " if request.protocol.tr_s is None else "lengthen --tr or leave it out, or "
        return f"scanner {request.scanner.name}: {found.said}; {remedy}lengthen the readout or take fewer pixels"
    pns = name.startswith("pns.")
    asked = f"--limit-pns {request.limit_pns:g}" if pns else "--avoid-resonances"
    return (
        f"{asked}: {found.said}, and gradients gentle enough do not fit; lengthen the readout (--readout, of lines "
        "--dwell), TE or TR, take more shots or a larger FOV, or let it pass and fail the certificate by "
        f"{'--limit-pns none' if pns else '--allow-resonances'}"
    )


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
