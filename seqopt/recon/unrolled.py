"""The unrolled reconstruction: data consistency by CG and a small denoiser in turn (MoDL), one module for all uses.

Source: Aggarwal, Mani, Jacob, IEEE TMI 38:394 (2019), eq. 11-12, with the weights shared between the cascades.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from seqopt.encoding.acquisition import Measurement
from seqopt.encoding.gram import sense_gram
from seqopt.errors import SeqoptError
from seqopt.recon.cg_sense import DEFAULT_REGULARISATION, solve
from seqopt.recon.trainable import InLoop, Stored, arrays_of, load_arrays, magnitude
from seqopt.recon.unet import EncoderDecoder, sizes_of

METHOD = "unrolled"
PRIOR_WEIGHT = 0.05  # where MoDL starts its lambda, too
_SETTINGS = {"cascades": int, "start_iterations": int, "iterations": int, "regularisation": float}


class Denoiser(nn.Module):
    """Correction (batch, y, x) of complex images; zero until trained."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.body = EncoderDecoder(2, 2, channels=channels, levels=levels)
        self.body.start_at_zero()

    def forward(self, images: Tensor) -> Tensor:
        """Real and imaginary part as two channels, scaled by each image's mean magnitude: any unit will do."""
        scale = images.abs().mean((-2, -1), keepdim=True).clamp_min(1e-12)
        parts = self.body(torch.view_as_real(images / scale).permute(0, 3, 1, 2))
        parts = parts.to(scale.dtype)  # bfloat16 has no complex
        return torch.complex(parts[:, 0], parts[:, 1]) * scale


class Unrolled(InLoop):
    """A CG-SENSE image x, then in each cascade a denoised z = x + denoiser(x) and a few CG iterations from z.

    They lead towards argmin |W^1/2 (A S x - s)|^2 + regularisation |x|^2 + prior weight |x - z|^2; the prior weight is
    learned. Untrained, z = x and the cascades, a proximal-point method, lead to the image of CG-SENSE with that
    regularisation.
    """

    def __init__(
        self,
        channels: int = 8,
        levels: int = 4,
        *,
        cascades: int = 3,
        start_iterations: int = 4,
        iterations: int = 2,
        regularisation: float = DEFAULT_REGULARISATION,
    ) -> None:
        super().__init__()
        self.cascades, self.start_iterations, self.iterations = cascades, start_iterations, iterations
        self.regularisation = regularisation
        self.denoiser = Denoiser(channels, levels)
        self.log_prior_weight = nn.Parameter(torch.tensor(math.log(PRIOR_WEIGHT)))

    @classmethod
    def of_recipe(cls, *, iterations: int, regularisation: float, channels: int) -> Self:
        """Half the iterations to start with, a quarter in each cascade; half the channels, as each cascade has them."""
        return cls(
            max(1, channels // 2),
            start_iterations=max(1, iterations // 2),
            iterations=max(1, iterations // 4),
            regularisation=regularisation,
        )

    @classmethod
    def from_weights(cls, weights: Mapping[str, Any]) -> Self:
        """The network that ``stored()`` described; raises `SeqoptError` for weights of anything else."""
        try:
            network = cls(**sizes_of(weights, "denoiser.body."))
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            raise SeqoptError(
                "the weights in the design are not those of a seqopt unrolled reconstruction; make the design anew"
            ) from error
        network.load(weights)
        return network

    def stored(self) -> Stored:
        """Method name; weights, with the numbers of the architecture beside them as 0-d arrays."""
        settings = {name: np.array(getattr(self, name)) for name in _SETTINGS}
        return METHOD, {**arrays_of(self), **settings}

    def load(self, weights: Mapping[str, Any]) -> None:
        """Take weights and numbers of ``stored()``, so that this module gives the same images as that one did."""
        missing = [name for name in _SETTINGS if name not in weights]
        if missing:
            raise SeqoptError(f"the weights of {METHOD!r} lack {', '.join(missing)}; make the design anew")
        load_arrays(self, {name: array for name, array in weights.items() if name not in _SETTINGS}, method=METHOD)
        for name, kind in _SETTINGS.items():
            setattr(self, name, kind(weights[name]))

    def forward(self, measurement: Measurement) -> Tensor:
        """Magnitude (batch, y, x)."""
        return magnitude(self.restore(measurement.combined(), measurement.spectrum, measurement.shifted))

    def restore(self, right_hand_side: Tensor, spectrum: Tensor, shifted: Tensor) -> Tensor:
        """Right-hand side S^H A^H W s (batch, y, x) complex, ``spectrum`` and ``shifted`` as in CG-SENSE -> complex."""
        return self.cascade(right_hand_side, lambda image: sense_gram(image, spectrum, shifted))

    def cascade(self, right_hand_side: Tensor, gram: Callable[[Tensor], Tensor]) -> Tensor:
        """The same for any positive operator on (batch, y, x)."""
        estimate = solve(gram, right_hand_side, iterations=self.start_iterations, regularisation=self.regularisation)
        prior_weight = self.log_prior_weight.exp()
        for _ in range(self.cascades):
            denoised = estimate + self.denoiser(estimate)
            estimate = solve(
                gram,
                right_hand_side + prior_weight * denoised,
                iterations=self.iterations,
                regularisation=self.regularisation + prior_weight,
                start=denoised,
            )
        return estimate
