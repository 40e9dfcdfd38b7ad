"""Several processes that train as one: each takes its images of the batch, gradients are averaged, nothing else moves.

The same batches, noise and parameters as one process: only the order of a sum over images differs.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import Tensor, distributed

from seqopt.errors import SeqoptError, reject
from seqopt.learn.launch import Place, place_of

TIMEOUT_S = 1800.0
"""How long a process waits for the others: longer than rank 0 needs to write a design."""

_KINDS = (torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64, torch.complex128)
_MOST_AXES = 8


@dataclass(frozen=True)
class World:
    """One process among those of a run; ``alone`` is the world of one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    backend: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where tensors must lie to be communicated: the device that this process computes on."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise SeqoptError(f"rank: got {self.rank}, expected 0..{self.size - 1}; start the run anew")

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """The images of a batch that are this process's own; refuses a batch that the processes cannot share equally.

        Equal parts make the mean of the processes' means the mean over the batch.
        """
        if batch % self.size:
            raise reject(
                "world size",
                got=self.size,
                expected=f"a divisor of the batch {batch}",
                remedy=f"use {_largest_divisor(batch, self.size)} processes or a batch of {_up_to(batch, self.size)}",
            )
        own = batch // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's values, in place."""
        if self.size > 1:
            for tensor in tensors:
                one = tensor.detach().contiguous()
                self._all(lambda one=one: distributed.broadcast(one, 0))  # type: ignore[misc]
                tensor.detach().copy_(one)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace real tensors of one dtype by their mean over the processes, in place, as one message."""
        if self.size > 1 and tensors:
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
            self._all(lambda: distributed.all_reduce(flat))
            flat /= self.size
            means = torch.split(flat, [tensor.numel() for tensor in tensors])
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.detach().copy_(mean.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any process: all get the same answer, so that all stop at the same step."""
        if self.size == 1:
            return flag
        raised = torch.tensor([float(flag)])  # on the CPU, by gloo: a GPU is not waited for
        self._all(lambda: distributed.all_reduce(raised, distributed.ReduceOp.MAX))
        return bool(raised.item() > 0)

    def barrier(self) -> None:
        """Wait for all."""
        self.any(False)

    def share(self, count: int) -> range:
        """Which of ``count`` images this process judges: every ``size``-th."""
        return range(self.rank, count, self.size)

    def gather(self, own: Sequence[Tensor], count: int) -> list[Tensor]:
        """The results of all ``count`` images in order, on every process, from those of each one's ``share(count)``.

        All of one shape and dtype. Raises when the number of results is not that of the share.
        """
        if len(own) != len(self.share(count)):
            raise SeqoptError(f"got {len(own)} results, expected {len(self.share(count))} of {count} images")
        if self.size == 1 or count == 0:
            return list(own)
        dtype, shape = self._kind(own)
        most = -(-count // self.size)
        packed = torch.zeros(most, *shape, dtype=dtype, device=self.device)
        for place, result in enumerate(own):
            packed[place] = result
        sent = packed.view(torch.uint8).contiguous() if packed.ndim > 1 else packed[:, None].view(torch.uint8)
        every = [torch.empty_like(sent) for _ in range(self.size)]
        self._all(lambda: distributed.all_gather(every, sent))
        found = [one.view(dtype).reshape(most, *shape) for one in every]
        origin = own[0].device if own else self.device
        return [found[index % self.size][index // self.size].to(origin) for index in range(count)]

    def _kind(self, own: Sequence[Tensor]) -> tuple[torch.dtype, tuple[int, ...]]:
        """What the first process's results look like: a process without an image has none to look at."""
        described = torch.zeros(_MOST_AXES + 2, dtype=torch.int64)
        if self.is_first:
            shape = own[0].shape
            described[: len(shape) + 2] = torch.tensor([_KINDS.index(own[0].dtype), len(shape), *shape])
        self._all(lambda: distributed.broadcast(described, 0))
        kind, axes, *sizes = described.tolist()
        return _KINDS[kind], tuple(sizes[:axes])

    def _all(self, act: Callable[[], object]) -> None:
        try:
            act()
        except RuntimeError as error:  # gloo and NCCL raise it for a lost peer as for a timeout
            raise SeqoptError(
                f"process {self.rank} of {self.size} waited in vain: another one ended or was silent for "
                f"{TIMEOUT_S / 60:g} min; its own message says why"
            ) from error


alone = World()


@contextmanager
def join(
    device: torch.device,
    *,
    asked: bool = True,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[World]:
    """The world that torchrun or srun started this process in; leaves it at the end.

    ``asked`` says that several processes are expected: then it is an error to find no launcher. Without, torchrun's
    environment is joined too, SLURM's is not (a plain run inside a job stays alone). gloo on a CPU; NCCL on CUDA, where
    ``world.device`` is this process's own GPU.
    """
    environment = os.environ if environment is None else environment
    place = place_of(environment, asked=asked)
    if place is None:
        yield World(device=device)
        return
    own = _own_device(device, place)
    backend = "nccl" if own.type == "cuda" else "gloo"
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if place.threads is not None:
        torch.set_num_threads(place.threads)
    # Imported later (optimisers do), this module keeps the group as a default argument: its threads then outlive
    # destroy_process_group, and now and then abort the process at its end.
    importlib.import_module("torch.distributed.nn.functional")
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if backend == "nccl" else backend,
            init_method=f"tcp://{place.host}:{place.port}",
            rank=place.rank,
            world_size=place.size,
            timeout=timedelta(seconds=timeout_s),
        )
    except (RuntimeError, ValueError) as error:
        raise SeqoptError(
            f"process {place.rank} of {place.size} cannot meet the others at {place.host}:{place.port}; "
            "are all started, and is that port open between the nodes?"
        ) from error
    try:
        yield World(place.rank, place.size, place.local_rank, backend, own)
    except BaseException:
        if backend == "gloo":  # NCCL would first wait for what is under way, perhaps with a process that is gone
            distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def _own_device(device: torch.device, place: Place) -> torch.device:
    if device.type != "cuda":
        return device
    visible = torch.cuda.device_count()
    if visible == 1:  # the scheduler gave each process its own
        return torch.device("cuda", 0)
    if place.local_rank >= visible:
        raise reject(
            "processes on one machine",
            got=f"at least {place.local_rank + 1}",
            expected=f"at most the {visible} GPUs visible there",
            remedy="start fewer, or use --device cpu",
        )
    return torch.device("cuda", place.local_rank)


def _largest_divisor(batch: int, size: int) -> int:
    return next(one for one in range(min(batch, size), 0, -1) if batch % one == 0)


def _up_to(batch: int, size: int) -> int:
    return -(-batch // size) * size
