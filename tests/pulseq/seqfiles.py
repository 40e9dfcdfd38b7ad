"""Sequences for the tests of the pulseq room: a plain pypulseq GRE, and edits of good files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pypulseq as pp


def system() -> pp.Opts:
    return pp.Opts(
        max_grad=30,
        grad_unit="mT/m",
        max_slew=120,
        slew_unit="T/m/s",
        rf_ringdown_time=30e-6,
        rf_dead_time=100e-6,
        adc_dead_time=10e-6,
    )


def cartesian_gre(path: Path, *, lines: int = 8, columns: int = 32, v141: bool = False) -> Path:
    """A spoiled Cartesian GRE as the pypulseq examples write it, by its own writer."""
    limits, fov = system(), 0.2
    seq = pp.Sequence(limits)
    rf, gz, gzr = pp.make_sinc_pulse(
        np.radians(12), duration=2e-3, slice_thickness=5e-3, apodization=0.5, time_bw_product=4, system=limits,
        return_gz=True, delay=limits.rf_dead_time, use="excitation",
    )  # fmt: skip
    gx = pp.make_trapezoid("x", flat_area=columns / fov, flat_time=columns * 20e-6, system=limits)
    adc = pp.make_adc(columns, duration=gx.flat_time, delay=gx.rise_time, system=limits)
    gx_pre = pp.make_trapezoid("x", area=-gx.area / 2, duration=1e-3, system=limits)
    gz_re = pp.make_trapezoid("z", area=gzr.area, duration=1e-3, system=limits)
    spoil = pp.make_trapezoid("z", area=4 / 5e-3, duration=2e-3, system=limits)
    labels = [pp.make_label(name, "SET", 0) for name in ("LIN", "SLC")]
    for line in range(lines):
        area = (line - lines // 2) / fov
        gy = pp.make_trapezoid("y", area=area, duration=1e-3, system=limits)
        back = pp.make_trapezoid("y", area=-area, duration=2e-3, system=limits)
        rf.phase_offset = adc.phase_offset = np.radians(117 * line * (line + 1) / 2 % 360)
        seq.add_block(rf, gz, *(labels if line == 0 else []))
        seq.add_block(gx_pre, gy, gz_re)
        seq.add_block(gx, adc, pp.make_label("LIN", "SET", line))
        seq.add_block(spoil, back, pp.make_trapezoid("x", area=-gx.area / 2, duration=2e-3, system=limits))
        seq.add_block(pp.make_delay(3e-3))
    te = pp.calc_duration(rf, gz) - (rf.delay + rf.center) + 1e-3 + gx.rise_time + gx.flat_time / 2
    seq.set_definition("FOV", [fov, fov, 5e-3])
    seq.set_definition("Name", "gre")
    seq.set_definition("EchoTime", te)
    seq.write(str(path), v141_compat=v141)
    return path


def resign(path: Path) -> Path:
    """Sign an edited file anew, so that only its own fault is found."""
    text = path.read_bytes()
    body = text[: text.rfind(b"\n[SIGNATURE]")]
    path.write_bytes(body + f"\n[SIGNATURE]\nType md5\nHash {hashlib.md5(body).hexdigest()}\n".encode())
    return path


def rows(text: str, section: str) -> list[str]:
    """Data rows of one section."""
    found = re.search(rf"^\[{section}\]\n(.*?)(?=^\n|^\[|^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, section
    return [line for line in found[1].splitlines() if line]


def edit_row(path: Path, section: str, row: int, changes: dict[int, object], *, out: Path, sign: bool = True) -> Path:
    """Copy a file with some columns of one row of a section changed."""
    text = path.read_text()
    old = rows(text, section)[row]
    tokens = old.split()
    for column, value in changes.items():
        tokens[column] = str(value)
    assert text.count(f"\n{old}\n") >= 1
    head, tail = text.split(f"[{section}]\n", 1)
    out.write_text(head + f"[{section}]\n" + tail.replace(old, " ".join(tokens), 1))
    return resign(out) if sign else out


def edit_text(path: Path, old: str, new: str, *, out: Path, sign: bool = True) -> Path:
    """Copy a file with one text replaced; the text must be there."""
    text = path.read_text()
    assert old in text, old
    out.write_text(text.replace(old, new, 1))
    return resign(out) if sign else out
