"""What every stage of a mask's design shares: images, coils, network, checkpoint, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqopt.encoding.cartesian import CartesianAcquisition
from seqopt.errors import SeqoptError
from seqopt.images import simulated_coil_maps
from seqopt.learn.line_scores import Examples
from seqopt.learn.parallel import alone
from seqopt.learn.train_task import AnyTask, Training
from seqopt.recon.cartesian_loop import DEFAULT_REGULARISATION, ZeroFilled, cartesian_in_loop
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.design_setup import choose_device, prepare_folder
from seqopt.workflows.mask_images import MaskImages, load_mask_images
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.run import InterruptedRunError, Watch

BoolArray = npt.NDArray[np.bool_]
SAVED_EVERY = 50
"""Steps of a training between its checkpoints."""
TEST_NOISE = 7
"""Marks the noise of the test images; training, validation and test never meet the same."""


@dataclass
class MaskRun:
    """One design run of a mask."""

    request: MaskRequest
    images: MaskImages
    acquisition: CartesianAcquisition
    checkpoint: Checkpoint
    watch: Watch
    stop: Callable[[], bool]

    @classmethod
    def begin(cls, request: MaskRequest, watch: Watch, stop: Callable[[], bool]) -> MaskRun:
        """Folder, images and coils; refuses to replace results unasked."""
        device = choose_device(request.device)
        checkpoint = prepare_folder(request, alone)
        watch("images", 0, 1, "")
        images = load_mask_images(request)
        maps = None if request.coils == 1 else simulated_coil_maps(request.coils, request.geometry)
        acquisition = CartesianAcquisition(maps, noise_sigma=images.noise_sigma, device=device)
        watch("images", 1, 1, images.source)
        return cls(request, images, acquisition, checkpoint, watch, stop)

    def pause(self, stage: str, state: Any = None) -> None:
        """Stop here if the user wants it; ``state`` is where the stage goes on."""
        if self.stop():
            self.checkpoint.save(stage, state)
            raise InterruptedRunError(stage)

    def kept(self, stage: str) -> Any:
        """Where an interrupted run of this stage goes on; None for its beginning."""
        return self.checkpoint.state if self.checkpoint.stage == stage else None

    def train(self, stage: str, training: Training[AnyTask], each: Callable[[int, float], None]) -> AnyTask:
        """The frozen task after a training that goes on where the checkpoint has it; ``each`` watches its steps."""
        state = self.kept(stage)
        if state is not None:
            try:
                training.restore(state)
            except (LookupError, TypeError, ValueError, RuntimeError) as error:
                raise SeqoptError(
                    f"{self.checkpoint.path} does not fit this run, another version wrote it; start anew with "
                    "--overwrite"
                ) from error
        for loss in training.steps():
            each(training.done, loss)
            if training.done % SAVED_EVERY == 0:
                self.checkpoint.save(stage, training.state())
            if self.stop():
                self.pause(stage, training.state())
        return training.task.freeze()

    def inner(self) -> nn.Module:
        """The reconstruction through which the mask is chosen."""
        recipe = self.request.recipe
        if self.request.inner == "zero-filled":
            return self.zero_filled()
        return cartesian_in_loop[self.request.inner].of_recipe(
            iterations=recipe.inner_iterations, regularisation=DEFAULT_REGULARISATION, channels=recipe.channels
        )

    def zero_filled(self) -> ZeroFilled:
        """As `seqopt recon` has it: coil maps combine the coils where the mask's calibration lines can give them."""
        return ZeroFilled(by_maps=self.request.maps_possible)

    def batches(self, split: str) -> Callable[[], Iterator[Examples]]:
        """The chosen images of a split in batches, the same at each call."""
        part, size = self.images.parts[split], self.request.recipe.pass_batch

        def batches() -> Iterator[Examples]:
            for first in range(0, len(part.images), size):
                own = slice(first, first + size)
                yield Examples(part.images[own], None if part.labels is None else part.labels[own])

        return batches

    def reconstruct_test(self, mask: BoolArray, recon: nn.Module) -> Tensor:
        """Magnitudes (n, y, x) of the held-out images under a mask, each with its own noise, whatever the mask."""
        weights = torch.from_numpy(mask.astype(np.float32)).to(self.acquisition.device)
        numbers = torch.arange(len(self.images.parts["test"].images))
        with torch.no_grad():
            return torch.cat(
                [
                    recon(self.acquisition.measurement(self._test_samples_of(part.tolist()), weights))
                    for part in torch.split(numbers, self.request.recipe.pass_batch)
                ]
            )

    def _test_samples_of(self, numbers: list[int]) -> Tensor:
        """Noisy samples of every line of these test images; made anew for each mask, since all coils fill memory."""
        images = self.images.parts["test"].images
        return torch.cat([self.acquisition.encode(images[one][None], self._noise(one)) for one in numbers])

    def _noise(self, image: int) -> torch.Generator:
        seed = np.random.SeedSequence([self.request.seed, TEST_NOISE, image]).generate_state(1)[0]
        return torch.Generator().manual_seed(int(seed))

    def reconstructed_batch(
        self, mask_of: Callable[[int], BoolArray], recon: nn.Module, *, stream: int
    ) -> Callable[[int], tuple[Tensor, Tensor]]:
        """Step -> reconstructions of varied training images under the step's mask, and their labels.

        Without labels the true magnitudes take their place. It depends on the seed, the stream and the step alone.
        """

        def batch(step: int) -> tuple[Tensor, Tensor]:
            generator = np.random.default_rng([self.request.seed, stream, step])
            images, labels = self.images.draw(self.request.recipe.batch, generator)
            noise = torch.Generator().manual_seed(int(generator.integers(2**62)))
            weights = torch.from_numpy(mask_of(step).astype(np.float32)).to(self.acquisition.device)
            signal = images.to(torch.complex64)
            with torch.no_grad():
                estimate = recon(self.acquisition.measure(signal, weights, noise))
            return estimate, images.abs() if labels is None else labels

        return batch
