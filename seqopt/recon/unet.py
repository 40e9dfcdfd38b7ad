"""U-Nets (Ronneberger et al., MICCAI 2015), small enough to train on two cores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Block(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm2d(outputs, affine=True),
            nn.LeakyReLU(0.2),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm2d(outputs, affine=True),
            nn.LeakyReLU(0.2),
        )


class EncoderDecoder(nn.Module):
    """The U of a U-Net: (batch, inputs, y, x) -> (batch, outputs, y, x), any size, no scaling of its own."""

    def __init__(self, inputs: int, outputs: int, *, channels: int, levels: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(levels)]
        self.down = nn.ModuleList(_Block(a, b) for a, b in zip([inputs, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(
            _Block(a + b, a) for a, b in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.last = nn.Conv2d(channels, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Down and up again, padded with zeros to a multiple of the coarsest pixel."""
        multiple = 2 ** (len(self.down) - 1)
        rest = [(-n) % multiple for n in images.shape[-2:]]
        features = functional.pad(images, (0, rest[1], 0, rest[0]))
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(functional.avg_pool2d(features, 2) if level else features)
            skips.append(features)
        for rise, (block, skip) in enumerate(zip(self.up, reversed(skips[:-1]), strict=True)):
            wide = functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = block(torch.cat([wide, self.skipped(rise, skip, wide)], 1))
        result: Tensor = self.last(features)[:, :, : images.shape[-2], : images.shape[-1]]
        return result

    def skipped(self, rise: int, skip: Tensor, wide: Tensor) -> Tensor:
        """What passes straight across before step ``rise`` up, whose other input is ``wide``: here all of it."""
        return skip

    def start_at_zero(self) -> None:
        """Let the output be zero until something is learned."""
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]


class UNet(EncoderDecoder):
    """Magnitude (batch, y, x) -> magnitude (batch, y, x): a gain times the input plus a learned correction.

    It is an `EncoderDecoder`, not one that has it, so that stored weights keep short names.
    """

    def __init__(self, channels: int = 16, levels: int = 4) -> None:
        super().__init__(1, 1, channels=channels, levels=levels)
        self.gain = nn.Parameter(torch.ones(()))
        self.start_at_zero()

    def forward(self, images: Tensor) -> Tensor:
        """Restore; scaled by each image's own mean so that the data's unit does not matter."""
        scale = images.mean((-2, -1), keepdim=True).clamp_min(1e-12)
        first = (images / scale)[:, None]
        return torch.relu((self.gain * first + super().forward(first))[:, 0] * scale)


def sizes_of(weights: Mapping[str, Any], prefix: str = "") -> dict[str, int]:
    """Channels and levels of an `EncoderDecoder`, read off its weights; ValueError or KeyError for foreign ones."""
    start = f"{prefix}down."
    levels = 1 + max(int(name.removeprefix(start).split(".")[0]) for name in weights if name.startswith(start))
    return {"channels": int(weights[f"{prefix}last.weight"].shape[1]), "levels": levels}
