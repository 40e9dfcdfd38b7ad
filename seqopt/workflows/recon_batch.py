"""Many files, given at once or arriving in a folder: each to a folder of its own, resumable, failures kept apart."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from seqopt import __version__
from seqopt.errors import SeqoptError
from seqopt.learn.launch import place_of
from seqopt.learn.parallel import join
from seqopt.mrd.recon_config import ReconConfig
from seqopt.workflows.dicom import digest_of
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.reconstruct_output import ReconSummary, require_formats
from seqopt.workflows.reconstruct_settings import settle
from seqopt.workflows.store import write_text

ENDINGS = (".mrd", ".h5", ".hdf5")
DONE = "done.json"
RECORD = "recon.json"
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

    A file is taken once its size and time have not changed for ``quiet_s``; one that changes later is done again. Its
    folder is that of its name, and stays so whatever else arrives, in this run and in later ones.
    Hidden files and those with other endings, as uploads under a temporary name have, are passed over.
    Raises `SeqoptError` where there is no such folder.
    """
    if not folder.is_dir():
        raise SeqoptError(f"no folder at {folder}; give the one in which files arrive")
    _check(options)
    seen: dict[Path, tuple[tuple[int, int], float]] = {}
    told: dict[Path, tuple[int, int]] = {}
    folders: dict[Path, Path] = {}
    while True:
        idle = True
        for scan, state in _arrived(folder).items():
            if scan not in seen or seen[scan][0] != state:
                seen[scan] = (state, time.monotonic())
            if told.get(scan) == state or time.monotonic() - seen[scan][1] < quiet_s:
                continue
            told[scan] = state
            idle = False
            if scan not in folders:
                folders[scan] = _folder_of(scan, out, folders.values())
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
    _config(options)
    require_formats(options.get("formats", ()))


def _config(options: Mapping[str, Any]) -> ReconConfig:
    names = {field.name for field in fields(ReconConfig)}
    return settle(options.get("design_path"), {name: options[name] for name in names & options.keys()}).config


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


def _folder_of(scan: Path, out: Path, taken: Collection[Path]) -> Path:
    """The folder that holds the file's images already, or the first that is nobody's."""
    names = [scan.stem, scan.name, *(f"{scan.name}-{number}" for number in range(2, 100))]
    free = [out / name for name in names if out / name not in taken]
    owners = [_owner(folder) for folder in free]
    return free[owners.index(scan.name) if scan.name in owners else owners.index(None)]


def _owner(folder: Path) -> str | None:
    """Name of the file whose images a folder holds."""
    for name in (DONE, RECORD):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads((folder / name).read_text(encoding="utf-8"))["scan"])
    return None


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
        if _is_done(out, mark):
            return FileResult(scan=scan, out=out, before=True)
        (out / DONE).unlink(missing_ok=True)
        summary = work(scan, out, **options)
        if summary.agrees:
            made = {"files": sorted(path.relative_to(out).as_posix() for path in summary.files)}
            write_text(out / DONE, json.dumps(mark | made, indent=2, sort_keys=True) + "\n")
    except SeqoptError as error:
        return FileResult(scan=scan, out=out, error=str(error), seconds=time.monotonic() - began)
    except Exception as error:  # whatever it is, the other files are still due
        reason = (str(error).splitlines() or [""])[0]
        text = f"{type(error).__name__}: {reason}; please report it with the file's header"
        return FileResult(scan=scan, out=out, error=text, seconds=time.monotonic() - began)
    return FileResult(scan=scan, out=out, summary=summary, seconds=time.monotonic() - began)


def _mark(scan: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """What tells this reconstruction from others: the file, the options, all that they name, and the version."""
    try:
        status = scan.stat()
    except OSError as error:
        raise SeqoptError(f"no MRD file at {scan}; give an .mrd or .h5 file of raw data") from error
    return {
        "scan": scan.name,
        "bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "options": {name: str(value) for name, value in sorted(options.items()) if value is not None},
        "contents": [[path.name, digest_of(path)] for path in _read_besides(options) if path.is_file()],
        "seqopt_version": __version__,
    }


def _read_besides(options: Mapping[str, Any]) -> Iterator[Path]:
    """Files that a reconstruction may read beside the scan: those of options, of the design, of its ``recon.toml``."""
    config, design = _config(options), options.get("design_path")
    yield from (value for value in options.values() if isinstance(value, Path))
    yield from (Path(config.girf), Path(config.field_map))
    if design is not None:
        folder = design if design.is_dir() else design.parent
        yield from (folder / "design.h5", folder / "recon.toml")
        yield from sorted(folder.glob("*.seq")) if config.girf else ()  # whose gradients the response is applied to


def _is_done(out: Path, mark: Mapping[str, Any]) -> bool:
    """Whether the folder's mark is this one, and all that was written is still there."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads((out / DONE).read_text(encoding="utf-8"))
        files = told.pop("files")
        return bool(told == mark and all((out / name).is_file() for name in files))
    return False
