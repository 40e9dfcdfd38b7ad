"""The network of a mask's task: trained once, fine-tuned for each mask with the same budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from seqopt.errors import SeqoptError
from seqopt.learn.losses import image_loss
from seqopt.learn.tasks import Classification, Segmentation
from seqopt.learn.train_task import Task, fine_tuning, training
from seqopt.recon.unet import UNet
from seqopt.workflows.mask_run import MaskRun

BoolArray = npt.NDArray[np.bool_]
TASK_STREAM, TUNE_STREAM = 11, 12  # of random numbers
LEVELS = 4


class Restoration(Task):
    """A U-Net that mends reconstructions; its labels are the true magnitudes (batch, y, x)."""

    kind = "restoring"
    rate = 3e-3

    def __init__(self, channels: int) -> None:
        nn.Module.__init__(self)
        self.classes = ()
        self.network = UNet(channels, LEVELS)

    def forward(self, images: Tensor) -> Tensor:
        """Magnitude to magnitude."""
        restored: Tensor = self.network(images)
        return restored

    def loss(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """L1 and SSIM of the restored image, as Peng et al., CVPR 2022, eq. 15."""
        return image_loss(self(estimate), labels, {"l1": 1.0, "ssim": 1.0})

    def cross_entropy(self, estimate: Tensor, labels: Tensor) -> Tensor:
        """It has no classes."""
        raise SeqoptError("cross-entropy: a restored image has no classes; choose another task")


def make_network(run: MaskRun) -> Task:
    """The untrained network that the request names."""
    request, classes = run.request, run.images.classes
    assert request.network is not None
    if request.task == "reconstruction":
        return Restoration(request.recipe.channels)
    kind = Segmentation if request.task == "segmentation" else Classification
    return kind(request.recipe.channels, LEVELS, classes=classes, network=request.network)


def task_network(run: MaskRun) -> Task | None:
    """The frozen network of segmentation or classification, trained on fully sampled images; None for reconstruction.

    Fetched from the checkpoint where an interrupted run had trained it.
    """
    if run.request.task == "reconstruction":
        return None

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng([run.request.seed, TASK_STREAM, step])
        images, labels = run.images.draw(run.request.recipe.batch, generator)
        assert labels is not None
        return images, labels

    return _trained(run, batch_of)


def read_by_network(run: MaskRun) -> nn.Module:
    """What a network reads; the U-Net that restores reads the zero-filled image, as in `seqopt recon`."""
    return run.zero_filled() if run.request.task == "reconstruction" else run.inner()


def restoring_network(run: MaskRun, masks: Sequence[BoolArray]) -> Task | None:
    """The frozen U-Net of reconstruction, trained on ``masks`` in turn, none preferred; None unless asked for."""
    if run.request.task != "reconstruction" or run.request.network is None:
        return None
    batch_of = run.reconstructed_batch(lambda step: masks[step % len(masks)], read_by_network(run), stream=TASK_STREAM)
    return _trained(run, batch_of)


def _trained(run: MaskRun, batch_of: Callable[[int], tuple[Tensor, Tensor]]) -> Task:
    request, device = run.request, run.acquisition.device
    steps = request.recipe.task_steps
    if "task" in run.checkpoint.finished:
        network = make_network(run).to(device)
        network.load_state_dict(run.checkpoint.finished["task"])
        run.watch("task", steps, steps, "from the checkpoint")
        return network.freeze()

    def each(done: int, loss: float) -> None:
        run.checkpoint.history.setdefault("loss/network", []).append((done, loss))
        run.watch("task", done, steps, f"loss {loss:.4f}")

    lesson = training(lambda: make_network(run), batch_of, steps=steps, seed=request.seed, device=device)
    network = run.train("task", lesson, each)
    run.checkpoint.finish("task", network.state_dict())
    return network


def tuned_network(run: MaskRun, network: Task, mask: BoolArray, stage: str, each: Callable[[int, float], None]) -> Task:
    """A copy of the network that went on to learn from reconstructions of one mask: same images and steps for every."""
    batch_of = run.reconstructed_batch(lambda _: mask, read_by_network(run), stream=TUNE_STREAM)
    steps = run.request.recipe.tune_steps
    return run.train(stage, fine_tuning(network, batch_of, steps=steps, device=run.acquisition.device), each)
