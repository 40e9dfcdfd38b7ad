"""What the backward pass must remember: with the adjoint method, not the solver's steps (Chen et al., NeurIPS 2018)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from designs import paper_scanner
from together import DWELL_S, GEOMETRY, PINNED, SAMPLES, spokes
from torchdiffeq import odeint, odeint_adjoint

from seqopt.sampling import residual
from seqopt.sampling.trajectory import ResidualTrajectory


def remembered(monkeypatch: pytest.MonkeyPatch, *, adjoint: bool, finer: int) -> tuple[int, torch.Tensor]:
    """Bytes kept from a forward to its backward pass and the gradient, with ``finer`` solver steps a node."""
    torch.manual_seed(0)
    module = ResidualTrajectory(
        spokes(), GEOMETRY, paper_scanner(), dwell_s=DWELL_S, echo_sample=SAMPLES // 2, pinned=PINNED, adjoint=True
    )
    options = {"step_size": float(module.ode.node_times[1]) / finer}

    def solve(field: Any, start: torch.Tensor, times: torch.Tensor, *, method: str, adjoint_params: Any) -> Any:
        if adjoint:
            return odeint_adjoint(field, start, times, method=method, options=options, adjoint_params=adjoint_params)
        return odeint(field, start, times, method=method, options=options)

    monkeypatch.setattr(residual, "odeint_adjoint", solve)
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = module().k_per_m.square().mean()
    loss.backward()
    gradient = torch.cat([one.grad.flatten() for one in module.parameters() if one.grad is not None])
    return sum(storage.nbytes() for storage in kept.values()), gradient


def test_the_adjoint_form_remembers_no_more_for_ten_times_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    once, _ = remembered(monkeypatch, adjoint=True, finer=1)
    tenfold, gradient = remembered(monkeypatch, adjoint=True, finer=10)
    assert tenfold < 1.1 * once
    direct_once, _ = remembered(monkeypatch, adjoint=False, finer=1)
    direct_tenfold, wanted = remembered(monkeypatch, adjoint=False, finer=10)
    assert direct_tenfold > 4 * direct_once  # what the adjoint method is for
    assert tenfold < 0.2 * direct_tenfold
    assert torch.linalg.norm(gradient - wanted) < 0.02 * torch.linalg.norm(wanted)
