"""What a design run needs before it can learn: its folder, its images, its coils, its device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import torch

from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.images import ImageSet, load_images, noise_sigma, sample_of, simulated_coil_maps
from seqopt.learn.parallel import World
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.store import replacing


class Resumable(Protocol):
    """Any request that names its folder and can be told from another."""

    @property
    def out(self) -> Path:
        """Directory to write."""
        ...

    @property
    def resume(self) -> bool:
        """Go on with what an interrupted run left there."""
        ...

    @property
    def overwrite(self) -> bool:
        """Replace what is there."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """What a resumed run must have in common with the interrupted one."""
        ...


def prepare_folder(request: Resumable, world: World) -> Checkpoint:
    """A folder that may be written, and the checkpoint of an earlier run in it; refuses to replace results unasked.

    The first process looks; the others wait, and read the checkpoint that it found good.
    """
    if not world.is_first:
        world.barrier()
        checkpoint = Checkpoint(request.out / "checkpoint.pt", request.fingerprint())
        if request.resume:
            checkpoint.load()
        return checkpoint
    checkpoint = Checkpoint(request.out / "checkpoint.pt", request.fingerprint())
    finished = (request.out / "design.h5").exists()
    if request.resume and request.overwrite:
        raise SeqoptError("got --resume and --overwrite, expected one: go on with what is there, or replace it")
    if request.resume:
        if not checkpoint.path.exists():
            why = "the design there is complete" if finished else "no run was interrupted there"
            raise SeqoptError(f"nothing to resume in {request.out}: {why}; leave out --resume")
        checkpoint.load()
    elif not request.overwrite and (finished or checkpoint.path.exists()):
        what = "an interrupted run (--resume continues it)" if checkpoint.path.exists() else "a finished design"
        raise SeqoptError(f"{request.out} holds {what}; choose another --out, or give --overwrite to replace it")
    with replacing(request.out / ".writable") as probe:  # find an unwritable folder before the training, not after
        probe.write_bytes(b"")
    (request.out / ".writable").unlink(missing_ok=True)
    world.barrier()
    return checkpoint


def images_and_coils(request: DesignRequest, device: torch.device) -> tuple[ImageSet, Acquisition]:
    """The images to learn from and the simulated acquisition."""
    geometry = request.geometry
    images = load_images(
        request.images,
        matrix=geometry.matrix[0],
        fov_m=geometry.fov_m[0],
        contrasts=request.images is None,
        index_folder=_cache_folder(),
    )
    acquisition = Acquisition(
        geometry,
        simulated_coil_maps(request.coils, geometry),
        noise_sigma=noise_sigma(request.snr, sample_of(images.images)),
        backend=request.backend,
        device=device,
    )
    return images, acquisition


def _cache_folder() -> Path | None:
    """Where findings about big image folders are kept between runs (XDG base directory specification)."""
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(named) if named else Path.home() / ".cache") / "seqopt"
    except RuntimeError:  # a user without a home
        return None


def choose_device(name: str) -> torch.device:
    """``auto`` is the GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SeqoptError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:0, ...") from error
    if device.type not in ("cpu", "cuda"):
        raise SeqoptError(f"device {name!r} is not supported; known: auto, cpu, cuda, cuda:0, ...")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SeqoptError(
            f"device {name!r} is not there, {torch.cuda.device_count()} CUDA devices are visible; use cpu"
        )
    return device
