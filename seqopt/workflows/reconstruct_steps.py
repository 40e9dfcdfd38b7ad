"""The steps between acquired samples and a reconstruction: each on its own, switched by ``recon.toml``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import CartesianData, Geometry, KspaceData, TrajectoryDesign
from seqopt.core.asked_gradient import AskedGradient
from seqopt.errors import SeqoptError
from seqopt.mrd.placement import Placement
from seqopt.mrd.recon_config import MEASURED, ReconConfig
from seqopt.mrd.scan import Scan
from seqopt.pulseq.asked_gradients import asked_gradients
from seqopt.recon.coil_compression import compression_matrix
from seqopt.recon.field_map import field_map_hz
from seqopt.recon.girf import Girf, asked_of_design, played_k, read_girf
from seqopt.recon.prewhiten import prewhiten
from seqopt.recon.ring import radial_spokes, ring_shift, shifted_spokes
from seqopt.workflows.field_map_file import FieldMapFile, read_field_map
from seqopt.workflows.reconstruct_calibration import Calibration
from seqopt.workflows.reconstruct_settings import whitening_of

FloatArray = npt.NDArray[np.float64]
_NEGLIGIBLE = 0.05  # 1/FOV: spokes shifted by less are left as they are


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Data that are ready for coil maps, density compensation and a method."""

    data: KspaceData
    calibration: Calibration
    """With the coils mixed as those of the data are."""
    whitened: bool
    field_hz: FloatArray | None
    """(slices, y, x) off-resonance to be corrected."""
    times_s: FloatArray | None
    """(samples,) from the sample nearest to k = 0."""
    record: dict[str, Any]
    """What ``recon.json`` says of the steps."""


@dataclass(kw_only=True)
class Steps:
    """The steps of one file; what is measured once is kept for all of its blocks."""

    config: ReconConfig
    calibration: Calibration
    design: TrajectoryDesign | None
    slices: int
    """In the file."""
    strongest: Callable[[], Scan]
    """Reads the slice that tells most of the gradients' delays."""
    given: frozenset[str] = frozenset()
    """Settings that an option states: what it asks for is done or refused."""
    sequence: Path | None = None
    """The .seq that was played, where it is there."""
    _shift: FloatArray | None = field(default=None, init=False)
    _searched: bool = field(default=False, init=False)
    _girf: Girf | None = field(default=None, init=False)
    _asked: list[AskedGradient] = field(default_factory=list, init=False)
    _field_hz: FloatArray | None = field(default=None, init=False)
    _field_file: FieldMapFile | None = field(default=None, init=False)

    def prepare(self, data: KspaceData, placement: Placement, places: Sequence[int], notes: list[str]) -> Prepared:
        """Whiten, correct k by the gradient response and the delays, compress the coils, find the field map.

        In: ``places`` of the data's slices among those of the file. Raises `SeqoptError` for steps that are asked for
        and cannot be done with these data.
        """
        config = self.config
        if config.partial_fourier == "pocs":
            raise SeqoptError("partial_fourier = 'pocs' is for Cartesian lines; these data lie along a trajectory")
        whitening = self._whitening(data, notes)
        if whitening is not None:
            data = replace(data, samples=prewhiten(data.samples, whitening))
        data = self._by_response(data, placement, notes)
        data = self._by_delays(data, notes)
        mixing = None
        if config.coil_compression:
            mixing = compression_matrix(data.samples, config.coil_compression)
            data = replace(data, samples=prewhiten(data.samples, mixing))
        field_hz = self._field(data.geometry, placement, places, notes)
        echo = int(np.linalg.norm(data.k_per_m, axis=-1).reshape(-1, data.samples.shape[-1]).mean(0).argmin())
        return Prepared(
            data=data,
            calibration=self.calibration.whitened(whitening).whitened(mixing),
            whitened=whitening is not None,
            field_hz=field_hz,
            times_s=None
            if field_hz is None
            else np.asarray((np.arange(data.samples.shape[-1]) - echo) * data.dwell_s, np.float64),
            record={
                "virtual_coils": None if mixing is None else len(mixing),
                "spoke_shift_per_fov": None if self._shift is None else np.round(self._shift, 4).tolist(),
                "girf": Path(config.girf).name if config.girf else None,
                "field_map_corrected": Path(config.field_map).name if config.field_map else None,
            },
        )

    def _whitening(self, data: KspaceData, notes: list[str]) -> npt.NDArray[np.complex128] | None:
        return whitening_of(data, self.config, notes, asked="prewhiten" in self.given)

    def _by_response(self, data: KspaceData, placement: Placement, notes: list[str]) -> KspaceData:
        if not self.config.girf:
            return data
        self._girf = self._girf or read_girf(Path(self.config.girf))
        self._asked = self._asked or self._asked_for()
        fov_m = data.geometry.fov_m
        moved = played_k(data.k_per_m, self._asked, self._girf, fov_m, placement.directions)
        farthest = np.linalg.norm((moved - data.k_per_m) * np.array(fov_m), axis=-1).max()
        since = "the readout's start, for lack of the .seq" if self.sequence is None else "before the excitation"
        notes.append(f"k was corrected by the response to the gradients since {since}, by up to {farthest:.2f}/FOV")
        return replace(data, k_per_m=moved)

    def _asked_for(self) -> list[AskedGradient]:
        if self.sequence is not None:
            return asked_gradients(self.sequence)
        if self.design is not None:
            return asked_of_design(self.design)
        raise SeqoptError("the gradient response needs the gradients that were played; give --design or --seq")

    def _by_delays(self, data: KspaceData, notes: list[str]) -> KspaceData:
        """By calibration spokes where there are some, or else by where the data's own spokes intersect."""
        wanted = self.config.gradient_delays
        if wanted == "none":
            return data
        if self.calibration.delays_s is not None:
            return self.calibration.corrected(data)
        if wanted == "calibration":
            raise SeqoptError("gradient_delays = 'calibration', but the data hold no calibration spokes; use 'auto'")
        if wanted == "auto" and self.config.girf:
            return data  # the response has the delays in it
        if not self._searched:
            self._searched = True
            self._shift = self._found_shift(notes)
        if self._shift is None:
            return data
        moved = np.stack([shifted_spokes(one, self._shift, data.geometry.fov_m) for one in trajectories(data)])
        return replace(data, k_per_m=moved.reshape(data.k_per_m.shape))

    def _found_shift(self, notes: list[str]) -> FloatArray | None:
        """S (2, 2) in 1/FOV from the strongest slice; None without spokes, and where nothing certain is found."""
        asked = self.config.gradient_delays == "ring"
        try:
            scan = self.strongest()
            data = self._by_response(scan.kspace, scan.placement, [])
            k_per_m, fov_m = trajectories(data)[0], data.geometry.fov_m
            spokes = radial_spokes(k_per_m, fov_m)
            if data.samples.shape[1] == 1 and not asked:
                notes.append("gradient delays were not looked for: one coil does not tell where spokes intersect")
                return None
            whitening = self._whitening(data, [])
            samples = data.samples if whitening is None else prewhiten(data.samples, whitening)
            found = ring_shift(samples[0], k_per_m, fov_m)
        except SeqoptError as error:
            if asked:
                raise SeqoptError(str(error)) from error  # about that slice, not the block that is being made
            return None
        if not found.is_found(_NEGLIGIBLE):
            if asked:
                size, wrong = np.abs(found.shift).max(), found.error.max()
                notes.append(f"spokes intersect at the centre within {size:.2f} +- {wrong:.2f}/FOV; k was left")
            return None
        x, y = -1e6 * np.diag(found.shift) / (spokes.spacing.mean() / data.dwell_s)
        notes.append(
            f"spokes intersect off the centre, as if gradients lagged by {x:.2f} us (x) and {y:.2f} us (y); "
            "k was corrected"
        )
        return found.shift

    def _field(
        self, geometry: Geometry, placement: Placement, places: Sequence[int], notes: list[str]
    ) -> FloatArray | None:
        """(slices, y, x) of the block's slices, chosen by their positions where the file states its own."""
        if not self.config.field_map:
            return None
        if self.config.field_map == MEASURED:
            self._field_hz = self._measured(geometry) if self._field_hz is None else self._field_hz
            return self._field_hz[list(places)]
        self._field_file = self._field_file or read_field_map(Path(self.config.field_map))
        if self._field_file.affine_ras_mm is None:
            return self._field_file.of_numbers(geometry, list(places), self.slices)
        return self._field_file.at(placement, geometry, notes)

    def _measured(self, geometry: Geometry) -> FloatArray:
        if "b0" not in self.calibration.scans:
            raise SeqoptError("field_map = 'measured', but the data hold no calibration scan 'b0'; give a NIfTI file")
        return field_map_hz(self.calibration.scans["b0"], geometry)


def trajectories(data: KspaceData) -> FloatArray:
    """(1 or slices, shots, samples, 2) in 1/m."""
    return data.k_per_m if data.k_per_m.ndim == 4 else data.k_per_m[None]


def compressed_lines(data: CartesianData, config: ReconConfig) -> tuple[CartesianData, npt.NDArray[Any] | None]:
    """Cartesian lines with virtual coils, and the matrix that made them; refuses steps that lines do not have."""
    if config.field_map or config.girf:
        raise SeqoptError("field_map and girf are for data along trajectories; these are Cartesian lines")
    if not config.coil_compression:
        return data, None
    mixing = compression_matrix(data.samples, config.coil_compression)
    samples, central = (prewhiten(array, mixing) for array in (data.samples, data.calibration))
    return replace(data, samples=samples, calibration=central), mixing
