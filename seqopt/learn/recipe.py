"""How long and how hard to learn: the presets, and every number that a run may change."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from seqopt.errors import SeqoptError, reject
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
    adjoint_weight: float = 0.0
    """Weight, beside ``loss``, of the plain adjoint's error while the trajectory learns.

    It trades gain with CG-SENSE for gain with a network on the adjoint (docs/decisions.md).
    """
    network_loss: Mapping[str, float] = field(default_factory=lambda: {"l1": 1.0, "ssim": 1.0})
    """Weights of the image losses of the U-Nets that judge (Peng et al., CVPR 2022, eq. 15)."""
    penalty: float = 10.0
    """Weight of the gradient and slew excess after the warm-up."""
    warmup_share: float = 0.25
    """First share of the steps, without the penalty (Peng et al., CVPR 2022: 25 of 100 epochs)."""
    anneal: bool = True
    """Cosine decay of the rates to a twentieth, after ten steps of rise."""
    coarse_share: float = 0.5
    """Share of the control frequencies, in time and in k, open at the start; all are after 60 % of the steps.

    1 for all from the start.
    """
    k_harmonics: int = 0
    """Frequencies of k that the ODE's network sees beside k itself."""
    adjoint: bool = False
    """Adjoint method for the residual form too; the segments form always has it."""
    patience: int | None = None
    """Stop after so many validations without a better one; the best state is what counts. None to run to the end."""
    refresh_weights: int = 4
    """Steps between updates of the density compensation."""
    validate_every: int = 20
    checkpoint_every: int = 20
    network_steps: int = 180
    """Steps of each of the two U-Nets, fixed and learned alike."""
    task_steps: int = 100
    """Steps of the network of a task that the loss names."""
    network_batch: int = 2
    network_channels: int = 16
    iterations: int = 8
    """Conjugate-gradient iterations in training at most; fewer where the initial trajectory is best with fewer."""
    limit_images: int | None = None
    """Use at most so many images a split in judging."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "network_steps", "task_steps", "network_batch", "iterations", "refresh_weights"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise reject(name.replace("_", " "), got=value, expected="a whole number, 1 or more", remedy="raise it")
        if not 0.0 < self.coarse_share <= 1.0:
            raise reject("coarse share", got=self.coarse_share, expected="above 0 and up to 1", remedy="0.5 is usual")
        if not 0.0 <= self.adjoint_weight < math.inf:
            raise reject(
                "adjoint weight",
                got=self.adjoint_weight,
                expected="0 or more",
                remedy="0.2 to 1 for networks on the adjoint",
            )
        if not 0 <= self.k_harmonics <= 32:
            raise reject("k harmonics", got=self.k_harmonics, expected="0..32", remedy="4 is plenty")
        if self.patience is not None and self.patience < 1:
            raise reject("patience", got=self.patience, expected="1 or more validations", remedy="5 is usual")
        if any(not math.isfinite(weight) or weight <= 0 for weight in self.loss.values()):
            raise reject(
                "loss", got=dict(self.loss), expected="names with weights above 0", remedy="for example l1=1,ssim=1"
            )


presets: Registry[Recipe] = Registry("preset")
presets.register("smoke")(
    Recipe(
        steps=6, network_steps=4, task_steps=4, network_batch=1, network_channels=8, limit_images=2, validate_every=3
    )
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


def choose(preset: str, *, budget: float = 1.0, **changes: object) -> Recipe:
    """A preset with some of its numbers changed; None leaves a number as it is.

    ``budget`` scales the steps of all trainings. What is changed by name is taken as it is.
    """
    recipe = presets[preset]
    if not 0.0 < budget <= 1000.0:
        raise reject("budget", got=budget, expected="above 0, up to 1000", remedy="1 is the preset's own, 0.1 a tenth")
    scaled = {name: max(1, round(budget * getattr(recipe, name))) for name in ("steps", "network_steps", "task_steps")}
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(recipe, **{**scaled, **given})  # type: ignore[arg-type]


def parse_loss(text: str, known: Collection[str]) -> dict[str, float]:
    """``"l1=1,ssim=0.5"`` -> weights by name; a name alone counts 1. ``known`` are the names there are."""
    terms: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        name = name.strip()
        if name not in known:
            raise SeqoptError(f"loss {text!r}: unknown term {name!r}; known: {', '.join(known)}")
        try:
            terms[name] = float(weight) if weight.strip() else 1.0
        except ValueError as error:
            raise SeqoptError(f"loss {text!r}: {weight!r} is not a number; write for example l1=1,ssim=0.5") from error
    return terms
