"""Mutated MRD files end in an image or in one line; never in a traceback, a crash, or without end."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian
from designs import radial_design
from exported import export, header_only
from mrd_fuzz import outcomes

from seqopt.mrd.files import read_raw
from seqopt.mrd.header import write_scan

GENERATOR = shutil.which("ismrmrd_generate_cartesian_shepp_logan")


def joined(header: Path, path: Path) -> Path:
    """Noise for every readout that the header plans."""
    generator = np.random.default_rng(0)
    count = len(read_raw(header).acquisitions)
    data = generator.standard_normal((count, 2, 64, 2)).astype(np.float32).view(np.complex64)[..., 0]
    write_scan(path, header, list(data))
    return path


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    plain = radial_design(slices=2, shots=4, samples=64, matrix=16)
    protocol = replace(plain.protocol, calibrate=("maps", "delays"))
    design = replace(radial_design(slices=3, shots=3, samples=64, matrix=16), protocol=protocol)
    images = (phantom(16, 16) * ring_maps(2, 16, 16))[None]
    found = {
        "radial": joined(header_only(plain, folder / "header.mrd"), folder / "radial.mrd"),
        "calibrated": joined(export(design, folder / "design") / f"{design.name}.mrd", folder / "calibrated.mrd"),
        "lines": write_cartesian(folder / "lines.mrd", images),
        "accelerated": write_cartesian(
            folder / "accelerated.mrd",
            np.repeat(images, 3, axis=0),
            lines=range(0, 16, 2),
            calibration=[6, 8, 10],
            calibration_only=[5, 7, 9],
            noise=np.random.default_rng(1).standard_normal((2, 64)).astype(np.complex64),
        ),
    }
    if GENERATOR is not None:
        found["generated"] = folder / "generated.mrd"
        call = [GENERATOR, "-m", "32", "-c", "3", "-a", "2", "-w", "12", "-k", "-C", "-o", str(found["generated"])]
        subprocess.run(call, check=True, capture_output=True)
    with contextlib.suppress(ImportError):
        found["spiral"] = Path(importlib.import_module("mrbabel_data").testdata("ismrmrd"))
    return found


def assert_tidy(bases: Iterable[Path], count: int, seed: int, folder: Path) -> None:
    found = list(outcomes(list(bases), count, seed, folder))
    bad = [(number, what) for number, what in found if not what.startswith(("read", "refused"))]
    assert not bad, f"seed {seed}: {bad[:3]}"
    kinds = {what.split(":")[0] for _, what in found}
    assert kinds == {"read", "refused"}  # the mutations are neither harmless nor all fatal


def test_mutated_files_end_in_an_image_or_in_one_line(bases, tmp_path):
    assert_tidy([bases["radial"], bases["lines"]], 40, 2026, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "count"),
    [("radial", 240), ("calibrated", 240), ("lines", 240), ("accelerated", 180), ("generated", 80), ("spiral", 20)],
)
def test_of_a_thousand_mutated_files_each_ends_in_an_image_or_in_one_line(bases, tmp_path, base, count):
    if base not in bases:
        pytest.skip(f"who writes {base} is not installed")
    assert_tidy([bases[base]], count, 2027, tmp_path)
