"""The least derating with which a whole sequence keeps the nerve, resonance and duty limits that it is to keep.

Whether it does is measured on the sequence as it would be written: the check that judges the file later is the one that
decides here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from seqopt.core import LONGEST_TR_S, Check, MaskDesign, Scanner, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.gradients.waveform import slew, worst_vector
from seqopt.pulseq.builder import SequenceBuilder
from seqopt.pulseq.checks_duty import duty_checks
from seqopt.pulseq.checks_pns import measure_stimulation
from seqopt.pulseq.checks_resonances import resonance_checks
from seqopt.pulseq.export import write_sequence
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.readout_table import serves_image
from seqopt.pulseq.seqfile import read_seqfile
from seqopt.pulseq.timing import SequenceTiming
from seqopt.pulseq.trapezoid import ceil_to

Design = TypeVar("Design", TrajectoryDesign, MaskDesign)
Build = Callable[[Design], tuple[SequenceBuilder, SequenceTiming]]
RMS = "gradient.rms"
LEAST_SHARE = 0.05
"""Of the slew rate: what `Scanner.connection_slew_share` goes down to."""
_AIM = 0.97  # of the limits
_ENOUGH = 0.85  # of the limits: a sequence that uses less is played faster
_EFFECT = 0.02  # of a gentler part on the largest share, in logarithms: what does less is not the cause
_MOST = 9  # sequences tried
_NARROW = 1.04  # shares as near as this are not told apart


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which limits of its scanner a sequence is to keep; that on the RMS gradient always, where there is one."""

    pns: bool = False
    bands: bool = False

    def anything(self, scanner: Scanner) -> bool:
        """Whether there is something to keep."""
        return self.pns or self.bands or scanner.max_rms_grad_hz_per_m is not None


@dataclass(frozen=True)
class Derating:
    """Shares of the slew rate that are used."""

    connections: float
    """By prephasers, rewinders, slice gradients and calibration scans."""
    readouts: float = 1.0


@dataclass(frozen=True)
class Tried(Generic[Design]):
    """A design at one derating, and the check whose limit its sequence uses most."""

    derating: Derating
    design: Design
    worst: Check
    share: float
    """Of that limit; above 1 where it does not hold."""
    in_readout: bool
    """Whether it is while data are acquired."""
    turned: float = 0.0
    """Share of the stimulation limit in the worst slice orientation tried, where slices may be turned."""
    lengthened: bool = False
    """Whether TR was made longer than the sequence needs."""

    @property
    def used(self) -> float:
        """The largest share, of turned slices too."""
        return max(self.share, self.turned)

    @property
    def readout_slew_share(self) -> float:
        """Of the slew rate that there is: what readouts do use, where they are gentler than they may be."""
        design = self.design
        if isinstance(design, MaskDesign):
            return self.derating.readouts
        raster, opens = design.scanner.grad_raster_s, design.adc_start_edge
        closes = opens + int(np.ceil(design.samples * design.dwell_s / raster - 1e-9))
        used = worst_vector(slew(design.gradient_hz_per_m[:, opens : closes + 1], raster_s=raster))
        limit = design.scanner.margin * design.scanner.max_slew_hz_per_m_per_s
        return min(self.derating.readouts, max(used / limit, LEAST_SHARE))

    @property
    def said(self) -> str:
        """The check in words."""
        one = self.worst
        where = str(one.where).split(";")[0]
        return f"{one.name} is {float(one.value):.4g} (limit {float(one.limit):.4g} {one.unit}), {where}"


Attempt = Callable[[Derating], Tried[Design]]


def tried(design: Design, build: Build[Design], wanted: Wanted, derating: Derating) -> Tried[Design]:
    """Measure a design's sequence; without a wanted TR it takes one that is long enough for the RMS limit."""
    free, lengthened = design.protocol.tr_s is None, False
    while True:
        sequence, timing = build(design)
        checks, turned = _checks(sequence, design.scanner, wanted)
        found = Tried(derating, design, *_worst(checks), turned, lengthened)
        too_hot = found.share > 1.0 and found.worst.name.startswith(RMS)
        if not (too_hot and free) or timing.tr_s > design.scanner.rms_window_s:  # one TR is too much by itself
            return found
        # energy a time falls with TR; a window that holds few of them needs more
        longer = ceil_to(timing.tr_s * max(found.share**2, 1.05), design.scanner.block_raster_s)
        if longer > LONGEST_TR_S:
            return found
        design, lengthened = replace(design, protocol=replace(design.protocol, tr_s=longer)), True


def _checks(sequence: SequenceBuilder, scanner: Scanner, wanted: Wanted) -> tuple[list[tuple[Check, bool]], float]:
    """Each with whether it is a matter of the readouts; and the stimulation of turned slices, as a share."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tried.seq"
        try:
            write_sequence(sequence, path)
        except OSError as error:
            raise SeqoptError(f"cannot write {path}: {error.strerror}; free space or set TMPDIR") from error
        played = PlayedSequence(read_seqfile(path))
    bands = resonance_checks(played, scanner)[0] if wanted.bands else []
    nerves, turned = _nerves(played, scanner) if wanted.pns else ([], 0.0)
    return [
        *nerves,
        *((check, not str(check.where).startswith("z")) for check in bands),
        *((check, False) for check in duty_checks(played, scanner)[0]),
    ], turned


def _nerves(played: PlayedSequence, scanner: Scanner) -> tuple[list[tuple[Check, bool]], float]:
    """What ``pns_checks`` compares, in which part of the sequence it is largest, and that of turned slices."""
    found, limit, oblique = None, scanner.stimulation_limit, scanner.oblique == "vector"
    if scanner.stimulation is not None:
        raster = scanner.grad_raster_s
        found = measure_stimulation(played, scanner.stimulation, raster_s=raster, oblique=oblique)
    if found is None:
        return [], 0.0
    block = int(np.searchsorted(played.starts_s, found.time_s, side="right")) - 1
    part, in_readout = _part(played, block, found.time_s)
    where = f"{part} (block {block + 1}), at {found.time_s * 1e3:.1f} ms"
    held = found.peak <= limit
    check = Check(name="pns.peak", held=held, value=found.peak, limit=limit, unit="of the limit", where=where)
    return [(check, in_readout)], found.worst_orientation / limit if oblique else 0.0


def _part(played: PlayedSequence, block: int, time_s: float) -> tuple[str, bool]:
    """What plays then, and whether data are acquired (or would be: a dummy's readout is played like another)."""
    if any(block == one.block for one in played.excitations):
        return "slice selection", False
    readouts = {one.block: one for one in played.readouts}
    if block in readouts and not serves_image(readouts[block]):
        return "calibration scan", False
    imaging = next((one for one in played.readouts if serves_image(one)), None)
    if imaging is None:
        return "gradients", False
    open_s = imaging.start_s - played.starts_s[imaging.block]
    since_s = time_s - played.starts_s[block]
    if since_s < open_s:
        return "prephaser", False
    return (
        ("readout", True) if since_s <= open_s + imaging.samples * imaging.dwell_s else ("rewinder or spoiler", False)
    )


def _worst(checks: list[tuple[Check, bool]]) -> tuple[Check, float, bool]:
    """The check whose limit is used most, how much of it, and whether by readouts."""
    if not checks:
        raise SeqoptError("the sequence plays gradients for longer than nerve stimulation and resonances are computed")
    shares = [
        min(float(one.value) / float(one.limit), 1.0)
        if one.held
        else max(float(one.value) / float(one.limit), 1 + 1e-9)
        for one, _ in checks
    ]
    at = int(np.argmax(shares))
    return checks[at][0], shares[at], checks[at][1]


def raised(attempt: Attempt[Design], first: Tried[Design], *, most: float) -> Tried[Design]:
    """The fastest connections that hold, of turned slices too: until the limits are used by 85 %, or shares by 4 %.

    ``most`` is the share of the slew rate that connections may have.
    """
    held, above = first, most
    for _ in range(_MOST):
        share = held.derating.connections
        if held.used >= _ENOUGH or above < _NARROW * share:
            break
        aim = share * min(_AIM / max(held.used, 1e-3), 4.0)
        aim = min(aim, above) if above == most else min(aim, (share * above) ** 0.5)
        found = attempt(replace(held.derating, connections=aim))
        if found.used <= 1.0:
            held = found
        else:
            above = aim
    return held


def lowered(attempt: Attempt[Design], first: Tried[Design], *, readouts: bool = True) -> Tried[Design] | None:
    """Gentler where the limit is broken, readouts or connections, until it holds; None where nothing playable does.

    Without ``readouts`` of their own slew rate, as lines have none, all of it is done by the connections' share.
    ``attempt`` raises ``SeqoptError`` for gradients so gentle that they do not draw the path.
    """
    last, slowly, other = first, 1.0, False
    for _ in range(_MOST):
        if last.worst.name.startswith(RMS):
            return None
        part = "readouts" if readouts and last.in_readout != other else "connections"
        now = last.readout_slew_share if part == "readouts" else last.derating.connections
        factor = float(np.clip((_AIM / last.share) ** (1.0 / slowly), 0.4, 0.97))
        if now * factor < LEAST_SHARE:
            return None
        try:
            found = attempt(replace(last.derating, **{part: now * factor}))
        except SeqoptError:
            if factor * last.share > 1.0:  # stimulation falls no faster than the slew rate
                return None
            slowly *= 2.0
            continue
        if found.share <= 1.0:
            return found
        effect = float(np.log(last.share / found.share))
        other = (found.in_readout == last.in_readout and effect < _EFFECT) != other  # what plays there is not the cause
        slowly = float(np.clip(effect / -np.log(factor), 0.3, 1.0)) if found.in_readout == last.in_readout else 1.0
        last = found
    return None
