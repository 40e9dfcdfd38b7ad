"""Mutated MRD files end in an image or in one line; never in a traceback, a crash, or without end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian
from designs import radial_design
from exported import header_only
from mrd_fuzz import outcomes

from seqopt.mrd.header import write_scan


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bases")
    design = radial_design(slices=2, shots=4, samples=64, matrix=16)
    header = header_only(design, folder / "header.mrd")
    generator = np.random.default_rng(0)
    data = [generator.standard_normal((2, 64, 2)).astype(np.float32).view(np.complex64)[..., 0] for _ in range(9)]
    write_scan(folder / "radial.mrd", header, data)
    lines = write_cartesian(folder / "lines.mrd", (phantom(16, 16) * ring_maps(2, 16, 16))[None])
    return [folder / "radial.mrd", lines]


def assert_tidy(bases: list[Path], count: int, seed: int, folder: Path) -> None:
    found = list(outcomes(bases, count, seed, folder))
    bad = [(number, what) for number, what in found if not what.startswith(("read", "refused"))]
    assert not bad, f"seed {seed}: {bad[:3]}"
    kinds = {what.split(":")[0] for _, what in found}
    assert kinds == {"read", "refused"}  # the mutations are neither harmless nor all fatal


def test_mutated_files_end_in_an_image_or_in_one_line(bases, tmp_path):
    assert_tidy(bases, 40, 2026, tmp_path)


@pytest.mark.slow
def test_more_mutated_files_end_in_an_image_or_in_one_line(bases, tmp_path):
    assert_tidy(bases, 300, 2027, tmp_path)
