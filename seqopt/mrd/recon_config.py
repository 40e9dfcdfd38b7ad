"""``recon.toml``: how the data of a design are to be reconstructed, beside the design."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from seqopt.errors import SeqoptError, reject

FORMAT_VERSION = 1
PARTIAL_FOURIER = ("auto", "zero", "pocs")
GRADIENT_DELAYS = ("auto", "calibration", "ring", "none")
MEASURED = "measured"
"""The field map that the scan's own calibration gives."""
_COMMENTS = {
    "method": "auto, adjoint, cg-sense, l1-wavelet, tv, unet or unrolled; of lines also zero-filled and grappa",
    "regularisation": "relative to a unitary-scaled encoding; of l1-wavelet and tv to the brightest pixel",
    "maps": "coil maps from the centre of the data: walsh or espirit",
    "calibration": "side of the k-space centre for the coil maps, in 1/FOV",
    "density": "density compensation of the samples: pipe-menon, analytic (radial and spiral), file or none",
    "prewhiten": "by the noise readout: coils of equal, uncorrelated noise",
    "remove_oversampling": "of Cartesian lines; else the image shows all that was encoded",
    "coil_compression": "0 keeps the coils; a share of the energy, or a number of virtual coils",
    "partial_fourier": "auto, zero or pocs: what lines lack on one side of k-space",
    "gradient_delays": "auto, calibration (spokes of the scan), ring (where radial spokes intersect) or none",
    "girf": "CSV of the gradients' response, applied to what the .seq plays; beside this file",
    "field_map": "off-resonance: a NIfTI beside this file, in Hz, positive where spins precess faster; or measured",
    "segments": "most terms by which off-resonance is approximated",
    "calibration_scans": "use those that the data hold: coil maps, gradient delays, field map",
    "cross_check": "compare the NUFFT with sigpy's on the data themselves",
    "cross_check_sense": "compare coil maps and CG-SENSE with sigpy's, too",
    "seq_md5": "signature of the .seq that these settings belong to, its newest version",
    "seq_md5_v1_4_1": "of the .seq in older versions, where there are",
}


@dataclass(frozen=True, kw_only=True)
class ReconConfig:
    """Settings of one reconstruction."""

    method: str = "cg-sense"
    iterations: int = 12
    regularisation: float = 0.01
    maps: str = "walsh"
    calibration: int = 24
    density: str = "pipe-menon"
    prewhiten: bool = True
    remove_oversampling: bool = True
    coil_compression: float = 0.0
    partial_fourier: str = "auto"
    gradient_delays: str = "auto"
    girf: str = ""
    field_map: str = ""
    segments: int = 8
    cross_check: bool = True
    cross_check_sense: bool = False
    calibration_scans: bool = True
    design: str = "design.h5"
    sequence: str = ""
    header: str = ""
    seq_md5: str = ""
    seq_md5_v1_4_1: str = ""
    seqopt_version: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not 1 <= self.iterations <= 1000:
            raise reject("iterations", got=self.iterations, expected="1..1000", remedy="12 is usual")
        if not 0.0 <= self.regularisation <= 1e3:
            raise reject("regularisation", got=self.regularisation, expected="0..1000", remedy="0.01 is usual")
        if not 6 <= self.calibration <= 128:
            raise reject("calibration", got=self.calibration, expected="6..128", remedy="24 is usual")
        for name, known in (("gradient_delays", GRADIENT_DELAYS), ("partial_fourier", PARTIAL_FOURIER)):
            if getattr(self, name) not in known:
                raise reject(name, got=repr(getattr(self, name)), expected=", ".join(known), remedy="auto is usual")
        if not 0.0 <= self.coil_compression <= 1024:
            raise reject("coil_compression", got=self.coil_compression, expected="0..1024", remedy="0.99 is usual")
        if not 1 <= self.segments <= 64:
            raise reject("segments", got=self.segments, expected="1..64", remedy="8 is usual")
        if self.format_version > FORMAT_VERSION:
            raise SeqoptError("recon.toml was written by a newer seqopt; update seqopt to read it")


def recon_toml(config: ReconConfig) -> str:
    """The text of ``recon.toml``."""
    lines = ["# How `seqopt recon` reconstructs data of this design; command line options come first."]
    for name, value in asdict(config).items():
        comment = f"  # {_COMMENTS[name]}" if name in _COMMENTS else ""
        lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}{comment}")
    return "\n".join(lines) + "\n"


def read_recon_config(path: Path) -> ReconConfig:
    """Read ``recon.toml``; unknown names and wrong types are refused with the list of known ones."""
    return read_stated(path)[0]


def read_stated(path: Path) -> tuple[ReconConfig, frozenset[str]]:
    """What `read_recon_config` reads, and the names of the settings that the file states."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SeqoptError(f"{path} cannot be read as TOML ({error}); write the design anew") from error
    types = {field.name: type(field.default) for field in fields(ReconConfig)}
    for name, value in table.items():
        if name not in types:
            raise SeqoptError(f"{path}: unknown setting {name!r}; known: {', '.join(types)}")
        if types[name] is float and type(value) is int:
            table[name] = float(value)
        elif type(value) is not types[name]:
            raise SeqoptError(f"{path}: {name} = {value!r}, expected a {types[name].__name__}")
    return ReconConfig(**table), frozenset(table)
