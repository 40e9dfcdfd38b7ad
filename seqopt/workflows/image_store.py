"""Images on disk until the last one is there, so that memory does not grow with slices or repetitions."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.image_head import ImageHead

AnyArray = npt.NDArray[Any]
FloatImage = npt.NDArray[np.float32]
_WINDOW_QUANTILE = 0.997
_SAMPLED = 4096  # pixels of each image that are kept for the window


class ImageStore:
    """Magnitude images of one size with their heads, in an unnamed file in ``folder`` that goes when this closes.

    The folder is made with the first image, and removed again where nothing but this made it and an error ends it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heads: list[ImageHead] = []
        self.shape: tuple[int, int] = (0, 0)
        self.largest = 0.0
        self._file: IO[bytes] | None = None
        self._made: list[Path] = []
        self._scratch: list[tempfile.TemporaryDirectory[str]] = []
        self._sampled: list[FloatImage] = []
        self._top: float | None = None

    def add(self, images: AnyArray, heads: Sequence[ImageHead]) -> None:
        """Keep the magnitude of images (n, y, x), one a head.

        Raises `SeqoptError` for images of another size than those before, and for a disk that is full.
        """
        if images.ndim != 3 or len(images) != len(heads) or (self.heads and images.shape[1:] != self.shape):
            raise SeqoptError(
                f"images of shape {images.shape}, expected {(len(heads), *(self.shape if self.heads else ('y', 'x')))}"
            )
        self.shape = (int(images.shape[1]), int(images.shape[2]))
        magnitude = np.ascontiguousarray(np.abs(images), dtype=np.float32)
        self.largest = max(self.largest, float(magnitude.max()))
        every = max(1, magnitude[0].size // _SAMPLED)
        self._sampled += [image.reshape(-1)[::every].copy() for image in magnitude]  # a view would keep it all
        self._write(magnitude)
        self.heads += heads
        self._top = None

    def scratch(self) -> Path:
        """A fresh folder in ``folder`` that goes when this closes, for files that are not all there yet."""
        with self._writing():
            made = tempfile.TemporaryDirectory(dir=self._folder(), prefix=".scratch.")
        self._scratch.append(made)
        return Path(made.name)

    def _folder(self) -> Path:
        if not self.folder.exists():
            self._made += [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder

    def _write(self, magnitude: FloatImage) -> None:
        with self._writing():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder(), prefix=".images.")
            self._file.seek(0, 2)
            self._file.write(magnitude.data)
            self._file.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"cannot write in {self.folder}: {error.strerror}"
            raise SeqoptError(f"{reason}; free space or choose another --out") from error

    def __len__(self) -> int:
        return len(self.heads)

    def image(self, place: int) -> FloatImage:
        """(y, x) magnitude of the image that was added as number ``place``."""
        if self._file is None or not 0 <= place < len(self.heads):
            raise SeqoptError(f"image {place} of {len(self.heads)} is asked for")
        count = self.shape[0] * self.shape[1]
        self._file.seek(4 * count * place)
        return np.frombuffer(self._file.read(4 * count), np.float32).reshape(self.shape)

    def images(self, places: Sequence[int]) -> Iterator[FloatImage]:
        """Images one after the other, each read when it is wanted."""
        return (self.image(place) for place in places)

    @property
    def top(self) -> float:
        """White of a grey scale that suits every image: nearly the brightest pixel."""
        if self._top is None:
            self._top = max(float(np.quantile(np.concatenate(self._sampled), _WINDOW_QUANTILE)), 1e-30)
        return self._top

    @property
    def window(self) -> tuple[float, float]:
        """Centre and width of that grey scale."""
        return self.top / 2, self.top

    def __enter__(self) -> ImageStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        for made in self._scratch:
            made.cleanup()
        if error is not None:
            with contextlib.suppress(OSError):  # not empty: something else was written
                for path in self._made:
                    path.rmdir()
