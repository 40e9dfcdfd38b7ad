"""The steps between acquired samples and a reconstruction: each on its own, switched by ``recon.toml``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import CartesianData, Geometry, KspaceData, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.placement import Placement
from seqopt.mrd.recon_config import ReconConfig
from seqopt.recon.coil_compression import compression_matrix
from seqopt.recon.field_map import field_map_hz
from seqopt.recon.girf import Girf, played_k, read_girf
from seqopt.recon.prewhiten import prewhiten
from seqopt.recon.ring import radial_spokes, ring_shift, shifted_spokes
from seqopt.workflows.reconstruct_calibration import Calibration
from seqopt.workflows.reconstruct_settings import whitening_of

FloatArray = npt.NDArray[np.float64]
MEASURED = "measured"
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
    _shift: FloatArray | None = field(default=None, init=False)
    _searched: bool = field(default=False, init=False)
    _girf: Girf | None = field(default=None, init=False)
    _field_hz: FloatArray | None = field(default=None, init=False)

    def prepare(self, data: KspaceData, placement: Placement, places: Sequence[int], notes: list[str]) -> Prepared:
        """Whiten, correct k by the gradient response and the delays, compress the coils, find the field map.

        In: ``places`` of the data's slices among those of the file. Raises `SeqoptError` for steps that are asked for
        and cannot be done with these data.
        """
        config = self.config
        whitening = whitening_of(data, config, notes)
        if whitening is not None:
            data = replace(data, samples=prewhiten(data.samples, whitening))
        data = self._by_response(data, placement, notes)
        data = self._by_delays(data, notes)
        mixing = None
        if config.coil_compression:
            mixing = compression_matrix(data.samples, config.coil_compression)
            data = replace(data, samples=prewhiten(data.samples, mixing))
        field_hz = self._field(data.geometry, places)
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

    def _by_response(self, data: KspaceData, placement: Placement, notes: list[str]) -> KspaceData:
        if not self.config.girf:
            return data
        if self.design is None:
            raise SeqoptError("the gradient response is applied to the waveforms of a design; give it with --design")
        self._girf = self._girf or read_girf(Path(self.config.girf))
        moved = played_k(data.k_per_m, self.design, self._girf, placement.directions[:2])
        farthest = np.linalg.norm((moved - data.k_per_m) * np.array(data.geometry.fov_m), axis=-1).max()
        notes.append(f"k was corrected by the gradient response, by up to {farthest:.2f}/FOV")
        return replace(data, k_per_m=moved)

    def _by_delays(self, data: KspaceData, notes: list[str]) -> KspaceData:
        """By calibration spokes where there are some, or else by where the data's own spokes intersect."""
        wanted = self.config.gradient_delays
        if wanted == "none":
            return data
        if wanted != "ring" and self.calibration.delays_s is not None:
            return self.calibration.corrected(data)
        if wanted == "calibration" or (wanted == "auto" and self.config.girf):
            return data  # the response has the delays in it
        k_per_m = data.k_per_m if data.k_per_m.ndim == 4 else data.k_per_m[None]
        fov_m = data.geometry.fov_m
        if not self._searched:
            self._searched = True
            try:
                shift = ring_shift(data.samples[0], k_per_m[0], fov_m)
            except SeqoptError:
                if wanted == "ring":
                    raise
                return data
            if np.abs(shift).max() >= _NEGLIGIBLE:
                self._shift = shift
                speed = radial_spokes(k_per_m[0], fov_m).spacing.mean() / data.dwell_s
                x, y = -1e6 * np.diag(shift) / speed
                notes.append(
                    f"spokes intersect off the centre, as if gradients lagged by {x:.2f} us (x) and {y:.2f} us (y); "
                    "k was corrected"
                )
        if self._shift is None:
            return data
        moved = np.stack([shifted_spokes(one, self._shift, fov_m) for one in k_per_m])
        return replace(data, k_per_m=moved.reshape(data.k_per_m.shape))

    def _field(self, geometry: Geometry, places: Sequence[int]) -> FloatArray | None:
        if not self.config.field_map:
            return None
        if self._field_hz is None:
            self._field_hz = self._measured(geometry) if self.config.field_map == MEASURED else _read(self.config)
        wanted = (self.slices, *geometry.shape)
        if self._field_hz.shape != wanted:
            had, due = (" x ".join(map(str, shape[::-1])) for shape in (self._field_hz.shape, wanted))
            raise SeqoptError(f"the field map has {had} pixels (x, y, slices), the images {due}; resample the map")
        return self._field_hz[list(places)]

    def _measured(self, geometry: Geometry) -> FloatArray:
        if "b0" not in self.calibration.scans:
            raise SeqoptError("field_map = 'measured', but the data hold no calibration scan 'b0'; give a NIfTI file")
        return field_map_hz(self.calibration.scans["b0"], geometry)


def _read(config: ReconConfig) -> FloatArray:
    """(slices, y, x) in Hz from a NIfTI (x, y, slice)."""
    import nibabel

    path = Path(config.field_map)
    try:
        volume = np.asarray(nibabel.load(path).dataobj, dtype=np.float64)
    except Exception as error:  # nibabel raises whatever the file makes it stumble upon
        raise SeqoptError(f"the field map {path} cannot be read as NIfTI ({error})") from error
    volume = volume[..., None] if volume.ndim == 2 else volume
    if volume.ndim != 3 or not np.isfinite(volume).all():
        raise SeqoptError(f"the field map {path} has shape {volume.shape} or holds NaN; expected (x, y, slices) in Hz")
    return np.ascontiguousarray(volume.transpose(2, 1, 0))


def compressed_lines(data: CartesianData, config: ReconConfig) -> tuple[CartesianData, npt.NDArray[Any] | None]:
    """Cartesian lines with virtual coils, and the matrix that made them; refuses steps that lines do not have."""
    if config.field_map or config.girf:
        raise SeqoptError("field_map and girf are for data along trajectories; these are Cartesian lines")
    if not config.coil_compression:
        return data, None
    mixing = compression_matrix(data.samples, config.coil_compression)
    samples, central = (prewhiten(array, mixing) for array in (data.samples, data.calibration))
    return replace(data, samples=samples, calibration=central), mixing
