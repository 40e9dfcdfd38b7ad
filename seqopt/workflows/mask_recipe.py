"""How long and on how many images a mask is chosen and judged: the presets."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from seqopt.errors import reject
from seqopt.registry import Registry


@dataclass(frozen=True, kw_only=True)
class MaskRecipe:
    """One way to choose and judge a mask; counts, all 1 or more."""

    task_steps: int = 200
    """Steps of the network on fully sampled images."""
    tune_steps: int = 32
    """Steps of fine-tuning for each mask, every mask alike."""
    batch: int = 2
    """Images a step of both trainings."""
    selection_images: int = 32
    """Training images in each pass of the choice, evenly spaced; the paper takes all."""
    validation_images: int = 16
    """Images on which swaps must prove themselves, evenly spaced."""
    test_images: int = 64
    """Held-out images at most, evenly spaced."""
    subjects: int = 40
    """Of a labelled folder at most, evenly spaced."""
    swap_tries: int = 4
    """Pairs of lines tried after each pass before the swaps end."""
    draws: int = 3
    """Of each random baseline."""
    channels: int = 8
    """Of the network's first level."""
    iterations: int = 12
    """Of the CG-SENSE that judges."""
    inner_iterations: int = 6
    """Of CG-SENSE inside the choice; each is kept for the way back."""
    pass_batch: int = 4
    """Images at once in a pass; the result does not depend on it."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not isinstance(value, int) or value < 1:
                raise reject(one.name.replace("_", " "), got=value, expected="1 or more", remedy="raise it")


mask_presets: Registry[MaskRecipe] = Registry("preset of masks")
mask_presets.register("smoke")(
    MaskRecipe(
        task_steps=12,
        tune_steps=4,
        selection_images=8,
        validation_images=4,
        test_images=8,
        subjects=6,
        draws=2,
        iterations=6,
    )
)
mask_presets.register("quick")(MaskRecipe())
mask_presets.register("paper")(  # the whole training set in each pass
    MaskRecipe(
        task_steps=2000,
        tune_steps=500,
        selection_images=100_000,
        validation_images=1000,
        test_images=100_000,
        subjects=100_000,
    )
)


def choose_mask_recipe(preset: str, *, budget: float = 1.0, **changes: int | None) -> MaskRecipe:
    """A preset with some numbers changed; ``budget`` scales the steps of both trainings, None leaves a number alone."""
    recipe = mask_presets[preset]
    if not 0.0 < budget <= 1000.0:
        raise reject("budget", got=budget, expected="above 0, up to 1000", remedy="1 is the preset's own, 0.1 a tenth")
    scaled = {name: max(1, round(budget * getattr(recipe, name))) for name in ("task_steps", "tune_steps")}
    return replace(recipe, **{**scaled, **{name: value for name, value in changes.items() if value is not None}})
