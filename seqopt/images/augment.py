"""Variety for training and fixed images for judging: flips, contrasts, smooth phase, noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.images.image_set import ImageSet

AnyArray = npt.NDArray[Any]
ComplexArray = npt.NDArray[np.complex64]
FloatArray = npt.NDArray[np.float32]
OBJECT_SHARE = 0.1  # of the 99.9 percentile: what is brighter counts as object
PHASE_SWING_RAD = 1.2


Labelled = tuple[ComplexArray, FloatArray]
"""Images (batch, y, x) and the tissue maps that belong to them (batch, names, y, x)."""


@overload
def training_batches(
    images: ImageSet, batch: int, generator: np.random.Generator, *, contrasts: bool = True
) -> Iterator[ComplexArray]: ...
@overload
def training_batches(
    images: ImageSet, batch: int, generator: np.random.Generator, *, labels: Sequence[str], contrasts: bool = True
) -> Iterator[Labelled]: ...
def training_batches(
    images: ImageSet,
    batch: int,
    generator: np.random.Generator,
    *,
    labels: Sequence[str] | None = None,
    contrasts: bool = True,
) -> Iterator[ComplexArray] | Iterator[Labelled]:
    """Endless batches (batch, y, x) complex64 of training images with random flips, contrast and smooth phase.

    Each image comes once before any comes again. Every batch depends on the generator alone. With ``labels``, names of
    tissue maps, each batch is a pair: the same images, and float32 maps (batch, names, y, x) under the same flips.
    Without ``contrasts`` each image keeps its own, as a task that was learned on one contrast wants it.
    Raises `SeqoptError` for a batch below 1 and for maps that the images do not have.
    """
    if batch < 1:
        raise SeqoptError(f"batch: got {batch}, expected at least 1 image")
    if labels is not None:
        images.maps(labels, images.splits["train"][:1])
    drawn = _drawn(images, batch, generator, labels or (), contrasts)
    return drawn if labels is not None else (made for made, _ in drawn)


def _drawn(
    images: ImageSet, batch: int, generator: np.random.Generator, names: Sequence[str], contrasts: bool
) -> Iterator[Labelled]:
    queue: list[int] = []
    while True:
        while len(queue) < batch:
            queue.extend(generator.permutation(images.splits["train"]).tolist())
        chosen, queue = queue[:batch], queue[batch:]
        varied, maps = zip(*(_varied(images, index, generator, names, contrasts) for index in chosen), strict=True)
        yield np.stack(varied), np.stack(maps)


@overload
def evaluation_images(images: ImageSet, split: str, seed: int, limit: int | None = None) -> ComplexArray: ...
@overload
def evaluation_images(
    images: ImageSet, split: str, seed: int, limit: int | None = None, *, labels: Sequence[str]
) -> Labelled: ...
def evaluation_images(
    images: ImageSet, split: str, seed: int, limit: int | None = None, *, labels: Sequence[str] | None = None
) -> ComplexArray | Labelled:
    """The images of one split, always the same for one seed: no flips or contrasts, real images given a smooth phase.

    Out: (n, y, x) complex64, at most ``limit`` evenly spaced ones; an image's phase does not depend on the limit.
    With ``labels``, names of tissue maps, a pair: the same images, and float32 maps (n, names, y, x).
    """
    chosen = images.select(split, limit)
    result = images.images[chosen].astype(np.complex64)
    if not np.iscomplexobj(images.images):
        for place, index in enumerate(chosen):
            result[place] *= smooth_phase(result.shape[1:], np.random.default_rng([seed, int(index)]))
    return result if labels is None else (result, images.maps(labels, chosen).astype(np.float32))


def _varied(
    images: ImageSet, index: int, generator: np.random.Generator, names: Sequence[str], contrasts: bool
) -> tuple[ComplexArray, FloatArray]:
    """One image (y, x) and its maps (names, y, x)."""
    image = images.images[index]
    channels = {name: maps[index] for name, maps in images.channels.items()}
    if contrasts:
        image = random_contrast(image, generator, channels=channels)
    flipped = tuple(axis for axis in (-2, -1) if generator.random() < 0.5)
    image = np.flip(image, axis=flipped)
    labels = np.zeros((0, *image.shape), np.float32) if not names else np.stack([channels[name] for name in names])
    return (
        np.asarray(image * smooth_phase(image.shape, generator), dtype=np.complex64),
        np.flip(labels, axis=flipped).astype(np.float32),
    )


def random_contrast(
    image: AnyArray, generator: np.random.Generator, *, channels: Mapping[str, AnyArray] | None = None
) -> AnyArray:
    """Another contrast of a (y, x) image: tissues remixed where 'GM' and 'WM' maps are known, then a monotone curve.

    The curve bends the magnitude m in 0..1 to ((1 - a) m + a m^g); phase is kept and the scale stays about 1.
    """
    magnitude = np.abs(image)
    if channels and "GM" in channels and "WM" in channels:
        grey, white = channels["GM"], channels["WM"]
        fluid = np.clip(np.minimum(magnitude / 0.15, 1.0) - grey - white, 0.0, 1.0)
        levels = generator.uniform(0.15, 1.0, 3)
        levels /= levels.max()
        mixed = levels[0] * grey + levels[1] * white + levels[2] * fluid
        share = generator.uniform(0.0, 0.8)
        magnitude = (1 - share) * magnitude + share * mixed
    gamma, weight = np.exp(generator.uniform(np.log(0.6), np.log(1.8))), generator.uniform(0.0, 1.0)
    bent = (1 - weight) * magnitude + weight * magnitude**gamma
    scaled = bent * generator.uniform(0.9, 1.1)
    return np.asarray(scaled * np.exp(1j * np.angle(image)) if np.iscomplexobj(image) else scaled)


def smooth_phase(shape: tuple[int, ...], generator: np.random.Generator) -> ComplexArray:
    """Unit phasors (y, x) complex64 of a random offset and a random polynomial of third order over the image.

    The polynomial is scaled to a random swing of up to 1.2 rad either way, as off-resonance and coils give.
    """
    y, x = np.meshgrid(*(np.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    powers = [(i, j) for i in range(4) for j in range(4) if 1 <= i + j <= 3]
    weights = generator.standard_normal(len(powers))
    surface = sum((w * y**i * x**j for w, (i, j) in zip(weights, powers, strict=True)), np.zeros(shape))
    swing = generator.uniform(0.3, 1.0) * PHASE_SWING_RAD / max(float(np.abs(surface).max()), 1e-9)
    phase = swing * surface + generator.uniform(-np.pi, np.pi)
    return np.asarray(np.exp(1j * phase), dtype=np.complex64)


def complex_noise(shape: tuple[int, ...], sigma: float, generator: np.random.Generator) -> ComplexArray:
    """White circular complex noise of any shape with E|n|^2 = sigma^2, that is sigma / sqrt(2) in each part."""
    parts = generator.standard_normal((2, *shape), dtype=np.float32)
    return np.asarray((parts[0] + 1j * parts[1]) * np.float32(sigma / np.sqrt(2)), dtype=np.complex64)


def noise_sigma(snr: float, images: AnyArray) -> float:
    """Standard deviation of the complex noise of each channel for a stated signal-to-noise ratio.

    SNR is the mean magnitude of the object in the (n, y, x) images over the standard deviation sqrt(E|n|^2) of the
    complex noise of one channel in a fully sampled image; the transform being unitary, k-space samples have the same
    sigma. The object is what exceeds a tenth of the images' 99.9 percentile. ``inf`` gives 0.
    """
    if not snr > 0:
        raise SeqoptError(f"SNR: got {snr:g}, expected a number above 0 (inf for no noise)")
    magnitude = np.abs(images)
    inside = magnitude > OBJECT_SHARE * np.quantile(magnitude, 0.999)
    if not inside.any():
        raise SeqoptError("SNR: the images are empty, expected an object")
    return float(magnitude[inside].mean() / snr)
