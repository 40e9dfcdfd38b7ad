"""Checks of rasters, dead times and the ADC."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from seqopt.core import Check, Scanner
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.seqtables import TrapEvent

_EPS_S = 1e-9
MAX_SEGMENTS = 128


def _on(time_s: float, raster_s: float) -> bool:
    return abs(time_s - round(time_s / raster_s) * raster_s) < _EPS_S * 0.5


def timing_checks(played: PlayedSequence, scanner: Scanner) -> list[Check]:
    """All timing checks, each with the first block that fails it."""
    used = _first_uses(played)
    out = [
        list_check("timing.rasters", _rasters(played, scanner), f"multiples of {scanner.name}'s", "use its rasters"),
        list_check("timing.block_duration", _durations(played, scanner), "events end in their block", "lengthen them"),
        list_check(
            "timing.gradient_raster", _gradients(played, scanner, used), f"{scanner.grad_raster_s * 1e6:g} us",
            "round delays, ramps and corners to the gradient raster",
        ),
        list_check(
            "timing.rf_raster", _rf(played, scanner, used), f"{scanner.rf_raster_s * 1e6:g} us",
            "round the RF delay and dwell to the RF raster",
        ),
        list_check(
            "timing.adc_raster", _adc_raster(played, scanner, used),
            f"dwell {scanner.adc_raster_s * 1e6:g} us, start {scanner.rf_raster_s * 1e6:g} us",
            "round the dwell to the ADC raster and the delay to the RF raster",
        ),
    ]  # fmt: skip
    out += _dead_times(played, scanner)
    return out + _adc_sizes(played, scanner)


def _first_uses(played: PlayedSequence) -> dict[tuple[str, int], int]:
    """(kind, id) -> the first block that plays it."""
    uses: dict[tuple[str, int], int] = {}
    for kind, column in (("rf", 2), ("grad", 3), ("grad", 4), ("grad", 5), ("adc", 6)):
        ids, first = np.unique(played.file.blocks[:, column], return_index=True)
        for number, block in zip(ids.tolist(), first.tolist(), strict=True):
            uses[kind, number] = min(block, uses.get((kind, number), block))
    return uses


def _place(played: PlayedSequence, block: int) -> str:
    return f"block {block + 1} at {played.starts_s[block] * 1e3:.3f} ms"


def _rasters(played: PlayedSequence, scanner: Scanner) -> list[str]:
    pairs = (
        ("GradientRasterTime", scanner.grad_raster_s),
        ("RadiofrequencyRasterTime", scanner.rf_raster_s),
        ("AdcRasterTime", scanner.adc_raster_s),
        ("BlockDurationRaster", scanner.block_raster_s),
    )
    out = []
    for name, raster in pairs:
        mine = played.rasters_s[name]
        if name != "AdcRasterTime" and not _on(mine, raster):  # each dwell is checked instead
            out.append(f"{name} is {mine * 1e6:g} us, the scanner's {raster * 1e6:g} us")
    return out


def _durations(played: PlayedSequence, scanner: Scanner) -> list[str]:
    out = []
    ends: dict[tuple[int, ...], float] = {}
    for block, row in enumerate(played.file.blocks.tolist()):
        key = tuple(row[2:7])
        if key not in ends:
            parts = [float(played.waveform(g).times_s[-1]) for g in row[3:6] if g]
            if row[2]:
                rf = played.file.rf[row[2]]
                parts.append(rf.delay_s + played.rf_duration_s(rf))
            if row[6]:
                adc = played.file.adc[row[6]]
                parts.append(adc.delay_s + adc.samples * adc.dwell_s)
            ends[key] = max(parts, default=0.0)
        if ends[key] > played.durations_s[block] + _EPS_S:
            out.append(
                f"{_place(played, block)} lasts {played.durations_s[block] * 1e6:g} us, its events "
                f"{ends[key] * 1e6:g} us"
            )
        if not _on(float(played.durations_s[block]), scanner.block_raster_s):
            out.append(f"{_place(played, block)} lasts {played.durations_s[block] * 1e6:g} us, off the block raster")
    return out


def _gradients(played: PlayedSequence, scanner: Scanner, used: dict[tuple[str, int], int]) -> list[str]:
    raster = scanner.grad_raster_s
    out = []
    for number, event in played.file.gradients.items():
        if isinstance(event, TrapEvent):
            times = [event.delay_s, event.rise_s, event.flat_s, event.fall_s]
        elif event.time_shape > 0:
            times = [event.delay_s, *played.waveform(number).times_s]
        else:
            times = [event.delay_s]
        wrong = [time for time in times if not _on(time, raster) or time < 0]
        if wrong and ("grad", number) in used:
            out.append(f"{_place(played, used['grad', number])}, gradient {number}: {wrong[0] * 1e6:g} us")
    return out


def _rf(played: PlayedSequence, scanner: Scanner, used: dict[tuple[str, int], int]) -> list[str]:
    out = []
    for number, event in played.file.rf.items():
        times = [event.delay_s, played.rf_duration_s(event)]
        wrong = [time for time in times if not _on(time, scanner.rf_raster_s) or time < 0]
        if wrong and ("rf", number) in used:
            out.append(f"{_place(played, used['rf', number])}, RF {number}: {wrong[0] * 1e6:g} us")
    return out


def _adc_raster(played: PlayedSequence, scanner: Scanner, used: dict[tuple[str, int], int]) -> list[str]:
    out = []
    for number, event in played.file.adc.items():
        if ("adc", number) not in used:
            continue
        place = _place(played, used["adc", number])
        if not _on(event.dwell_s, scanner.adc_raster_s) or event.dwell_s <= 0:
            out.append(f"{place}, ADC {number}: dwell {event.dwell_s * 1e6:g} us")
        if not _on(event.delay_s, scanner.rf_raster_s):
            out.append(f"{place}, ADC {number}: delay {event.delay_s * 1e6:g} us")
    return out


def _dead_times(played: PlayedSequence, scanner: Scanner) -> list[Check]:
    file = played.file
    rows = [(block, row) for block, row in enumerate(file.blocks.tolist()) if row[2] or row[6]]
    rf = [(block, file.rf[row[2]]) for block, row in rows if row[2]]
    adc = [(block, file.adc[row[6]]) for block, row in rows if row[6]]
    both = [_place(played, block) for block, row in rows if row[2] and row[6]]
    lengths = {event: event.delay_s + played.rf_duration_s(event) for event in set(event for _, event in rf)}

    def smallest(name: str, spans: list[tuple[int, float]], limit_s: float, remedy: str) -> Check:
        block, worst = min(spans, key=lambda span: span[1], default=(0, float("inf")))
        held = worst >= limit_s - _EPS_S
        return Check(
            name=name, held=held, value=round(worst * 1e6, 4) if spans else "none played", limit=limit_s * 1e6,
            unit="us", where=f"shortest: {_place(played, block)}" if spans else "", remedy="" if held else remedy,
        )  # fmt: skip

    def tail(block: int, end_s: float) -> tuple[int, float]:
        return block, float(played.durations_s[block]) - end_s

    return [
        smallest("timing.rf_dead_time", [(b, e.delay_s) for b, e in rf], scanner.rf_dead_time_s, "delay the RF more"),
        smallest(
            "timing.rf_ringdown", [tail(b, lengths[e]) for b, e in rf], scanner.rf_ringdown_time_s,
            "lengthen the block after the RF",
        ),
        smallest(
            "timing.adc_dead_time_before", [(b, e.delay_s) for b, e in adc], scanner.adc_dead_time_s,
            "open the ADC later in its block",
        ),
        smallest(
            "timing.adc_dead_time_after", [tail(b, e.delay_s + e.samples * e.dwell_s) for b, e in adc],
            scanner.adc_dead_time_s, "lengthen the block after the ADC",
        ),
        list_check("timing.rf_and_adc_apart", both, "never in one block", "play RF and ADC in blocks of their own"),
    ]  # fmt: skip


def _adc_sizes(played: PlayedSequence, scanner: Scanner) -> list[Check]:
    events = {(readout.samples, readout.dwell_s): readout.block for readout in reversed(played.readouts)}
    limit, divisor = scanner.adc_max_samples, scanner.adc_samples_divisor

    def failing(test: Callable[[int, float], bool]) -> list[str]:
        return [f"{_place(played, block)}: {n} samples" for (n, dwell), block in events.items() if not test(n, dwell)]

    def segmentable(samples: int, dwell_s: float) -> bool:
        return samples <= limit or any(
            samples % parts == 0
            and samples // parts <= limit
            and _on(samples // parts * dwell_s, scanner.grad_raster_s)
            for parts in range(2, MAX_SEGMENTS + 1)
        )

    kinds = [f"{n} samples of {dwell * 1e6:g} us" for n, dwell in events]
    one = len(kinds) <= 1
    return [
        list_check(
            "timing.adc_samples", failing(segmentable), f"{limit}, or equal segments of whole gradient rasters",
            "use fewer samples, or a number that splits into equal segments",
        ),
        list_check(
            "timing.adc_divisor", failing(lambda n, _: n % divisor == 0), f"multiples of {divisor}",
            "change the number of samples",
        ),
        Check(
            name="timing.adc_equal", held=one, value=f"{len(kinds)} kinds", limit="1 kind",
            where="; ".join(kinds[:3]), remedy="" if one else "use one length and dwell for all, or interpreters crash",
        ),
    ]  # fmt: skip
