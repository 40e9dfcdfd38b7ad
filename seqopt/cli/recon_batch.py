"""The lines that ``seqopt recon`` prints for many files, and its exit code."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from seqopt.workflows.recon_batch import FileResult


def reconstruct_files(scans: Sequence[Path], out: Path, options: Mapping[str, Any]) -> int:
    """Reconstruct this process's share of the files, one line each; 1 if any failed."""
    from seqopt.workflows.recon_batch import meet_at_the_end, place_among, reconstruct_many

    rank, world_size = place_among(os.environ)
    failed = _tell(reconstruct_many(scans, out, options=options, rank=rank, world_size=world_size))
    meet_at_the_end(os.environ)
    return 1 if failed else 0


def watch_folder(folder: Path, out: Path, options: Mapping[str, Any], *, quiet_s: float) -> int:
    """Reconstruct files as they arrive until Ctrl-C or SIGTERM; 1 if any failed."""
    from seqopt.workflows.recon_batch import watch

    signal.signal(signal.SIGTERM, _interrupted)
    results: list[FileResult] = []
    try:
        click.echo(f"Watching {folder}; Ctrl-C ends it.")
        for result in watch(folder, out, options=options, quiet_s=quiet_s):
            if result is not None:
                results.append(result)
                click.echo(_line(result))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one finds nothing to stop
        click.echo(_sum(results, "Stopped"))
    return 1 if any(result.failed for result in results) else 0


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(found: Iterable[FileResult]) -> bool:
    results = []
    for result in found:
        results.append(result)
        click.echo(_line(result))
    click.echo(_sum(results, "Done"))
    return any(result.failed for result in results)


def _line(result: FileResult) -> str:
    if result.error is not None:
        return f"{result.scan.name}: FAILED after {result.seconds:.1f} s: {' '.join(result.error.split())}"
    if result.summary is None:
        return f"{result.scan.name}: was done before, in {result.out}"
    summary = result.summary
    notes = f", {len(summary.notes)} note(s)" if summary.notes else ""
    check = "" if summary.agrees else ", sigpy does NOT agree"
    return (
        f"{result.scan.name}: {summary.slices} slice(s) x {summary.volumes} volume(s), {summary.config.method}, "
        f"{result.seconds:.1f} s{check}{notes}, in {result.out}"
    )


def _sum(results: Sequence[FileResult], word: str) -> str:
    failed = sum(result.failed for result in results)
    before = sum(result.before for result in results)
    return f"{word}: {len(results) - failed - before} reconstructed, {before} done before, {failed} failed"
