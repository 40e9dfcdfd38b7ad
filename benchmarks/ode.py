"""The neural ODE: adjoint method against direct back-propagation, in evaluations, time, memory and gradient.

16 shots x 1000 samples of 4 us, one design step of the trajectory alone: k from the parameters, and the derivative of a
fixed function of k in all of them. Each row is a process of its own. "Saved" is what autograd keeps from the forward to
the backward pass, "peak" the resident memory above that before the step. Gradients of the adjoint method are compared
with those of direct back-propagation through the same solver steps.

Ten times the steps means: for the residual form nodes ten times as dense (its output grows too), or ten solver steps
between the same nodes; for the segments a tenth of the fixed step, or for Dormand-Prince steps of at most a tenth of a
sample. The solvers' own options are set from here where the library has no use for them.

Run: python benchmarks/ode.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spokes import DWELL_S, residual_ode, spokes
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from seqopt.core import Geometry
from seqopt.gradients.profiles import load_scanner
from seqopt.sampling import segments
from seqopt.sampling.residual import ResidualOde
from seqopt.sampling.trajectory import ResidualTrajectory, SegmentsTrajectory

SHOTS, SAMPLES = 16, 1000
GEOMETRY = Geometry(fov_m=(0.22, 0.22), matrix=(256, 256))


@dataclass(frozen=True)
class Case:
    """One way to solve; made with and without the adjoint method."""

    label: str
    make: Callable[[bool], ResidualTrajectory | SegmentsTrajectory]


class Field(nn.Module):
    """The residual form's right-hand side, without its table of times: solver steps may fall anywhere."""

    def __init__(self, ode: ResidualOde) -> None:
        super().__init__()
        self.ode = [ode]

    def forward(self, unit_time: Tensor, deviation: Tensor) -> Tensor:
        """As `ResidualOde.derivative`."""
        return self.ode[0].derivative(unit_time, deviation)


def residual(adjoint: bool, *, node_s: float = 40e-6, substeps: int = 1) -> ResidualTrajectory:
    trajectory = residual_ode(
        GEOMETRY, load_scanner("paper"), SHOTS, SAMPLES, node_s=node_s, adjoint=adjoint, harmonics=24
    )
    ode = trajectory.ode
    if substeps == 1:
        return trajectory
    times, scale = ode.node_times, ode.k_max_per_m
    common: dict[str, Any] = {"method": ode.method, "options": {"step_size": float(times[1]) / substeps}}

    def forward() -> tuple[Tensor, Tensor]:
        if adjoint:
            path = odeint_adjoint(Field(ode), ode.start, times, adjoint_params=tuple(ode.parameters()), **common)
        else:
            path = odeint(Field(ode), ode.start, times, **common)
        slopes = ode.derivative(times, path)
        return path.transpose(0, 1) * scale, slopes.transpose(0, 1) * (scale / ode.readout_s)

    ode.forward = forward  # type: ignore[method-assign]
    return trajectory


def in_segments(adjoint: bool, *, method: str, options: dict[str, float]) -> SegmentsTrajectory:
    segments.odeint = partial(odeint, options=dict(options))
    segments.odeint_adjoint = partial(odeint_adjoint, options=dict(options), adjoint_options=dict(options))
    trajectory = SegmentsTrajectory(
        spokes(GEOMETRY, SHOTS, SAMPLES),
        GEOMETRY,
        load_scanner("paper"),
        dwell_s=DWELL_S,
        echo_sample=SAMPLES // 2,
        pinned=np.tile(np.eye(2), (SHOTS, 1, 1)),
    )
    trajectory.ode.adjoint, trajectory.ode.method = adjoint, method
    return trajectory


SAMPLE = 1.0 / SAMPLES  # of the readout
CASES = {
    "residual": Case("residual, midpoint, nodes every 40 us", residual),
    "residual-nodes": Case("residual, nodes every 4 us (x 10)", partial(residual, node_s=4e-6)),
    "residual-steps": Case("residual, 10 steps between nodes (x 10)", partial(residual, substeps=10)),
    "dopri5": Case("segments, Dormand-Prince 5", partial(in_segments, method="dopri5", options={})),
    "dopri5-steps": Case(
        "segments, Dormand-Prince 5, steps of at most a tenth of a sample",
        partial(in_segments, method="dopri5", options={"max_step": SAMPLE / 10, "first_step": SAMPLE / 10}),
    ),
    "rk4": Case("segments, RK4, a step a sample", partial(in_segments, method="rk4", options={"step_size": SAMPLE})),
    "rk4-steps": Case(
        "segments, RK4, 10 steps a sample (x 10)",
        partial(in_segments, method="rk4", options={"step_size": SAMPLE / 10}),
    ),
}


def count_evaluations(trajectory: ResidualTrajectory | SegmentsTrajectory, seen: list[int]) -> None:
    """Add one to ``seen[0]`` whenever the solver asks for the derivative."""
    if isinstance(trajectory, SegmentsTrajectory):
        trajectory.ode.network.register_forward_hook(lambda *_: seen.__setitem__(0, seen[0] + 1))
        return
    original = trajectory.ode._field

    def field(mixed: Tensor, base: Tensor, deviation: Tensor) -> Tensor:
        seen[0] += deviation.ndim == 2  # all nodes at once, for the slopes: no step of the solver
        return original(mixed, base, deviation)

    trajectory.ode._field = field  # type: ignore[method-assign]


class Saved:
    """Bytes that autograd keeps, each storage once, parameters and buffers left out."""

    def __init__(self, module: nn.Module) -> None:
        self.own = {tensor.untyped_storage().data_ptr() for tensor in [*module.parameters(), *module.buffers()]}
        self.kept: dict[int, int] = {}

    def pack(self, tensor: Tensor) -> Tensor:
        """Note a tensor that autograd is about to keep."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.own:
            self.kept[storage.data_ptr()] = storage.nbytes()
        return tensor


def resident(field: str) -> float:
    """MiB from Linux's own account of this process: VmRSS now, VmHWM the most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def warm_up() -> None:
    """Load what torch loads on first use, so that it does not count as memory of the step."""
    small = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 2))

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small

        def forward(self, _: Tensor, state: Tensor) -> Tensor:
            return self.inner(state)

    for solve in (odeint, odeint_adjoint):
        solve(Small(), torch.zeros(4, 2), torch.tensor([0.0, 1.0])).sum().backward()


def run_one(name: str, adjoint: bool, rounds: int, gradient_file: Path) -> dict[str, float]:
    """Measure one row; writes the gradient."""
    torch.manual_seed(0)
    trajectory = CASES[name].make(adjoint)
    with torch.no_grad():  # away from the start, where the last layer's weights are nearly zero
        for parameter in trajectory.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    towards = torch.randn(SHOTS, SAMPLES, 2) / 1000
    warm_up()
    seen, saved = [0], Saved(trajectory)
    count_evaluations(trajectory, seen)
    times = []
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = resident("VmRSS")
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        loss = (trajectory().k_per_m * towards).sum()
    forward, seen[0] = seen[0], 0
    loss.backward()  # type: ignore[no-untyped-call]
    backward, peak = seen[0], resident("VmHWM") - before
    grads = [one.grad if one.grad is not None else torch.zeros_like(one) for one in trajectory.parameters()]
    np.save(gradient_file, torch.cat([one.flatten() for one in grads]).numpy())
    for _ in range(rounds):
        begin = time.perf_counter()
        (trajectory().k_per_m * towards).sum().backward()  # type: ignore[no-untyped-call]
        times.append(time.perf_counter() - begin)
    saved_mib = sum(saved.kept.values()) / 2**20
    return {
        "forward": forward,
        "backward": backward,
        "seconds": statistics.median(times),
        "saved_mib": saved_mib,
        "peak_mib": peak,
    }


def table(rounds: int) -> None:
    print("| ODE | gradient | evaluations forward + backward | s a step | saved MiB | peak MiB | gradients apart |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for name, case in CASES.items():
            files = [Path(scratch) / f"{name}-{kind}.npy" for kind in ("direct", "adjoint")]
            for kind, file in zip(("direct", "adjoint"), files, strict=True):
                command = [sys.executable, __file__, "--rounds", str(rounds), "--one", name, kind, str(file)]
                row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                apart = ""
                if kind == "adjoint":
                    direct, adjoint = (np.load(one) for one in files)
                    apart = f"{np.linalg.norm(adjoint - direct) / np.linalg.norm(direct):.1e}"
                work = f"{row['forward']} + {row['backward']} | {row['seconds']:.3f}"
                memory = f"{row['saved_mib']:.2f} | {row['peak_mib']:.1f}"
                print(f"| {case.label} | {kind} | {work} | {memory} | {apart} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("CASE", "KIND", "FILE"), help="one row, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        name, kind, file = arguments.one
        print(json.dumps(run_one(name, kind == "adjoint", arguments.rounds, Path(file))))
    else:
        table(arguments.rounds)


if __name__ == "__main__":
    main()
