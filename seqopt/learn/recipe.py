"""How long and how hard to learn: the presets, and every number that a run may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from seqopt.errors import reject
from seqopt.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to learn a trajectory and the networks that judge it."""

    form: str = "residual"
    recon: str = "cg-sense"
    """Reconstruction inside the learning loop."""
    steps: int = 260
    batch: int = 1
    rate_trajectory: float = 0.01
    rate_network: float = 1e-3
    loss: Mapping[str, float] = field(default_factory=lambda: {"rmse": 10.0, "l1": 1.0, "ssim": 0.1})
    """Weights of the image losses while the trajectory learns."""
    network_loss: Mapping[str, float] = field(default_factory=lambda: {"l1": 1.0, "ssim": 1.0})
    """Weights of the image losses of the U-Nets that judge (papers.md A, eq. 15)."""
    penalty: float = 10.0
    """Weight of the gradient and slew excess after the warm-up."""
    warmup_share: float = 0.25
    """First share of the steps, without the penalty (papers.md A: 25 of 100 epochs)."""
    anneal: bool = True
    """Cosine decay of the rates to a twentieth, after ten steps of rise."""
    coarse_share: float = 0.5
    """Share of the time harmonics open at the start; all are open after 60 % of the steps. 1 for no coarse-to-fine."""
    refresh_weights: int = 4
    """Steps between updates of the density compensation."""
    validate_every: int = 20
    checkpoint_every: int = 20
    network_steps: int = 180
    """Steps of each of the two U-Nets, fixed and learned alike."""
    network_batch: int = 2
    network_channels: int = 16
    iterations: int = 8
    """Conjugate-gradient iterations in training; judging tunes them."""
    regularisation: float = 0.01
    limit_images: int | None = None
    """Use at most so many images a split in judging."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "network_steps", "network_batch", "iterations", "refresh_weights"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise reject(name.replace("_", " "), got=value, expected="a whole number, 1 or more", remedy="raise it")


presets: Registry[Recipe] = Registry("preset")
presets.register("smoke")(
    Recipe(steps=6, network_steps=4, network_batch=1, network_channels=8, limit_images=2, validate_every=3)
)
presets.register("quick")(Recipe())
presets.register("paper")(
    # Peng et al., CVPR 2022: form, loss, rates, schedule; 100 epochs of the 65 embedded training slices
    Recipe(
        form="segments",
        recon="adjoint+unet",
        steps=6500,
        loss={"l1": 1.0, "ssim": 1.0},
        penalty=0.1,
        anneal=False,
        coarse_share=1.0,
        network_steps=6500,
        network_batch=1,
        validate_every=100,
        checkpoint_every=65,
    )
)


def choose(preset: str, **changes: object) -> Recipe:
    """A preset with some of its numbers changed; None leaves a number as it is."""
    return replace(presets[preset], **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
