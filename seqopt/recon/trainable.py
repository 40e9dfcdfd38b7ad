"""What the reconstructions inside training have in common, and how their weights go into a design and come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqopt.errors import SeqoptError

Arrays = dict[str, npt.NDArray[Any]]
Stored = tuple[str, Arrays]
"""The offline method that the weights serve, and the weights by parameter name."""


class InLoop(nn.Module):
    """A reconstruction inside training: ``forward(measurement)`` gives the magnitude (batch, y, x)."""

    @classmethod
    def of_recipe(cls, *, iterations: int, regularisation: float, channels: int) -> Self:
        """The reconstruction of that many CG iterations, that regularisation and that many network channels."""
        raise NotImplementedError

    def stored(self) -> Stored | None:
        """What a design keeps of it; None where nothing was learned."""
        return None

    def load(self, weights: Mapping[str, Any]) -> None:
        """Take what ``stored()`` gave; raises `SeqoptError` where the weights do not fit."""
        raise SeqoptError(f"the reconstruction {type(self).__name__} has no weights to load; leave them out")


def magnitude(images: Tensor) -> Tensor:
    """Complex (batch, y, x) -> magnitude, with a derivative at zero."""
    return (images.real.square() + images.imag.square() + 1e-10).sqrt()


def arrays_of(network: nn.Module) -> Arrays:
    """Copies of a network's weights by parameter name."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in network.state_dict().items()}


def load_arrays(network: nn.Module, weights: Mapping[str, Any], *, method: str) -> None:
    """Fill a network with weights by parameter name; raises `SeqoptError` for foreign names, sizes and NaN."""
    try:
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
        whole = all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError) as error:
        raise SeqoptError(
            f"the weights of {method!r} do not fit this network; train it anew, or use the preset that it was made with"
        ) from error
    if not whole:
        raise SeqoptError(f"the weights of {method!r} hold NaN or infinity; the design is damaged, make it anew")
