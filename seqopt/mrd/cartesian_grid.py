"""Where acquired Cartesian samples lie in k-space: by the design that was played, or by the header of anyone's file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry, MaskDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile
from seqopt.mrd.from_header import read_geometry
from seqopt.mrd.heads import encodes_image, heads_of

ComplexArray = npt.NDArray[np.complex64]
_SIEMENS_CENTRE = 5  # of idx.user: ushKSpaceCentreLineNo


@dataclass(frozen=True, kw_only=True)
class CartesianGrid:
    """The encoding of one file."""

    samples: int
    """Of the encoded field of view along x, oversampling included."""
    kept: int
    """Pixels along x that remain of them in the image's field of view."""
    centre_line: int
    """The counter kspace_encode_step_1 of ky = 0."""
    encoded: Geometry
    """What is reconstructed: larger than the image along y where the phase encoding was oversampled."""
    image: Geometry

    def whole(self) -> CartesianGrid:
        """The same with all that was encoded as the image: no oversampling is removed, along x nor along y."""
        x, y = self.encoded.matrix
        wider = self.samples / self.kept
        size = 2 * round(wider * x / 2)
        fov_m = self.encoded.fov_m[0] * wider, self.encoded.fov_m[1]
        every = replace(self.encoded, fov_m=fov_m, matrix=(size, y))
        return replace(self, kept=self.samples, encoded=every, image=every)

    def cropped(self) -> CartesianGrid:
        """The same for readouts that someone took the oversampling of already."""
        return replace(self, samples=self.kept)

    def line(self, counter: int) -> int:
        """Number of a line in the encoded matrix; outside of it where the image's resolution is lower."""
        return counter - self.centre_line + self.encoded.matrix[1] // 2

    def columns(self, spans: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
        """Samples kx, first and last + 1, that all readouts have, of (centre sample, samples) each; None for all.

        None, too, where the centre is not among them.
        """
        before, after = map(min, zip(*((centre, length - 1 - centre) for centre, length in spans), strict=True))
        size = self.encoded.matrix[0]
        first = max(size // 2 - before * self.kept // self.samples, 0)
        last = min(size // 2 + after * self.kept // self.samples, size - 1)
        return None if (first, last) == (0, size - 1) or not first <= size // 2 <= last else (first, last + 1)

    def without_oversampling(self, samples: ComplexArray) -> ComplexArray:
        """Samples (..., samples) at spacing 1 / encoded FOV -> (..., matrix x) at 1 / FOV, of the same scale."""
        if self.kept < self.samples:
            pixels = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(samples, axes=-1), axis=-1), axes=-1)
            first = self.samples // 2 - self.kept // 2
            pixels = np.fft.ifftshift(pixels[..., first : first + self.kept], axes=-1)
            samples = np.fft.fftshift(np.fft.fft(pixels, axis=-1), axes=-1)
        return centred(samples, self.encoded.matrix[0], self.kept // 2).astype(np.complex64)


def centred(samples: npt.NDArray[Any], size: int, centre: int) -> npt.NDArray[Any]:
    """(..., n) moved so that sample ``centre`` becomes sample ``size`` // 2 of (..., size); zeros and cuts outside."""
    length, start = samples.shape[-1], size // 2 - centre
    first, last = max(0, start), min(size, start + length)
    moved = np.zeros((*samples.shape[:-1], size), samples.dtype)
    moved[..., first:last] = samples[..., first - start : last - start]
    return moved


def grid_of_design(design: MaskDesign) -> CartesianGrid:
    """Lines are numbered as the design numbers them."""
    x, y = design.geometry.matrix
    return CartesianGrid(
        samples=x * design.oversampling, kept=x, centre_line=y // 2, encoded=design.geometry, image=design.geometry
    )


def grid_of_header(raw: RawFile, path: Path, notes: list[str], *, slices: int) -> CartesianGrid:
    """By encodedSpace, reconSpace and the centre of encodingLimits; notes say what was assumed.

    Raises `SeqoptError` for an encoded field of view that is smaller than the image's.
    """
    image = read_geometry(raw, path, notes, slices=slices)
    encoding = raw.encoding
    space = encoding.encodedSpace
    fov_m = 1e-3 * space.fieldOfView_mm.x, 1e-3 * space.fieldOfView_mm.y
    larger = tuple(encoded / wanted for encoded, wanted in zip(fov_m, image.fov_m, strict=True))
    if not all(0.995 <= ratio <= 16 for ratio in larger):
        raise SeqoptError(
            f"{path}: the header's encoded field of view is {larger[0]:.3g} x {larger[1]:.3g} times the image's, "
            "expected 1 or more; correct the header or give the design with --design"
        )
    samples, (columns, rows) = max(1, int(space.matrixSize.x)), image.matrix
    kept = max(1, min(samples, round(samples / larger[0])))
    every = rows
    if larger[1] > 1.005:
        every = 2 * round(larger[1] * rows / 2)
        notes.append(f"phase oversampling: {every} rows are reconstructed, the {rows} in the middle are kept")
    # Whole numbers of pixels need not fill the field of view that is stated; theirs is what places them.
    image = replace(image, fov_m=(fov_m[0] * kept / samples, fov_m[1] * rows / every))
    encoded = replace(image, fov_m=(image.fov_m[0], fov_m[1]), matrix=(columns, every))
    limits = encoding.encodingLimits.kspace_encoding_step_1
    centre_line = int(limits.center) if limits is not None else 0
    if centre_line == 0:
        centre_line = int(space.matrixSize.y) // 2
        notes.append(f"the header states no centre of the phase encoding; line {centre_line} was taken")
    centre_line = _centre_of_readouts(raw, centre_line, notes)
    _note_ramps(encoding, notes)
    return CartesianGrid(samples=samples, kept=kept, centre_line=centre_line, encoded=encoded, image=image)


def _centre_of_readouts(raw: RawFile, stated: int, notes: list[str]) -> int:
    """What Siemens' own readouts say, as its converter keeps it; of a partial Fourier scan its header may say N/2."""
    system = raw.header.acquisitionSystemInformation
    if "siemens" not in str(getattr(system, "systemVendor", None) or "").lower():
        return stated
    image = [raw.acquisitions[place] for place in np.flatnonzero(encodes_image(heads_of(raw.acquisitions)))]
    said = {int(item.idx.user[_SIEMENS_CENTRE]) for item in image}
    if len(said) != 1 or said <= {0, stated} or max(said) > max(item.idx.kspace_encode_step_1 for item in image):
        return stated
    notes.append(
        f"the readouts say that line {max(said)} is the centre, the header {stated}; the readouts were followed"
    )
    return said.pop()


def _note_ramps(encoding: Any, notes: list[str]) -> None:
    """Echo-planar data, which Siemens' converter calls Cartesian and leaves on the ramps of its gradients."""
    description = encoding.trajectoryDescription
    if description is not None and "epi" in str(description.identifier).lower():
        notes.append(
            "echo-planar readouts: lines are taken as evenly sampled and in phase; neither samples on ramps nor odd "
            "and even echoes were corrected, expect ghosts"
        )
