"""Small sequences of many kinds by pypulseq alone, to which the imaging checks must not raise false alarms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pypulseq as pp
from seqfiles import system

FOV_M = 0.2


def _begin() -> tuple[pp.Opts, pp.Sequence]:
    limits = system()
    seq = pp.Sequence(limits)
    seq.add_block(*(pp.make_label(name, "SET", 0) for name in ("LIN", "SLC", "SEG")), pp.make_delay(1e-3))
    return limits, seq


def _sinc(limits: pp.Opts, degrees: float, use: str) -> Any:
    return pp.make_sinc_pulse(
        np.radians(degrees), duration=3e-3, slice_thickness=5e-3, apodization=0.5, time_bw_product=4, system=limits,
        return_gz=True, delay=limits.rf_dead_time, use=use, phase_offset=np.pi / 2 if use == "refocusing" else 0.0,
    )  # fmt: skip


def _write(seq: pp.Sequence, path: Path, te_s: float | None, **definitions: Any) -> Path:
    seq.set_definition("FOV", [FOV_M, FOV_M, 5e-3])
    if te_s is not None:
        seq.set_definition("EchoTime", te_s)
    for name, value in definitions.items():
        seq.set_definition(name, value)
    seq.write(str(path))
    return path


def _read(limits: pp.Opts, samples: int) -> tuple[Any, Any]:
    gx = pp.make_trapezoid("x", flat_area=samples / FOV_M, flat_time=samples * 20e-6, system=limits)
    return gx, pp.make_adc(samples, dwell=20e-6, delay=gx.rise_time, system=limits)


def spin_echo_train(path: Path, *, echoes: int, lines: int = 4, rewind: bool = True) -> Path:
    """One spin echo or a CPMG train; x k-space is centred on each spin echo."""
    limits, seq = _begin()
    rf, gz, gzr = _sinc(limits, 90, "excitation")
    ref, gz_ref, _ = _sinc(limits, 180, "refocusing")
    gx, adc = _read(limits, 32)
    half_s, lobe_s = 8e-3, 2e-3
    rf_end, ref_end = (pp.calc_duration(g) - (r.delay + r.center) for r, g in ((rf, gz), (ref, gz_ref)))
    ref_start = ref.delay + ref.center
    pre = [
        pp.make_trapezoid("x", area=gx.area / 2, duration=lobe_s, system=limits),
        pp.make_trapezoid("z", area=gzr.area, duration=lobe_s, system=limits),
    ]
    for train in range(lines // echoes if echoes > 1 else lines):
        rf.phase_offset = adc.phase_offset = 0.0
        seq.add_block(rf, gz)
        seq.add_block(*pre, pp.make_delay(round(half_s - rf_end - ref_start, 5)))
        for echo in range(echoes):
            line = train * echoes + echo
            area = (line - lines // 2) / FOV_M
            gy = pp.make_trapezoid("y", area=area, duration=lobe_s, system=limits)
            back = pp.make_trapezoid("y", area=-area if rewind else 1.0, duration=lobe_s, system=limits)
            read_s = pp.calc_duration(gx)
            seq.add_block(ref, gz_ref)
            seq.add_block(gy, pp.make_delay(round(half_s - ref_end - read_s / 2, 5)))
            seq.add_block(gx, adc, pp.make_label("LIN", "SET", line), pp.make_label("SEG", "SET", echo))
            seq.add_block(back, pp.make_delay(round(half_s - read_s / 2 - ref_start, 5)))
        seq.add_block(pp.make_delay(20e-3))
    centre = lines // 2 % echoes if echoes > 1 else 0
    return _write(seq, path, 2 * half_s * (centre + 1), MatrixSize=[32, lines])


def spin_echo(path: Path) -> Path:
    return spin_echo_train(path, echoes=1)


def turbo_spin_echo(path: Path) -> Path:
    return spin_echo_train(path, echoes=4, lines=8)


def epi(path: Path, *, lines: int = 8) -> Path:
    """Single shot, blips between readouts of alternating sign; two slices."""
    limits, seq = _begin()
    rf, gz, gzr = _sinc(limits, 90, "excitation")
    gx, adc = _read(limits, 16)
    back, _ = _read(limits, 16)
    back.amplitude = -gx.amplitude
    blip = pp.make_trapezoid("y", area=1 / FOV_M, duration=4e-4, system=limits)
    pre = [
        pp.make_trapezoid("x", area=-gx.area / 2, duration=2e-3, system=limits),
        pp.make_trapezoid("y", area=-lines / 2 / FOV_M, duration=2e-3, system=limits),
        pp.make_trapezoid("z", area=gzr.area, duration=2e-3, system=limits),
    ]
    step = pp.calc_duration(gx) + pp.calc_duration(blip)
    for index in range(2):
        rf.freq_offset = 1000.0 * (index - 0.5)
        seq.add_block(rf, gz)
        seq.add_block(*pre)
        for line in range(lines):
            counts = {"LIN": line, "SLC": index, "SEG": line % 2}
            labels = [pp.make_label(name, "SET", value) for name, value in counts.items()]
            seq.add_block(gx if line % 2 == 0 else back, adc, *labels)
            seq.add_block(blip)
        seq.add_block(pp.make_delay(20e-3))
    te = pp.calc_duration(rf, gz) - (rf.delay + rf.center) + 2e-3 + lines / 2 * step + pp.calc_duration(gx) / 2
    return _write(seq, path, te, MatrixSize=[16, lines])


def balanced_ssfp(path: Path, *, lines: int = 8, left: tuple[int, ...] = ()) -> Path:
    """All moments zero in each TR but those of the lines ``left``; RF and receiver alternate together."""
    limits, seq = _begin()
    rf, gz, _ = _sinc(limits, 40, "excitation")
    gx, adc = _read(limits, 32)
    lobe_s = 2e-3
    gx_pre = pp.make_trapezoid("x", area=-gx.area / 2, duration=lobe_s, system=limits)
    gz_re = pp.make_trapezoid("z", area=-gz.area / 2, duration=lobe_s, system=limits)
    for line in range(lines):
        area = (line - lines // 2) / FOV_M
        gy = pp.make_trapezoid("y", area=area, duration=lobe_s, system=limits)
        back = pp.make_trapezoid("y", area=1e-3 if line in left else -area, duration=lobe_s, system=limits)
        rf.phase_offset = adc.phase_offset = np.pi * (line % 2)
        seq.add_block(rf, gz)
        seq.add_block(gx_pre, gy, gz_re)
        seq.add_block(gx, adc, pp.make_label("LIN", "SET", line))
        seq.add_block(gx_pre, back, gz_re)
    te = pp.calc_duration(rf, gz) - (rf.delay + rf.center) + lobe_s + pp.calc_duration(gx) / 2
    return _write(seq, path, te, MatrixSize=[32, lines])


def centre_out(path: Path, *, spokes: int = 8) -> Path:
    """Half spokes from the centre, sampled on the ramp too, without EchoTime; spoiled along the spoke."""
    limits, seq = _begin()
    rf, gz, gzr = _sinc(limits, 10, "excitation")
    rephase = pp.make_trapezoid("z", area=gzr.area, duration=1e-3, system=limits)
    adc = pp.make_adc(32, dwell=20e-6, delay=limits.adc_dead_time, system=limits)
    wave = [0.0, 16 / FOV_M / 7e-4, 16 / FOV_M / 7e-4, 0.0]
    for spoke in range(spokes):
        angle = 2 * np.pi * spoke / spokes
        rf.phase_offset = adc.phase_offset = np.radians(117 * spoke * (spoke + 1) / 2 % 360)
        read = [
            pp.make_extended_trapezoid(a, amplitudes=np.array(wave) * part, times=[0, 1e-4, 9e-4, 1e-3], system=limits)
            for a, part in (("x", np.cos(angle)), ("y", np.sin(angle)))
            if abs(part) > 1e-9
        ]
        seq.add_block(rf, gz)
        seq.add_block(rephase)
        seq.add_block(*read, adc, pp.make_label("LIN", "SET", spoke))
        seq.add_block(pp.make_delay(2e-3))
    return _write(seq, path, None, MatrixSize=[32, 32])


def free_induction(path: Path) -> Path:
    """Spectroscopy of one voxel: phase-cycled, no encoding."""
    limits, seq = _begin()
    adc = pp.make_adc(64, dwell=20e-6, delay=limits.adc_dead_time, system=limits)
    for average in range(4):
        rf = pp.make_block_pulse(
            np.pi / 2, duration=5e-4, delay=limits.rf_dead_time, use="excitation", phase_offset=np.pi / 2 * average,
            system=limits,
        )  # fmt: skip
        seq.add_block(rf)
        seq.add_block(adc, pp.make_label("LIN", "SET", average))
        seq.add_block(pp.make_delay(50e-3))
    return _write(seq, path, None)


def labelled_gre(path: Path, *, lines: int = 8, slices: int = 2) -> Path:
    """As Pulseq's gre_label example: only REV is set before the first readout, LIN and SLC count up from nothing."""
    limits = system()
    seq = pp.Sequence(limits)
    rf, gz, gzr = _sinc(limits, 10, "excitation")
    gx, adc = _read(limits, 32)
    gx_pre = pp.make_trapezoid("x", area=-gx.area / 2, duration=1e-3, system=limits)
    gz_re = pp.make_trapezoid("z", area=gzr.area, duration=1e-3, system=limits)
    spoil = [pp.make_trapezoid(axis, area=800.0, duration=2e-3, system=limits) for axis in "xz"]
    seq.add_block(pp.make_label("REV", "SET", 1))
    count = 0
    for index in range(slices):
        rf.freq_offset = gz.amplitude * 5e-3 * (index - (slices - 1) / 2)
        for line in range(lines):
            phase = np.radians(117 * count * (count + 1) / 2 % 360)
            rf.phase_offset, adc.phase_offset = phase - 2 * np.pi * rf.freq_offset * rf.center, phase
            area = (line - lines // 2) / FOV_M
            seq.add_block(rf, gz)
            seq.add_block(gx_pre, pp.make_trapezoid("y", area=area, duration=1e-3, system=limits), gz_re)
            seq.add_block(gx, adc)
            labels = [pp.make_label("LIN", "INC", 1)]
            if line == lines - 1:
                labels = [pp.make_label("LIN", "SET", 0), pp.make_label("SLC", "INC", 1)]
            seq.add_block(*spoil, pp.make_trapezoid("y", area=-area, duration=2e-3, system=limits), *labels)
            count += 1
    te = pp.calc_duration(rf, gz) - (rf.delay + rf.center) + 1e-3 + pp.calc_duration(gx) / 2
    return _write(seq, path, te, MatrixSize=[32, lines])


def labelled_epi(path: Path, *, lines: int = 8, slices: int = 2, repetitions: int = 2) -> Path:
    """As Pulseq's epi_label example: navigators, labels set where they are first needed, SLC and REP counted up."""
    limits, seq = system(), pp.Sequence(system())
    rf, gz, gzr = _sinc(limits, 90, "excitation")
    gx, adc = _read(limits, 16)
    back, _ = _read(limits, 16)
    back.amplitude = -gx.amplitude
    reads = (gx, back)
    blip = pp.make_trapezoid("y", area=-1 / FOV_M, duration=4e-4, system=limits)
    pre = [
        pp.make_trapezoid("x", area=-gx.area / 2, duration=8e-4, system=limits),
        pp.make_trapezoid("z", area=gzr.area, duration=8e-4, system=limits),
    ]
    first = pp.make_trapezoid("y", area=lines / 2 / FOV_M, duration=8e-4, system=limits)
    spoil = pp.make_trapezoid("z", area=2000.0, duration=3e-3, system=limits)

    def label(name: str, value: int, kind: str = "SET") -> Any:
        return pp.make_label(name, kind, value)

    for _ in range(repetitions):
        seq.add_block(pp.make_trigger("physio1", duration=2e-3), label("SLC", 0))
        for index in range(slices):
            rf.freq_offset = gz.amplitude * 5e-3 * (index - (slices - 1) / 2)
            rf.phase_offset = -2 * np.pi * rf.freq_offset * rf.center
            seq.add_block(rf, gz)
            seq.add_block(*pre, label("NAV", 1), label("LIN", lines // 2))
            for navigator in range(3):
                odd = navigator % 2
                seq.add_block(reads[odd], adc, label("REV", odd), label("SEG", odd), label("AVG", navigator // 2))
                if navigator < 2:
                    seq.add_block(pp.make_delay(pp.calc_duration(blip)))
            seq.add_block(first, label("LIN", 0), label("NAV", 0), label("AVG", 0))
            for line in range(lines):
                odd = (line + 1) % 2
                seq.add_block(label("REV", odd), label("SEG", odd))
                seq.add_block(reads[odd], adc)
                seq.add_block(blip, label("LIN", 1, "INC"))
            seq.add_block(spoil, pp.make_delay(0.1), label("SLC", 1, "INC"))
        seq.add_block(label("REP", 1, "INC"))
    return _write(seq, path, None, MatrixSize=[16, lines])


KINDS: dict[str, Callable[[Path], Path]] = {
    "spin echo": spin_echo,
    "turbo spin echo": turbo_spin_echo,
    "EPI": epi,
    "balanced SSFP": balanced_ssfp,
    "centre-out": centre_out,
    "free induction": free_induction,
    "labelled GRE": labelled_gre,
    "labelled EPI": labelled_epi,
}
