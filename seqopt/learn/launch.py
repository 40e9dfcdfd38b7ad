"""What torchrun and SLURM tell a process about its place among the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from seqopt.errors import SeqoptError

DEFAULT_PORT = 29500
NODE_LISTS = ("SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST")


@dataclass(frozen=True, kw_only=True)
class Place:
    """One process of a run, and where all of them meet."""

    rank: int
    size: int
    local_rank: int
    host: str
    port: int
    threads: int | None = None
    """Threads that the scheduler gave each process, where it says so and nothing else does."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size or self.local_rank < 0 or not 0 < self.port < 65536:
            raise SeqoptError(
                f"distributed run: got rank {self.rank} of {self.size}, local rank {self.local_rank} and port "
                f"{self.port}, expected a rank below the size; start it with torchrun or srun"
            )


def place_of(environment: Mapping[str, str], *, asked: bool) -> Place | None:
    """The place by torchrun's variables, else by SLURM's if ``asked``; None for a process on its own.

    Raises when ``asked`` and there is neither, and for variables that are not numbers or missing.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _torchrun(environment)
    if not asked:
        return None
    if "SLURM_PROCID" in environment:
        return _slurm(environment)
    raise SeqoptError(
        "--distributed: got neither torchrun's nor SLURM's environment, expected one of them; start it with "
        "'torchrun --nproc-per-node N $(which seqopt) design ...' or, in a SLURM job, 'srun seqopt design ...'"
    )


def _torchrun(environment: Mapping[str, str]) -> Place:
    return Place(
        rank=_whole(environment, "RANK"),
        size=_whole(environment, "WORLD_SIZE"),
        local_rank=_whole(environment, "LOCAL_RANK"),
        host=environment.get("MASTER_ADDR", "127.0.0.1"),
        port=_whole(environment, "MASTER_PORT", DEFAULT_PORT),
    )


def _slurm(environment: Mapping[str, str]) -> Place:
    # a job's script is process 0 of its NTASKS too; only srun sets the numbers of the step
    size = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
    known = [environment[name] for name in NODE_LISTS if name in environment]
    job = environment.get("SLURM_JOB_ID", "0")
    # two jobs may share a node: each meets at its own port
    own_port = 20000 + int(job) % 20000 if job.isdigit() else DEFAULT_PORT
    threads = environment.get("SLURM_CPUS_PER_TASK", "")
    return Place(
        rank=_whole(environment, "SLURM_PROCID"),
        size=_whole(environment, size),
        local_rank=_whole(environment, "SLURM_LOCALID", 0),
        host=environment.get("MASTER_ADDR") or first_host(known[0] if known else "127.0.0.1"),
        port=_whole(environment, "MASTER_PORT", own_port),
        threads=int(threads) if threads.isdigit() and "OMP_NUM_THREADS" not in environment else None,
    )


def first_host(nodes: str) -> str:
    """First name of SLURM's compressed list: ``node[01-04,07],other`` -> ``node01``."""
    found = re.match(r"([^,\[\]\s]+)(?:\[([^\]]+)\])?([^,\[\]\s]*)", nodes.strip())
    if found is None:
        raise SeqoptError(f"SLURM's list of nodes: got {nodes!r}, expected names as node[01-04,07]; set MASTER_ADDR")
    prefix, ranges, suffix = found.groups()
    first = re.split(r"[-,]", ranges)[0] if ranges else ""
    return f"{prefix}{first}{suffix}"


def _whole(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "" if default is None else str(default))
    try:
        return int(text)
    except ValueError:
        raise SeqoptError(
            f"{name}: got {text!r} in the environment, expected a whole number; start the run with torchrun or srun"
        ) from None
