"""Many files, given at once or arriving in a folder: each to a folder of its own, resumable, failures kept apart."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from seqopt import __version__
from seqopt.errors import SeqoptError
from seqopt.learn.launch import place_of
from seqopt.learn.parallel import join
from seqopt.mrd.recon_config import ReconConfig
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.reconstruct_output import ReconSummary, require_formats
from seqopt.workflows.reconstruct_settings import settle
from seqopt.workflows.store import write_text

ENDINGS = (".mrd", ".h5", ".hdf5")
DONE = "done.json"
_POLL_S = 1.0
_PATIENCE_S = 30 * 86400.0  # for the slowest of the processes
Reconstruct = Callable[..., ReconSummary]


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """What became of one file."""

    scan: Path
    out: Path
    summary: ReconSummary | None = None
    """None where it failed, or was done before."""
    error: str | None = None
    before: bool = False
    """An earlier run did it, with the same settings and of the same file."""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether there are no images, or images with which sigpy does not agree."""
        return self.error is not None or (self.summary is not None and not self.summary.agrees)


def reconstruct_many(
    scans: Sequence[Path],
    out: Path,
    *,
    options: Mapping[str, Any],
    rank: int = 0,
    world_size: int = 1,
    work: Reconstruct = reconstruct,
) -> Iterator[FileResult]:
    """Reconstruct every ``world_size``-th of the files, from number ``rank`` on; a failing one does not stop the rest.

    ``options`` are those of `reconstruct`. Each file has its folder in ``out``; one that holds `DONE` for the same
    file and options is passed over. Raises `SeqoptError` for a rank that cannot be, and for options that suit no file.
    """
    if not 0 <= rank < world_size:
        raise SeqoptError(f"rank {rank} of {world_size}: RANK must be 0 .. WORLD_SIZE - 1; start it with torchrun")
    _check(options)
    folders = folders_of(scans, out)
    for scan in list(folders)[rank::world_size]:
        yield _one(scan, folders[scan], options, work)


def watch(
    folder: Path,
    out: Path,
    *,
    options: Mapping[str, Any],
    quiet_s: float = 5.0,
    work: Reconstruct = reconstruct,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[FileResult | None]:
    """Reconstruct MRD files as they arrive in ``folder``, without end; None after each look that found nothing to do.

    A file is taken once its size and time have not changed for ``quiet_s``; one that changes later is done again.
    Hidden files and those with other endings, as uploads under a temporary name have, are passed over.
    Raises `SeqoptError` where there is no such folder.
    """
    if not folder.is_dir():
        raise SeqoptError(f"no folder at {folder}; give the one in which files arrive")
    _check(options)
    seen: dict[Path, tuple[tuple[int, int], float]] = {}
    told: dict[Path, tuple[int, int]] = {}
    while True:
        idle = True
        arrived = _arrived(folder)
        folders = folders_of(list(arrived), out)
        for scan, state in arrived.items():
            if scan not in seen or seen[scan][0] != state:
                seen[scan] = (state, time.monotonic())
            if told.get(scan) == state or time.monotonic() - seen[scan][1] < quiet_s:
                continue
            told[scan] = state
            idle = False
            yield _one(scan, folders[scan], options, work)
        if idle:
            yield None
        pause(min(_POLL_S, max(quiet_s, 0.05)))


def place_among(environment: Mapping[str, str]) -> tuple[int, int]:
    """Rank and number of the processes that torchrun started, or that RANK and WORLD_SIZE state; 0 and 1 alone."""
    place = place_of(environment, asked=False)
    return (0, 1) if place is None else (place.rank, place.size)


def meet_at_the_end(environment: Mapping[str, str]) -> None:
    """Wait for the other processes: torchrun stops all of them as soon as one exits with an error."""
    if "TORCHELASTIC_RUN_ID" in environment and place_among(environment)[1] > 1:
        with join(torch.device("cpu"), asked=False, environment=environment, timeout_s=_PATIENCE_S):
            pass


def _check(options: Mapping[str, Any]) -> None:
    """Refuse what would fail for every file."""
    names = {field.name for field in fields(ReconConfig)}
    settle(options.get("design_path"), {name: value for name, value in options.items() if name in names})
    require_formats(options.get("formats", ()))


def folders_of(scans: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where each file's images go: by its name without ending, or with as much of its path as tells it from others."""
    unique = list(dict.fromkeys(scans))
    for names in (
        [scan.stem for scan in unique],
        [scan.name for scan in unique],
        [f"{scan.absolute().parent.name}_{scan.name}" for scan in unique],
        ["_".join(scan.absolute().parts[1:]) for scan in unique],
    ):
        if max(Counter(names).values(), default=1) == 1:
            break
    return {scan: out / name for scan, name in zip(unique, names, strict=True)}


def _arrived(folder: Path) -> dict[Path, tuple[int, int]]:
    """MRD files by name, with size and time."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            try:
                status = path.stat()
            except OSError:  # gone between the listing and now
                continue
            if path.is_file():
                found[path] = (status.st_size, status.st_mtime_ns)
    return found


def _one(scan: Path, out: Path, options: Mapping[str, Any], work: Reconstruct) -> FileResult:
    began = time.monotonic()
    try:
        mark = _mark(scan, options)
        if _is_done(out / DONE, mark):
            return FileResult(scan=scan, out=out, before=True)
        (out / DONE).unlink(missing_ok=True)
        summary = work(scan, out, **options)
        if summary.agrees:
            write_text(out / DONE, json.dumps(mark, indent=2, sort_keys=True) + "\n")
    except SeqoptError as error:
        return FileResult(scan=scan, out=out, error=str(error), seconds=time.monotonic() - began)
    except Exception as error:  # whatever it is, the other files are still due
        reason = (str(error).splitlines() or [""])[0]
        text = f"{type(error).__name__}: {reason}; please report it with the file's header"
        return FileResult(scan=scan, out=out, error=text, seconds=time.monotonic() - began)
    return FileResult(scan=scan, out=out, summary=summary, seconds=time.monotonic() - began)


def _mark(scan: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """What tells this reconstruction from others: the file, the options, the design and the version."""
    try:
        status = scan.stat()
    except OSError as error:
        raise SeqoptError(f"no MRD file at {scan}; give an .mrd or .h5 file of raw data") from error
    told = {name: str(value) for name, value in sorted(options.items()) if value is not None}
    for name, value in options.items():
        if isinstance(value, Path):
            told[f"content of {name}"] = _digest(value)
    return {
        "scan": scan.name,
        "bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "options": told,
        "seqopt_version": __version__,
    }


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of what a design's folder is reconstructed with."""
    digest = hashlib.sha256()
    for part in (path / "design.h5", path / "recon.toml") if path.is_dir() else (path,):
        if part.is_file():
            digest.update(part.read_bytes())
    return digest.hexdigest()


def _is_done(path: Path, mark: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")) == mark)
    except (OSError, ValueError):
        return False
