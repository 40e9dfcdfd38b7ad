"""What the stages of a mask's design share: the images they judge on, and the noise those meet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from designs import paper_scanner
from torch import Tensor, nn

from seqopt.core import Geometry, Protocol
from seqopt.encoding.cartesian import CartesianAcquisition, CartesianMeasurement
from seqopt.images import simulated_coil_maps
from seqopt.images.labelled_brain import labelled_lesions
from seqopt.recon.cartesian_loop import ZeroFilled
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.mask_images import MaskImages, divided, load_mask_images, part_of
from seqopt.workflows.mask_recipe import MaskRecipe
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.mask_run import MaskRun

LIMITS = MaskRecipe(selection_images=8, validation_images=4, test_images=7)


def request(out: Path, **changes: object) -> MaskRequest:
    standard = {
        "out": out,
        "geometry": Geometry(fov_m=(0.22, 0.22), matrix=(32, 32), slices=1),
        "scanner": paper_scanner(),
        "protocol": Protocol(),
        "recipe": LIMITS,
        "shots": 8,
        "task": "segmentation",
        "coils": 2,
    }
    return MaskRequest(**(standard | changes))  # type: ignore[arg-type]


class Counting(nn.Module):
    """Zero filling that notes how many images it is given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, measurement: CartesianMeasurement) -> Tensor:
        images: Tensor = ZeroFilled()(measurement)
        self.seen.append(len(images))
        return images


def reconstructed(asked: MaskRequest, images: MaskImages, mask: np.ndarray, **acquired: float) -> tuple[Tensor, list]:
    maps = simulated_coil_maps(asked.coils, asked.geometry)
    acquisition = CartesianAcquisition(maps, **({"noise_sigma": images.noise_sigma} | acquired))
    checkpoint = Checkpoint(asked.out / "state.pt", {})
    run = MaskRun(asked, images, acquisition, checkpoint, lambda *_: None, lambda: False)
    recon = Counting()
    return run.reconstruct_test(mask, recon), recon.seen


def test_test_images_meet_the_same_noise_however_they_are_batched(tmp_path: Path) -> None:
    asked = request(tmp_path, snr=10.0)
    images, mask = load_mask_images(asked), np.arange(32) % 3 == 1
    by_size = {
        size: reconstructed(replace(asked, recipe=replace(LIMITS, pass_batch=size)), images, mask)
        for size in (1, 3, 100)
    }
    assert {size: seen for size, (_, seen) in by_size.items()} == {1: [1] * 7, 3: [3, 3, 1], 100: [7]}
    for estimate, _ in by_size.values():
        torch.testing.assert_close(estimate, by_size[1][0], rtol=1e-5, atol=1e-6)
    clean, _ = reconstructed(asked, images, mask, noise_sigma=0.0)
    noise = by_size[3][0] - clean
    assert noise.std() > 1e-2
    each = np.corrcoef(noise.flatten(1).numpy())
    assert np.abs(each - np.eye(7)).max() < 0.5  # each image has its own


@pytest.mark.parametrize("swaps", [False, True])
def test_the_limited_parts_of_every_fold_hold_both_classes(tmp_path: Path, swaps: bool) -> None:
    asked = request(tmp_path, task="classification", geometry=Geometry(fov_m=(0.22, 0.22), matrix=(64, 64), slices=1))
    lesions = labelled_lesions(64, 0.22)
    for fold in lesions.folds(5, validation=swaps):
        images = divided(asked, lesions, fold)
        assert np.array_equal(images.parts["test"].labels, lesions.labels[part_of(asked, lesions, fold, "test")])
        for name in ("train", "validation", "test") if swaps else ("train", "test"):
            labels = images.parts[name].labels
            assert labels is not None
            assert np.ptp(np.bincount(labels.numpy(), minlength=2)) <= 1
