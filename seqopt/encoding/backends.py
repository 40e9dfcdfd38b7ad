"""The two NUFFT engines behind one interface. Order, sign and scale of each engine are changed here and nowhere else.

An engine evaluates, for images indexed r = -N/2 .. N/2 - 1 (y, x) and omega in rad/voxel (2, points) ordered (y, x),

    type2: s_j = sum_r m(r) exp(-i omega_j . r)        (n, y, x) -> (n, points)
    type1: m(r) = sum_j s_j exp(+i omega_j . r)        (n, points) -> (n, y, x)
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seqopt.errors import SeqoptError
from seqopt.registry import Registry


class Engine(Protocol):
    """One NUFFT library."""

    def type2(self, images: Tensor, omega: Tensor) -> Tensor:
        """Images (n, y, x) -> samples (n, points)."""
        ...

    def type1(self, samples: Tensor, omega: Tensor, shape: tuple[int, int]) -> Tensor:
        """Samples (n, points) -> images (n, y, x)."""
        ...


engines: Registry[type[Engine]] = Registry("NUFFT backend")


def choose_engine(name: str, device: torch.device) -> str:
    """Resolve ``auto``: finufft on a CPU (5 to 10 times faster there), cufinufft on a GPU if it is installed."""
    if name != "auto":
        engines[name]
        return name
    if device.type != "cuda":
        return "finufft"
    try:
        import cufinufft  # noqa: F401
    except ImportError:
        return "torchkbnufft"
    return "finufft"


@engines.register("finufft")
class Finufft:
    """finufft on the CPU, cufinufft on the GPU."""

    upsampling = 0.0
    """Of the fine grid on a CPU: 1.25, or 2; 0 leaves it to finufft."""

    def __init__(self, tolerance: float = 1e-5) -> None:
        self.tolerance = tolerance

    def type2(self, images: Tensor, omega: Tensor) -> Tensor:
        """Images (n, y, x) -> samples (n, points)."""
        return self._run(2, images, omega, (images.shape[-2], images.shape[-1]))

    def type1(self, samples: Tensor, omega: Tensor, shape: tuple[int, int]) -> Tensor:
        """Samples (n, points) -> images (n, y, x)."""
        return self._run(1, samples, omega, shape)

    def _run(self, kind: int, data: Tensor, omega: Tensor, shape: tuple[int, int]) -> Tensor:
        double = data.dtype == torch.complex128
        tolerance = self.tolerance if not double else min(self.tolerance, 1e-12)
        real = torch.float64 if double else torch.float32
        # the engine takes one period; folded in double precision, since samples may lie anywhere
        folded = torch.remainder(omega.detach().double() + math.pi, 2 * math.pi) - math.pi
        points = folded.to(real).clamp(-math.pi, math.pi).contiguous()
        sign = -1 if kind == 2 else 1
        if data.is_cuda:
            import cufinufft

            plan = cufinufft.Plan(kind, shape, data.shape[0], tolerance, sign, dtype=_name(data.dtype))
            plan.setpts(points[0], points[1])
            return torch.as_tensor(plan.execute(data.contiguous()), device=data.device).reshape(
                data.shape[0], *_out(kind, shape, points)
            )
        import finufft

        # type 1 adds up in an order that threads would make random: one thread a transform, so that a seed is a result
        transforms, threads = data.shape[0], torch.get_num_threads()
        options: dict[str, float] = {"nthreads": 1 if kind == 1 and transforms == 1 else threads}
        if transforms > 1:
            options["spread_thread"] = 2
        if self.upsampling and not double:
            options["upsampfac"] = self.upsampling
        plan = finufft.Plan(kind, shape, transforms, tolerance, sign, dtype=_name(data.dtype), **options)
        plan.setpts(points[0].numpy(), points[1].numpy())
        result = plan.execute(
            np.ascontiguousarray(data.detach().numpy().squeeze(0) if data.shape[0] == 1 else data.detach().numpy())
        )
        return torch.from_numpy(result).reshape(data.shape[0], *_out(kind, shape, points))


def _out(kind: int, shape: tuple[int, int], points: Tensor) -> tuple[int, ...]:
    return shape if kind == 1 else (points.shape[1],)


def _name(dtype: torch.dtype) -> str:
    return {torch.complex64: "complex64", torch.complex128: "complex128"}[dtype]


@engines.register("finufft-small-grid")
class SmallGrid(Finufft):
    """finufft with a fine grid of 1.25 instead of 2: up to six times faster for one use, to 2e-5 in single precision.

    In double precision the fine grid stays as it is.
    """

    def __init__(self, tolerance: float = 2e-5) -> None:
        super().__init__(max(tolerance, 2e-5))  # below, single precision gains nothing
        self.upsampling = 1.25


@engines.register("torchkbnufft")
class TorchKbNufft:
    """torchkbnufft (Kaiser-Bessel gridding in torch) on the CPU or the GPU."""

    def __init__(self, tolerance: float = 1e-5) -> None:
        self.tolerance = tolerance
        self._operators: dict[Any, Any] = {}

    def _operator(self, kind: str, shape: tuple[int, int], data: Tensor) -> Any:
        import torchkbnufft as tkbn

        key = (kind, shape, data.dtype, data.device)
        if key not in self._operators:
            make = {"type2": tkbn.KbNufft, "type1": tkbn.KbNufftAdjoint}[kind]
            # 7 points and a table of 2^14 steps reach about 1e-5; its defaults reach 1e-3
            operator = make(im_size=shape, grid_size=tuple(2 * n for n in shape), numpoints=7, table_oversamp=2**14)
            self._operators[key] = operator.to(dtype=data.dtype, device=data.device)
        return self._operators[key]

    def type2(self, images: Tensor, omega: Tensor) -> Tensor:
        """Images (n, y, x) -> samples (n, points)."""
        shape = (images.shape[-2], images.shape[-1])
        real = images.real.dtype
        samples: Tensor = self._operator("type2", shape, images)(images.detach()[None], omega.detach().to(real))
        return samples[0]

    def type1(self, samples: Tensor, omega: Tensor, shape: tuple[int, int]) -> Tensor:
        """Samples (n, points) -> images (n, y, x)."""
        real = samples.real.dtype
        images: Tensor = self._operator("type1", shape, samples)(samples.detach()[None], omega.detach().to(real))
        return images[0]


def make_engine(name: str, device: torch.device, tolerance: float) -> Engine:
    """An engine by name (``auto`` chooses by device)."""
    if not 1e-14 <= tolerance <= 0.1:
        raise SeqoptError(f"NUFFT tolerance: got {tolerance:g}, expected 1e-14..0.1; 1e-5 suits single precision")
    return engines[choose_engine(name, device)](tolerance)  # type: ignore[call-arg]
