"""Plays a design's .seq, read back from disk, on images: acquired MRD data without a scanner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, MaskDesign, TrajectoryDesign
from seqopt.errors import SeqoptError, reject
from seqopt.images.augment import complex_noise, noise_sigma, smooth_phase
from seqopt.images.coils import simulated_coil_maps
from seqopt.images.sources import load_images
from seqopt.mrd.header import planned_signatures, play_order, write_scan
from seqopt.mrd.images import write_images
from seqopt.mrd.placement import Placement
from seqopt.pulseq.export import VERSIONS, find_sequence, sequence_name
from seqopt.pulseq.readback import PlayedSequence, read_sequence
from seqopt.pulseq.readout_table import serves_image
from seqopt.workflows.simulate_signals import FINER, Disturbance, finer, signals
from seqopt.workflows.store import load_design, replacing

AnyArray = npt.NDArray[Any]
ComplexArray = npt.NDArray[np.complex64]


@dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """What was played."""

    design: str
    source: str
    readouts: int
    calibration_readouts: int
    noise_readouts: int
    coils: int
    slices: int
    sigma: float
    """Standard deviation sqrt(E|n|^2) of the noise in each channel."""


def simulate(
    design_path: Path,
    out: Path,
    *,
    images: Path | None = None,
    coils: int = 8,
    snr: float = 30.0,
    seed: int = 0,
    truth: Path | None = None,
    disturbance: Disturbance | None = None,
) -> SimulationSummary:
    """Play the .seq of a design directory on one image a slice and write the acquired data; see ``simulate_design``."""
    folder = design_path if design_path.is_dir() else design_path.parent
    design = load_design(design_path)
    return simulate_design(
        design, folder, out, images=images, coils=coils, snr=snr, seed=seed, truth=truth, disturbance=disturbance
    )


def simulate_design(
    design: TrajectoryDesign | MaskDesign,
    folder: Path,
    out: Path,
    *,
    images: Path | None = None,
    coils: int = 8,
    snr: float = 30.0,
    seed: int = 0,
    truth: Path | None = None,
    disturbance: Disturbance | None = None,
) -> SimulationSummary:
    """Play the .seq in ``folder``, its newest version, on one image a slice and write the acquired data in play order.

    K and phase of each readout are those of the .seq; the design gives geometry, dwell and name only. The images are
    held-out test slices of ``images`` (None: the embedded brain) on a grid twice as fine, with a smooth random phase;
    ``snr`` is their mean over the standard deviation of one channel's complex noise (of a mask, once its readout
    oversampling is removed). ``truth`` takes the image that a perfect reconstruction gives, as an MRD series or .npy.
    ``disturbance`` adds gradient delays and off-resonance, of which the header knows nothing.
    Raises `SeqoptError` for a directory without .seq or header, or where the two do not belong together.
    """
    sequence, header = _played(folder, design)
    played = sequence.readouts
    if truth is not None and truth.suffix not in (".npy", ".mrd", ".h5"):
        raise reject("truth", got=truth.name, expected="a name ending in .npy, .mrd or .h5", remedy="rename it")
    generator = np.random.default_rng(seed)
    objects, source = _objects(design.geometry, images, generator)
    perfect = _cropped(objects)
    sigma = noise_sigma(snr, perfect)
    maps = simulated_coil_maps(coils, finer(design.geometry))
    clean = signals(sequence, objects, maps, design.geometry, disturbance or Disturbance())
    data = [
        signal + complex_noise(signal.shape, sigma * (design.dwell_s / readout.dwell_s) ** 0.5, generator)
        for readout, signal in zip(played, clean, strict=True)
    ]
    with replacing(out) as temporary:
        write_scan(temporary, header, [part for one in data for part in np.split(one, _parts(design), axis=1)])
    if truth is not None:
        _write_truth(truth, np.abs(perfect), design.geometry)
    return SimulationSummary(
        design=design.name,
        source=source,
        readouts=sum(serves_image(readout) for readout in played),
        calibration_readouts=sum(not (r.is_noise or serves_image(r)) for r in played),
        noise_readouts=sum(readout.is_noise for readout in played),
        coils=coils,
        slices=design.geometry.slices,
        sigma=sigma,
    )


def _played(folder: Path, design: TrajectoryDesign | MaskDesign) -> tuple[PlayedSequence, Path]:
    """The .seq as it is played and the header file that plans the same ones."""
    header = folder / f"{design.name}.mrd"
    sequence = find_sequence(folder, design.name)
    if sequence is None or not header.exists():
        missing = header.name if sequence else sequence_name(design.name, VERSIONS[0])
        raise SeqoptError(f"no {missing} in {folder}; write it with `seqopt design`")
    played = read_sequence(sequence)
    readouts = played.readouts
    found = [(r.is_noise, 0, 0) if r.is_noise else (False, r.labels["SLC"], r.labels["LIN"]) for r in readouts]
    planned = play_order(header)
    if [one for one in found for _ in range(_parts(design))] != planned:
        raise SeqoptError(
            f"{sequence.name} plays {len(found)} readouts in another order than the {len(planned)} of {header.name}; "
            "write both anew with `seqopt design`"
        )
    named = planned_signatures(header)
    if named and played.file.md5 not in named:
        raise SeqoptError(
            f"{header.name} was written for a sequence {' or '.join(sorted(md5[:8] for md5 in named))}, "
            f"{sequence.name} is {played.file.md5[:8]}; write both anew with `seqopt design`"
        )
    return played, header


def _parts(design: TrajectoryDesign | MaskDesign) -> int:
    """Acquisitions in which the receiver delivers a readout."""
    return 1 if isinstance(design, MaskDesign) else design.protocol.adc_segments


def _objects(geometry: Geometry, path: Path | None, generator: np.random.Generator) -> tuple[ComplexArray, str]:
    """(slices, y, x) on the finer grid, and where they come from."""
    if geometry.matrix[0] != geometry.matrix[1] or geometry.fov_m[0] != geometry.fov_m[1]:
        raise SeqoptError("simulate plays square fields of view only; the design's is not square")
    image_set = load_images(path, matrix=FINER * geometry.matrix[0], fov_m=geometry.fov_m[0])
    chosen = image_set.select("test", geometry.slices)
    if len(chosen) < geometry.slices:
        raise SeqoptError(
            f"{image_set.source}: {len(chosen)} test images for {geometry.slices} slices; give more --images"
        )
    images = image_set.images[chosen]
    phases = np.stack([smooth_phase(images.shape[1:], generator) for _ in images])
    return (images * phases).astype(np.complex64), image_set.source


def _cropped(objects: ComplexArray) -> ComplexArray:
    """The finer images (n, y, x) with nothing beyond the design's k-space square, on the design's own grid."""
    axes = (-2, -1)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(objects, axes=axes), axes=axes), axes=axes)
    y, x = (size // FINER for size in objects.shape[1:])
    top, left = (objects.shape[1] - y) // 2, (objects.shape[2] - x) // 2
    centre = np.fft.ifftshift(spectrum[:, top : top + y, left : left + x], axes=axes)
    return (np.fft.fftshift(np.fft.ifft2(centre, axes=axes), axes=axes) / FINER**2).astype(np.complex64)


def _write_truth(path: Path, images: AnyArray, geometry: Geometry) -> None:
    with replacing(path) as temporary:
        if path.suffix == ".npy":
            with temporary.open("wb") as stream:
                np.save(stream, images.astype(np.float32))
        else:
            write_images(temporary, images, geometry, Placement.axial(geometry), meta={"SeriesDescription": "truth"})
