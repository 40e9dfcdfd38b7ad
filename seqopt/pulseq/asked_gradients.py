"""The gradients of a .seq about each of its readouts, from before the excitation on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seqopt.core.asked_gradient import AskedGradient, FloatArray
from seqopt.errors import SeqoptError
from seqopt.pulseq.played import Readout
from seqopt.pulseq.readback import PlayedSequence, read_sequence
from seqopt.pulseq.readout_table import serves_image

BEFORE_S = 20e-3
"""Gradients that end so long before an excitation no longer change what follows."""
_AFTER_S = 1e-3  # responses of measured tables may begin a little early
_SAME_PER_M = 0.05  # of k: less is the rounding of a file


def asked_gradients(path: Path) -> list[AskedGradient]:
    """One of each readout that serves the image and samples another path of k, as a Pulseq file asks for it."""
    played = read_sequence(path)
    turns_s = np.array([pulse.centre_s for pulse in played.pulses if pulse.use == "r"])
    found: dict[tuple[int, ...], AskedGradient] = {}
    for readout in played.readouts:
        key = (id(readout.local_moment_per_m), *np.round(readout.offset_per_m / _SAME_PER_M).astype(int).tolist())
        if serves_image(readout) and key not in found:
            found[key] = _about(played, readout, turns_s)
    if not found:
        raise SeqoptError(f"{path} plays no readout that serves an image; give the sequence that was played")
    return list(found.values())


def _about(played: PlayedSequence, readout: Readout, turns_s: FloatArray) -> AskedGradient:
    assert readout.excitation is not None  # else it would read noise
    centre_s = readout.excitation.centre_s
    end_s = float(readout.times_s[-1]) + _AFTER_S
    first, last = np.searchsorted(played.starts_s, [centre_s - BEFORE_S, end_s], side="right") - 1
    blocks = range(max(int(first), 0), min(int(last) + 1, played.blocks))
    corners = [(block, played.corners_of(played.block_key(block))) for block in blocks]
    turned = slice(*np.searchsorted(turns_s, [centre_s, readout.start_s]))
    return AskedGradient(
        times_s=np.concatenate([played.starts_s[block] + times for block, (times, _) in corners]),
        gradient_hz_per_m=np.concatenate([values for _, (_, values) in corners]),
        raster_s=played.rasters_s["GradientRasterTime"],
        from_s=centre_s,
        turned_s=tuple(turns_s[turned].tolist()),
        adc_start_s=readout.start_s,
        dwell_s=readout.dwell_s,
        k_per_m=readout.k_per_m[:, :2],
    )
