"""How far a long job is: bars on a terminal, lines elsewhere, and Ctrl-C that stops cleanly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click


class Bars:
    """Progress bars on a terminal, one line a stage elsewhere; the first Ctrl-C asks for a clean stop.

    ``stages`` are names and rough seconds, to weigh the overall bar. ``silent`` shows nothing and still handles Ctrl-C.
    """

    def __init__(self, stages: Mapping[str, float], *, silent: bool = False) -> None:
        self._stages, self._silent = stages, silent

    def __enter__(self) -> Bars:
        import signal

        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._stopping = False
        self._began = time.monotonic()
        self._console = Console(stderr=True, quiet=self._silent)
        self._live = self._console.is_terminal and not self._silent
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[remark]}"),
            console=self._console,
            disable=not self._live,
        )
        self._tasks: dict[str, Any] = {}
        self._announced: set[tuple[str, int]] = set()
        self._overall = self._progress.add_task("whole job", total=round(sum(self._stages.values())), remark="")
        self._progress.start()
        self._previous: Any = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        import signal

        signal.signal(signal.SIGINT, self._previous)
        self._progress.stop()

    def _interrupted(self, *_: object) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        self._console.print("Stopping after this step; press Ctrl-C again to stop at once.")

    def stop(self) -> bool:
        """Whether the user has asked to stop."""
        return self._stopping

    def watch(self, stage: str, done: int, total: int, remark: str) -> None:
        """Show where a stage stands."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, remark=remark)
        self._progress.update(self._tasks[stage], completed=done, total=total, remark=remark)
        if stage not in self._stages:
            return
        before = list(self._stages)[: list(self._stages).index(stage)]
        finished = sum(self._stages[name] for name in before) + self._stages[stage] * done / max(total, 1)
        self._progress.update(self._overall, completed=round(finished))
        if not self._live and not self._silent:
            self._line(stage, done, total, remark, finished)

    def _line(self, stage: str, done: int, total: int, remark: str, finished: float) -> None:
        quarter = 4 * done // max(total, 1)
        if (stage, quarter) in self._announced:
            return
        self._announced.add((stage, quarter))
        spent = time.monotonic() - self._began
        left = spent * (sum(self._stages.values()) - finished) / finished if finished > 0 and done else None
        estimate = "" if left is None else f" (about {left:.0f} s left in all)"
        click.echo(f"  {stage}: {done}/{total} {remark}".rstrip() + estimate, err=True)
