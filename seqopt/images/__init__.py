"""Training images: the embedded brain or files, splits without leaks, simulated coils, contrasts, phase and noise."""

from seqopt.images.augment import (
    complex_noise,
    evaluation_images,
    noise_sigma,
    random_contrast,
    smooth_phase,
    training_batches,
)
from seqopt.images.coils import simulated_coil_maps
from seqopt.images.image_set import ImageSet
from seqopt.images.sources import READERS, load_images
from seqopt.images.stream import Ahead, StreamedImages, sample_of

__all__ = [
    "READERS",
    "Ahead",
    "ImageSet",
    "StreamedImages",
    "complex_noise",
    "evaluation_images",
    "load_images",
    "noise_sigma",
    "random_contrast",
    "sample_of",
    "simulated_coil_maps",
    "smooth_phase",
    "training_batches",
]
