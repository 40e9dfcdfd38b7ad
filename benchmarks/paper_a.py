"""The paper's Table 1 with our chain: fixed against learned, Cartesian, radial and spiral, 4 to 32 shots.

Beside them, at equal readout time, shots, coils, noise and reconstruction: parallel lines with a dense centre,
variable-density spiral, golden-angle radial, and, where `benchmarks/peers/mri_nufft_pgd.py` has written them, the
trajectories that mri-nufft's own example learns. Resumable: a second call runs what is missing.

Run: python benchmarks/paper_a.py [--out evaluation] [--jobs 2] [--budget 1] [--peers FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

SHOTS = (4, 8, 16, 32)
FAMILIES = ("cartesian", "radial", "spiral")
BASELINES = ("cartesian-vd", "radial+golden", "spiral-vd")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("evaluation"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS)
    parser.add_argument("--peers", type=Path, help="folder with mri-nufft-{shots}.npy, in 1/FOV")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    command = [str(Path(sys.executable).with_name("seqopt")), "evaluate", "--out", str(arguments.out)]
    command += ["--jobs", str(arguments.jobs), "--budget", str(arguments.budget), "--preset", arguments.preset]
    command += ["--seed", str(arguments.seed)]
    command += [part for family in FAMILIES for part in ("--traj", family)]
    command += [part for shots in arguments.shots for part in ("--shots", str(shots))]
    command += [part for name in BASELINES for part in ("--baseline", name)]
    if arguments.peers is not None:
        command += ["--baseline", f"file:{arguments.peers}/mri-nufft-{{shots}}.npy", "--baseline-unit", "1/fov"]
    began = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    print(f"{(time.monotonic() - began) / 60:.1f} min in all, {arguments.jobs} cells at a time")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
