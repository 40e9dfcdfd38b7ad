"""The fifty ways in which a .seq fails at the scanner: each is a small edit of a good file, and its check says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from designs import paper_scanner, radial_design
from mask_designs import mask_design
from pypulseq_files import GOOD, epi, spiral, spiral_edges
from seqfiles import edit_row, edit_text, resign, rows

from seqopt.core import ForbiddenBand, Scanner
from seqopt.errors import SeqoptError
from seqopt.gradients.asc import SAFE_EXAMPLE
from seqopt.pulseq.certificate import certify
from seqopt.units import mt_per_m_to_hz_per_m

Files = dict[str, Path]
Fault = Callable[[Files, Path], Path]


def scanner() -> Scanner:
    """The paper's limits, with what a coil file would add: nerves, the public placeholder bands, an RMS."""
    bands = (ForbiddenBand(590.0, 100.0), ForbiddenBand(1140.0, 220.0))
    return replace(
        paper_scanner(), stimulation=SAFE_EXAMPLE, stimulation_limit=0.8, bands=bands, bands_source="public fixtures",
        max_rms_grad_hz_per_m=mt_per_m_to_hz_per_m(30.0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    from seqopt.pulseq.gre import write_gre

    folder = tmp_path_factory.mktemp("good")
    made = {name: write(folder / f"{name}.seq") for name, write in GOOD.items()}
    made["ours"] = folder / "ours.seq"
    write_gre(radial_design(shots=4, samples=256, wiggle=0.5), made["ours"])
    return made


def column(section: str, row: int, changes: dict[int, object], base: str = "gre", *, sign: bool = True) -> Fault:
    return lambda files, out: edit_row(files[base], section, row, changes, out=out, sign=sign)


def text(old: str, new: str, base: str = "gre") -> Fault:
    return lambda files, out: edit_text(files[base], old, new, out=out)


def prewinders(amplitude: float, rise_us: int, axes: str = "xyz", *, turned: bool = False) -> Fault:
    """Other trapezoids for the block of 1 ms after the first pulse, and perhaps a rotation by 45 degrees about z."""

    def edit(files: Files, out: Path) -> Path:
        body = files["gre"].read_text()
        block = rows(body, "BLOCKS")[1].split()
        for axis in axes:
            number = block[3 + "xyz".index(axis)]
            row = f"{number} {amplitude:g} {rise_us} {1000 - 2 * rise_us} {rise_us} 0"
            body, count = re.subn(rf"(?<=\n) *{number} +-?[\d.e+]+ +\d+ +\d+ +\d+ +0\n", f"{row}\n", body)
            assert count == 1
        out.write_text(body)
        return resign(_rotated(out) if turned else out)

    return edit


def _rotated(path: Path) -> Path:
    """Give the second block a rotation, as version 1.5.1 writes it."""
    body = path.read_text().replace("revision 0", "revision 1")
    old = rows(body, "BLOCKS")[1]
    body = body.replace(f"\n{old}\n", "\n" + " ".join([*old.split()[:7], "900"]) + "\n", 1)
    half = np.radians(45) / 2
    listed = "\n".join(rows(body, "EXTENSIONS"))
    turn = f"extension ROTATIONS 77\n1 {np.cos(half):.9f} 0 0 {np.sin(half):.9f}"
    path.write_text(body.replace(listed, f"{listed}\n900 77 1 0\n\n{turn}", 1))
    return path


def sample(base: str, change: Callable[[float], object], at: int = 150) -> Fault:
    """One sample changed in the longest shape that a gradient plays."""

    def edit(files: Files, out: Path) -> Path:
        body = files[base].read_text()
        shape = rows(body, "GRADIENTS")[0].split()[4]
        head, tail = body.split(f"shape_id {shape}\n", 1)
        lines = tail.split("\n")
        assert int(lines[0].split()[1]) == lines.index("") - 1, "a plain shape"
        lines[at] = str(change(float(lines[at])))
        out.write_text(f"{head}shape_id {shape}\n" + "\n".join(lines))
        return resign(out)

    return edit


def blocks(change: Callable[[list[str]], list[str]], base: str) -> Fault:
    """The rows of [BLOCKS] changed; TotalDuration follows."""

    def edit(files: Files, out: Path) -> Path:
        body = files[base].read_text()
        before = rows(body, "BLOCKS")
        after = change(before)
        body = body.replace("\n".join(before), "\n".join(after), 1)
        total = sum(int(row.split()[1]) for row in after) * 1e-5
        out.write_text(re.sub(r"TotalDuration [\d.e-]+", f"TotalDuration {total:.9g}", body))
        return resign(out)

    return edit


def without(base: str, column: int, row: int) -> Fault:
    return column_of_block(base, column, row, "0")


def column_of_block(base: str, column: int, row: int, value: str) -> Fault:
    def change(before: list[str]) -> list[str]:
        tokens = before[row].split()
        tokens[column] = value
        return [*before[:row], " ".join(tokens), *before[row + 1 :]]

    return blocks(change, base)


def rippled(*, v141: bool) -> Fault:
    """The first samples of a spiral, at its centre, alternate by 45 kHz/m (1 mT/m)."""
    return lambda files, out: spiral(out, v141=v141, ripple=45e3)


def late_pulse(files: Files, out: Path) -> Path:
    """The pulse ends 10 us before its block does."""
    block = rows(files["gre"].read_text(), "BLOCKS")[0].split()
    return edit_row(files["gre"], "RF", 0, {6: int(block[1]) * 10 - 2010}, out=out)


def heavy(files: Files, out: Path) -> Path:
    """Forty-five mT/m on x, nearly without a pause, for four seconds."""
    body = files["gre"].read_text()
    number = rows(body, "BLOCKS")[1].split()[3]
    body = re.sub(rf"(?<=\n) *{number} +-?[\d.e+]+ +\d+ +\d+ +\d+ +0\n", f"{number} 1900000 400 19200 400 0\n", body)
    listed = rows(body, "BLOCKS")
    more = [f"{len(listed) + 1 + at} 2000 0 {number} 0 0 0 0" for at in range(200)]
    first = listed[1].split()
    alone = [listed[0], " ".join([first[0], "2000", *first[2:]]), *listed[2:], *more]
    body = body.replace("\n".join(listed), "\n".join(alone), 1)
    total = sum(int(row.split()[1]) for row in alone) * 1e-5
    out.write_text(re.sub(r"TotalDuration [\d.e-]+", f"TotalDuration {total:.9g}", body))
    return resign(out)


def unlabelled(files: Files, out: Path) -> Path:
    return blocks(lambda before: [" ".join([*row.split()[:7], "0"]) for row in before], "gre")(files, out)


def unsigned(files: Files, out: Path) -> Path:
    raw = files["gre"].read_bytes()
    out.write_bytes(raw[: raw.rfind(b"\n[SIGNATURE]")])
    return out


def windows(files: Files, out: Path) -> Path:
    out.write_bytes(files["gre"].read_bytes().replace(b"\n", b"\r\n"))
    return out


FAULTS: dict[int, tuple[str, Fault, str]] = {
    1: ("slew legal on each axis but not as a vector", prewinders(6e5, 100), "gradient.vector_slew"),
    2: ("amplitude legal on each axis but not as a vector", prewinders(1.5e6, 400), "gradient.vector_amplitude"),
    3: ("slew over its limit on one axis", prewinders(1e6, 100, "x"), "gradient.axis_slew_x"),
    4: ("amplitude over its limit on one axis", prewinders(2.3e6, 400, "y"), "gradient.axis_amplitude_y"),
    5: ("a step at a block's end", column("GRADIENTS", 0, {3: 5000}, "spiral"), "gradient.continuity"),
    6: ("a step at a block's start", column("GRADIENTS", 0, {2: 5000}, "spiral"), "gradient.continuity"),
    7: (
        "a gradient that the next block does not continue",
        without("gradient over three blocks", 3, 4), "gradient.continuity",
    ),
    8: (
        "a file that ends at a gradient",
        blocks(lambda before: before[:-1], "gradient over three blocks"), "gradient.continuity",
    ),
    9: (
        "a gradient that does not start from zero after a delay",
        without("gradient over three blocks", 3, 3), "gradient.continuity",
    ),
    10: ("`last` that contradicts the samples", column("GRADIENTS", 0, {3: 5000}, "ours"), "format.edges"),
    11: ("one sample of a shape off", sample("spiral", lambda v: round(v - 0.3, 9)), "gradient.vector_slew"),
    12: ("a shape beyond 1", sample("spiral", lambda v: 1.7), "format.shapes"),
    13: ("a shape with NaN", sample("spiral", lambda v: "nan"), "format.shapes"),
    14: ("an ADC dwell off its raster", column("ADC", 0, {2: 20010}), "timing.adc_raster"),
    15: ("too many ADC samples, a prime number", column("ADC", 0, {1: 8209}), "timing.adc_samples"),
    16: ("segments off the gradient raster", column("ADC", 0, {1: 8194, 2: 2100}), "timing.adc_samples"),
    17: ("ADC samples not divisible by four", column("ADC", 0, {1: 30}), "timing.adc_divisor"),
    18: ("RF inside its dead time", column("RF", 0, {6: 20}), "timing.rf_dead_time"),
    19: ("a block that ends inside the ringdown", late_pulse, "timing.rf_ringdown"),
    20: ("ADC inside its dead time", column("ADC", 0, {3: 0}), "timing.adc_dead_time_before"),
    21: ("a ramp off the gradient raster", column("TRAP", 0, {2: 143}), "timing.gradient_raster"),
    22: ("a block shorter than its events", column("BLOCKS", 0, {1: 100}), "timing.block_duration"),
    23: ("an RF delay off its raster", column("RF", 0, {6: 100.5}), "timing.rf_raster"),
    24: ("TotalDuration wrong", text("TotalDuration 0.", "TotalDuration 1."), "format.total_duration"),
    25: ("GradientRasterTime missing", text("GradientRasterTime 1e-05", ""), "format.definitions"),
    26: ("BlockDurationRaster missing", text("BlockDurationRaster 1e-05", ""), "format.definitions"),
    27: ("a file changed after it was signed", column("RF", 0, {1: 100}, sign=False), "format.signature"),
    28: ("no signature", unsigned, "format.signature"),
    29: ("no version", text("[VERSION]\nmajor 1\nminor 5\nrevision 0\n", ""), "refused: VERSION"),
    30: ("an event that is not defined", column("BLOCKS", 1, {3: 77}), "format.references"),
    31: ("a version that is too new", text("revision 0", "revision 7"), "format.version"),
    32: ("an unknown extension", text("extension LABELSET", "extension LABELPUT"), "format.extensions"),
    33: ("an unknown label", text(" LIN\n", " LINE\n"), "format.extensions"),
    34: ("FOV in mm", text("FOV 0.2 0.2 0.005", "FOV 200 200 5"), "imaging.fov"),
    35: ("an echo elsewhere than at TE", text("EchoTime 0.00", "EchoTime 0.01"), "imaging.echo"),
    36: ("RF without its use", column("RF", 0, {11: "u"}), "rf.use"),
    37: ("B1 beyond the coil", column("RF", 0, {1: 900}), "rf.peak_b1"),
    38: ("a frequency offset too large", column("RF", 0, {9: 300000}), "rf.frequency_offset"),
    39: ("RF while the ADC is open", column_of_block("gre", 6, 0, "1"), "timing.rf_and_adc_apart"),
    40: (
        "nerve stimulation at legal amplitude and slew",
        lambda files, out: epi(out, hz_per_m=1.7e6, ramp_s=2.1e-4, lines=32), "pns.peak",
    ),
    41: (
        "an oscillation inside a forbidden band",
        lambda files, out: spiral(out, edges=spiral_edges(turns_hz=590.0, length_s=40e-3)), "resonance.590_hz",
    ),
    42: ("gradients too strong for too long", heavy, "gradient.rms_x"),
    43: ("a ripple at the centre of a spiral", rippled(v141=False), "gradient.vector_slew"),
    44: ("the same ripple in a file of 1.4, without first and last", rippled(v141=True), "gradient.vector_slew"),
    45: ("an integer in another notation", column("TRAP", 0, {3: "2e+03"}), "format.integers"),
    46: ("line ends of Windows", windows, "format.line_ends"),
    47: (
        "the raster of another vendor",
        text("GradientRasterTime 1e-05", "GradientRasterTime 4e-06"), "timing.rasters",
    ),
    48: (
        "a rotation that turns legal axes into an illegal one",
        prewinders(1.6e6, 400, "xy", turned=True), "gradient.axis_amplitude_y",
    ),
    49: ("no labels", unlabelled, "imaging.labels"),
    50: ("columns of another version", text("minor 5", "minor 4"), "refused: columns"),
}  # fmt: skip


def test_there_are_fifty_classes():
    assert sorted(FAULTS) == list(range(1, 51))


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: f"{number}-{FAULTS[number][0].replace(' ', '-')}")
def test_the_fault_is_found_by_the_check_that_names_it(number, files, tmp_path):
    _, make, due = FAULTS[number]
    path = make(files, tmp_path / "bad.seq")
    if due.startswith("refused: "):
        with pytest.raises(SeqoptError, match=due.removeprefix("refused: ")):
            certify(path, scanner())
        return
    certificate = certify(path, scanner())
    failed = [check for check in certificate.failures if check.name == due]
    assert failed, (due, [check.name for check in certificate.failures])
    assert all(check.remedy for check in failed)
    assert not certificate.holds


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_of_another_writer_holds(name, files):
    certificate = certify(files[name], scanner())
    assert certificate.holds, certificate.failures


@pytest.mark.parametrize("family", ["radial", "spiral", "cartesian"])
def test_our_own_file_of_each_family_holds(family, tmp_path):
    from seqopt.core import Geometry, Protocol
    from seqopt.learn.recipe import choose
    from seqopt.pulseq.gre import write_gre
    from seqopt.workflows.design_request import DesignRequest

    asked = DesignRequest(
        out=tmp_path,
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(64, 64), slices=2),
        scanner=paper_scanner(),
        protocol=Protocol(dummy_shots=1),
        recipe=choose("smoke"),
        traj=family,
        shots=4,
        readout_s=2.56e-3,
    )
    path = asked.initial()
    write_gre(asked.designed(path.k_per_m, path), tmp_path / "a.seq")
    certificate = certify(tmp_path / "a.seq", asked.scanner)
    assert certificate.holds, certificate.failures


@pytest.mark.parametrize("sequence", ["gre", "tse"])
def test_our_own_file_of_each_mask_holds(sequence, tmp_path):
    from seqopt.pulseq.cartesian import write_mask

    design = mask_design(sequence)
    write_mask(design, tmp_path / "a.seq")
    certificate = certify(tmp_path / "a.seq", design.scanner)
    assert certificate.holds, certificate.failures
