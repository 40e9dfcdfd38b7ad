"""Networks that read an image for a task: (batch, inputs, y, x) -> logits, small enough to train on one core."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqopt.errors import SeqoptError
from seqopt.recon.unet import EncoderDecoder, sizes_of
from seqopt.registry import Registry

networks: Registry[type[nn.Module]] = Registry("network")
"""Each is made by ``(inputs, outputs, channels=, levels=)``."""
networks.register("unet")(EncoderDecoder)


class _Gate(nn.Module):
    """How much of each pixel of a skip connection matters, asked of it and of the coarser features."""

    def __init__(self, skip: int, wide: int) -> None:
        super().__init__()
        between = max(1, skip // 2)
        self.of_skip = nn.Conv2d(skip, between, 1, bias=False)
        self.of_wide = nn.Conv2d(wide, between, 1)
        self.weight = nn.Conv2d(between, 1, 1)

    def forward(self, skip: Tensor, wide: Tensor) -> Tensor:
        """The skip connection, dimmed where it does not matter."""
        share: Tensor = torch.sigmoid(self.weight(torch.relu(self.of_skip(skip) + self.of_wide(wide))))
        return skip * share


@networks.register("attention-unet")
class AttentionUnet(EncoderDecoder):
    """A U-Net with additive attention gates on its skip connections (Oktay et al., MIDL 2018, eq. 1 and 2)."""

    def __init__(self, inputs: int, outputs: int, *, channels: int, levels: int) -> None:
        super().__init__(inputs, outputs, channels=channels, levels=levels)
        widths = [channels * 2**level for level in range(levels)]
        self.gates = nn.ModuleList(
            _Gate(a, b) for a, b in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )

    def skipped(self, rise: int, skip: Tensor, wide: Tensor) -> Tensor:
        """The gated skip connection."""
        result: Tensor = self.gates[rise](skip, wide)
        return result


class _Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input goes straight."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, 3, stride)
        self.second = _convolution(outputs, outputs, 3, 1)
        self.straight = nn.Identity() if stride == 1 else _convolution(inputs, outputs, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, inputs, y, x) -> (batch, outputs, y / stride, x / stride)."""
        return torch.relu(self.straight(features) + self.second(torch.relu(self.first(features))))


@networks.register("residual-classifier")
class ResidualClassifier(nn.Module):
    """Which class a whole image belongs to: two residual blocks a level, as ResNet-18 (He et al., CVPR 2016).

    It differs from ResNet-18 in its width, in a finer first convolution, and in also taking the largest value of each
    final feature, since a lesion is a small part of an image.
    """

    def __init__(self, inputs: int, outputs: int, *, channels: int, levels: int) -> None:
        super().__init__()
        self.stem = _convolution(inputs, channels, 3, 1)
        widths = [channels, *(channels * 2**level for level in range(levels))]
        self.stages = nn.ModuleList(
            nn.Sequential(_Residual(a, b, 1 if a == b else 2), _Residual(b, b, 1))
            for a, b in itertools.pairwise(widths)
        )
        self.last = nn.Linear(2 * widths[-1], outputs)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, inputs, y, x) -> (batch, outputs)."""
        features = functional.avg_pool2d(torch.relu(self.stem(images)), 2)
        for stage in self.stages:
            features = stage(features)
        result: Tensor = self.last(torch.cat([features.mean((-2, -1)), features.amax((-2, -1))], 1))
        return result


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False), nn.BatchNorm2d(outputs)
    )


def name_and_sizes(weights: Mapping[str, Any]) -> tuple[str, dict[str, int]]:
    """The network that ``weights`` (its state) belong to: its name, and inputs, outputs, channels and levels.

    Raises `SeqoptError` for weights of none of the networks.
    """
    try:
        if "stem.0.weight" in weights:
            levels = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("stages."))
            first, sizes = weights["stem.0.weight"], {"levels": levels}
            sizes |= {"channels": int(first.shape[0]), "inputs": int(first.shape[1])}
            return "residual-classifier", sizes | {"outputs": int(weights["last.weight"].shape[0])}
        name = "attention-unet" if any(key.startswith("gates.") for key in weights) else "unet"
        sizes = sizes_of(weights) | {"inputs": int(weights["down.0.0.weight"].shape[1])}
        return name, sizes | {"outputs": int(weights["last.weight"].shape[0])}
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise SeqoptError(
            f"weights of no known network ({', '.join(networks)}); give those that seqopt stored"
        ) from error
