"""What streaming must know of each file before the first batch: which slices count, their scale and their kind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.images.image_set import Volume
from seqopt.images.resample import Grid

FORMAT = "seqopt-image-index-1"
SAVE_EVERY = 50  # files: an interrupted first pass over a large folder goes on where it stood
THREADS = min(4, os.cpu_count() or 1)
Read = Callable[[Path, Grid], Volume]


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file as its images would lie in memory."""

    path: Path
    kept: tuple[int, ...]
    """Numbers, within the file, of the slices that hold something."""
    level: float
    """99.9 percentile of the volume's magnitude, which becomes 1."""
    nonnegative: bool
    complex: bool
    step_m: float | None


def level_and_filled(volume: Volume) -> tuple[float, npt.NDArray[np.bool_]]:
    """The 99.9 percentile of a volume's magnitude, and which slices (n,) hold something; refuses an empty volume."""
    level = float(np.quantile(np.abs(volume.images), 0.999))
    if level == 0.0:
        raise SeqoptError(f"{volume.name}: nothing lies within the field of view; check its voxel size and --fov")
    return level, np.abs(volume.images).max(axis=(1, 2)) > 1e-3 * level


def index_files(files: Sequence[Path], grid: Grid, read: Read, *, folder: Path | None = None) -> list[FileRecord]:
    """Look once through every file, a few in memory at a time.

    What was learned is kept in ``folder`` if one is given, and trusted there as long as a file's size and time of
    change are the same. Raises what reading a file raises.
    """
    store = None if folder is None else folder / f"index-{_key(files, grid)}.json"
    known = {} if store is None else _load(store, grid)
    stamps = {file: _stamp(file) for file in files}
    unknown = [file for file in files if known.get(str(file.resolve()), {}).get("stamp") != stamps[file]]
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(unknown), SAVE_EVERY):
            some = unknown[first : first + SAVE_EVERY]
            for file, found in zip(some, pool.map(lambda file: _described(read(file, grid)), some), strict=True):
                known[str(file.resolve())] = {"stamp": stamps[file], **found}
            if store is not None:
                _save(store, grid, known)
    entries = [{key: value for key, value in known[str(file.resolve())].items() if key != "stamp"} for file in files]
    return [
        FileRecord(path=file, **{**entry, "kept": tuple(entry["kept"])})
        for file, entry in zip(files, entries, strict=True)
    ]


def _described(volume: Volume) -> dict[str, Any]:
    level, filled = level_and_filled(volume)
    complex_valued = bool(np.iscomplexobj(volume.images))
    return {
        "kept": np.flatnonzero(filled).tolist(),
        "level": level,
        # also true where nothing needed to be cut off, which comes to the same
        "nonnegative": not complex_valued and float(volume.images.min()) >= 0.0,
        "complex": complex_valued,
        "step_m": volume.step_m,
    }


def _stamp(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _key(files: Sequence[Path], grid: Grid) -> str:
    text = json.dumps([*sorted(str(file.resolve()) for file in files), asdict(grid)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _load(store: Path, grid: Grid) -> dict[str, dict[str, Any]]:
    """What an earlier look found; nothing where that is missing, damaged or foreign, since it can be found again."""
    wanted = {"stamp", *FileRecord.__dataclass_fields__} - {"path"}
    try:
        saved = json.loads(store.read_text(encoding="utf-8"))
        if saved["format"] != FORMAT or saved["grid"] != asdict(grid):
            return {}
        return {name: entry for name, entry in saved["files"].items() if set(entry) == wanted}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save(store: Path, grid: Grid, known: dict[str, dict[str, Any]]) -> None:
    """Keep the findings where that is possible; they can be found again."""
    text = json.dumps({"format": FORMAT, "grid": asdict(grid), "files": known})
    with contextlib.suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=store.parent, prefix=f".{store.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(store)
