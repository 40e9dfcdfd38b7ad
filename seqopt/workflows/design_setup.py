"""What a design run needs before it can learn: its folder, its images, its coils, its device."""

from __future__ import annotations

import torch

from seqopt.encoding.acquisition import Acquisition
from seqopt.errors import SeqoptError
from seqopt.images import ImageSet, load_images, noise_sigma, simulated_coil_maps
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.store import replacing


def prepare_folder(request: DesignRequest) -> Checkpoint:
    """A folder that may be written, and the checkpoint of an earlier run in it; refuses to replace results unasked."""
    checkpoint = Checkpoint(request.out / "checkpoint.pt", request.fingerprint())
    finished = (request.out / "design.h5").exists()
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
    return checkpoint


def images_and_coils(request: DesignRequest) -> tuple[ImageSet, Acquisition]:
    """The images to learn from and the simulated acquisition."""
    geometry = request.geometry
    images = load_images(
        request.images, matrix=geometry.matrix[0], fov_m=geometry.fov_m[0], contrasts=request.images is None
    )
    acquisition = Acquisition(
        geometry,
        simulated_coil_maps(request.coils, geometry),
        noise_sigma=noise_sigma(request.snr, images.images),
        backend=request.backend,
        device=choose_device(request.device),
    )
    return images, acquisition


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
