"""How a mask lies in design.h5; opening, replacing and versions are in `store`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import h5py
import numpy as np

from seqopt.core import CartesianProtocol, Geometry, MaskDesign, Protocol, scanner_from_dict

_PARTS = ("geometry", "scanner", "protocol", "play")
_NUMBERS = ("shots", "calibration", "dwell_s", "oversampling")


def write_mask_design(file: h5py.File, design: MaskDesign) -> None:
    """Everything of a mask but its name, family and provenance into an open file."""
    for name in _PARTS:
        file.attrs[name] = json.dumps(asdict(getattr(design, name)), sort_keys=True)
    for name in _NUMBERS:
        file.attrs[name] = getattr(design, name)
    order = file.create_dataset("order", data=np.asarray(design.order, np.int64))
    order.attrs["unit"] = "1"
    order.attrs["meaning"] = "phase-encoding lines, the most valuable first; line l of N lies at ky = (l - N/2) / FOV"
    lines = file.create_dataset(
        "ky_per_m", data=(design.order - design.geometry.matrix[1] // 2) / design.geometry.fov_m[1]
    )
    lines.attrs["unit"] = "1/m"


def read_mask_design(file: h5py.File, provenance: dict[str, Any]) -> MaskDesign:
    """The mask of an open file; raises KeyError, TypeError or ValueError for a damaged one."""
    parts = {name: json.loads(file.attrs[name]) for name in _PARTS}
    for name in ("fov_m", "matrix"):
        parts["geometry"][name] = tuple(parts["geometry"][name])
    return MaskDesign(
        name=str(file.attrs["name"]),
        family=str(file.attrs["family"]),
        geometry=Geometry(**parts["geometry"]),
        scanner=scanner_from_dict(parts["scanner"]),
        protocol=Protocol(**parts["protocol"]),
        play=CartesianProtocol(**parts["play"]),
        order=np.asarray(file["order"][()], np.int64),
        shots=int(file.attrs["shots"]),
        calibration=int(file.attrs["calibration"]),
        dwell_s=float(file.attrs["dwell_s"]),
        oversampling=int(file.attrs["oversampling"]),
        provenance=provenance,
    )
