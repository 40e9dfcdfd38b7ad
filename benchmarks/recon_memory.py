"""Peak memory of `seqopt recon` against the number of slices: it should not grow.

    python benchmarks/recon_memory.py --slices 10 100 1000 --spokes 32 --samples 256 --coils 8 --matrix 128

Writes a radial MRD file of so many slices (one phantom, scaled slice by slice), reconstructs it in a child process and
prints the child's peak resident memory and its time. ``--repetitions`` grows the file along the other axis.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_dtype, acquisition_header_dtype

from seqopt.core import Geometry
from seqopt.mrd.xml_header import HeaderFields, build_header

CHILD = """
import resource, sys, time
from pathlib import Path
from seqopt.workflows.reconstruct import reconstruct
start = time.perf_counter()
summary = reconstruct(Path(sys.argv[1]), Path(sys.argv[2]), method=sys.argv[3], cross_check=False)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{summary.slices} {summary.volumes} {peak:.0f} {time.perf_counter() - start:.1f}")
"""


def spokes(count: int, samples: int) -> np.ndarray:
    """(count, samples, 2) in cycles per encoded sample."""
    angle = np.pi * np.arange(count) / count
    radius = np.arange(samples) / samples - 0.5
    return np.stack([radius * np.cos(angle)[:, None], radius * np.sin(angle)[:, None]], -1).astype(np.float32)


def write(path: Path, options: argparse.Namespace, slices: int) -> None:
    """Readouts of a disc, whose transform is known, seen by coils of constant but different sensitivity."""
    geometry = Geometry(fov_m=(0.22, 0.22), matrix=(options.matrix,) * 2, slices=slices, slice_thickness_m=0.003)
    fields = HeaderFields(
        geometry=geometry, shots=options.spokes, samples=options.samples, echo_sample=options.samples // 2,
        coils=options.coils, field_t=3.0, vendor="none", model="benchmark",
    )  # fmt: skip
    k = spokes(options.spokes, options.samples)
    radius = np.linalg.norm(k, axis=-1) * options.matrix / 4 * 2 * np.pi
    disc = np.where(radius > 0, np.sin(radius) / np.maximum(radius, 1e-9), 1.0)
    phases = np.exp(2j * np.pi * np.arange(options.coils) / options.coils)
    samples = (phases[:, None, None] * disc).astype(np.complex64)  # (coils, spokes, samples)
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", (1,), dtype=h5py.special_dtype(vlen=bytes))[0] = build_header(fields)
        total = slices * options.repetitions * options.spokes
        data = group.create_dataset("data", (total,), maxshape=(None,), dtype=acquisition_dtype, chunks=(16,))
        start = 0
        for repetition in range(options.repetitions):
            for slice_ in range(slices):
                data[start : start + options.spokes] = rows(samples * (1 + slice_ % 7), k, slice_, repetition)
                start += options.spokes


def rows(samples: np.ndarray, k: np.ndarray, slice_: int, repetition: int) -> np.ndarray:
    """One slice's acquisitions as they lie in the file."""
    table = np.empty(samples.shape[1], dtype=acquisition_dtype)
    for spoke in range(samples.shape[1]):
        item = ismrmrd.Acquisition.from_array(np.ascontiguousarray(samples[:, spoke]), k[spoke])
        item.sample_time_us = 4.0
        item.idx.kspace_encode_step_1, item.idx.slice, item.idx.repetition = spoke, slice_, repetition
        item.position[:] = 0, 0, 3.0 * slice_
        item.read_dir[:], item.phase_dir[:], item.slice_dir[:] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
        table[spoke]["head"] = np.frombuffer(item.getHead(), dtype=acquisition_header_dtype)[0]
        table[spoke]["data"] = item.data.view(np.float32).reshape(-1)
        table[spoke]["traj"] = item.traj.reshape(-1)
    return table


def main() -> None:
    """Print one line a number of slices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, nargs="+", default=[10, 100])
    for name, usual in (("spokes", 32), ("samples", 256), ("coils", 8), ("matrix", 128), ("repetitions", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--method", default="adjoint")
    options = parser.parse_args()
    print("slices x volumes   file MiB   peak MiB   seconds")
    for slices in options.slices:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scan.mrd"
            begun = time.perf_counter()
            write(path, options, slices)
            size, writing = path.stat().st_size >> 20, time.perf_counter() - begun
            call = [sys.executable, "-c", CHILD, str(path), str(Path(folder) / "out"), options.method]
            done = subprocess.run(call, check=True, capture_output=True, text=True)
            found, volumes, peak, seconds = done.stdout.split()
            print(f"{found:>6} x {volumes:<8} {size:8d} {peak:>10} {seconds:>9}   (written in {writing:.0f} s)")


if __name__ == "__main__":
    main()
