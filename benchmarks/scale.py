"""Memory of the adjoint form beside direct back-propagation, streaming beside loading, two processes beside one.

Every row runs in a process of its own, so that its peak memory is its own.
Run: python benchmarks/scale.py [ode] [stream] [processes]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torchdiffeq import odeint, odeint_adjoint

from seqopt.core import Geometry
from seqopt.encoding.acquisition import Acquisition
from seqopt.gradients.profiles import load_scanner
from seqopt.images import Ahead, load_images, simulated_coil_maps, training_batches
from seqopt.learn.fit import Batch, Fit
from seqopt.learn.parallel import join
from seqopt.learn.recipe import choose
from seqopt.recon.in_loop import CgSense
from seqopt.sampling import residual
from seqopt.sampling.trajectory import ResidualTrajectory

SHOTS, SAMPLES, DWELL_S, FOV_M = 16, 1000, 4e-6, 0.22
FILES, SLICES, COILS, POINTS = 24, 16, 8, 192


def main() -> None:
    for name in sys.argv[1:] or ["ode", "stream", "processes"]:
        {"ode": ode_table, "stream": stream_table, "processes": processes_table}[name]()


def ode_table() -> None:
    print(
        "| gradient of the ODE | solver steps | saved MiB | peak MiB above the start | s a step |\n"
        "|---|---|---|---|---|"
    )
    for kind in ("adjoint", "direct"):
        rows = [row("ode", kind, str(finer)) for finer in (1, 10)]
        for one in rows:
            print(f"| {kind} | {one['steps']:.0f} | {one['saved']:.1f} | {one['peak']:.1f} | {one['seconds']:.2f} |")
        once, tenfold = rows
        print(
            f"| {kind}, tenfold over once | 10 | {tenfold['saved'] / once['saved']:.2f} | "
            f"{tenfold['peak'] / once['peak']:.2f} | {tenfold['seconds'] / once['seconds']:.1f} |",
            flush=True,
        )


def stream_table() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_folder(Path(scratch))
        print(
            f"\n{FILES} files, {FILES * SLICES} slices of {COILS} coils, {POINTS} x {POINTS}; batch 4, a step of 0.25 s"
        )
        print("| images | first look s | s a batch | waited share | peak MiB above the start |\n|---|---|---|---|---|")
        for label, kind in (("loaded", "loaded"), ("streamed", "plain"), ("streamed, made ahead", "ahead")):
            one = row("stream", kind, str(folder))
            cells = f"{one['look']:.1f} | {one['batch']:.3f} | {100 * one['waited']:.1f} % | {one['peak']:.0f}"
            print(f"| {label} | {cells} |", flush=True)


def processes_table() -> None:
    print("\n| processes | s a step | speed-up | loss after 6 steps |\n|---|---|---|---|")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    alone = None
    for count in (1, 2):
        one = parsed([*launcher, str(count), __file__, "row", "processes"])
        alone = alone or one["seconds"]
        print(f"| {count} | {one['seconds']:.2f} | {alone / one['seconds']:.2f} | {one['loss']:.7f} |", flush=True)


def row(*arguments: str) -> dict[str, float]:
    return parsed([sys.executable, __file__, "row", *arguments])


def parsed(command: list[Any]) -> dict[str, float]:
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    numbers: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return numbers


def memory_mib(name: str) -> float:
    """Now (VmRSS) or at most so far (VmHWM), as Linux counts; getrusage's peak would begin with the parent's."""
    text = Path("/proc/self/status").read_text()
    return float(text.split(f"{name}:")[1].split()[0]) / 1024


def spokes(geometry: Geometry) -> np.ndarray:
    along = (np.arange(SAMPLES) - SAMPLES // 2) / (SAMPLES / 2) * geometry.k_max_per_m[0]
    angle = np.arange(SHOTS) * np.pi / SHOTS
    return along[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]


def trajectory(matrix: int, **options: Any) -> tuple[ResidualTrajectory, Geometry]:
    torch.manual_seed(0)
    geometry = Geometry(fov_m=(FOV_M, FOV_M), matrix=(matrix, matrix))
    pinned = np.tile(np.eye(2), (SHOTS, 1, 1))
    common = {"dwell_s": DWELL_S, "echo_sample": SAMPLES // 2, "pinned": pinned}
    return ResidualTrajectory(spokes(geometry), geometry, load_scanner("paper"), **common, **options), geometry


def ode_row(kind: str, finer: str) -> dict[str, float]:
    module, _ = trajectory(256, adjoint=True)
    options = {"step_size": float(module.ode.node_times[1]) / int(finer)}

    def solve(field: Any, start: Any, times: Any, *, method: str, adjoint_params: Any) -> Any:
        if kind == "adjoint":
            return odeint_adjoint(field, start, times, method=method, options=options, adjoint_params=adjoint_params)
        return odeint(field, start, times, method=method, options=options)

    residual.odeint_adjoint = solve  # the module's own solve, with finer steps between its nodes
    kept: dict[int, Any] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    before, started = memory_mib("VmRSS"), time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = module().k_per_m.square().mean()
    loss.backward()
    return {
        "steps": (len(module.ode.node_times) - 1) * int(finer),
        "saved": sum(kept.values()) / 2**20,
        "peak": memory_mib("VmHWM") - before,
        "seconds": time.perf_counter() - started,
    }


def write_folder(folder: Path) -> Path:
    """Multi-coil k-space of noise with a falling spectrum, as fastMRI lays it out."""
    y, x = np.mgrid[-POINTS // 2 : POINTS // 2, -POINTS // 2 : POINTS // 2]
    for number in range(FILES):
        rng = np.random.default_rng(number)
        kspace = rng.standard_normal((SLICES, COILS, POINTS, POINTS), dtype=np.float32) / (1 + np.hypot(y, x)) ** 1.5
        with h5py.File(folder / f"volume{number:03}.h5", "w") as file:
            file["kspace"] = kspace.astype(np.complex64)
    return folder


def stream_row(kind: str, folder: str) -> dict[str, float]:
    before, started = memory_mib("VmRSS"), time.perf_counter()
    limit = 2**31 if kind == "loaded" else 2**22
    images = load_images(Path(folder), matrix=POINTS, fov_m=FOV_M, memory_limit_bytes=limit)
    look, steps = time.perf_counter() - started, 24

    def make(step: int) -> Any:
        return next(training_batches(images, 4, np.random.default_rng([0, step])))

    batch_of: Callable[[int], Any] = Ahead(make, steps=steps) if kind == "ahead" else make
    waited, begun = 0.0, 0.0
    for step in range(steps + 1 if kind != "ahead" else steps):
        asked = time.perf_counter()
        batch_of(step)
        if step == 0:
            begun = time.perf_counter()
        else:
            waited += time.perf_counter() - asked
        time.sleep(0.25)  # a device computes
    whole = time.perf_counter() - begun
    if isinstance(batch_of, Ahead):
        batch_of.close()
    return {"look": look, "batch": waited / (steps - 1), "waited": waited / whole, "peak": memory_mib("VmHWM") - before}


def processes_row() -> dict[str, float]:
    with join(torch.device("cpu")) as world:
        module, geometry = trajectory(128)
        acquisition = Acquisition(geometry, simulated_coil_maps(8, geometry), noise_sigma=0.01)
        images = np.random.default_rng(0).uniform(0, 1, (4, 128, 128)).astype(np.complex64)
        fit = Fit(
            module,
            CgSense(8, 0.01),
            acquisition,
            lambda _: Batch(torch.from_numpy(images)),
            recipe=choose("quick"),
            steps=6,
            scanner=load_scanner("paper"),
            seed=0,
            world=world,
        )
        steps = fit.steps()
        next(steps)
        started = time.perf_counter()
        loss = [step.loss for step in steps][-1]
        numbers = {"seconds": (time.perf_counter() - started) / 5, "loss": loss}
        return numbers if world.is_first else {}


if __name__ == "__main__":
    if sys.argv[1:2] == ["row"]:
        found = {"ode": ode_row, "stream": stream_row, "processes": processes_row}[sys.argv[2]](*sys.argv[3:])
        if found:
            print(json.dumps(found))
    else:
        main()
