"""K-space as a scanner plays it whose gradients lag behind the receiver, and when each sample's field has refocused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqopt.pulseq.readback import PlayedSequence

FloatArray = npt.NDArray[np.float64]


def played_k_and_time(
    played: PlayedSequence, delays_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> list[tuple[FloatArray, FloatArray]]:
    """For each readout k (samples, 3) in 1/m, and the time (samples,) in seconds for which a field offset dephased it.

    In: ``delays_s`` by which the x, y and z gradients lag. Both count from the excitation and are turned over by each
    refocusing pulse; the time is k of a constant gradient of 1.
    """
    times, values = played.gradient_corners()
    moments = np.concatenate([
        np.zeros((1, 3)), np.cumsum(np.diff(times)[:, None] * (values[1:] + values[:-1]) / 2, axis=0)
    ])  # fmt: skip

    def reached(at_s: FloatArray) -> FloatArray:
        """(n,) -> (n, 4): the three moments and the time itself."""
        out = np.empty((len(at_s), 4))
        out[:, 3] = at_s
        for axis, delay in enumerate(delays_s):
            t = np.clip(at_s - delay, times[0], times[-1])
            piece = np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2)
            passed, width = t - times[piece], times[piece + 1] - times[piece]
            rise = values[piece + 1, axis] - values[piece, axis]
            slope = np.divide(rise, width, out=np.zeros_like(width), where=width > 0)
            out[:, axis] = moments[piece, axis] + passed * (values[piece, axis] + 0.5 * slope * passed)
        return out

    at_pulses = reached(np.array([pulse.centre_s for pulse in played.pulses]))
    offset, following, out = np.zeros(4), 0, []
    for readout in played.readouts:
        while following < len(played.pulses) and played.pulses[following].block <= readout.block:
            use = played.pulses[following].use
            if use == "e":
                offset = -at_pulses[following]
            elif use == "r":
                offset = -2 * at_pulses[following] - offset
            following += 1
        whole = reached(readout.times_s) + offset
        out.append((whole[:, :3], whole[:, 3]))
    return out
