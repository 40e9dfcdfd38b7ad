"""The cells of an evaluation, each a process of its own, a few at a time; the cells of trajectories are designs."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from seqopt.errors import SeqoptError
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.run import InterruptedRunError, Watch

Stop = Callable[[], bool]


class Named(Protocol):
    """What a cell is called."""

    @property
    def name(self) -> str:
        """In the table and in messages."""
        ...


AnyCell = TypeVar("AnyCell", bound=Named)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One entry of the table."""

    name: str
    request: DesignRequest
    """With the cell's own folder as ``out``."""
    learn: bool
    """Whether a trajectory is learned; otherwise the initial one is judged only."""


def run_cells(
    cells: Sequence[AnyCell],
    work: Callable[[AnyCell, Watch, Stop], str],
    *,
    jobs: int,
    threads: int | None = None,
    watch: Callable[[str], None],
    stop: Stop,
    after: Callable[[], None],
) -> dict[str, str]:
    """Run cells in ``jobs`` processes; ``after`` is called when one is done. Out: errors by cell; the others go on.

    ``work``, a function of a module, does one cell and says what there is to say about it. Each has so many
    ``threads``, by default its share of the cores: their number decides how sums are rounded.
    """
    failures: dict[str, str] = {}
    if not cells:
        return failures
    context = multiprocessing.get_context("spawn")
    news: Any = context.Queue()
    halt: Any = context.Event()  # Ctrl-C reaches the workers by itself in a terminal, but not from `kill`
    threads = threads or max(1, (os.cpu_count() or 1) // jobs)
    todo, done = list(cells), 0
    running: dict[Future[str], tuple[AnyCell, ProcessPoolExecutor]] = {}
    try:
        while running or (todo and not stop()):
            while todo and len(running) < jobs and not stop():
                cell = todo.pop(0)
                # a process of its own: one that is killed, say for memory, takes no other cell with it
                pool = ProcessPoolExecutor(1, mp_context=context, initializer=_prepare, initargs=(news, halt, threads))
                running[pool.submit(_run, work, cell)] = (cell, pool)
                watch(f"{cell.name}: started")
            if stop():
                halt.set()
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            _tell(news, watch)
            for future in finished:
                cell, pool = running.pop(future)
                pool.shutdown()
                done += 1
                watch(f"{cell.name}: {_outcome(future, cell, failures)} ({done} of {len(cells)})")
                after()
    finally:
        halt.set()
        for _, pool in running.values():
            pool.shutdown()
    return failures


def _outcome(future: Future[str], cell: Named, failures: dict[str, str]) -> str:
    try:
        return future.result()
    except SeqoptError as error:
        failures[cell.name] = str(error)
    except Exception as error:  # a worker that was killed, say for memory; the other cells go on
        failures[cell.name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"FAILED: {failures[cell.name]}"


def _tell(news: Any, watch: Callable[[str], None]) -> None:
    while True:
        try:
            watch(news.get_nowait())
        except queue.Empty:
            return


_worker: dict[str, Any] = {"news": None, "halt": None, "stopping": False}


def _prepare(news: Any, halt: Any, threads: int) -> None:
    """In a new worker: its share of the cores, and Ctrl-C as a request to stop after the step."""
    import torch

    torch.set_num_threads(threads)
    _worker.update(news=news, halt=halt)
    signal.signal(signal.SIGINT, lambda *_: _worker.update(stopping=True))


def _run(work: Callable[[AnyCell, Watch, Stop], str], cell: AnyCell) -> str:
    """One cell, in a worker."""
    told: set[tuple[str, int]] = set()

    def watch(stage: str, done: int, total: int, remark: str) -> None:
        half = 2 * done // max(total, 1)
        if done and (stage, half) not in told:
            told.add((stage, half))
            _worker["news"].put(f"{cell.name}: {stage} {done}/{total} {remark}".rstrip())

    began = time.monotonic()
    try:
        said = work(cell, watch, lambda: bool(_worker["stopping"] or _worker["halt"].is_set()))
    except InterruptedRunError:
        raise SeqoptError("interrupted; the same command goes on from its checkpoint") from None
    return f"{said} in {time.monotonic() - began:.0f} s"


def design_cell(cell: Cell, watch: Watch, stop: Stop) -> str:
    """One design, or one judged baseline."""
    from seqopt.workflows.design import design, judge_baseline

    if not cell.learn:
        judge_baseline(cell.request, watch=watch, stop=stop)
        return "judged"
    outcome, certificate = design(cell.request, watch=watch, stop=stop)
    gains = ", ".join(f"{outcome.gain_db(judge):+.2f} dB {judge}" for judge in outcome.scores)
    held = "" if certificate is not None and certificate.holds else ", certificate does NOT hold,"
    return f"{gains}{held}"
