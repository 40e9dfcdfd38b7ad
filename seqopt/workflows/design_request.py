"""All that one design run depends on, checked before anything expensive starts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, Protocol, Scanner, TrajectoryDesign
from seqopt.core.segments import check_segments
from seqopt.errors import SeqoptError, reject
from seqopt.learn.recipe import Recipe
from seqopt.pulseq.export import VERSIONS, check_versions
from seqopt.recon.in_loop import in_loop
from seqopt.sampling.initial import InitialPath, Readouts, initial_trajectories
from seqopt.sampling.trajectory import forms
from seqopt.workflows.derating import Derating, Tried
from seqopt.workflows.playable import Stage
from seqopt.workflows.safety import wanted_of, within_limits
from seqopt.workflows.trajectory_file import path_from_file

FloatArray = npt.NDArray[np.float64]
_FILE = "file:"
_NOT_COMPARED = ("out", "resume", "overwrite", "labels", "distributed", "pulseq_versions")
"""None of them changes a result."""


@dataclass(frozen=True, kw_only=True)
class DesignRequest:
    """What ``seqopt design`` was asked for, in SI units."""

    out: Path
    geometry: Geometry
    scanner: Scanner
    protocol: Protocol
    recipe: Recipe
    traj: str = "radial"
    """A family of the registry, or ``file:PATH``."""
    shots: int = 16
    readout_s: float = 4e-3
    dwell_s: float = 4e-6
    images: Path | None = None
    coils: int = 8
    snr: float = 50.0
    seed: int = 0
    device: str = "auto"
    backend: str = "auto"
    resume: bool = False
    overwrite: bool = False
    golden: bool = False
    """Golden-angle increments, where the family has an angle."""
    trajectory_unit: str | None = None
    """Of a ``file:`` trajectory that is a plain array."""
    warm_start: Path | None = None
    """An earlier design to learn on from."""
    distributed: bool = False
    """Expect to be one of several processes."""
    amp: bool = False
    """Networks in bfloat16 on a GPU."""
    compile: bool = False
    """Networks and ODE through torch.compile."""
    pulseq_versions: tuple[str, ...] = VERSIONS
    """Of the files to write."""
    time_optimal: bool = False
    """Play the learned paths in the least time, in as many samples as that takes."""
    largest_move_per_fov: float = 0.5
    """Where the projection would move a learned sample farther (1/FOV), it is re-timed if that adds no samples."""
    limit_pns: float | None = None
    """Keep nerve stimulation below this share of the model's limit in training; the scanner holds it as its limit."""
    avoid_resonances: bool = False
    """Keep the readouts out of the scanner's forbidden bands in training."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Notes for the provenance, for example the name of the preset."""

    def __post_init__(self) -> None:
        self._check_trajectory()
        check_versions(self.pulseq_versions)
        forms[self.recipe.form], in_loop[self.recipe.recon]  # unknown names are refused here
        if not 1 <= self.shots <= 10_000:
            raise reject("shots", got=self.shots, expected="1..10000", remedy="16 is usual for a 256 matrix")
        if not 1e-7 <= self.dwell_s <= 1e-3:
            raise reject("dwell", got=f"{self.dwell_s:g} s", expected="0.0000001..0.001 s", remedy="give it in us")
        ratio = self.dwell_s / self.scanner.adc_raster_s
        if abs(ratio - round(ratio)) > 1e-6:
            raise reject(
                "dwell",
                got=f"{self.dwell_s * 1e6:g} us",
                expected=f"a multiple of the ADC raster {self.scanner.adc_raster_s * 1e6:g} us",
                remedy=f"use {max(1, round(ratio)) * self.scanner.adc_raster_s * 1e6:g} us",
            )
        if not 1e-4 <= self.readout_s <= 0.1:
            raise reject(
                "readout", got=f"{self.readout_s * 1e3:g} ms", expected="0.1..100 ms", remedy="give it in milliseconds"
            )
        self._check_samples()
        if not 1 <= self.coils <= 128:
            raise reject("coils", got=self.coils, expected="1..128", remedy="8 is the default")
        if not 0.01 <= self.largest_move_per_fov <= 100.0:
            raise reject("largest move", got=self.largest_move_per_fov, expected="0.01..100/FOV", remedy="0.5 is usual")
        if self.seed < 0:
            raise reject("seed", got=self.seed, expected="0 or more", remedy="0 is the default")
        if self.geometry.matrix[0] < 16:
            raise reject("matrix", got=self.geometry.matrix[0], expected="16 or more to learn on", remedy="use 32")
        if not self.snr > 0:
            raise reject("SNR", got=self.snr, expected="a number above 0", remedy="50 is the default")
        if self.geometry.matrix[0] != self.geometry.matrix[1] or self.geometry.fov_m[0] != self.geometry.fov_m[1]:
            raise SeqoptError("a design needs a square field of view and matrix; give one number for each")

    def _check_samples(self) -> None:
        samples = self.readout_s / self.dwell_s
        divisor = self.scanner.adc_samples_divisor
        if abs(samples - round(samples)) > 1e-6 or round(samples) % divisor:
            nearest = max(divisor, round(samples / divisor) * divisor)
            raise reject(
                "readout",
                got=f"{self.readout_s * 1e3:g} ms of {samples:g} samples",
                expected=f"a multiple of {divisor} samples",
                remedy=f"use {nearest * self.dwell_s * 1e3:g} ms",
            )
        check_segments(self.scanner, samples=self.samples, dwell_s=self.dwell_s, segments=self.protocol.adc_segments)

    @property
    def samples(self) -> int:
        """ADC samples a shot."""
        return round(self.readout_s / self.dwell_s)

    @property
    def name(self) -> str:
        """File stem of the design."""
        if self.trajectory_file is not None:
            stem = re.sub(r"[^A-Za-z0-9]+", "-", self.trajectory_file.stem).strip("-") or "path"
            return f"file-{stem}-{self.shots}"
        return f"{self.traj}{'-golden' if self.golden else ''}-{self.shots}"

    @property
    def family(self) -> str:
        """Name of the initial trajectory, ``file`` for one that was read."""
        return "file" if self.trajectory_file else self.traj

    @property
    def trajectory_file(self) -> Path | None:
        """PATH of ``file:PATH``."""
        return Path(self.traj.removeprefix(_FILE)).expanduser() if self.traj.startswith(_FILE) else None

    def _check_trajectory(self) -> None:
        if self.trajectory_file is None:
            initial_trajectories[self.traj]
            if self.trajectory_unit is not None:
                raise reject(
                    "trajectory unit",
                    got=f"{self.trajectory_unit} for the family {self.traj}",
                    expected="a unit only with file:PATH",
                    remedy="leave out --trajectory-unit",
                )
        elif self.golden:
            raise reject("golden angle", got=self.traj, expected="a family with an angle", remedy="leave out --golden")

    def fingerprint(self) -> dict[str, Any]:
        """What a resumed run must have in common with the interrupted one."""
        fields = asdict(replace(self, resume=False, overwrite=False))
        fields["version"] = metadata.version("seqopt")
        warm = self.warm_start
        if warm is not None and warm.is_dir():
            warm = warm / "design.h5"
        for name, file in (("trajectory", self.trajectory_file), ("warm_start", warm)):
            if file is not None and file.is_file():
                fields[f"{name}_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        return {key: str(value) for key, value in fields.items() if key not in _NOT_COMPARED}

    def initial(self) -> InitialPath:
        """The initial trajectory, made once; refuses one that cannot be played within the limits to keep.

        A family is planned at the slew rate at which its sequence keeps them.
        """
        return self._planned[0]

    @cached_property
    def _planned(self) -> tuple[InitialPath, Tried[TrajectoryDesign] | None]:
        if not self._wanted:
            return self._path(1.0), None
        paths: dict[float, InitialPath] = {}

        def play(scanner: Scanner, slew_share: float) -> TrajectoryDesign:
            if slew_share not in paths:
                paths[slew_share] = self._path(slew_share)
            path = paths[slew_share]
            return self._played(path.k_per_m, path, False, {}, scanner, 1.0)

        first = Derating(self.scanner.connection_slew_share)
        found = within_limits(self, play, first, lower=self.trajectory_file is None)
        return paths[found.derating.readouts], found

    def _path(self, slew_share: float) -> InitialPath:
        readouts = Readouts(
            geometry=self.geometry,
            scanner=replace(self.scanner, max_slew_hz_per_m_per_s=slew_share * self.scanner.max_slew_hz_per_m_per_s),
            shots=self.shots,
            samples=self.samples,
            dwell_s=self.dwell_s,
            golden=self.golden,
        )
        if self.trajectory_file is not None:
            return path_from_file(self.trajectory_file, readouts, unit=self.trajectory_unit)
        return initial_trajectories[self.traj](readouts)

    def baseline(self) -> TrajectoryDesign:
        """The initial trajectory as it is played, made once."""
        return self._baseline

    @cached_property
    def _baseline(self) -> TrajectoryDesign:
        initial, found = self._planned
        return self.designed(initial.k_per_m, initial) if found is None else _noted(found)

    @property
    def _wanted(self) -> bool:
        return wanted_of(self).anything(self.scanner)

    def designed(
        self, k_per_m: FloatArray, path: InitialPath, *, yields: bool = False, **provenance: Any
    ) -> TrajectoryDesign:
        """Project a trajectory that started as ``path`` onto the hardware's limits and make it a design.

        One that ``yields`` gives way to the TE and TR asked for and to the limits on stimulation and resonances;
        another takes the time it needs.
        """
        play = partial(self._played, k_per_m, path, yields, provenance)
        planned = self._planned[1]
        if planned is None:
            return play(self.scanner, 1.0)
        return _noted(within_limits(self, play, Derating(planned.derating.connections), lower=yields))

    def _played(
        self,
        k_per_m: FloatArray,
        path: InitialPath,
        yields: bool,
        provenance: Mapping[str, Any],
        scanner: Scanner,
        readout_slew_share: float,
    ) -> TrajectoryDesign:
        stage = Stage(
            geometry=self.geometry,
            scanner=scanner,
            protocol=self.protocol,
            dwell_s=self.dwell_s,
            time_optimal=self.time_optimal,
            largest_move_per_fov=self.largest_move_per_fov,
            readout_slew_share=readout_slew_share,
        )
        played = stage.play(k_per_m, path, yields=yields)
        playable = played.projection
        return TrajectoryDesign(
            name=self.name,
            family=self.family,
            geometry=self.geometry,
            scanner=scanner,
            protocol=self.protocol,
            dwell_s=self.dwell_s,
            adc_start_edge=playable.adc_start_edge,
            echo_sample=played.echo_sample,
            gradient_hz_per_m=playable.gradient_hz_per_m,
            k_start_per_m=playable.k_start_per_m,
            k_per_m=playable.k_per_m,
            initial_k_per_m=played.initial_k_per_m,
            provenance={
                **provenance,
                **({"initial": dict(path.facts)} if path.facts else {}),
                **played.facts,
            },
        )


def _noted(found: Tried[TrajectoryDesign]) -> TrajectoryDesign:
    """The design, with how it was derated in its provenance."""
    facts = {**asdict(found.derating), "largest": found.said}
    if found.lengthened:
        facts["tr_s"] = found.design.protocol.tr_s
    return replace(found.design, provenance={**found.design.provenance, "derating": facts})
