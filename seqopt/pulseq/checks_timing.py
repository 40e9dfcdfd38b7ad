"""Checks of rasters, dead times and the ADC."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, Scanner
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.seqtables import TrapEvent

FloatArray = npt.NDArray[np.float64]
_EPS_S = 1e-9
MAX_SEGMENTS = 128
_SHOWN = 1000
"""Findings of one kind that are put into words."""


def _off(times_s: npt.ArrayLike, raster_s: float) -> npt.NDArray[np.bool_]:
    """Which times lie off a raster."""
    times = np.asarray(times_s, dtype=float)
    return np.asarray(np.abs(times - np.round(times / raster_s) * raster_s) >= _EPS_S * 0.5)


def timing_checks(played: PlayedSequence, scanner: Scanner) -> tuple[list[Check], list[str]]:
    """All timing checks, each with the first place that fails it."""
    pulses = played.first_uses(2)
    out = [
        list_check("timing.rasters", _rasters(played, scanner), f"multiples of {scanner.name}'s", "use its rasters"),
        list_check("timing.block_duration", _durations(played, scanner), "events end in their block", "lengthen them"),
        list_check(
            "timing.gradient_raster", list(_gradients(played, scanner)), f"{scanner.grad_raster_s * 1e6:g} us",
            "round delays, ramps and corners to the gradient raster",
        ),
        list_check(
            "timing.rf_raster", list(_rf(played, scanner, pulses)), f"{scanner.rf_raster_s * 1e6:g} us",
            "round the RF delay and dwell to the RF raster",
        ),
        list_check(
            "timing.rf_centre", list(_rf_centres(played, pulses)), "inside the pulse",
            "give the centre from the start of the shape, in us",
        ),
        list_check(
            "timing.adc_raster", list(_adc_raster(played, scanner)),
            f"dwell {scanner.adc_raster_s * 1e6:g} us, start {scanner.rf_raster_s * 1e6:g} us",
            "round the dwell to the ADC raster and the delay to the RF raster",
        ),
    ]  # fmt: skip
    out += _dead_times(played, scanner)
    if not played.readouts:
        return out, ["ADC dead times, samples and equality: no ADC is played"]
    return out + _adc_sizes(played, scanner), []


def _rasters(played: PlayedSequence, scanner: Scanner) -> list[str]:
    pairs = (
        ("GradientRasterTime", scanner.grad_raster_s),
        ("RadiofrequencyRasterTime", scanner.rf_raster_s),
        ("BlockDurationRaster", scanner.block_raster_s),
    )  # each dwell is checked instead of AdcRasterTime
    return [
        f"{name} is {played.rasters_s[name] * 1e6:g} us, the scanner's {raster * 1e6:g} us"
        for name, raster in pairs
        if _off(played.rasters_s[name], raster)
    ]


def _durations(played: PlayedSequence, scanner: Scanner) -> list[str]:
    ends, lasts = played.event_ends_s, played.durations_s
    short = [
        f"{played.place(block)} lasts {lasts[block] * 1e6:g} us, its events {ends[block] * 1e6:g} us"
        for block in np.flatnonzero(ends > lasts + _EPS_S)[:_SHOWN].tolist()
    ]
    return short + [
        f"{played.place(block)} lasts {lasts[block] * 1e6:g} us, off the block raster"
        for block in np.flatnonzero(_off(lasts, scanner.block_raster_s))[:_SHOWN].tolist()
    ]


def _gradients(played: PlayedSequence, scanner: Scanner) -> Iterator[str]:
    raster = scanner.grad_raster_s
    checked: dict[tuple[float, int], FloatArray] = {}  # corners are shared by thousands of events
    for number, block in played.first_uses(3, 4, 5).items():
        event = played.file.gradients[number]
        if isinstance(event, TrapEvent):
            wrong = [t for t in (event.delay_s, event.rise_s, event.flat_s, event.fall_s) if _off(t, raster)]
        else:
            key = event.delay_s, event.time_shape
            if key not in checked:
                times = played.waveform(number).times_s if event.time_shape > 0 else np.zeros(0)
                times = np.concatenate([[event.delay_s], times])
                checked[key] = times[_off(times, raster)]
            wrong = checked[key].tolist()
        if wrong:
            yield f"{played.place(block)}, gradient {number}: {wrong[0] * 1e6:g} us"


def _rf(played: PlayedSequence, scanner: Scanner, pulses: dict[int, int]) -> Iterator[str]:
    for number, block in pulses.items():
        event = played.file.rf[number]
        times = np.array([event.delay_s, played.rf_duration_s(event)])
        wrong = times[_off(times, scanner.rf_raster_s)]
        if len(wrong):
            yield f"{played.place(block)}, RF {number}: {wrong[0] * 1e6:g} us"


def _rf_centres(played: PlayedSequence, pulses: dict[int, int]) -> Iterator[str]:
    """Pulses of version 1.5, whose stated centre lies outside; echo times count from it."""
    for number, block in pulses.items():
        event = played.file.rf[number]
        if event.centre_s is None:
            continue
        length_s = played.rf_duration_s(event)
        if not -_EPS_S <= event.centre_s <= length_s + _EPS_S:
            place = played.place(block)
            yield f"{place}, RF {number}: centre at {event.centre_s * 1e6:g} us of {length_s * 1e6:g} us"


def _adc_raster(played: PlayedSequence, scanner: Scanner) -> Iterator[str]:
    for number, block in played.first_uses(6).items():
        event, place = played.file.adc[number], f"{played.place(block)}, ADC {number}"
        if _off(event.dwell_s, scanner.adc_raster_s) or event.dwell_s <= 0:
            yield f"{place}: dwell {event.dwell_s * 1e6:g} us"
        if _off(event.delay_s, scanner.rf_raster_s):
            yield f"{place}: delay {event.delay_s * 1e6:g} us"


def _dead_times(played: PlayedSequence, scanner: Scanner) -> list[Check]:
    blocks = played.file.blocks
    rf, adc = np.flatnonzero(blocks[:, 2]), np.flatnonzero(blocks[:, 6])
    both = np.flatnonzero((blocks[:, 2] > 0) & (blocks[:, 6] > 0))

    def of(column: int, at: npt.NDArray[np.intp], measure: Callable[[int], float]) -> FloatArray:
        numbers, inverse = np.unique(blocks[at, column], return_inverse=True)
        values: FloatArray = np.array([measure(number) for number in numbers.tolist()])[inverse.reshape(-1)]
        return values

    def smallest(name: str, at: npt.NDArray[np.intp], spans_s: FloatArray, limit_s: float, remedy: str) -> list[Check]:
        if not len(at):
            return []
        worst = int(np.argmin(spans_s))
        held = bool(spans_s[worst] >= limit_s - _EPS_S)
        return [Check(
            name=name, held=held, value=round(float(spans_s[worst]) * 1e6, 4), limit=limit_s * 1e6, unit="us",
            where=f"shortest: {played.place(int(at[worst]))}", remedy="" if held else remedy,
        )]  # fmt: skip

    file = played.file
    rf_delays = of(2, rf, lambda number: file.rf[number].delay_s)
    rf_ends = of(2, rf, lambda number: file.rf[number].delay_s + played.rf_duration_s(file.rf[number]))
    adc_delays = of(6, adc, lambda number: file.adc[number].delay_s)
    adc_ends = of(6, adc, lambda n: file.adc[n].delay_s + file.adc[n].samples * file.adc[n].dwell_s)
    rf_rest, adc_rest = played.durations_s[rf] - rf_ends, played.durations_s[adc] - adc_ends
    return [
        *smallest("timing.rf_dead_time", rf, rf_delays, scanner.rf_dead_time_s, "delay the RF more"),
        *smallest("timing.rf_ringdown", rf, rf_rest, scanner.rf_ringdown_time_s, "lengthen the block after the RF"),
        *smallest(
            "timing.adc_dead_time_before", adc, adc_delays, scanner.adc_dead_time_s, "open the ADC later in its block"
        ),
        *smallest(
            "timing.adc_dead_time_after", adc, adc_rest, scanner.adc_dead_time_s, "lengthen the block after the ADC"
        ),
        list_check(
            "timing.rf_and_adc_apart", [played.place(block) for block in both[:_SHOWN].tolist()], "never in one block",
            "play RF and ADC in blocks of their own",
        ),
    ]  # fmt: skip


def _adc_sizes(played: PlayedSequence, scanner: Scanner) -> list[Check]:
    events = {(readout.samples, readout.dwell_s): readout.block for readout in reversed(played.readouts)}
    limit, divisor = scanner.adc_max_samples, scanner.adc_samples_divisor

    def failing(test: Callable[[int, float], bool]) -> list[str]:
        return [f"{played.place(block)}: {n} samples" for (n, dwell), block in events.items() if not test(n, dwell)]

    def segmentable(samples: int, dwell_s: float) -> bool:
        return samples <= limit or any(
            samples % parts == 0
            and samples // parts <= limit
            and not _off(samples // parts * dwell_s, scanner.grad_raster_s)
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
