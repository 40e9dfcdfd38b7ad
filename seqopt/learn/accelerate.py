"""Two ways to spend less time in networks: bfloat16 and compilation. Transforms and solvers keep single precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seqopt.errors import SeqoptError

Function = Callable[..., Any]


def faster(
    sampling: nn.Module, recon: nn.Module, *, device: torch.device, amp: bool, compiled: bool
) -> Callable[[], AbstractContextManager[None]]:
    """A context in which the reconstruction's networks run in bfloat16 and they and the ODE's field are compiled.

    Outside of it the modules are as they were: judging and files never see it. Raises `SeqoptError` where torch.compile
    cannot run.
    """
    replaced: list[tuple[Any, str, Function]] = []
    if compiled:
        _try_compiler(device)
        replaced += [(owner, name, torch.compile(getattr(owner, name))) for owner, name in _fields(sampling)]
    for network in networks(recon) if amp or compiled else ():
        forward: Function = torch.compile(network.forward) if compiled else network.forward
        replaced.append((network, "forward", in_bfloat16(forward, device.type) if amp else forward))

    @contextmanager
    def context() -> Iterator[None]:
        for owner, name, function in replaced:
            object.__setattr__(owner, name, function)  # beside the class's own, which comes back by itself
        try:
            yield
        finally:
            for owner, name, _ in replaced:
                object.__delattr__(owner, name)

    return context


def networks(recon: nn.Module) -> list[nn.Module]:
    """The image-to-image networks of a reconstruction: its children that learn, lists of them opened."""
    found: list[nn.Module] = []
    for child in recon.children():
        if isinstance(child, nn.ModuleList):
            found += networks(child)
        elif any(True for _ in child.parameters()):
            found.append(child)
    return found


def in_bfloat16(forward: Function, device_type: str) -> Callable[..., Tensor]:
    """The function with its convolutions and products in bfloat16; its result in single precision."""

    def mixed(*inputs: Any, **options: Any) -> Tensor:
        with torch.autocast(device_type=device_type, dtype=torch.bfloat16):
            result: Tensor = forward(*inputs, **options)
        return result if result.is_complex() else result.float()

    return mixed


def _fields(sampling: nn.Module) -> list[tuple[Any, str]]:
    """The right-hand side of the trajectory's ODE, as (owner, name of its function)."""
    ode = getattr(sampling, "ode", None)
    if ode is None:
        return []
    return [(ode, "_field")] if hasattr(ode, "_field") else [(ode.network, "forward")]


def _try_compiler(device: torch.device) -> None:
    """Compile one line there and back, since torch.compile fails at first use and at length."""
    try:
        with torch.enable_grad():  # whatever the caller is in the middle of
            inputs = torch.ones(4, device=device, requires_grad=True)
            result: Tensor = torch.compile(_small)(inputs)
            result.backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # a dozen kinds, by what is missing: compiler, headers, Triton
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SeqoptError(
            f"--compile: torch.compile cannot run here ({why[:160]}); install a C++ compiler (on CUDA also Triton), "
            "or leave out --compile"
        ) from error


def _small(inputs: Tensor) -> Tensor:
    return torch.tanh(inputs).square().sum()
