"""design.h5: the one file that holds a design. Written to a temporary name, then renamed; no pickles."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seqopt.core import Geometry, MaskDesign, Protocol, TrajectoryDesign, scanner_from_dict
from seqopt.errors import SeqoptError
from seqopt.workflows.mask_store import read_mask_design, write_mask_design

FORMAT = "seqopt-design"
VERSIONS = {"trajectory": 1, "mask": 2}
"""Of each kind of design; readers of before masks know 1 alone and say that they are too old."""
AnyDesign = TrajectoryDesign | MaskDesign
_ARRAYS = {
    "gradient_hz_per_m": "Hz/m",
    "k_start_per_m": "1/m",
    "k_per_m": "1/m",
    "initial_k_per_m": "1/m",
}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it there on success, remove it on any failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        os.close(handle)
    except OSError as error:
        raise SeqoptError(f"cannot write {path}: {error.strerror}; free space or choose another --out") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise SeqoptError(f"cannot write {path}: {reason}; free space or choose another --out") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def save_design(
    path: Path, design: AnyDesign, *, networks: Mapping[str, Mapping[str, np.ndarray[Any, Any]]] | None = None
) -> None:
    """Write ``design.h5``; ``networks`` maps a reconstruction's or a task's name to its weights by parameter name."""
    kind = "mask" if isinstance(design, MaskDesign) else "trajectory"
    buffer = io.BytesIO()  # HDF5 crashes the process when the disk is full; memory and one plain write do not
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSIONS[kind]
        if isinstance(design, MaskDesign):
            file.attrs["kind"] = kind
            write_mask_design(file, design)
        else:
            _write_trajectory(file, design)
        file.attrs["name"] = design.name
        file.attrs["family"] = design.family
        file.create_dataset("provenance_json", data=json.dumps(dict(design.provenance), sort_keys=True))
        for network, weights in (networks or {}).items():
            for name, array in weights.items():
                file.create_dataset(f"networks/{network}/{name}", data=array).attrs["unit"] = "1"
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _write_trajectory(file: h5py.File, design: TrajectoryDesign) -> None:
    for name in ("geometry", "scanner", "protocol"):
        file.attrs[name] = json.dumps(asdict(getattr(design, name)), sort_keys=True)
    file.attrs["dwell_s"] = design.dwell_s
    file.attrs["adc_start_edge"] = design.adc_start_edge
    file.attrs["echo_sample"] = design.echo_sample
    for name, unit in _ARRAYS.items():
        dataset = file.create_dataset(name, data=getattr(design, name), compression="gzip")
        dataset.attrs["unit"] = unit


def load_design(path: Path) -> AnyDesign:
    """Read ``design.h5`` of either kind, given the file or the directory that holds it."""
    with _open(path) as file:
        provenance = json.loads(file["provenance_json"][()])
        if str(file.attrs.get("kind", "trajectory")) == "mask":
            return read_mask_design(file, provenance)
        return _read_trajectory(file, provenance)


def load_trajectory_design(path: Path) -> TrajectoryDesign:
    """Read a design of a trajectory; one of a mask is refused."""
    design = load_design(path)
    if not isinstance(design, TrajectoryDesign):
        raise SeqoptError(f"{path} is the mask {design.name}, expected a trajectory; give a design of another --traj")
    return design


def load_mask_design(path: Path) -> MaskDesign:
    """Read a design of a mask; one of a trajectory is refused."""
    design = load_design(path)
    if not isinstance(design, MaskDesign):
        raise SeqoptError(f"{path} is the trajectory {design.name}, expected a mask; give a design of --traj igs")
    return design


def _read_trajectory(file: h5py.File, provenance: dict[str, Any]) -> TrajectoryDesign:
    geometry = json.loads(file.attrs["geometry"])
    for name in ("fov_m", "matrix"):
        geometry[name] = tuple(geometry[name])
    return TrajectoryDesign(
        name=str(file.attrs["name"]),
        family=str(file.attrs["family"]),
        geometry=Geometry(**geometry),
        scanner=scanner_from_dict(json.loads(file.attrs["scanner"])),
        protocol=Protocol(**json.loads(file.attrs["protocol"])),
        dwell_s=float(file.attrs["dwell_s"]),
        adc_start_edge=int(file.attrs["adc_start_edge"]),
        echo_sample=int(file.attrs["echo_sample"]),
        provenance=provenance,
        **{name: np.asarray(file[name][()], dtype=float) for name in _ARRAYS},
    )


def load_network(path: Path, name: str) -> dict[str, np.ndarray[Any, Any]]:
    """Weights of one learned reconstruction stored in a design, by parameter name."""
    with _open(path) as file:
        if f"networks/{name}" not in file:
            known = ", ".join(file.get("networks", {})) or "none"
            raise SeqoptError(
                f"{path} holds no weights for {name!r} (it holds: {known}); choose another reconstruction"
            )
        weights: dict[str, np.ndarray[Any, Any]] = {}
        file[f"networks/{name}"].visititems(
            lambda key, item: weights.__setitem__(key, item[()]) if isinstance(item, h5py.Dataset) else None
        )
        return weights


@contextlib.contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    file_path = path / "design.h5" if path.is_dir() else path
    if not file_path.exists():
        raise SeqoptError(f"no design at {file_path}; give the directory that `seqopt design` wrote")
    try:
        with h5py.File(file_path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise SeqoptError(
                    f"{file_path} is not a seqopt design (no format mark); give the design.h5 of a design"
                )
            if int(file.attrs["version"]) > max(VERSIONS.values()):
                raise SeqoptError(f"{file_path} was written by a newer seqopt; update seqopt to read it")
            yield file
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SeqoptError(f"{file_path} cannot be read as a design ({error}); it is truncated or damaged") from error
