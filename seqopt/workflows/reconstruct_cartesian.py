"""Acquired Cartesian lines -> images, block by block."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.core import CartesianData, MaskDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.blocks import BlockReader
from seqopt.mrd.recon_config import ReconConfig
from seqopt.mrd.series import Block
from seqopt.recon.cartesian import DEFAULTS, MAPS_NEEDED, cartesian_reconstructions
from seqopt.recon.cartesian_maps import central_block, maps_of_lines
from seqopt.recon.choose import AUTO, choose_for_lines, spans_to_fill
from seqopt.recon.cross_check import (
    sigpy_fft_difference,
    sigpy_lines_sense_difference,
    sigpy_maps_of_centre_difference,
)
from seqopt.recon.partial_fourier import pocs
from seqopt.recon.prewhiten import prewhiten
from seqopt.workflows.foreign import Foreign
from seqopt.workflows.reconstruct_calibration import Calibration
from seqopt.workflows.reconstruct_images import BlockImages, Looked
from seqopt.workflows.reconstruct_settings import Settings, network_of, whitening_of
from seqopt.workflows.reconstruct_steps import compressed_lines

AnyArray = npt.NDArray[Any]
ComplexArray = npt.NDArray[np.complex64]


@dataclass(kw_only=True)
class OfLines:
    """Makes images of one file's blocks."""

    source: BlockReader
    config: ReconConfig
    design: MaskDesign | None
    network: Mapping[str, AnyArray] | None
    calibration: Calibration
    settings: Settings
    foreign: Foreign | None = None
    """Keeps what other programs want of each slice."""
    cartesian = True

    def make(self, block: Block, *, check: bool = False, look: int | None = None) -> BlockImages:
        """Prewhiten, estimate coil maps where the method takes them, reconstruct each slice; ``check`` against sigpy.

        ``look`` is the number in the file of a slice to look closer at. Raises `SeqoptError` where a method needs
        calibration lines that the data do not hold.
        """
        scan = self.source.cartesian(block, self.design, whole=not self.config.remove_oversampling)
        notes = list(scan.notes)
        data, asked = scan.data, "prewhiten" in self.settings.given
        whitening = whitening_of(data, self.config, notes, asked=asked)
        if whitening is not None:
            samples, central = (prewhiten(array, whitening) for array in (data.samples, data.calibration))
            data = replace(data, samples=samples, calibration=central)
        self._settle(data, notes)
        data, mixing = compressed_lines(data, self.config)
        every = self.source.content.slices
        reference = (
            self.calibration.whitened(whitening)
            .whitened(mixing)
            .maps(
                data.geometry, self.config, slices=len(every), places=[every.index(slice_) for slice_ in block.slices]
            )
        )
        maps = reference or _maps(data, self.config, notes)
        slices = [self._slice(data, maps, place, notes) for place in range(len(data.samples))]
        images = np.stack([one.image for one in slices])
        if self.foreign is not None:
            self.foreign.keep(block, slices, self.config)
        return BlockImages(
            images=_cropped(images, scan.image.matrix[1]),
            geometry=scan.image,
            placement=scan.placement,
            coils=data.samples.shape[1],
            shots=len(data.lines),
            samples=data.samples.shape[3],
            whitened=whitening is not None,
            signature=data.design_signature,
            cross_check=_cross_check(slices[0], self.config) if check else None,
            record=_record(data, self.config, maps is not None)
            | self.calibration.record(with_maps=reference is not None),
            notes=tuple(notes),
            looked=slices[block.slices.index(look)] if look in block.slices else None,
            line_of_zero=scan.line_of_zero,
        )

    def _settle(self, data: CartesianData, notes: list[str]) -> None:
        """Choose the method by the first block, where that is asked for."""
        if self.config.method != AUTO:
            return
        method, why = choose_for_lines(data, self.settings.networks())
        self.config = self.settings.for_cartesian(method)
        self.network = network_of(self.config, self.settings.design_path)
        notes.append(f"the method is {method}: {why}")

    def _slice(self, data: CartesianData, maps: list[ComplexArray] | None, place: int, notes: list[str]) -> Looked:
        """The image (y, x) of one slice, complex where the method gives it."""
        own = None if maps is None else maps[place]
        config, mask = self.config, data.mask(place)
        filled, note = spans_to_fill(
            data, place, config.method, wanted=config.partial_fourier, combined=own is not None
        )
        if filled is not None and self.foreign is not None and "bart" in self.foreign.wanted:
            note += "; the BART script leaves it zero"
        notes += [note] if note and note not in notes else []

        def reconstruct(samples: ComplexArray, residuals: list[float] | None = None) -> AnyArray:
            image = cartesian_reconstructions[config.method](
                torch.from_numpy(samples)[None],
                torch.from_numpy(mask),
                None if own is None else torch.from_numpy(own),
                iterations=config.iterations,
                regularisation=config.regularisation,
                network_weights=self.network,
                calibration=torch.from_numpy(data.calibration[place])[None],
                calibration_lines=data.calibration_lines,
                residuals=residuals,
            )
            return np.asarray((image if filled is None else pocs(image, *filled))[0].numpy())

        return Looked.at(place, data, reconstruct, data.grid(place), maps=own, mask=mask)


def _record(data: CartesianData, config: ReconConfig, with_maps: bool) -> dict[str, Any]:
    iterative = config.method in DEFAULTS
    return {
        "iterations": config.iterations if iterative else None,
        "regularisation": config.regularisation if iterative else None,
        "maps": config.maps if with_maps and data.samples.shape[1] > 1 else None,
        "density": None,
        "partial_fourier": config.partial_fourier,
        "lines": data.lines.tolist(),
        "calibration_lines": data.calibration_lines.tolist(),
    }


def _maps(data: CartesianData, config: ReconConfig, notes: list[str]) -> list[ComplexArray] | None:
    """(coils, y, x) of each slice; None where a method that does without finds too few calibration lines."""
    try:
        return [
            maps_of_lines(
                lines,
                data.calibration_lines,
                data.geometry.shape,
                method=config.maps,
                size=config.calibration,
                columns=data.columns,
            )
            for lines in data.calibration
        ]
    except SeqoptError:
        if config.method in MAPS_NEEDED:
            raise
        notes.append("too few calibration lines for coil maps, so the coils were combined by root sum of squares")
        return None


def _cropped(images: AnyArray, rows: int) -> AnyArray:
    """The middle rows, without phase oversampling."""
    first = images.shape[1] // 2 - rows // 2
    return images[:, first : first + rows]


def _cross_check(looked: Looked, config: ReconConfig) -> dict[str, float]:
    """Of one slice: the transform of its strongest coil; coil maps and CG-SENSE where that is asked for."""
    assert looked.mask is not None and isinstance(looked.data, CartesianData)
    data = looked.data
    found = sigpy_fft_difference(looked.strongest_coil, looked.image, looked.mask)
    if not config.cross_check_sense or looked.maps is None or len(looked.samples) == 1:
        return found
    found |= sigpy_lines_sense_difference(looked.samples, looked.maps, looked.mask)
    with contextlib.suppress(SeqoptError):  # maps of a reference scan, and too few lines for others
        centre = central_block(
            data.calibration[0],
            data.calibration_lines,
            data.geometry.shape,
            size=config.calibration,
            columns=data.columns,
        )
        found |= sigpy_maps_of_centre_difference(centre, looked.maps)
    return found
