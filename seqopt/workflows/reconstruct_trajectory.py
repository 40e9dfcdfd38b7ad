"""Acquired data along a trajectory -> images, block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.core import Geometry, KspaceData, TrajectoryDesign
from seqopt.encoding.density import analytic, pipe_menon
from seqopt.errors import SeqoptError
from seqopt.mrd.blocks import BlockReader
from seqopt.mrd.recon_config import ReconConfig
from seqopt.mrd.scan import Scan
from seqopt.mrd.series import Block
from seqopt.recon.choose import AUTO, choose_for_trajectory
from seqopt.recon.coil_maps import estimate_maps
from seqopt.recon.cross_check import sigpy_difference, sigpy_maps_difference, sigpy_sense_difference
from seqopt.recon.iterative import ITERATIVE
from seqopt.recon.registry import WITH_MAPS, reconstructions
from seqopt.workflows.foreign import Foreign
from seqopt.workflows.reconstruct_calibration import Calibration
from seqopt.workflows.reconstruct_images import BlockImages, Looked
from seqopt.workflows.reconstruct_settings import Settings, network_of
from seqopt.workflows.reconstruct_steps import Prepared, Steps, trajectories
from seqopt.workflows.strongest_slice import strongest_slice

_BEYOND_PER_FOV = 0.5  # of a sample at the edge: between it and the next one on the grid
AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class AlongTrajectory:
    """Makes images of one file's blocks; remembers the density weights while the trajectory stays the same."""

    source: BlockReader
    config: ReconConfig
    design: TrajectoryDesign | None
    units: str | None
    network: Mapping[str, AnyArray] | None
    calibration: Calibration
    settings: Settings
    foreign: Foreign | None = None
    """Keeps what other programs want of each slice."""
    cartesian = False
    _weighed: tuple[FloatArray, FloatArray] | None = field(default=None, init=False)
    _steps: Steps = field(init=False)

    def __post_init__(self) -> None:
        self._steps = Steps(
            config=self.config,
            calibration=self.calibration,
            design=self.design,
            slices=len(self.source.content.slices),
            strongest=lambda: self._read(strongest_slice(self.source)),
            given=self.settings.given,
            sequence=self.settings.sequence(None if self.design is None else self.design.name),
        )

    def make(self, block: Block, *, check: bool = False, look: int | None = None) -> BlockImages:
        """Prewhiten, estimate coil maps, reconstruct each slice; ``check`` against sigpy, ``look`` closer at a slice.

        ``look`` is the slice's number in the file.
        """
        scan = self._read(block)
        notes, image, kspace = list(scan.notes), scan.image, scan.kspace
        every = self.source.content.slices
        places = [every.index(slice_) for slice_ in block.slices]
        self._settle(kspace, notes)
        ready = self._steps.prepare(kspace, scan.placement, places, notes)
        data = ready.data
        reference = None
        if self.config.method in WITH_MAPS:
            reference = ready.calibration.maps(data.geometry, self.config, slices=len(every), places=places)
        weights = self._density(data) * self._within(data, notes)
        slices = [self._slice(ready, weights, place, reference) for place in range(len(data.samples))]
        images = np.stack([one.image for one in slices])
        if self.foreign is not None:
            self.foreign.keep(block, slices, self.config)
        return BlockImages(
            images=_middle(images, image),
            geometry=image,
            placement=scan.placement,
            coils=data.samples.shape[1],
            shots=data.samples.shape[2],
            samples=data.samples.shape[3],
            whitened=ready.whitened,
            signature=data.design_signature,
            cross_check=_cross_check(slices[0], self.config) if check else None,
            record=_record(self.config) | ready.record | self.calibration.record(with_maps=reference is not None),
            notes=tuple(notes),
            looked=slices[block.slices.index(look)] if look in block.slices else None,
        )

    def _read(self, block: Block) -> Scan:
        """The block with the image that is wanted, on whose grid the field map lies."""
        scan = self.source.trajectory(block, self.design, self.units)
        image = scan.image if self.config.remove_oversampling else scan.kspace.geometry
        kspace = replace(scan.kspace, geometry=image) if self.config.field_map else scan.kspace
        return replace(scan, image=image, kspace=kspace)

    def _settle(self, data: KspaceData, notes: list[str]) -> None:
        """Choose the method by the first block, where that is asked for."""
        if self.config.method != AUTO:
            return
        method, why = choose_for_trajectory(trajectories(data)[0], data.geometry, self.settings.networks())
        self.config = self.settings.for_trajectories(method)
        self.network = network_of(self.config, self.settings.design_path)
        notes.append(f"the method is {method}: {why}")

    def _density(self, data: KspaceData) -> FloatArray:
        """(1 or slices, shots, samples) cell areas in (1/FOV)^2."""
        k_per_m = trajectories(data)
        weigh = analytic if self.config.density == "analytic" else pipe_menon
        if self._weighed is None or not np.array_equal(self._weighed[0], k_per_m):
            self._weighed = k_per_m, np.stack([weigh(one, data.geometry) for one in k_per_m])
        areas = self._weighed[1]
        if self.config.density == "file":
            if data.weights is None:
                raise SeqoptError("density = 'file', but the data hold no weights; use density = 'pipe-menon'")
            return np.asarray(data.weights[None] * (areas.sum() / (len(areas) * data.weights.sum())))
        if self.config.density == "none":
            return np.full_like(areas, areas.mean())
        return areas

    def _within(self, data: KspaceData, notes: list[str]) -> npt.NDArray[np.bool_]:
        """(1 or slices, shots, samples) false beyond the image's k-max: there the transform is that within, folded."""
        k_per_m = trajectories(data)
        if self.design is not None:
            return np.ones(k_per_m.shape[:-1], dtype=bool)
        position = np.abs(k_per_m) * np.array(data.geometry.fov_m)
        within = np.asarray((position < np.array(data.geometry.matrix) / 2 + _BEYOND_PER_FOV).all(-1))
        if not within.all():
            share = 100 * (1 - within.mean())
            notes.append(f"{share:.2g} % of the samples lie beyond the image's resolution (k-max) and were left out")
        return within

    def _slice(
        self,
        ready: Prepared,
        weights: FloatArray,
        place: int,
        reference: list[npt.NDArray[np.complex64]] | None,
    ) -> Looked:
        """The image (y, x) of one slice, complex where the method gives it."""
        config, data = self.config, ready.data
        every = trajectories(data)
        k_per_m, areas = (array[min(place, len(array) - 1)] for array in (every, weights))
        samples = data.samples[place]
        maps, field = None, {}
        if ready.field_hz is not None and ready.times_s is not None:
            field = {
                "field_map_hz": torch.from_numpy(ready.field_hz[place]),
                "times_s": torch.from_numpy(ready.times_s),
                "segments": config.segments,
            }
        if config.method in WITH_MAPS:
            maps = (
                reference[place]
                if reference is not None
                else estimate_maps(samples, k_per_m, data.geometry, method=config.maps, calibration=config.calibration)
            )

        def reconstruct(samples: npt.NDArray[np.complex64], residuals: list[float] | None = None) -> AnyArray:
            image = reconstructions[config.method](
                torch.from_numpy(samples)[None],
                torch.from_numpy(np.ascontiguousarray(k_per_m)),
                torch.from_numpy(areas.astype(np.float32)),
                None if maps is None else torch.from_numpy(maps),
                data.geometry,
                iterations=config.iterations,
                regularisation=config.regularisation,
                network_weights=self.network,
                residuals=residuals,
                **field,
            )
            return np.asarray(image[0].detach().numpy())

        return Looked.at(place, data, reconstruct, samples, maps=maps, k_per_m=k_per_m, weights=areas)


def _middle(images: AnyArray, image: Geometry) -> AnyArray:
    """(slices, y, x) without what lies beyond the field of view that is wanted."""
    first_y, first_x = (have // 2 - want // 2 for have, want in zip(images.shape[1:], image.shape, strict=True))
    return images[:, first_y : first_y + image.shape[0], first_x : first_x + image.shape[1]]


def _record(config: ReconConfig) -> dict[str, Any]:
    iterative = config.method in ITERATIVE
    return {
        "iterations": config.iterations if iterative else None,
        "regularisation": config.regularisation if iterative else None,
        "maps": config.maps if config.method in WITH_MAPS else None,
        "density": config.density,
    }


def _cross_check(looked: Looked, config: ReconConfig) -> dict[str, float]:
    """Of one slice: the transform of its strongest coil; coil maps and CG-SENSE where that is asked for."""
    assert looked.k_per_m is not None and looked.weights is not None
    sampled = looked.k_per_m, looked.weights, looked.data.geometry
    found = sigpy_difference(looked.strongest_coil, looked.image, *sampled)
    if config.cross_check_sense and looked.maps is not None and len(looked.samples) > 1:
        found |= sigpy_maps_difference(looked.samples, looked.maps, *sampled, calibration=config.calibration)
        found |= sigpy_sense_difference(looked.samples, looked.maps, *sampled)
    return found
