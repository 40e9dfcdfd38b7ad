"""Images that stay on disk: read when asked for, the latest kept in memory, the next batches made beforehand."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.images.image_set import ImageArray, evenly
from seqopt.images.resample import Grid
from seqopt.images.volume_index import FileRecord

AnyArray = npt.NDArray[Any]
T = TypeVar("T")
ReadSlices = Callable[[Path, Grid, Sequence[int], bool], AnyArray]
"""File, grid, slice numbers, whether the volume has no negative values -> (slices, y, x)."""
SAMPLE = 256  # images that stand for all where all would not fit


class StreamedImages:
    """The array (n, y, x) that the files' images would make, of which only what is asked for is read.

    Images come out as if all had been loaded, bit for bit. At most ``memory_limit_bytes`` of the latest stay in memory.
    Safe to read from several threads.
    """

    ndim = 3

    def __init__(
        self,
        records: Sequence[FileRecord],
        images: AnyArray,
        grid: Grid,
        read: ReadSlices,
        *,
        whole: Callable[[Path], bool],
        memory_limit_bytes: int,
    ) -> None:
        """``images`` (n, 2): number of the record, and slice within its file, of each image.

        ``whole`` tells the files of which one slice costs as much as all: those are read at once.
        """
        self._records, self._images, self._grid, self._read = list(records), images, grid, read
        self._whole, self._limit_bytes = whole, memory_limit_bytes
        self.shape = (len(images), grid.matrix, grid.matrix)
        self.dtype = np.dtype(np.complex64 if any(record.complex for record in records) else np.float32)
        self._kept: OrderedDict[tuple[int, int], AnyArray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> AnyArray:
        """One image (y, x) for a number, images (n, y, x) for a slice, a list or an array of numbers or truths."""
        chosen = np.arange(len(self))[key]
        if chosen.ndim == 0:
            return self._one(int(chosen))
        if chosen.ndim > 1:
            raise SeqoptError(f"streamed images: got an index of {chosen.ndim} axes, expected one over the images")
        result = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for place, index in enumerate(chosen):
            result[place] = self._one(int(index))
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> AnyArray:
        """Refuse to become an array: they are streamed because they do not fit."""
        raise SeqoptError(
            f"{len(self)} streamed images: asked for all at once, expected some; take a sample or raise the limit"
        )

    def _one(self, index: int) -> AnyArray:
        place, wanted = (int(number) for number in self._images[index])
        with self._lock:
            found = self._kept.get((place, wanted))
            if found is not None:
                self._kept.move_to_end((place, wanted))
                return found.copy()
        record = self._records[place]
        numbers = list(record.kept) if self._whole(record.path) else [wanted]
        read = self._read(record.path, self._grid, numbers, record.nonnegative) / record.level
        images: dict[tuple[int, int], AnyArray] = {
            (place, number): image.astype(self.dtype) for number, image in zip(numbers, read, strict=True)
        }
        with self._lock:
            for key, image in images.items():
                self._keep(key, image)
        return images[place, wanted].copy()

    def _keep(self, key: tuple[int, int], image: AnyArray) -> None:
        if key in self._kept or image.nbytes > self._limit_bytes:
            return
        self._kept[key] = image
        self._bytes += image.nbytes
        while self._bytes > self._limit_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.nbytes


def sample_of(images: ImageArray, limit: int = SAMPLE) -> AnyArray:
    """All images if they are in memory, else at most ``limit`` evenly spaced ones: (n, y, x), to measure a scale on."""
    if isinstance(images, np.ndarray):
        return images
    return np.asarray(images[evenly(np.arange(len(images)), min(limit, len(images)))])


class Ahead(Generic[T]):
    """A function of the step, whose next results are made in threads while this one is used.

    The same results in the same order as without, since each depends on its step alone; an error is raised where its
    result is asked for. ``close()``, or the end of a ``with`` block, stops the threads.
    """

    def __init__(self, make: Callable[[int], T], *, steps: int, ahead: int = 4, threads: int = 2) -> None:
        """``steps`` is where to stop: nothing is made for a step that will not come."""
        if ahead < 1 or threads < 1:
            raise SeqoptError(f"prefetch: got {ahead} steps ahead in {threads} threads, expected 1 or more of each")
        self._make, self._steps, self._ahead = make, steps, ahead
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="seqopt-images")
        self._coming: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """The result of a step; those that follow are begun."""
        for index in [one for one in self._coming if not step <= one <= step + self._ahead]:
            self._coming.pop(index).cancel()
        for index in range(step, max(step + 1, min(step + self._ahead + 1, self._steps))):
            if index not in self._coming:
                self._coming[index] = self._pool.submit(self._make, index)
        return self._coming.pop(step).result()

    def close(self) -> None:
        """Stop; what is under way is finished and thrown away."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._coming.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
