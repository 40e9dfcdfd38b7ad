"""What calibration scans bring to a reconstruction: coil maps, corrected k-space and a map of the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import CalibrationScan, Geometry, KspaceData
from seqopt.errors import SeqoptError
from seqopt.mrd.calibration import scans_by_kind
from seqopt.mrd.files import RawFile
from seqopt.mrd.placement import Placement
from seqopt.mrd.recon_config import ReconConfig
from seqopt.recon.coil_maps import estimate_maps
from seqopt.recon.field_map import field_map_hz
from seqopt.recon.gradient_delays import delayed_k, estimate_delays
from seqopt.recon.prewhiten import prewhiten
from seqopt.workflows.pictures import write_nifti

FIELD_MAP = "field_map.nii"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibration scans of one file, and what was measured from them."""

    scans: Mapping[str, CalibrationScan] = field(default_factory=dict)
    delays_s: tuple[float, float] | None = None
    """By which the x and y gradients lag; None where it was not measured."""

    @classmethod
    def of(cls, raw: RawFile, path: Path, config: ReconConfig, notes: list[str]) -> Calibration:
        """Of the file's acquisitions; empty where the settings leave the scans out."""
        scans = scans_by_kind(raw, path, notes)
        if scans and not config.calibration_scans:
            notes.append(f"the calibration scans {', '.join(scans)} were left out, as asked")
            return cls()
        # the response has the delays in it
        wanted = config.gradient_delays == "calibration" or (config.gradient_delays == "auto" and not config.girf)
        if "delays" not in scans or not wanted:
            return cls(scans=scans)
        try:
            delays_s = estimate_delays(scans["delays"])
        except SeqoptError as error:
            notes.append(f"no correction of k-space: {error}")
            return cls(scans=scans)
        x, y = (1e6 * delay for delay in delays_s)
        notes.append(f"gradients lag by {x:.2f} us (x) and {y:.2f} us (y) by the calibration spokes; k was corrected")
        moved = {
            kind: replace(scan, k_per_m=delayed_k(scan.k_per_m, delays_s, scan.dwell_s)) for kind, scan in scans.items()
        }
        return cls(scans=moved, delays_s=delays_s)

    def corrected(self, data: KspaceData) -> KspaceData:
        """The data with the k that lagging gradients played."""
        if self.delays_s is None:
            return data
        return replace(data, k_per_m=delayed_k(data.k_per_m, self.delays_s, data.dwell_s))

    def whitened(self, whitening: npt.NDArray[np.complex128] | None) -> Calibration:
        """With the coils mixed as those of the image are."""
        if whitening is None:
            return self
        scans = {kind: replace(scan, samples=prewhiten(scan.samples, whitening)) for kind, scan in self.scans.items()}
        return replace(self, scans=scans)

    def maps(
        self, geometry: Geometry, config: ReconConfig, *, slices: int, places: Sequence[int]
    ) -> list[npt.NDArray[np.complex64]] | None:
        """Coil maps (coils, y, x) of the slices at ``places`` from the reference scan; None unless it has as many."""
        scan = self.scans.get("maps")
        if scan is None or len(scan.samples) != slices:
            return None
        size = min(config.calibration, len(scan.lines))
        return [
            estimate_maps(scan.samples[place], scan.k_per_m, geometry, method=config.maps, calibration=size)
            for place in places
        ]

    def write_field_map(self, out: Path, geometry: Geometry, placement: Placement) -> tuple[Path, ...]:
        """Write ``field_map.nii`` in Hz where B0 was measured; what was written."""
        if "b0" not in self.scans:
            return ()
        found = field_map_hz(self.scans["b0"], geometry)
        write_nifti(out / FIELD_MAP, found, placement.affine_ras_mm(geometry))
        return (out / FIELD_MAP,)

    def record(self, *, with_maps: bool) -> dict[str, Any]:
        """What ``recon.json`` says of it."""
        delays_us = None if self.delays_s is None else [round(1e6 * delay, 4) for delay in self.delays_s]
        return {
            "calibration_scans": list(self.scans),
            "gradient_delays_us": delays_us,
            "maps_from": "reference scan" if with_maps else "image data",
            "field_map": FIELD_MAP if "b0" in self.scans else None,
        }
