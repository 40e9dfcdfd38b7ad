"""A U-Net on magnitude images (Ronneberger et al., MICCAI 2015), small enough to train on two cores."""

from __future__ import annotations

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


class UNet(nn.Module):
    """Magnitude (batch, y, x) -> magnitude (batch, y, x): a gain times the input plus a learned correction."""

    def __init__(self, channels: int = 16, levels: int = 4) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(levels)]
        self.down = nn.ModuleList(_Block(a, b) for a, b in zip([1, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(
            _Block(a + b, a) for a, b in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.last = nn.Conv2d(channels, 1, 1)
        self.gain = nn.Parameter(torch.ones(()))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Restore; any even size, scaled by each image's own mean so that the data's unit does not matter."""
        scale = images.mean((-2, -1), keepdim=True).clamp_min(1e-12)
        first = (images / scale)[:, None]
        multiple = 2 ** (len(self.down) - 1)
        rest = [(-n) % multiple for n in images.shape[-2:]]
        features = functional.pad(first, (0, rest[1], 0, rest[0]))
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(functional.avg_pool2d(features, 2) if level else features)
            skips.append(features)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            wide = functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = block(torch.cat([wide, skip], 1))
        correction = self.last(features)[:, :, : images.shape[-2], : images.shape[-1]]
        return torch.relu((self.gain * first + correction)[:, 0] * scale)
