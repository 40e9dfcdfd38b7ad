"""Mutated MRD files, each read in a process of its own: HDF5 is C code, and a damaged file may kill or stop it."""

from __future__ import annotations

import multiprocessing
import resource
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from seqopt.errors import SeqoptError
from seqopt.workflows.reconstruct import reconstruct

SECONDS = 30
ADDRESSES_BYTES = 8 << 30
MEMORY_MIB = 1024


def mutated(whole: bytes, generator: np.random.Generator) -> bytes:
    """A copy that was cut off, or some of whose bytes are others: anywhere, in one run, or in the first 8 kB."""
    damaged = bytearray(whole)
    kind = generator.integers(4)
    if kind == 0:
        return bytes(damaged[: int(generator.integers(len(whole)))])
    if kind == 1:
        for place in generator.integers(0, len(whole), int(generator.integers(1, 40))):
            damaged[place] ^= int(generator.integers(1, 256))
    elif kind == 2:
        start, length = int(generator.integers(min(len(whole), 8000))), int(generator.integers(1, 64))
        damaged[start : start + length] = generator.bytes(length)
    else:
        for place in generator.integers(0, min(8000, len(whole)), int(generator.integers(1, 10))):
            damaged[place] = int(generator.choice([0, 1, 127, 128, 255]))
    return bytes(damaged)


def _read(path: Path, out: Path, told: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_BYTES, ADDRESSES_BYTES))
    before = _peak_mib()
    try:
        summary = reconstruct(path, out, method=None, iterations=1, cross_check=False)
        outcome = f"read: {summary.slices} slices"
    except SeqoptError as error:
        outcome = "refused" if "\n" not in str(error) and not out.exists() else f"untidy refusal: {error}"
    except BaseException:
        outcome = f"traceback: {traceback.format_exc()}"
    taken = _peak_mib() - before
    told.send(outcome if taken < MEMORY_MIB else f"took {taken} MiB; {outcome}")


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def outcomes(bases: list[Path], count: int, seed: int, folder: Path) -> Iterator[tuple[int, str]]:
    """(number of the mutation, what became of it): read, refused, or what should not be."""
    context = multiprocessing.get_context("fork")
    wholes = [path.read_bytes() for path in bases]
    for number in range(count):
        path = folder / "mutated.mrd"
        path.write_bytes(mutated(wholes[number % len(wholes)], np.random.default_rng([seed, number])))
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_read, args=(path, folder / f"out{number}", theirs))
        child.start()
        theirs.close()
        child.join(SECONDS)
        if child.is_alive():
            child.kill()
            child.join()
            yield number, f"still busy after {SECONDS} s"
        elif child.exitcode:
            yield number, f"died with {child.exitcode}"
        else:
            yield number, mine.recv() if mine.poll() else "said nothing"
