"""Writing, reading and certifying a sequence of many distinct shots, against plain pypulseq.

    python benchmarks/many_shots.py                                  # 10,000 shots of 1000 samples, some minutes
    python benchmarks/many_shots.py --shots 500 --pypulseq-shots 50  # a look

Ours: `write_gre`, then `certify` with the design (which reads the file). pypulseq: `add_block`, `write`, `read`,
`check_timing` of the same blocks for fewer shots; its seconds are reckoned linearly for all of them, which favours it
where its work grows faster. Seconds are processor time. Each runs in a process of its own, whose peak memory is what
the system reports. Imports are part of neither; what our compiled loops take is said beside it, once to compile them
(the first large file on a machine) and then to load them (every process that meets one).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def design_of(shots: int, samples: int, dwell_s: float, slices: int = 1) -> Any:
    """Distinct smooth shots within the limits of the profile `paper`: turned spokes with random harmonics."""
    from seqopt.core import Geometry, Protocol, TrajectoryDesign
    from seqopt.gradients.profiles import load_scanner
    from seqopt.gradients.waveform import k_at, sample_times

    scanner, geometry = load_scanner("paper"), Geometry(fov_m=(0.22, 0.22), matrix=(256, 256), slices=slices)
    raster, ramp = scanner.grad_raster_s, 120  # 100 of them for prephaser or rewinder
    body = int(np.ceil(samples * dwell_s / raster - 1e-9))
    edges = 2 * ramp + body + 1
    generator = np.random.default_rng(0)
    lobe = np.zeros(edges)
    lobe[:101] = np.sin(np.pi * np.arange(101) / 100) ** 2
    envelope = np.interp(np.arange(edges), [100, ramp, ramp + body, edges - 101], [0.0, 1.0, 1.0, 0.0])
    times = np.arange(edges) * raster
    gradient = np.zeros((shots, edges, 2))
    speed = 2 * geometry.k_max_per_m[0] / (samples * dwell_s)
    angle = np.pi * np.arange(shots) / shots
    gradient += speed * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]
    for harmonic in range(1, 5):
        wave = np.exp(2j * np.pi * (1000.0 * harmonic * times + generator.random(shots)[:, None]))
        gradient += 0.05 * speed / harmonic * np.stack([wave.real, wave.imag], -1)
    gradient *= envelope[None, :, None]
    readout = sample_times(samples, dwell_s=dwell_s, adc_start_s=ramp * raster)
    at_echo = k_at(readout[samples // 2 : samples // 2 + 1], gradient, raster_s=raster)[:, 0]
    whole = gradient.sum(axis=1) * raster
    gradient -= lobe[None, :, None] * (at_echo / (lobe.sum() * raster))[:, None]
    gradient -= lobe[None, ::-1, None] * ((whole - at_echo) / (lobe.sum() * raster))[:, None]
    k = np.empty((shots, samples, 2))
    for start in range(0, shots, 200):
        k[start : start + 200] = k_at(readout, gradient[start : start + 200], raster_s=raster)
    return TrajectoryDesign(
        name="many", family="radial", geometry=geometry, scanner=scanner, protocol=Protocol(dummy_shots=0),
        dwell_s=dwell_s, adc_start_edge=ramp, echo_sample=samples // 2, gradient_hz_per_m=gradient,
        k_start_per_m=np.zeros((shots, 2)), k_per_m=k, initial_k_per_m=k,
    )  # fmt: skip


def ours(design: Any, path: Path) -> dict[str, float]:
    """Seconds of writing, and of reading and certifying."""
    from seqopt.pulseq.certificate import certify
    from seqopt.pulseq.gre import write_gre

    begin = time.process_time()
    write_gre(design, path)
    written = time.process_time()
    certificate = certify(path, design.scanner, design=design)
    read = time.process_time()
    found = {check.name: check.value for check in certificate.checks}
    failed = ", ".join(check.name for check in certificate.failures)
    return {
        "write": written - begin, "read + certify": read - written, "k (1/FOV)": found["design.k"],
        "not held": failed or "none",
    }  # fmt: skip


def plain(design: Any, path: Path) -> dict[str, float]:
    """The same blocks through pypulseq alone."""
    import pypulseq as pp

    from seqopt.pulseq.gre_plan import make_plan

    scanner, plan = design.scanner, make_plan(design)
    limits = pp.Opts(
        max_grad=scanner.max_grad_hz_per_m, max_slew=scanner.max_slew_hz_per_m_per_s, adc_dead_time=10e-6,
        rf_dead_time=scanner.rf_dead_time_s, rf_ringdown_time=scanner.rf_ringdown_time_s,
    )  # fmt: skip
    begin = time.process_time()
    sequence = pp.Sequence(limits)
    times = np.arange(design.gradient_hz_per_m.shape[1]) * scanner.grad_raster_s
    rf, gz, _ = pp.make_sinc_pulse(
        0.26, duration=2e-3, slice_thickness=5e-3, delay=100e-6, use="excitation", return_gz=True, system=limits
    )
    gz_lobes = pp.make_extended_trapezoid(
        "z", amplitudes=plan.slice_hz_per_m, times=plan.slice_times_s - plan.slice_times_s[0], system=limits
    )
    for shot, gradient in enumerate(design.gradient_hz_per_m):
        rf.phase_offset = phase = np.radians(117 * shot * (shot + 1) / 2 % 360)
        adc = pp.make_adc(
            design.samples, dwell=design.dwell_s, delay=plan.adc_delay_s, phase_offset=phase, system=limits
        )
        waves = [
            pp.make_extended_trapezoid(axis, amplitudes=values, times=times, system=limits)
            for axis, values in zip("xy", gradient.T, strict=True)
        ]
        for index in range(design.geometry.slices):
            sequence.add_block(rf, gz)
            sequence.add_block(
                *waves, gz_lobes, adc, pp.make_label("LIN", "SET", shot), pp.make_label("SLC", "SET", index)
            )
    built = time.process_time()
    sequence.write(str(path))
    written = time.process_time()
    again = pp.Sequence(limits)
    again.read(str(path))
    read = time.process_time()
    again.check_timing()
    checked = time.process_time()
    return {"add_block": built - begin, "write": written - built, "read": read - written, "check": checked - read}


def seconds_to_load() -> float:
    """Of the compiled loops; compiles them where this machine has not kept them."""
    begin = time.process_time()
    from seqopt.pulseq import kernels  # noqa: F401

    return time.process_time() - begin


def seconds_to_compile() -> float:
    """What the first use on a machine takes, in a process of its own that finds nothing kept."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--part", "load"]
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def measure(part: str, shots: int, samples: int, dwell_s: float, slices: int) -> None:
    """Run one part here and print its numbers as JSON."""
    from seqopt.pulseq.certificate import certify  # imports are no part of it
    from seqopt.pulseq.gre import write_gre

    load = seconds_to_load() if part == "ours" else 0.0
    with tempfile.TemporaryDirectory() as folder:
        small = design_of(2, 500, 4e-6)
        write_gre(small, Path(folder) / "small.seq")
        certify(Path(folder) / "small.seq", small.scanner, design=small)
    design = design_of(shots, samples, dwell_s, slices)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.seq"
        seconds = {"ours": ours, "plain": plain}[part](design, path)
        size = path.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"seconds": seconds, "file_mb": size / 1e6, "peak_mib": peak, "design_mib": before, "load_s": load}
    print(json.dumps(found))


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--dwell", type=float, default=4.0, help="us")
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--pypulseq-shots", type=int, default=500)
    parser.add_argument("--part", choices=("ours", "plain", "load"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part == "load":
        print(seconds_to_load())
        return
    if asked.part:
        measure(asked.part, asked.shots, asked.samples, asked.dwell * 1e-6, asked.slices)
        return
    totals, once = {}, seconds_to_compile()
    for part, shots in (("ours", asked.shots), ("plain", min(asked.shots, asked.pypulseq_shots))):
        command = [sys.executable, __file__, "--part", part, "--shots", str(shots)]
        command += ["--samples", str(asked.samples), "--dwell", str(asked.dwell), "--slices", str(asked.slices)]
        output = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout
        found = json.loads(output.splitlines()[-1])
        seconds = {name: value for name, value in found["seconds"].items() if name not in ("k (1/FOV)", "not held")}
        totals[part] = sum(seconds.values()) * asked.shots / shots
        print(f"{part}, {shots} shots x {asked.samples} samples of {asked.dwell:g} us: ", end="")
        print(", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))
        extra = {name: value for name, value in found["seconds"].items() if name not in seconds}
        print(
            f"  file {found['file_mb']:.1f} MB, peak {found['peak_mib']:.0f} MiB (the design alone "
            f"{found['design_mib']:.0f}){''.join(f', {name}: {value}' for name, value in extra.items())}"
        )
        if part == "ours":
            print(f"  compiled loops: {once:.1f} s to compile once, {found['load_s']:.1f} s to load in each process")
    print(f"for {asked.shots} shots: ours {totals['ours']:.1f} s, pypulseq {totals['plain']:.0f} s "
          f"(reckoned linearly), {totals['plain'] / totals['ours']:.0f} times")  # fmt: skip


if __name__ == "__main__":
    main()
