"""The imaging readouts of a played file in columns: labels, echo and extent of k, measured once for all checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqopt.pulseq.played import Readout
from seqopt.pulseq.readback import PlayedSequence

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_CHUNK = 2_000_000  # samples looked at together
_STEP_PER_M = 0.05  # between readouts: less is the rounding of a file, not an encoding


def serves_image(readout: Readout) -> bool:
    """Whether a readout is part of the image: no noise, navigator (NAV), or reference (REF) that is no image (IMA)."""
    labels = readout.labels
    reference_only = bool(labels.get("REF", 0)) and not labels.get("IMA", 0)
    return not (readout.is_noise or labels.get("NAV", 0) or reference_only)


def image_from_block(played: PlayedSequence) -> int:
    """The first block after calibration scans that come before the image; 0 without any."""
    image = next((readout.block for readout in played.readouts if serves_image(readout)), 0)
    others = [r.block for r in played.readouts if not r.is_noise and not serves_image(r) and r.block < image]
    return max(others) + 1 if others else 0


@dataclass(frozen=True)
class ReadoutTable:
    """Readouts after an excitation, in play order."""

    played: PlayedSequence
    readouts: list[Readout]

    @classmethod
    def of(cls, played: PlayedSequence) -> ReadoutTable:
        """Those that serve the image; where none does, all but noise."""
        every = [readout for readout in played.readouts if not readout.is_noise]
        return cls(played, [readout for readout in every if serves_image(readout)] or every)

    def __len__(self) -> int:
        return len(self.readouts)

    def label(self, name: str) -> IntArray:
        """(n,) a label's value, 0 where it was never set."""
        return np.array([readout.labels.get(name, 0) for readout in self.readouts], dtype=np.int64)

    @cached_property
    def dwells_s(self) -> FloatArray:
        """(n,) dwell of each."""
        return np.array([readout.dwell_s for readout in self.readouts])

    @cached_property
    def offsets_per_m(self) -> FloatArray:
        """(n, 3) k at the start of each readout's block."""
        return np.array([readout.offset_per_m for readout in self.readouts]).reshape(-1, 3)

    @cached_property
    def encoded_axes(self) -> npt.NDArray[np.bool_]:
        """(3,) axes along which k changes during or between readouts; none in spectroscopy of one voxel."""
        inside = (self.highest_per_m > self.lowest_per_m).any(axis=0)
        steps = np.ptp(self.offsets_per_m, axis=0) if len(self) else np.zeros(3)
        return np.asarray(inside | (steps > _STEP_PER_M))

    @cached_property
    def lowest_per_m(self) -> FloatArray:
        """(n, 3) smallest k of each readout by axis."""
        return self._ends[0]

    @cached_property
    def highest_per_m(self) -> FloatArray:
        """(n, 3) largest k of each readout by axis."""
        return self._ends[1]

    @cached_property
    def _ends(self) -> tuple[FloatArray, FloatArray]:
        low, high = np.zeros((len(self), 3)), np.zeros((len(self), 3))
        kernels = self.played.gradients.kernels
        for local, members in self._alike():
            if kernels is not None:
                ends = kernels.ends_of_rows(local)
            else:
                ends = local.min(axis=1), local.max(axis=1)
            low[members], high[members] = ends
        return low + self.offsets_per_m, high + self.offsets_per_m

    @cached_property
    def _nearest(self) -> tuple[IntArray, FloatArray]:
        samples, sizes = np.zeros(len(self), dtype=np.int64), np.zeros(len(self))
        axes = self._plane
        kernels = self.played.gradients.kernels
        if kernels is not None:
            for number, readout in enumerate(self.readouts):
                samples[number], sizes[number] = kernels.nearest(
                    readout.local_moment_per_m.T, readout.offset_per_m, self._is_plane
                )
            return samples, sizes
        for local, members in self._alike():
            for some in np.array_split(members, -(-len(members) * local.shape[1] // _CHUNK)):
                square = np.zeros((len(some), local.shape[1]))
                for axis in axes:
                    square += (local[axis] + self.offsets_per_m[some, axis, None]) ** 2
                at = square.argmin(axis=1)
                samples[some], sizes[some] = at, np.sqrt(square[np.arange(len(some)), at])
        return samples, sizes

    @cached_property
    def _plane(self) -> list[int]:
        """Axes that count for the echo: those that encode, x and y where none does."""
        return np.flatnonzero(self.encoded_axes).tolist() or [0, 1]

    @cached_property
    def _is_plane(self) -> npt.NDArray[np.bool_]:
        return np.isin(np.arange(3), self._plane)

    @property
    def echo_samples(self) -> IntArray:
        """(n,) the sample of each readout that comes nearest to k = 0."""
        return self._nearest[0]

    @property
    def echo_distances_per_m(self) -> FloatArray:
        """(n,) how near to k = 0 each readout comes."""
        return self._nearest[1]

    @cached_property
    def echo_times_s(self) -> FloatArray:
        """(n,) from the centre of the last excitation to the echo sample; NaN without excitation."""
        opened = np.array([
            readout.start_s - readout.excitation.centre_s if readout.excitation is not None else np.nan
            for readout in self.readouts
        ])  # fmt: skip
        return np.asarray(opened + (self.echo_samples + 0.5) * self.dwells_s)

    def k_at(self, number: int, samples: IntArray) -> FloatArray:
        """|k| (n,) of some samples of one readout, over the axes that encode."""
        readout = self.readouts[number]
        k = readout.local_moment_per_m[samples][:, self._plane] + readout.offset_per_m[self._plane]
        return np.asarray(np.linalg.norm(k, axis=1))

    def place(self, number: int, sample: int | None = None) -> str:
        """Where a readout is: its number, block and time, and a sample."""
        readout = self.readouts[number]
        at = readout.start_s + (0.0 if sample is None else (sample + 0.5) * readout.dwell_s)
        inside = "" if sample is None else f", sample {sample}"
        return f"readout {number + 1}{inside}, block {readout.block + 1} at {at * 1e3:.3f} ms"

    def _alike(self) -> Iterator[tuple[FloatArray, IntArray]]:
        """Moments (3, samples) of each distinct readout with the numbers of those that play it."""
        for members in self._members:
            yield np.ascontiguousarray(self.readouts[members[0]].local_moment_per_m.T), members

    @cached_property
    def _members(self) -> list[IntArray]:
        numbers: dict[int, list[int]] = {}
        for number, readout in enumerate(self.readouts):
            numbers.setdefault(id(readout.local_moment_per_m), []).append(number)
        return [np.array(value, dtype=np.int64) for value in numbers.values()]
