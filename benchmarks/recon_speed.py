"""Time and error of reconstructions: seqopt, sigpy, mrpro, BART and bartorch on the same data.

Every library gets the same samples, maps, iterations and two threads, in its own process; the time is that of plans,
kernels and iterations, with the data in memory (for `bart`, a command, in files). Rows: median and least seconds of
the repeats, CPU seconds of the least, and NRMSE at the best scale. Sparse methods are timed at the weight of the seven
with the least NRMSE, each library's own, as their scales differ; the row says it.

    python benchmarks/recon_speed.py --case phantom --out speed.md
    python benchmarks/recon_speed.py --case invivo --python mrpro=/venv/bin/python --python bartorch=/venv/bin/python

Cases: `phantom` (256 x 256 Shepp-Logan, 8 coils, 64 spokes x 512), `invivo` (mrbabel-data's brain, 16 coils, the first
64 of 400 spokes; truth is the image of all of them, from an established package), `volume` (32 slices of 128 x 128, 8
coils, 32 spokes x 256, one after the other). BART is the `bart` on the PATH; what is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CONTESTANT = Path(__file__).parent / "peers" / "recon_contestant.py"
LIBRARIES = ("seqopt", "sigpy", "mrpro", "bartorch", "bart")
SPARSE_WEIGHTS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=("phantom", "invivo", "volume"), default="phantom")
    parser.add_argument("--method", action="append", choices=("cg-sense", "tv", "l1-wavelet"))
    parser.add_argument("--library", action="append", choices=LIBRARIES)
    parser.add_argument("--python", action="append", default=[], metavar="LIBRARY=PATH")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pythons = dict(item.split("=", 1) for item in arguments.python)
    lines = [
        f"Case {arguments.case}, {arguments.threads} threads, {arguments.repeats} repeats.",
        "",
        "| method | library | density weights | weight | seconds, median | least | CPU seconds | NRMSE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        scan = Path(scratch) / "scan.npz"
        np.savez(scan, **CASES[arguments.case]())
        for method in arguments.method or ("cg-sense", "tv", "l1-wavelet"):
            for library in arguments.library or LIBRARIES:
                for row in _rows(library, method, scan, pythons.get(library, sys.executable), arguments):
                    lines.append(row)
                    print(row, flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def _rows(library: str, method: str, scan: Path, python: str, arguments: argparse.Namespace) -> list[str]:
    rows = []
    sparse = method != "cg-sense"
    weights = [str(weight) for weight in (SPARSE_WEIGHTS if sparse else (0.0,))]
    threads = str(arguments.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    for weighted in (True,) if sparse and library == "seqopt" else (False, True):
        command = [python, str(CONTESTANT), library, str(scan), "--method", method, "--weight", *weights]
        command += ["--iterations", "40" if sparse else "10", "--repeats", str(arguments.repeats)]
        command += ["--weighted"] if weighted else []
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        label = f"| {method} | {library} | {'yes' if weighted else 'no'} |"
        if done.returncode:
            print(f"{label} left out: {(done.stderr.strip().splitlines() or ['?'])[-1]}", file=sys.stderr)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        seconds = found["seconds"]
        rows.append(
            f"{label} {found['weight']:g} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {found['cpu']:.2f} "
            f"| {found['nrmse']:.4f} |"
        )
    return rows


def radial(spokes: int, samples: int, matrix: int, *, golden_degrees: float | None = None) -> np.ndarray:
    """(spokes, samples, 2) x, y in 1/FOV."""
    step = np.pi / spokes if golden_degrees is None else np.radians(golden_degrees)
    angle = np.arange(spokes) * step
    radius = (np.arange(samples) - samples // 2) / samples * matrix
    return np.stack([radius * np.cos(angle)[:, None], radius * np.sin(angle)[:, None]], -1)


def phantom(matrix: int = 256, spokes: int = 64, samples: int = 512, coils: int = 8) -> dict[str, np.ndarray]:
    """Shepp-Logan through smooth coils, by finufft in double precision, with noise."""
    import finufft
    import sigpy
    import sigpy.mri as mr

    truth = np.abs(sigpy.shepp_logan((matrix, matrix))).astype(np.complex128)
    maps = mr.birdcage_maps((coils, matrix, matrix)).astype(np.complex128)
    maps /= np.sqrt((np.abs(maps) ** 2).sum(0))
    k = radial(spokes, samples, matrix)
    omega = 2 * np.pi / matrix * k.reshape(-1, 2)
    y, x = np.ascontiguousarray(omega[:, 1]), np.ascontiguousarray(omega[:, 0])
    samples_of = finufft.nufft2d2(y, x, maps * truth, isign=-1, eps=1e-12) / matrix
    generator = np.random.default_rng(0)
    noise = generator.normal(size=samples_of.shape) + 1j * generator.normal(size=samples_of.shape)
    noisy = samples_of + 0.002 * noise
    return _scan(noisy.reshape(coils, spokes, samples), k, maps, truth)


def volume() -> dict[str, np.ndarray]:
    """One slice of 32: libraries take slices one after the other, so that 32 cost 32 times as much."""
    return phantom(128, 32, 256, 8)


def invivo() -> dict[str, np.ndarray]:
    """mrbabel-data's brain: maps and truth by sigpy from all 400 spokes, data from the first 64."""
    import mrbabel_data
    import sigpy
    import sigpy.mri as mr

    raw = np.fromfile(mrbabel_data.testdata("bart") + ".cfl", np.complex64).reshape(16, 400, 512)
    k = radial(400, 512, 256, golden_degrees=111.246)
    every = _weights(k)
    gridded = sigpy.nufft_adjoint(raw * every.astype(np.float32), k[..., ::-1], oshape=(16, 256, 256))
    maps = mr.app.EspiritCalib(sigpy.fft(gridded, axes=(-2, -1)), crop=0, show_pbar=False).run()
    truth = mr.app.SenseRecon(
        raw, maps, coord=k[..., ::-1], weights=every.astype(np.float32), max_iter=10, show_pbar=False
    ).run()
    return _scan(raw[:, :64], k[:64], maps, truth)


def _scan(samples: np.ndarray, k: np.ndarray, maps: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    scale = 1.0 / np.abs(truth).max()
    return {
        "samples": (samples * scale).astype(np.complex64),
        "k": k,
        "weights": _weights(k),
        "maps": maps.astype(np.complex64),
        "truth": (truth * scale).astype(np.complex64),
    }


def _weights(k: np.ndarray) -> np.ndarray:
    """The ramp, as a share of the cell of (1/FOV)^2, and no more than a spoke's own strip."""
    radius = np.linalg.norm(k, axis=-1)
    spacing = np.linalg.norm(k[0, 1] - k[0, 0])
    return spacing * np.clip(radius * np.pi / len(k), spacing * np.pi / (4 * len(k)), 1.0)


CASES = {"phantom": phantom, "invivo": invivo, "volume": volume}


if __name__ == "__main__":
    main()
