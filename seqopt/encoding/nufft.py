"""The non-uniform Fourier transform A and its adjoint, differentiable in the image and in k.

s_j = 1 / sqrt(Nx Ny) sum_r m(r) exp(-2 pi i k_j . r), with r = (index - N/2) voxel: unitary-scaled, so that A^H A is
the identity on a full Cartesian grid. The derivative in k is a NUFFT of r m(r) (Wang & Fessler, IEEE TCI 2023).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from seqopt.core import Geometry
from seqopt.encoding.backends import Engine, make_engine
from seqopt.errors import SeqoptError
from seqopt.units import k_to_radians


class Nufft:
    """A and A^H of one geometry; ``shape`` may differ from the geometry's matrix (the doubled grid of a Gram)."""

    def __init__(
        self,
        geometry: Geometry,
        backend: str = "auto",
        *,
        device: torch.device | str = "cpu",
        tolerance: float = 1e-5,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self.geometry = geometry
        self.shape = shape or geometry.shape
        self.engine = make_engine(backend, torch.device(device), tolerance)
        self._scale = 1.0 / math.sqrt(geometry.shape[0] * geometry.shape[1])

    def omega(self, k_per_m: Tensor) -> Tensor:
        """K (shots, samples, 2) 1/m, ordered x, y -> (2, points) rad/voxel, ordered y, x; refuses NaN."""
        if k_per_m.ndim != 3 or k_per_m.shape[-1] != 2:
            raise SeqoptError(f"trajectory of shape {tuple(k_per_m.shape)}, expected (shots, samples, 2) in 1/m")
        x_m, y_m = self.geometry.voxel_m
        omega = torch.stack([k_to_radians(k_per_m[..., 1], y_m), k_to_radians(k_per_m[..., 0], x_m)]).reshape(2, -1)
        finite = torch.isfinite(omega).all()
        if omega.is_cuda:  # to ask would wait for the device; cufinufft must not meet NaN, `_gain` brings it back
            return torch.where(finite, omega, torch.zeros_like(omega))
        if not bool(finite):
            raise SeqoptError("the trajectory holds NaN or infinity; training diverged or the file is damaged")
        return omega

    def forward(self, images: Tensor, k_per_m: Tensor) -> Tensor:
        """A: complex images (batch, coils, y, x), k (shots, samples, 2) 1/m -> (batch, coils, shots, samples)."""
        if tuple(images.shape[-2:]) != self.shape:
            raise SeqoptError(f"images of {tuple(images.shape[-2:])} pixels (y, x), expected {self.shape}")
        flat = images.reshape(-1, *self.shape)
        samples: Tensor = _Forward.apply(flat, self.omega(k_per_m), self.engine)  # type: ignore[no-untyped-call]
        return (self._gain(k_per_m) * samples).reshape(*images.shape[:-2], *k_per_m.shape[:2])

    def adjoint(self, samples: Tensor, k_per_m: Tensor) -> Tensor:
        """A^H: samples (batch, coils, shots, samples), k (shots, samples, 2) 1/m -> (batch, coils, y, x)."""
        if samples.shape[-2:] != k_per_m.shape[:2]:
            raise SeqoptError(
                f"samples of {tuple(samples.shape[-2:])} (shots, samples) do not match k of {tuple(k_per_m.shape[:2])}"
            )
        flat = samples.reshape(-1, k_per_m.shape[0] * k_per_m.shape[1])
        images: Tensor = _Adjoint.apply(flat, self.omega(k_per_m), self.engine, self.shape)  # type: ignore[no-untyped-call]
        return (self._gain(k_per_m) * images).reshape(*samples.shape[:-2], *self.shape)

    def _gain(self, k_per_m: Tensor) -> Tensor | float:
        """The unitary scale; on a GPU NaN where the trajectory holds one, for the caller's loss to show."""
        if not k_per_m.is_cuda:
            return self._scale
        return torch.where(torch.isfinite(k_per_m).all(), self._scale, torch.nan)


def _positions(shape: tuple[int, int], like: Tensor) -> Tensor:
    """Voxel indices (2, y, x) about the centre, ordered y, x."""
    axes = [torch.arange(n, device=like.device, dtype=like.real.dtype) - n // 2 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, omega: Tensor, engine: Engine) -> Tensor:
        ctx.save_for_backward(images, omega)
        ctx.engine = engine
        return engine.type2(images, omega)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, omega = ctx.saved_tensors
        grad, grad_images, grad_omega = grads[0], None, None
        if ctx.needs_input_grad[0]:
            grad_images = ctx.engine.type1(grad, omega, tuple(images.shape[-2:]))
        if ctx.needs_input_grad[1]:  # ds/d omega = NUFFT of -i r m(r)
            r = _positions(tuple(images.shape[-2:]), images)
            moments = ctx.engine.type2((r[:, None] * images).flatten(0, 1), omega).reshape(2, *grad.shape)
            grad_omega = (grad.conj() * (-1j * moments)).real.sum(1).to(omega.dtype)
        return grad_images, grad_omega, None


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, samples: Tensor, omega: Tensor, engine: Engine, shape: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(samples, omega)
        ctx.engine, ctx.shape = engine, shape
        return engine.type1(samples, omega, shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        samples, omega = ctx.saved_tensors
        grad, grad_samples, grad_omega = grads[0], None, None
        if ctx.needs_input_grad[0]:
            grad_samples = ctx.engine.type2(grad, omega)
        if ctx.needs_input_grad[1]:  # dm/d omega_j = i r s_j exp(i omega_j r)
            r = _positions(ctx.shape, grad)
            moments = ctx.engine.type2((r[:, None] * grad).flatten(0, 1), omega).reshape(2, *samples.shape)
            grad_omega = (1j * samples * moments.conj()).real.sum(1).to(omega.dtype)
        return grad_samples, grad_omega, None, None
