"""What the image sources make: volumes on the way in, one `ImageSet` on the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

SPLITS = ("train", "validation", "test")
AnyArray = npt.NDArray[Any]
IndexArray = npt.NDArray[np.int64]


class ImageArray(Protocol):
    """What images (n, y, x) must be able to do, in memory or streamed from disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, y, x)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or complex64."""
        ...

    @property
    def ndim(self) -> int:
        """3."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Slices of one subject or file, already on the target grid, in their order along the slice axis."""

    name: str
    images: AnyArray
    """(n, y, x) float32 or complex64 in the source's own scale."""
    step_m: float | None = None
    """Distance between neighbouring slices in metres, where known."""
    channels: Mapping[str, AnyArray] = field(default_factory=dict)
    """Tissue maps (n, y, x) in 0..1."""


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images to learn from, with the splits that keep neighbouring slices apart."""

    images: ImageArray
    """(n, y, x) float32 or complex64, in memory or streamed; the 99.9 percentile of each volume's magnitude is 1."""
    voxel_m: float
    """Pixel size in metres, along x and y."""
    source: str
    """Where the images come from, for reports and provenance."""
    splits: Mapping[str, IndexArray]
    """Image numbers of 'train', 'validation' and 'test'."""
    channels: Mapping[str, AnyArray] = field(default_factory=dict)
    """Tissue maps (n, y, x) float32 in 0..1: 'GM' and 'WM' where the source has them."""

    def __post_init__(self) -> None:
        if self.images.ndim != 3:
            raise SeqoptError(f"{self.source}: images have shape {self.images.shape}, expected (n, y, x)")
        if isinstance(self.images, np.ndarray) and not np.isfinite(self.images).all():
            raise SeqoptError(f"{self.source}: the images hold NaN or infinity; mend or leave out the damaged ones")
        for name in SPLITS:
            if len(self.splits.get(name, ())) == 0:
                raise SeqoptError(f"{self.source}: the split {name!r} is empty; give more images")
        taken = np.concatenate([self.splits[name] for name in SPLITS])
        if len(np.unique(taken)) != len(taken):
            raise SeqoptError(f"{self.source}: an image belongs to two splits")
        for name, maps in self.channels.items():
            if maps.shape != self.images.shape:
                raise SeqoptError(f"{self.source}: map {name} has shape {maps.shape}, expected {self.images.shape}")

    def maps(self, names: Sequence[str], indices: IndexArray | None = None) -> AnyArray:
        """Tissue maps (n, names, y, x) of all images or of some; raises `SeqoptError` where the source has none."""
        missing = [name for name in names if name not in self.channels]
        if missing:
            raise SeqoptError(
                f"{self.source}: got images without the tissue maps {', '.join(missing)}, which the task needs; "
                "take the embedded brain, or leave out the task"
            )
        chosen = slice(None) if indices is None else indices
        return np.stack([self.channels[name][chosen] for name in names], 1)

    def select(self, split: str, limit: int | None = None) -> IndexArray:
        """Image numbers of one split, at most ``limit`` of them, evenly spaced."""
        if split not in self.splits:
            raise SeqoptError(f"unknown split {split!r}; known: {', '.join(self.splits)}")
        return evenly(self.splits[split], limit)


def evenly(indices: IndexArray, limit: int | None) -> IndexArray:
    """At most ``limit`` evenly spaced entries of (n,) indices, each from the middle of its stretch."""
    if limit is None or limit >= len(indices):
        return indices
    if limit < 1:
        raise SeqoptError(f"limit: got {limit}, expected at least 1; leave it out to take all images")
    return np.asarray(indices[((np.arange(limit) + 0.5) * len(indices) / limit).astype(int)])
