"""What the backward pass must remember: with the adjoint method, not the solver's steps (Chen et al., NeurIPS 2018)."""

from __future__ import annotations

import torch
from designs import paper_scanner
from together import DWELL_S, GEOMETRY, PINNED, SAMPLES, spokes

from seqopt.sampling.trajectory import ResidualTrajectory


def remembered(*, adjoint: bool, finer: int) -> tuple[int, torch.Tensor]:
    """Bytes kept from a forward to its backward pass and the gradient, with ``finer`` solver steps a node."""
    torch.manual_seed(0)
    module = ResidualTrajectory(
        spokes(),
        GEOMETRY,
        paper_scanner(),
        dwell_s=DWELL_S,
        echo_sample=SAMPLES // 2,
        pinned=PINNED,
        adjoint=adjoint,
        steps_per_node=finer,
    )
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


def test_the_adjoint_form_remembers_no_more_for_ten_times_the_steps() -> None:
    once, _ = remembered(adjoint=True, finer=1)
    tenfold, gradient = remembered(adjoint=True, finer=10)
    assert tenfold < 1.1 * once
    direct_once, _ = remembered(adjoint=False, finer=1)
    direct_tenfold, wanted = remembered(adjoint=False, finer=10)
    assert direct_tenfold > 4 * direct_once  # what the adjoint method is for
    assert tenfold < 0.2 * direct_tenfold
    assert torch.linalg.norm(gradient - wanted) < 0.02 * torch.linalg.norm(wanted)
