"""A trajectory made playable in the echo and repetition time that were asked for; re-timed where it is too fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Protocol, Scanner
from seqopt.core.segments import fitting_segments
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.projection import Ends, Projection, project
from seqopt.gradients.time_optimal import Retimed, path_distance, retime
from seqopt.pulseq.gre_plan import excitation, rasters_after_pulse, rasters_to_adc, spoiler_area_per_m
from seqopt.pulseq.slice_selection import SlicePulse
from seqopt.sampling.initial import InitialPath

FloatArray = npt.NDArray[np.float64]


LEAST_REACH = 0.9
"""Of k: a readout that is played so gently that it reaches less far has lost its resolution."""
MOST_REACH = 1.12
"""Of the matrix's largest k: one that swings out farther is not of this image any more."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """A playable path with the samples that it has."""

    projection: Projection
    echo_sample: int
    initial_k_per_m: FloatArray
    """(shots, samples, 2) where learning started, at as many samples."""
    facts: Mapping[str, Any]
    """For the provenance."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """On what a path is played, and how far it may give way."""

    geometry: Geometry
    scanner: Scanner
    protocol: Protocol
    dwell_s: float
    time_optimal: bool = False
    largest_move_per_fov: float = 0.5
    """A path that the projection would move farther is re-timed, unasked only if no samples are added."""
    readout_slew_share: float = 1.0
    """Of the slew rate that readouts use, against nerve stimulation and resonances."""

    def play(self, k_per_m: FloatArray, path: InitialPath, *, yields: bool) -> Played:
        """Make k (shots, samples, 2), learned from ``path``, playable.

        A path that ``yields`` is re-timed where that is asked for; unasked where the projection would move it too far
        and it takes no more samples. It moves its ends where TE or TR leave too little time for prephaser and rewinder;
        another one is left to be refused. Raises ``SeqoptError`` where nothing playable lies near.
        """
        echo, pinned = path.echo_sample, _echo_k(k_per_m, path)
        k_per_m = k_per_m + (pinned - k_per_m[:, echo])[:, None]  # as a whole to where its echo must be
        found = self._project(k_per_m, echo, pinned, Ends())
        why: dict[str, Any] = {}
        if yields and self.time_optimal:
            return self._retimed(self._faster(k_per_m, path), k_per_m, path, found)
        if yields and found.moved_max_per_fov > self.largest_move_per_fov:
            try:
                again = self._faster(k_per_m, path)
                if again.k_per_m.shape[1] <= k_per_m.shape[1]:
                    return self._retimed(again, k_per_m, path, found)
                why["samples_needed"] = again.k_per_m.shape[1]
            except SeqoptError as error:  # the plain projection is there: what was learned is not lost
                why["impossible"] = str(error)
            why = {"not_retimed": {"moved_max_per_fov": found.moved_max_per_fov, **why}}
        if yields:
            found = self._in_time(found, k_per_m, echo, pinned)
        facts = {**why, "projection": _facts(found)}
        return Played(projection=found, echo_sample=echo, initial_k_per_m=path.k_per_m, facts=facts)

    def _faster(self, k_per_m: FloatArray, path: InitialPath) -> Retimed:
        slew = self.readout_slew_share * self.scanner.max_slew_hz_per_m_per_s
        return retime(
            k_per_m,
            replace(self.scanner, max_slew_hz_per_m_per_s=slew),
            dwell_s=self.dwell_s,
            echo_sample=path.echo_sample,
            fov_m=self._fov_m,
            like_per_m=path.k_per_m,
            fits=self._takes,
        )

    def _retimed(self, again: Retimed, k_per_m: FloatArray, path: InitialPath, plain: Projection) -> Played:
        """The path in its new time; refuses one that lies too far from what was learned."""
        echo, pinned = again.echo_sample, _echo_k(k_per_m, path)
        found = self._project(again.k_per_m, echo, pinned, Ends())
        self._refuse_far(path_distance(found.k_per_m, k_per_m) * self._fov_m)
        found = self._in_time(found, again.k_per_m, echo, pinned)
        facts = {
            "time_optimal": {
                "asked": self.time_optimal,
                "samples_before": k_per_m.shape[1],
                "samples": again.k_per_m.shape[1],
                "moved_max_without_per_fov": plain.moved_max_per_fov,
                "distance_from_path_per_fov": path_distance(found.k_per_m, k_per_m) * self._fov_m,
            },
            "projection": _facts(found),
        }
        return Played(projection=found, echo_sample=echo, initial_k_per_m=_at(path.k_per_m, again), facts=facts)

    @property
    def _fov_m(self) -> float:
        return float(np.mean(self.geometry.fov_m))

    def _takes(self, samples: int) -> bool:
        """Whether the receiver takes so many samples in the protocol's segments."""
        return self.protocol.adc_segments in fitting_segments(self.scanner, samples=samples, dwell_s=self.dwell_s)

    def _project(self, k_per_m: FloatArray, echo: int, pinned: FloatArray, ends: Ends) -> Projection:
        return project(
            k_per_m,
            self.geometry,
            self.scanner,
            dwell_s=self.dwell_s,
            echo_sample=echo,
            echo_k_per_m=pinned,
            ends=Ends(
                slice_before_per_m=-self._pulse(echo).area_after_per_m,
                slice_after_per_m=spoiler_area_per_m(self.protocol, self.geometry),
                most_before=ends.most_before,
                most_after=ends.most_after,
            ),
            slew_share=self.readout_slew_share,
            reach_shares=self._reach_shares(float(np.abs(k_per_m).max())),
        )

    def _reach_shares(self, reach_per_m: float) -> tuple[float, float]:
        """How far a slowed readout may reach, of what was asked."""
        if self.readout_slew_share == 1.0:
            return 0.0, np.inf
        return LEAST_REACH, max(1.0, MOST_REACH * max(self.geometry.k_max_per_m) / reach_per_m)

    def _pulse(self, echo: int) -> SlicePulse:
        return excitation(self.scanner, self.protocol, self.geometry, echo_in_block_s=(echo + 0.5) * self.dwell_s)

    def _in_time(self, found: Projection, k_per_m: FloatArray, echo: int, pinned: FloatArray) -> Projection:
        """The projection again where its prephaser or rewinder takes longer than TE and TR leave."""
        pulse, opens = self._pulse(echo), found.adc_start_edge
        before = rasters_to_adc(self.scanner, self.protocol, pulse, adc_to_echo_s=(echo + 0.5) * self.dwell_s)
        whole = rasters_after_pulse(self.scanner, self.protocol, self.geometry, pulse)
        most_before = before if before is not None and before < opens else None
        most_after = None
        if whole is not None:
            body = int(np.ceil(k_per_m.shape[1] * self.dwell_s / self.scanner.grad_raster_s - 1e-9))
            room = whole - (opens if before is None else max(before, 0)) - body
            most_after = room if room < found.gradient_hz_per_m.shape[1] - 1 - opens - body else None
        if most_before is None and most_after is None:
            return found
        if most_before is None:
            most_before = opens
        return self._project(k_per_m, echo, pinned, Ends(most_before=most_before, most_after=most_after))

    def _refuse_far(self, distance_per_fov: float) -> None:
        if distance_per_fov > self.largest_move_per_fov:
            raise reject(
                "time-optimal readout",
                got=f"a path {distance_per_fov:.2g}/FOV away from the learned one",
                expected=f"at most {self.largest_move_per_fov:g}/FOV",
                remedy="train longer, raise the penalty or allow more by --largest-move",
            )


def _facts(found: Projection) -> dict[str, Any]:
    """``moved`` is from the samples that were to be played; of a re-timed path those are not the learned ones."""
    names = ("moved_max_per_fov", "moved_rms_per_fov", "residual", "iterations", "yielded")
    return {name: getattr(found, name) for name in names}


def _echo_k(k_per_m: FloatArray, path: InitialPath) -> FloatArray:
    """(shots, 2) where k must lie at the echo: what is pinned as it started, the rest as it was learned."""
    start = path.k_per_m[:, path.echo_sample]
    moved = k_per_m[:, path.echo_sample] - start
    return np.asarray(start + moved - np.einsum("sij,sj->si", path.pinned, moved))


def _at(k_per_m: FloatArray, again: Retimed) -> FloatArray:
    """The initial path at the places of the new samples."""
    old = np.arange(k_per_m.shape[1])
    return np.stack(
        [
            np.stack([np.interp(again.position[shot], old, k_per_m[shot, :, axis]) for axis in range(2)], -1)
            for shot in range(len(k_per_m))
        ]
    )
