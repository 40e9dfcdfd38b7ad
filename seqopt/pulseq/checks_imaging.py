"""Checks of RF and of what the sequence images: echo, FOV, labels, k-space extent, spoiling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, Scanner
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.played import Readout
from seqopt.pulseq.readback import PlayedSequence
from seqopt.units import GAMMA_HZ_PER_T

FloatArray = npt.NDArray[np.float64]

_SPOILED_FLIP_RAD = np.radians(80.0)
_SPOILED_TR_S = 1.0
MOMENT_TOLERANCE_CYCLES = 0.05
ECHO_TOLERANCE_PER_M = 0.02  # 0.005/FOV at 250 mm


def rf_checks(played: PlayedSequence, scanner: Scanner) -> list[Check]:
    """Peak B1, frequency offset and whether the use of each pulse is stated."""
    used = {int(number) for number in np.unique(played.file.blocks[:, 2]) if number}
    events = {number: played.file.rf[number] for number in used}
    peaks = {n: float(np.abs(played.rf_shape(event)[1]).max()) for n, event in events.items()}
    offsets = {
        n: abs(event.freq_hz + event.freq_ppm * 1e-6 * GAMMA_HZ_PER_T * scanner.field_t) for n, event in events.items()
    }
    unknown = [f"RF {n} has use {e.use!r}" for n, e in events.items() if e.use not in tuple("erispo")]
    out = [
        _largest("rf.peak_b1", peaks, scanner.max_b1_hz, "use a longer pulse or a smaller flip angle"),
        _largest("rf.frequency_offset", offsets, scanner.max_rf_offset_hz, "bring the slices closer together"),
    ]
    if played.file.version >= (1, 5, 0):
        out.append(
            list_check("rf.use", unknown, "e, r, i, s, p or o", "state the use; without it k-space cannot be computed")
        )
    return out


def _largest(name: str, values: dict[int, float], limit: float, remedy: str) -> Check:
    number = max(values, key=lambda key: values[key], default=0)
    worst = values.get(number, 0.0)
    held = worst <= limit * (1 + 1e-6)
    return Check(
        name=name, held=held, value=round(worst, 4), limit=round(limit, 4), unit="Hz",
        where=f"RF {number}" if values else "", remedy="" if held else remedy,
    )  # fmt: skip


def fov_of(played: PlayedSequence) -> list[float] | None:
    """The definition FOV as numbers, None where it is absent or not a list of numbers."""
    try:
        values = [float(token) for token in played.definitions["FOV"].split()]
    except (KeyError, ValueError):
        return None
    return values if values and np.isfinite(values).all() else None


def imaging_checks(played: PlayedSequence) -> tuple[list[Check], list[str]]:
    """Checks, and texts of what could not be checked in this file."""
    imaging = [readout for readout in played.readouts if not readout.is_noise]
    if not imaging:
        remedy = "play an ADC after an excitation"
        return [Check(name="imaging.readouts", held=False, value=0, limit="at least 1", remedy=remedy)], []
    checks, skipped = [_labels(played)], []
    fov = fov_of(played)
    if "FOV" in played.definitions:
        good = fov is not None and len(fov) == 3 and all(0.001 <= value <= 1.0 for value in fov)
        checks.append(
            Check(
                name="imaging.fov",
                held=good,
                value=played.definitions["FOV"],
                limit="3 values of 0.001..1",
                unit="m",
                remedy="" if good else "give three values in metres, not in mm",
            )
        )
        if fov is not None and len(fov) >= 2 and min(fov[:2]) > 0:
            checks.append(_extent(played, fov))
    else:
        skipped.append("field of view: the file has no FOV")
    if "EchoTime" in played.definitions:
        checks.append(_echo(played))
    else:
        skipped.append("echo time: the file has no EchoTime")
    reason = _why_not_spoiled(played)
    if reason:
        skipped.append(f"equal spoiler moment in each TR: {reason}")
    else:
        checks.append(_spoiling(played))
    return checks, skipped


def _labels(played: PlayedSequence) -> Check:
    """Every counter in use is SET in the first block: Siemens interpreters abort otherwise."""
    used = {label for _, _, label, _ in played.label_history}
    first = {label for block, word, label, _ in played.label_history if block == 0 and word == "SET"}
    problems = [f"{label} is not SET in the first block" for label in sorted(used - first)]
    if not used:
        problems = ["no labels: no reader can sort the readouts"]
    return list_check("imaging.labels", problems, "each counter SET in the first block", "add LABELSET events")


def _extent(played: PlayedSequence, fov_m: list[float]) -> Check:
    imaging = [readout for readout in played.readouts if not readout.is_noise]
    reach = np.zeros(2)
    for readout in imaging:
        k = readout.local_moment_per_m[:, :2] + readout.offset_per_m[:2]
        reach = np.maximum(reach, np.abs(k).max(axis=0))
    cycles = float((reach * np.array(fov_m[:2])).max())
    held = 1.0 <= cycles <= 4096.0
    return Check(
        name="imaging.k_extent", held=held, value=round(cycles, 4), limit="1..4096", unit="1/FOV",
        remedy="" if held else "k does not fit the FOV: were gradients given in T/m, or the FOV in mm?",
    )  # fmt: skip


def echo_readouts(played: PlayedSequence) -> list[tuple[int, Readout]]:
    """The imaging readouts that define the echo, with their numbers: those that come nearest to k = 0.

    All spokes and interleaves pass k = 0. Of parallel lines and of EPI trains most do not: where such a shot is nearest
    to the centre depends on how it bends, and the contrast follows from those that do pass it.
    """
    imaging = [readout for readout in played.readouts if not readout.is_noise]
    nearest = np.array([np.linalg.norm(readout.k_per_m[readout.echo_sample, :2]) for readout in imaging])
    near = np.flatnonzero(nearest <= nearest.min(initial=np.inf) + ECHO_TOLERANCE_PER_M)
    return [(int(number), imaging[number]) for number in near]


def _echo(played: PlayedSequence) -> Check:
    try:
        wanted = np.array([float(token) for token in played.definitions["EchoTime"].split()])
    except ValueError:
        wanted = np.zeros(0)
    worst, where, value, tolerance = 0.0, "", float("nan"), 0.0
    for index, readout in echo_readouts(played):
        distance = _echo_distance_s(readout, wanted) if len(wanted) else float("inf")
        if distance - readout.dwell_s > worst - tolerance or not where:
            worst, tolerance, value = distance, readout.dwell_s, readout.echo_time_s
            where = f"readout {index + 1}, block {readout.block + 1}; {worst * 1e6:.3f} us off"
    held = worst <= tolerance + 1e-9
    return Check(
        name="imaging.echo", held=held, value=round(value * 1e3, 6),
        limit=" ".join(f"{time * 1e3:g}" for time in wanted) or "a number", unit="ms", where=where,
        remedy="" if held else "move the ADC or correct EchoTime (seconds): the smallest |k| of all must lie at TE",
    )  # fmt: skip


def _echo_distance_s(readout: Readout, wanted_s: FloatArray) -> float:
    """Time between the wanted and the measured echo; a path may cross k = 0 again, so equal |k| at TE counts as 0."""
    distance = float(np.abs(readout.echo_time_s - wanted_s).min())
    if distance > readout.dwell_s and readout.excitation is not None:
        since_open = wanted_s + readout.excitation.centre_s - readout.start_s
        at = np.round(since_open / readout.dwell_s - 0.5).astype(int)
        at = at[(at >= 0) & (at < readout.samples)]
        size = np.linalg.norm(readout.k_per_m[:, :2], axis=1)
        if len(at) and size[at].min() <= size.min() + ECHO_TOLERANCE_PER_M:
            return 0.0
    return distance


def _why_not_spoiled(played: PlayedSequence) -> str:
    """Why equal moments in each TR cannot be asked of this file; empty where they can."""
    centres = np.array([pulse.centre_s for pulse in played.excitations])
    if len(centres) < 3:
        return "fewer than three excitations"
    if len(played.pulses) != len(played.excitations):
        return "the file has pulses other than excitations"
    if (
        max(pulse.flip_rad for pulse in played.excitations) > _SPOILED_FLIP_RAD
        or np.diff(centres).max() > _SPOILED_TR_S
    ):
        return "not a short-TR, small-flip sequence"
    return ""


def moments_between_excitations(played: PlayedSequence) -> FloatArray:
    """(excitations - 1, 3) 1/m moment from each excitation's centre to the next."""
    keys = [played.block_key(block) for block in range(played.blocks)]
    whole = {key: played.moment_of(key, np.array([np.inf]))[0] for key in dict.fromkeys(keys)}
    at_start = np.concatenate([np.zeros((1, 3)), np.cumsum([whole[key] for key in keys], axis=0)])
    at_centre = [
        at_start[p.block] + played.moment_of(keys[p.block], np.array([p.centre_s - played.starts_s[p.block]]))[0]
        for p in played.excitations
    ]
    return np.diff(np.array(at_centre), axis=0)


def _spoiling(played: PlayedSequence) -> Check:
    moments = moments_between_excitations(played)
    fov = fov_of(played)
    extent = max(fov[:2]) if fov and 0.001 <= max(fov[:2]) <= 1.0 else 0.25
    distance = np.abs(moments - np.median(moments, axis=0)).max(axis=1) * extent
    at = int(np.argmax(distance))
    held = float(distance[at]) <= MOMENT_TOLERANCE_CYCLES
    return Check(
        name="imaging.spoiling", held=held, value=round(float(distance[at]), 6), limit=MOMENT_TOLERANCE_CYCLES,
        unit="1/FOV", where=f"after excitation {at + 1}, block {played.excitations[at].block + 1}",
        remedy="" if held else "rewind the encoding moments and play the same spoiler in each TR",
    )  # fmt: skip
