"""One library's reconstruction of one scan, timed in its own process and environment; see ../recon_speed.py.

In: a .npz with samples (coils, shots, samples), k (shots, samples, 2) in 1/FOV, weights (shots, samples), maps
(coils, y, x), truth (y, x). Prints one JSON line: seconds of each repeat, CPU seconds of the fastest, NRMSE; of several
weights those of the one with the least NRMSE.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
Run = Callable[[], np.ndarray]


def seqopt(scan: Arrays, method: str, iterations: int, weight: float, weighted: bool) -> Run:
    import torch

    from seqopt.core import Geometry
    from seqopt.recon.registry import reconstructions

    y, x = scan["truth"].shape
    geometry = Geometry(fov_m=(0.2, 0.2 * y / x), matrix=(x, y))
    k = torch.from_numpy(scan["k"] / np.array(geometry.fov_m))
    areas = scan["weights"] if weighted else np.full_like(scan["weights"], scan["weights"].mean())
    samples, maps = (torch.from_numpy(scan[name]) for name in ("samples", "maps"))

    def run() -> np.ndarray:
        image = reconstructions[method](
            samples[None],
            k,
            torch.from_numpy(areas.astype(np.float32)),
            maps,
            geometry,
            iterations=iterations,
            regularisation=weight,
        )
        return image[0].numpy()

    return run


def sigpy(scan: Arrays, method: str, iterations: int, weight: float, weighted: bool) -> Run:
    import sigpy.mri as mr

    coordinates = scan["k"][..., ::-1]
    weights = scan["weights"].astype(np.float32) if weighted else None
    app = {"cg-sense": mr.app.SenseRecon, "tv": mr.app.TotalVariationRecon, "l1-wavelet": mr.app.L1WaveletRecon}[method]

    def run() -> np.ndarray:
        options = {"coord": coordinates, "weights": weights, "max_iter": iterations, "show_pbar": False}
        return np.asarray(app(scan["samples"], scan["maps"], lamda=weight, **options).run())

    return run


def mrpro(scan: Arrays, method: str, iterations: int, weight: float, weighted: bool) -> Run:
    import torch
    from mrpro.algorithms.optimizers import cg
    from mrpro.data import KTrajectory, SpatialDimension
    from mrpro.operators import NonUniformFastFourierOp, SensitivityOp

    if method != "cg-sense":
        raise SystemExit("mrpro: cg-sense only")
    y, x = scan["truth"].shape
    k = torch.from_numpy(scan["k"].astype(np.float32))[None, None, None]
    trajectory = KTrajectory(torch.zeros(1, 1, 1, 1, 1), k[..., 1], k[..., 0])
    samples, maps = torch.from_numpy(scan["samples"])[None, :, None], torch.from_numpy(scan["maps"])[None, :, None]
    areas = torch.from_numpy(scan["weights"].astype(np.float32))[None, None, None]

    def run() -> np.ndarray:
        size = SpatialDimension(1, y, x)
        fourier = NonUniformFastFourierOp(("y", "x"), size, size, trajectory)
        coils = SensitivityOp(maps)
        gram = fourier.toeplitz(areas) if weighted else fourier.gram
        (right,) = (fourier @ coils).H(samples * areas if weighted else samples)
        (image,) = cg(coils.H @ gram @ coils, right, max_iterations=iterations, tolerance=0.0)
        return image.squeeze().numpy()

    return run


def bartorch(scan: Arrays, method: str, iterations: int, weight: float, weighted: bool) -> Run:
    import torch
    from bartorch import priors
    from bartorch.apps import pics

    k = np.concatenate([scan["k"], np.zeros_like(scan["k"][..., :1])], -1).astype(np.float32)
    samples, maps, trajectory = (torch.from_numpy(array) for array in (scan["samples"], scan["maps"][:, None], k))
    terms = {
        "cg-sense": None,
        "tv": priors.TotalVariation((-1, -2), weight),
        "l1-wavelet": priors.Wavelet((-1, -2), weight),
    }
    sparse = method == "l1-wavelet"  # a step by the largest eigenvalue, without which it does not get there
    pattern = torch.from_numpy(np.sqrt(scan["weights"]).astype(np.float32)) if weighted else None

    def run() -> np.ndarray:
        options = {
            "traj": trajectory,
            "maxiter": iterations,
            "pattern": pattern,
            "regularizers": terms[method],
            "eigen_step": sparse,
        }
        return np.asarray(pics(samples, maps, **options).squeeze())

    return run


def bart(scan: Arrays, method: str, iterations: int, weight: float, weighted: bool) -> Run:
    folder = Path(tempfile.mkdtemp())
    k = np.concatenate([scan["k"], np.zeros_like(scan["k"][..., :1])], -1)  # (shots, samples, 3) x, y, z
    _write_cfl(folder / "traj", k.transpose(2, 1, 0))
    _write_cfl(folder / "data", scan["samples"].transpose(2, 1, 0)[None])
    _write_cfl(folder / "maps", scan["maps"].transpose(2, 1, 0)[:, :, None])
    _write_cfl(folder / "weights", np.sqrt(scan["weights"]).T[None])
    prior = {
        "cg-sense": ["-l2", "-r", str(weight)],
        "tv": ["-R", f"T:3:0:{weight}"],
        "l1-wavelet": ["-e", "-R", f"W:3:0:{weight}"],
    }
    pattern = ["-p", str(folder / "weights")] if weighted else []
    command = ["bart", "pics", "-S", "-i", str(iterations), *prior[method], *pattern, "-t"]
    command += [str(folder / name) for name in ("traj", "data", "maps", "image")]

    def run() -> np.ndarray:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return _read_cfl(folder / "image").squeeze().T

    return run


def _write_cfl(path: Path, array: np.ndarray) -> None:
    sizes = [*array.shape, *[1] * (16 - array.ndim)]
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, sizes)) + "\n")
    array.astype(np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))


def _read_cfl(path: Path) -> np.ndarray:
    sizes = [int(size) for size in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return np.fromfile(path.with_suffix(".cfl"), np.complex64).reshape(sizes, order="F")


CONTESTANTS = {"seqopt": seqopt, "sigpy": sigpy, "mrpro": mrpro, "bartorch": bartorch, "bart": bart}


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    """With the best complex scale: libraries scale their transforms differently."""
    scale = np.vdot(image, truth) / np.vdot(image, image)
    return float(np.linalg.norm(scale * image - truth) / np.linalg.norm(truth))


def cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=CONTESTANTS)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--method", default="cg-sense")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--weight", type=float, nargs="+", default=[0.0])
    parser.add_argument("--weighted", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with np.load(arguments.scan) as file:
        scan = {name: file[name] for name in file.files}
    if arguments.library in ("seqopt", "mrpro", "bartorch"):
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    found: dict[float, tuple[float, Run]] = {}
    for weight in arguments.weight:  # the first one also compiles and plans what is kept
        run = CONTESTANTS[arguments.library](scan, arguments.method, arguments.iterations, weight, arguments.weighted)
        found[weight] = nrmse(run(), scan["truth"]), run
    best = min(found, key=lambda weight: found[weight][0])
    error, run = found[best]
    seconds, cpu = [], []
    for _ in range(arguments.repeats):
        begin, before = time.perf_counter(), cpu_seconds()
        run()
        seconds.append(time.perf_counter() - begin)
        cpu.append(cpu_seconds() - before)
    print(json.dumps({"seconds": seconds, "cpu": min(cpu), "weight": best, "nrmse": error}))


if __name__ == "__main__":
    main()
