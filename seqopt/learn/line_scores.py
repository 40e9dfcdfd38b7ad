"""What every phase-encoding line is worth to a target: one pass over all the data, forward and backward.

Source: Razumov, Rogov, Dylov, 2022 (IGS), Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqopt.encoding.cartesian import CartesianAcquisition
from seqopt.errors import SeqoptError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Examples(NamedTuple):
    """A batch of images and what a target wants to know of them."""

    images: Tensor
    """(batch, y, x) complex or magnitude."""
    labels: Tensor | None = None
    """(batch, ...) as the target wants them."""
    maps: Tensor | None = None
    """(batch, coils, y, x) of these images, in place of the acquisition's."""


Batches = Callable[[], Iterable[tuple[Tensor, ...] | Examples]]
"""The whole set from its beginning, the same batches in the same order at each call: `Examples`, or plain tuples."""

LineTarget = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Estimate (the reconstruction, or what the network makes of it), true magnitudes (batch, y, x), labels -> mean loss:
as ``make_target`` gives it."""


@dataclass(frozen=True)
class _Encoded:
    """A batch as it is before any line is left out."""

    samples: Tensor
    labels: Tensor | None
    truth: Tensor
    maps: Tensor | None

    @property
    def size_bytes(self) -> int:
        tensors = (self.samples, self.labels, self.truth, self.maps)
        return sum(one.numel() * one.element_size() for one in tensors if one is not None)


class LineScores:
    """The target of any set of lines over one set of images, and its derivative in the weight of each line."""

    def __init__(
        self,
        batches: Batches,
        acquisition: CartesianAcquisition,
        recon: nn.Module,
        target: LineTarget,
        *,
        network: nn.Module | None = None,
        seed: int = 0,
        cache_bytes: int = 2 << 30,
    ) -> None:
        """``network`` takes what ``recon`` gives; it must be frozen: in evaluation, no parameter learning.

        Image number i meets the noise of ``seed`` and i in every pass. The samples are kept between passes where all of
        them fit in ``cache_bytes``, else made anew. Raises `SeqoptError` for a network that is not frozen.
        """
        if network is not None and (network.training or any(one.requires_grad for one in network.parameters())):
            raise SeqoptError("the network that judges lines still learns; call .eval() and .requires_grad_(False)")
        self.batches, self.acquisition, self.recon, self.target = batches, acquisition, recon, target
        self.network, self.seed, self.cache_bytes = network, seed, cache_bytes
        self._kept: list[_Encoded] | None = None
        self._lines: int | None = None

    @property
    def lines(self) -> int:
        """Rows of the images; raises `SeqoptError` when there are none."""
        if self._lines is None:
            first = next(iter(self.batches()), None)
            if first is None:
                raise SeqoptError("choice of lines: got no images, expected at least one batch; give more images")
            self._lines = int(first[0].shape[-2])
        return self._lines

    def value(self, mask: BoolArray) -> float:
        """The mean target over all images under a mask (lines,)."""
        values, images = self._forward(mask)
        return float(np.average(values, weights=images))

    def values(self, mask: BoolArray) -> FloatArray:
        """(images,) the target of each image under a mask (lines,)."""
        return self._forward(mask, at_once=1)[0]

    def _forward(self, mask: BoolArray, at_once: int | None = None) -> tuple[FloatArray, list[int]]:
        """The target of so many images at once, or of whole batches, and the images that each is the mean of."""
        values: list[float] = []
        images: list[int] = []
        with torch.no_grad():
            for encoded in self._encoded():
                estimate = self._estimate(encoded, torch.from_numpy(mask).to(encoded.truth))
                for first in range(0, len(estimate), at_once or len(estimate)):
                    part, labels = slice(first, first + (at_once or len(estimate))), encoded.labels
                    loss = self.target(estimate[part], encoded.truth[part], None if labels is None else labels[part])
                    values.append(float(loss))
                    images.append(len(estimate[part]))
        return self._finite(mask, np.array(values)), images

    def gradient(self, mask: BoolArray) -> tuple[float, FloatArray]:
        """The mean target and its derivative (lines,) in the weight of each line, at the mask: set lines weigh 1."""
        count, value, gradient = 0, 0.0, np.zeros(self.lines)
        with torch.enable_grad():
            for encoded in self._encoded():
                size = len(encoded.truth)
                weights = torch.from_numpy(mask).to(encoded.truth).requires_grad_()
                loss = self.target(self._estimate(encoded, weights), encoded.truth, encoded.labels)
                if not loss.requires_grad:
                    raise SeqoptError("the target does not depend on the lines through a derivative; take a soft one")
                count, value = count + size, value + size * float(loss.detach())
                gradient += size * torch.autograd.grad(loss, weights)[0].double().cpu().numpy()
        numbers = self._finite(mask, np.array([value, *gradient] if count else []))
        return float(numbers[0]) / count, numbers[1:] / count

    @staticmethod
    def _finite(mask: BoolArray, numbers: FloatArray) -> FloatArray:
        if not len(numbers):
            raise SeqoptError("choice of lines: got no images, expected at least one batch; give more images")
        if not np.isfinite(numbers).all():
            raise SeqoptError(
                f"the target of {int(mask.sum())} lines or its derivative is not finite; check images and network"
            )
        return numbers

    def _estimate(self, encoded: _Encoded, weights: Tensor) -> Tensor:
        estimate: Tensor = self.recon(self.acquisition.measurement(encoded.samples, weights, encoded.maps))
        return estimate if self.network is None else self.network(estimate)

    def _encoded(self) -> Iterator[_Encoded]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[_Encoded] | None = []
        first, size_bytes = 0, 0
        for batch in self.batches():
            encoded = self._encode(Examples(*batch), first)
            first, size_bytes = first + len(encoded.truth), size_bytes + encoded.size_bytes
            if size_bytes > self.cache_bytes:
                kept = None
            elif kept is not None:
                kept.append(encoded)
            yield encoded
        if kept:
            self._kept = kept

    def _encode(self, examples: Examples, first: int) -> _Encoded:
        """Each image with its own noise, so that the size of the batches does not matter."""
        device = self.acquisition.device
        images, labels, maps = (None if one is None else one.to(device) for one in examples)
        assert images is not None
        if images.ndim != 3 or images.shape[-2] != self.lines:
            raise SeqoptError(
                f"images of shape {tuple(images.shape)}, expected (batch, {self.lines}, x) like the first; "
                "bring them to one grid"
            )
        if labels is not None and len(labels) != len(images):
            raise SeqoptError(f"labels: got {len(labels)} for {len(images)} images, expected one each; check the pairs")
        signal = images if images.is_complex() else torch.complex(images, torch.zeros_like(images))
        samples = [
            self.acquisition.encode(
                signal[index : index + 1], self._noise(first + index), None if maps is None else maps[index : index + 1]
            )
            for index in range(len(images))
        ]
        return _Encoded(torch.cat(samples), labels, images.abs(), maps)

    def _noise(self, image: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + image)
