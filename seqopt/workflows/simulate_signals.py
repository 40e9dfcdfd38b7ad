"""Signals of a played sequence: coils, slice, pulses' phases, and what a scanner does to them besides."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.core import Geometry
from seqopt.encoding.nufft import Nufft
from seqopt.errors import reject
from seqopt.pulseq.delayed import played_k_and_time
from seqopt.pulseq.played import Readout
from seqopt.pulseq.readback import PlayedSequence
from seqopt.workflows.simulate_field import dephased_signal, smooth_field_hz

AnyArray = npt.NDArray[Any]
ComplexArray = npt.NDArray[np.complex64]
FINER = 2  # the object's grid against the image's: on the image's own grid the outer k-space is 36 % wrong


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What the scanner does that the sequence does not say."""

    delays_s: tuple[float, float] = (0.0, 0.0)
    """By which the x and y gradients lag."""
    off_resonance_hz: float = 0.0
    """Largest field offset of a smooth map."""

    def __post_init__(self) -> None:
        for delay in self.delays_s:
            if not abs(delay) <= 1e-4:
                raise reject(
                    "gradient delay", got=f"{delay * 1e6:g} us", expected="-100..100 us", remedy="give microseconds"
                )
        if not abs(self.off_resonance_hz) <= 1e4:
            raise reject(
                "off-resonance", got=f"{self.off_resonance_hz:g} Hz", expected="-10000..10000 Hz", remedy="give Hz"
            )

    @property
    def is_none(self) -> bool:
        """Whether everything is as the sequence says."""
        return self == Disturbance()


def finer(geometry: Geometry) -> Geometry:
    """The grid of the objects."""
    return replace(geometry, matrix=(FINER * geometry.matrix[0], FINER * geometry.matrix[1]))


def signals(
    played: PlayedSequence, objects: ComplexArray, maps: ComplexArray, geometry: Geometry, disturbance: Disturbance
) -> list[ComplexArray]:
    """(coils, samples) of each readout in play order, scaled as the design's own grid would.

    In: ``objects`` (slices, y, x) and ``maps`` (coils, y, x) on the finer grid.
    """
    readouts = played.readouts
    if disturbance.is_none:
        k_and_time = [(readout.k_per_m, np.zeros(readout.samples)) for readout in readouts]
    else:
        k_and_time = played_k_and_time(played, (*disturbance.delays_s, 0.0))
    operator = Nufft(finer(geometry), tolerance=1e-6)
    field_hz = smooth_field_hz(objects.shape[1:], disturbance.off_resonance_hz)
    out: list[ComplexArray] = [np.zeros((len(maps), readout.samples), np.complex64) for readout in readouts]
    for (index, _), numbers in _read_together(readouts, k_and_time).items():
        k_per_m = torch.from_numpy(np.stack([k_and_time[n][0][:, :2] for n in numbers]))  # (readouts, samples, 2)

        def signal_of(image: ComplexArray, k_per_m: torch.Tensor = k_per_m) -> ComplexArray:
            return np.asarray(operator.forward(torch.from_numpy(image * maps)[None], k_per_m)[0].numpy())

        image = objects[index]
        if disturbance.off_resonance_hz:
            samples = dephased_signal(signal_of, image, field_hz, k_and_time[numbers[0]][1])
        else:
            samples = signal_of(image)
        for place, number in enumerate(numbers):
            weight = _through_slice(readouts[number], k_and_time[number][0][:, 2], geometry) / FINER
            out[number] = (samples[:, place] * weight).astype(np.complex64)
    return out


def _read_together(readouts: list[Readout], k_and_time: list[tuple[AnyArray, AnyArray]]) -> dict[Any, list[int]]:
    """Numbers of the readouts of one slice whose samples lie at the same times after their excitation."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for number, readout in enumerate(readouts):
        if not readout.is_noise:
            times = k_and_time[number][1]
            groups[readout.labels["SLC"], (len(times), *np.round(times[[0, -1]] * 1e7).tolist())].append(number)
    return groups


def _through_slice(readout: Readout, kz_per_m: AnyArray, geometry: Geometry) -> AnyArray:
    """(samples,) complex: dephasing across a box slice, and the pulses' phase as the receiver sees it."""
    dephasing = np.sinc(kz_per_m * geometry.slice_thickness_m)
    return np.asarray(dephasing * np.exp(1j * (readout.signal_phase_rad - readout.phase_rad)))
