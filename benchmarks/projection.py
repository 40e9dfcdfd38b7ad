"""Ours against the peers: projection (mri-nufft's `project_trajectory`) and time-optimal passes (mrarbgrad).

Projection, 32 spokes x 1000 samples with waves that break the limits (50 mT/m, 200 T/m/s). Both sides get the problem
that mri-nufft can state: every sample on its own raster of 4 us, both with 99 % of the limits as vectors, k = 0 at
sample 500, ends free. Moved is the distance from the wish; the excess is that of the played waveform (first and second
differences over the raster) over the full limits. Ours is given again on the scanner's raster of 10 us, with prephaser
and rewinder included. The proof is the duality gap as a distance: no playable path lies nearer by more.

Time-optimal: the readout along the same curves at 90 % of the limits, the slew rate found, and the
distance from the curve. mrarbgrad ramps from and to zero within it; ours begins and ends at speed.

The peers run in a Python of their own: mri-nufft 1.5.1 with pyproximal 0.12 (0.13 breaks it) and mrarbgrad 5.1.

    python benchmarks/projection.py --peer peer-env/bin/python
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

FOV_M, MATRIX, SHOTS, SAMPLES, ECHO, DWELL_S = 0.22, 256, 32, 1000, 500, 4e-6
GRAD, SLEW, SHARE = 50e-3 * 42.576e6, 200.0 * 42.576e6, 0.99
ROUGHNESS = {"mild": 0.6, "rough": 1.2, "wild": 4.0}


def wish(roughness: float, seed: int = 0) -> Any:
    """Spokes with random waves across them: (shots, samples, 2) 1/m, k = 0 at the echo."""
    generator = np.random.default_rng(seed)
    t = (np.arange(SAMPLES) - ECHO) / SAMPLES
    angle = np.arange(SHOTS)[:, None] * np.pi / SHOTS
    orders = np.arange(2, 14)
    size = generator.normal(size=(SHOTS, 2, len(orders))) * roughness / np.sqrt(len(orders)) / FOV_M
    waves = size @ np.sin(2 * np.pi * orders[:, None] * t)  # odd about the echo
    along = np.stack([np.cos(angle), np.sin(angle)], -1) * (0.98 * MATRIX / FOV_M * t)[None, :, None]
    return along + waves.transpose(0, 2, 1)


def ours(k: Any, raster_s: float) -> dict[str, Any]:
    from seqopt.core import Geometry, Scanner
    from seqopt.gradients.projection import project

    scanner = Scanner(
        name="bench", source="Peng et al., CVPR 2022", vendor="none", field_t=3.0, max_grad_hz_per_m=GRAD,
        max_slew_hz_per_m_per_s=SLEW, margin=SHARE, grad_raster_s=raster_s, block_raster_s=raster_s,
    )  # fmt: skip
    geometry = Geometry(fov_m=(FOV_M, FOV_M), matrix=(MATRIX, MATRIX))
    begin, cpu = time.perf_counter(), time.process_time()
    found = project(k, geometry, scanner, dwell_s=DWELL_S, echo_sample=ECHO)
    spent = time.perf_counter() - begin, time.process_time() - cpu
    slew = np.linalg.norm(np.diff(found.gradient_hz_per_m, axis=1), axis=-1).max() / raster_s
    grad = np.linalg.norm(found.gradient_hz_per_m, axis=-1).max()
    return {
        "seconds": spent[0], "cpu_seconds": spent[1], "excess": max(slew / SLEW, grad / GRAD) - 1,
        "proof_per_fov": found.residual, "history": found.history_per_fov, **moved(found.k_per_m, k),
    }  # fmt: skip


def moved(played: Any, k: Any) -> dict[str, float]:
    distance = np.linalg.norm(played - k, axis=-1) * FOV_M
    return {"moved_max": float(distance.max()), "moved_rms": float(np.sqrt((distance**2).mean()))}


def peer_projection(k: Any, iterations: int) -> dict[str, Any]:
    from mrinufft import Acquisition
    from mrinufft.trajectories.projection import project_trajectory
    from mrinufft.trajectories.utils import Hardware

    hardware = Hardware(gmax=50e-3, smax=200.0, grad_raster_time=DWELL_S)
    limits = Acquisition(fov=(FOV_M,) * 2, img_size=(MATRIX,) * 2, hardware=hardware)
    scale = MATRIX / FOV_M  # [-0.5, 0.5) is the k-space of the matrix
    begin, cpu = time.perf_counter(), time.process_time()
    played = scale * project_trajectory(
        k / scale, limits, safety_factor=SHARE, max_iter=iterations, TE_pos=ECHO / SAMPLES, verbose=0
    )
    spent = time.perf_counter() - begin, time.process_time() - cpu
    gradient = np.diff(played, axis=1) / DWELL_S
    slew = np.linalg.norm(np.diff(gradient, axis=1), axis=-1).max() / DWELL_S
    excess = max(slew / SLEW, np.linalg.norm(gradient, axis=-1).max() / GRAD) - 1
    return {"seconds": spent[0], "cpu_seconds": spent[1], "excess": excess, **moved(played, k)}


def curves(roughness: float) -> Any:
    return wish(roughness)[:8]


def ours_in_least_time(k: Any) -> dict[str, Any]:
    from seqopt.core import Geometry, Scanner
    from seqopt.gradients.projection import project
    from seqopt.gradients.time_optimal import path_distance, retime

    scanner = Scanner(
        name="bench", source="Peng et al., CVPR 2022", vendor="none", field_t=3.0, max_grad_hz_per_m=GRAD,
        max_slew_hz_per_m_per_s=SLEW, margin=0.9,
    )  # fmt: skip
    begin = time.perf_counter()
    dwell_s = 2e-6  # so that one sample a cell of k-space is no limit
    again = retime(k, scanner, dwell_s=dwell_s, echo_sample=ECHO, fov_m=FOV_M)
    geometry = Geometry(fov_m=(FOV_M, FOV_M), matrix=(MATRIX, MATRIX))
    found = project(again.k_per_m, geometry, scanner, dwell_s=dwell_s, echo_sample=again.echo_sample)
    spent = time.perf_counter() - begin
    slew = np.linalg.norm(np.diff(found.gradient_hz_per_m, axis=1), axis=-1).max() / 10e-6
    return {
        "seconds": spent, "readout_ms": again.k_per_m.shape[1] * dwell_s * 1e3, "slew_share": slew / SLEW,
        "distance": path_distance(found.k_per_m, k) * FOV_M,
    }  # fmt: skip


def peer_in_least_time(k: Any) -> dict[str, Any]:
    import mrarbgrad

    voxel = FOV_M / MATRIX
    mrarbgrad.config(dt=10e-6, sLim=0.9 * SLEW * voxel, gLim=0.9 * GRAD * voxel, g0Norm=0.0, g1Norm=0.0)
    begin = time.perf_counter()
    found = [mrarbgrad.solve(np.pad(shot * voxel, ((0, 0), (0, 1)))) for shot in k]
    spent = time.perf_counter() - begin
    slew = max(np.linalg.norm(np.diff(one, axis=0), axis=-1).max() / 10e-6 for one in found) / voxel
    return {
        "seconds": spent, "readout_ms": max(len(one) for one in found) * 10e-3, "slew_share": slew / SLEW,
        "distance": float("nan"),
    }  # fmt: skip


def asked_of_peer(python: Path, name: str, roughness: float, iterations: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.json"
        command = [str(python), __file__, "--as-peer", name, str(roughness), str(iterations), str(out)]
        subprocess.run(command, check=True, capture_output=True)
        return dict(json.loads(out.read_text()))


def answer(name: str, roughness: str, iterations: str, out: str) -> None:
    if name == "projection":
        result = peer_projection(wish(float(roughness)), int(iterations))
    else:
        result = peer_in_least_time(curves(float(roughness)))
    Path(out).write_text(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="Python with mri-nufft and mrarbgrad; ours alone without")
    parser.add_argument("--iterations", type=int, nargs="+", default=[100, 1000], help="of the peer's projection")
    parser.add_argument("--as-peer", nargs=4, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.as_peer:
        answer(*wanted.as_peer)
        return
    print("| path | projection | s (CPU s) | moved max / rms (1/FOV) | excess over the limits | proof (1/FOV) |")
    print("|---|---|---|---|---|---|")
    histories = {}
    for name, roughness in ROUGHNESS.items():
        rows = {f"seqopt, raster {raster * 1e6:g} us": ours(wish(roughness), raster) for raster in (4e-6, 10e-6)}
        histories[name] = rows["seqopt, raster 10 us"]["history"]
        for iterations in wanted.iterations if wanted.peer else ():
            row = asked_of_peer(wanted.peer, "projection", roughness, iterations)
            rows[f"mri-nufft, 4 us, {iterations} iterations"] = row
        for label, row in rows.items():
            proof = f"{row['proof_per_fov']:.2g}" if "proof_per_fov" in row else "-"
            print(
                f"| {name} | {label} | {row['seconds']:.2f} ({row['cpu_seconds']:.2f}) | {row['moved_max']:.4f} / "
                f"{row['moved_rms']:.4f} | {100 * row['excess']:+.2f} % | {proof} |"
            )
    print("\nresidual over the iterations (1/FOV, the worst shot):")
    for name, history in histories.items():
        print(f"  {name}: {' '.join(f'{value:.1e}' for value in history)}")
    print("\n| curves | time-optimal | s for 8 shots | readout (ms) | slew / limit | distance from the curve (1/FOV) |")
    print("|---|---|---|---|---|---|")
    for name, roughness in ROUGHNESS.items():
        rows = {"seqopt, one duration": ours_in_least_time(curves(roughness))}
        if wanted.peer:
            rows["mrarbgrad, the slowest, from rest to rest"] = asked_of_peer(wanted.peer, "time-optimal", roughness, 0)
        for label, row in rows.items():
            print(
                f"| {name} | {label} | {row['seconds']:.2f} | {row['readout_ms']:.2f} | {row['slew_share']:.3f} | "
                f"{row['distance']:.3f} |"
            )


if __name__ == "__main__":
    main()
