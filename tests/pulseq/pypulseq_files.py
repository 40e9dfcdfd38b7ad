"""Good sequences of several kinds, composed and written by pypulseq alone, and one written by hand for Pulseq 1.3.1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pypulseq as pp
from seqfiles import cartesian_gre, system

FOV_M = 0.2
LIMITS = system()


def excitation(angle_deg: float, use: str, duration_s: float = 2e-3) -> tuple[SimpleNamespace, ...]:
    """Slice-selective pulse, its gradient and its rephaser."""
    return pp.make_sinc_pulse(
        np.radians(angle_deg), duration=duration_s, slice_thickness=5e-3, apodization=0.5, time_bw_product=4,
        system=LIMITS, return_gz=True, delay=LIMITS.rf_dead_time, use=use,
    )  # fmt: skip


def counters(*names: str) -> list[SimpleNamespace]:
    return [pp.make_label(name, "SET", 0) for name in names]


def written(seq: pp.Sequence, path: Path, v141: bool) -> Path:
    seq.set_definition("FOV", [FOV_M, FOV_M, 5e-3])
    seq.write(str(path), v141_compat=v141)
    return path


def spin_echo(path: Path, *, v141: bool = False) -> Path:
    """Three lines of a spin echo: trigger in and out, crushers either side of the refocusing pulse."""
    seq, columns = pp.Sequence(LIMITS), 64
    rf, gz, gzr = excitation(90, "excitation")
    refocus, gz180, _ = excitation(180, "refocusing", 4e-3)
    gx = pp.make_trapezoid("x", flat_area=columns / FOV_M, flat_time=columns * 20e-6, system=LIMITS)
    adc = pp.make_adc(columns, duration=gx.flat_time, delay=gx.rise_time, system=LIMITS)
    pre = pp.make_trapezoid("x", area=gx.area / 2, duration=2e-3, system=LIMITS)
    crusher = pp.make_trapezoid("z", area=4 / 5e-3, duration=2e-3, system=LIMITS)
    first = pp.make_trapezoid("z", area=crusher.area + gzr.area, duration=2e-3, system=LIMITS)
    for line in range(3):
        gy = pp.make_trapezoid("y", area=(line - 1) / FOV_M, duration=2e-3, system=LIMITS)
        labels = counters("LIN", "SLC") if line == 0 else [pp.make_label("LIN", "INC", 1)]
        seq.add_block(pp.make_trigger("physio1", duration=1e-3), *labels)
        seq.add_block(rf, gz, pp.make_digital_output_pulse("osc0", duration=1e-4))
        seq.add_block(pre, gy, first)
        seq.add_block(refocus, gz180)
        seq.add_block(crusher)
        seq.add_block(gx, adc)
        seq.add_block(pp.make_delay(0.2))
    return written(seq, path, v141)


def epi(path: Path, *, v141: bool = False, hz_per_m: float = 5e5, ramp_s: float = 2e-4, lines: int = 16) -> Path:
    """A single-shot EPI: readouts back and forth with blips between them, labelled LIN and REV."""
    seq, columns = pp.Sequence(LIMITS), 32
    loose = pp.Opts(max_grad=1e9, max_slew=1e12)
    rf, gz, gzr = excitation(60, "excitation")
    gx, back = (
        pp.make_trapezoid("x", amplitude=sign * hz_per_m, flat_time=columns * 10e-6, rise_time=ramp_s, system=loose)
        for sign in (1, -1)
    )
    adc = pp.make_adc(columns, duration=gx.flat_time, delay=gx.rise_time, system=LIMITS)
    blip = pp.make_trapezoid("y", area=1 / FOV_M, duration=2e-4, system=LIMITS)
    seq.add_block(rf, gz, *counters("LIN", "REV", "SLC"))
    seq.add_block(
        pp.make_trapezoid("x", area=-gx.area / 2, duration=2e-3, system=loose),
        pp.make_trapezoid("y", area=-lines / 2 / FOV_M, duration=2e-3, system=LIMITS),
        pp.make_trapezoid("z", area=gzr.area, duration=2e-3, system=LIMITS),
    )
    for line in range(lines):
        seq.add_block(back if line % 2 else gx, adc, pp.make_label("REV", "SET", line % 2))
        seq.add_block(blip, pp.make_label("LIN", "INC", 1))
    seq.add_block(pp.make_trapezoid("z", area=4 / 5e-3, duration=3e-3, system=LIMITS))
    return written(seq, path, v141)


def spiral_edges(*, turns_hz: float = 833.0, length_s: float = 4e-3) -> np.ndarray:
    """(edges, 2) Hz/m on raster edges: a turning gradient that rises from 0 and returns to it."""
    time_s = np.arange(round(length_s * 1e5) + 1) * 1e-5
    size = 15e-3 * 42.576e6 * np.interp(time_s, [0, 1e-3, length_s - 1e-3, length_s], [0.0, 1.0, 1.0, 0.0])
    angle = 2 * np.pi * turns_hz * time_s
    return size[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def spiral(
    path: Path, *, v141: bool = False, edges: np.ndarray | None = None, soft_delay: bool = False, ripple: float = 0.0
) -> Path:
    """Four interleaves as arbitrary gradients, whose samples lie at raster centres; ``ripple`` in Hz/m on the first."""
    seq, edges = pp.Sequence(LIMITS), spiral_edges() if edges is None else edges
    rf, gz, gzr = excitation(15, "excitation")
    adc = pp.make_adc(1000, dwell=4e-6, delay=2e-5, system=LIMITS)
    loose = pp.Opts(max_grad=1e9, max_slew=1e12)
    for shot in range(4):
        turn = np.pi / 2 * shot
        matrix = np.round([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], 12)
        played = edges @ matrix.T
        centres = (played[1:] + played[:-1]) / 2
        centres[:6, 0] += ripple * (-1) ** np.arange(6)
        waves = [
            pp.make_arbitrary_grad(axis, wave, first=at[0], last=at[-1], delay=2e-5, system=loose)
            for axis, wave, at in zip("xy", centres.T, played.T, strict=True)
        ]
        area = centres.sum(axis=0) * 1e-5
        seq.add_block(rf, gz, *(counters("LIN", "SLC") if shot == 0 else [pp.make_label("LIN", "INC", 1)]))
        seq.add_block(pp.make_trapezoid("z", area=gzr.area, duration=1e-3, system=LIMITS))
        seq.add_block(*waves, adc)
        seq.add_block(
            *(pp.make_trapezoid(a, area=-one, duration=2e-3, system=LIMITS) for a, one in zip("xy", area, strict=True)),
            pp.make_trapezoid("z", area=4 / 5e-3, duration=2e-3, system=LIMITS),
        )
        seq.add_block(pp.make_delay(2e-3), *([pp.make_soft_delay("TR", default_duration=2e-3)] if soft_delay else []))
    return written(seq, path, v141)


def bridged(path: Path) -> Path:
    """A readout gradient that rises in one block, is held through the ADC's and falls in a third."""
    seq, samples = pp.Sequence(LIMITS), 64
    rf, gz, gzr = excitation(15, "excitation")
    plateau = samples * 2e-5 + 4e-5
    height = samples / FOV_M / (samples * 2e-5)
    adc = pp.make_adc(samples, dwell=2e-5, delay=2e-5, system=LIMITS)
    pieces = [
        pp.make_extended_trapezoid("x", amplitudes=np.array(values), times=np.array([0, length_s]), system=LIMITS)
        for values, length_s in (([0.0, height], 2e-4), ([height, height], plateau), ([height, 0.0], 2e-4))
    ]
    seq.add_block(rf, gz, *counters("LIN", "SLC"))
    seq.add_block(
        pp.make_trapezoid("z", area=gzr.area, duration=1e-3, system=LIMITS),
        pp.make_trapezoid("x", area=-height * (plateau / 2 + 1e-4), duration=1e-3, system=LIMITS),
    )
    seq.add_block(pp.make_delay(1e-3))
    seq.add_block(pieces[0])
    seq.add_block(pieces[1], adc)
    seq.add_block(pieces[2])
    return written(seq, path, v141=False)


def soft_delays(path: Path) -> Path:
    return spiral(path, soft_delay=True)


V131 = """# By hand, as version 1.3.1 had it: delays by id, compressed shapes, no time shapes, no signature

[VERSION]
major 1
minor 3
revision 1

[DEFINITIONS]
FOV 0.2 0.2 0.005
Name by-hand

[BLOCKS]
1 3 1 0 0 0 0 1
2 1 0 1 0 0 0 0
3 0 0 2 0 0 1 0
4 2 0 0 0 0 0 0

[RF]
1 250 1 2 100 0 0

[TRAP]
1 -22000 100 800 100 0

[GRADIENTS]
2 50000 3 0

[ADC]
1 4 80000 40 0 0

[DELAYS]
1 2000
2 5000
3 1130

[EXTENSIONS]
1 1 1 2
2 1 2 0

extension LABELSET 1
1 0 LIN
2 0 SLC

[SHAPES]

shape_id 1
num_samples 1000
1
0
0
997

shape_id 2
num_samples 1000
0
0
998

shape_id 3
num_samples 40
0.05
0.1
0.1
7
0.05
0
0
17
-0.05
-0.1
-0.1
7
"""


def by_hand_131(path: Path) -> Path:
    path.write_text(V131)
    return path


def _141(write: Callable[..., Path]) -> Callable[[Path], Path]:
    return lambda path: write(path, v141=True)


GOOD: dict[str, Callable[[Path], Path]] = {
    "gre": cartesian_gre,
    "gre as 1.4.1": _141(cartesian_gre),
    "spin echo": spin_echo,
    "spin echo as 1.4.1": _141(spin_echo),
    "EPI": epi,
    "EPI as 1.4.1": _141(epi),
    "spiral": spiral,
    "spiral as 1.4.1": _141(spiral),
    "gradient over three blocks": bridged,
    "soft delays": soft_delays,
    "1.3.1 by hand": by_hand_131,
}
