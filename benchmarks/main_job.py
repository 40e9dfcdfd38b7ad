"""The main job as a user runs it: wall time, memory, gains, certificate. Medians over seeds.

Run: python benchmarks/main_job.py [--seeds 0 1 2] [--keep DIR] [-- any option of `seqopt design`]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seqopt.workflows.store import load_design


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("rest", nargs="*")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in arguments.seeds:
            out = (arguments.keep or Path(scratch)) / f"seed-{seed}"
            command = [Path(sys.executable).with_name("seqopt"), "design", "--traj", "radial", "--shots", "16"]
            begin = time.perf_counter()
            done = subprocess.run(
                [*command, "--seed", str(seed), "--out", out, "--overwrite", *arguments.rest], check=False
            )
            rows.append({"seed": seed, "exit": done.returncode, "wall_s": time.perf_counter() - begin, **_read(out)})
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |")
    medians = [statistics.median(row[name] for row in rows) for name in names]
    print("| median | " + " | ".join(f"{value:.4g}" for value in medians[1:]) + " |")
    print(f"largest memory of a run: {peak_gib:.2f} GiB")


def _read(out: Path) -> dict[str, float]:
    scores = load_design(out).provenance["scores"]
    certificate = json.loads((out / "certificate.json").read_text())
    row: dict[str, float] = {}
    for judge, pair in scores.items():
        row[f"{judge} fixed dB"] = pair["fixed"]["psnr_db"]
        row[f"{judge} learned dB"] = pair["learned"]["psnr_db"]
        row[f"{judge} gain dB"] = pair["learned"]["psnr_db"] - pair["fixed"]["psnr_db"]
        row[f"{judge} SSIM gain"] = pair["learned"]["ssim"] - pair["fixed"]["ssim"]
    checks = {check["name"]: check for check in certificate["checks"]}
    row["checks not held"] = sum(not check["held"] for check in certificate["checks"])
    row["k apart 1/FOV"] = float(checks["design.k"]["value"])
    return row


if __name__ == "__main__":
    main()
