import sys
from dataclasses import replace
from pathlib import Path

import pytest
from designs import radial_design

sys.path.insert(0, str(Path(__file__).parent))

from seqfiles import cartesian_gre


@pytest.fixture(scope="session")
def design():
    made = radial_design(shots=4, samples=256, matrix=64, slices=2, wiggle=0.5)
    gap = replace(made.geometry, slice_gap_m=0.0013)  # so that RF offsets make no whole turns in half a pulse
    return replace(made, geometry=gap)


@pytest.fixture(scope="session")
def good(design, tmp_path_factory):
    """A good file of ours."""
    from seqopt.pulseq.gre import write_gre

    path = tmp_path_factory.mktemp("good") / "good.seq"
    write_gre(design, path)
    return path


@pytest.fixture(scope="session")
def gre(tmp_path_factory):
    """A good file of pypulseq's."""
    return cartesian_gre(tmp_path_factory.mktemp("gre") / "gre.seq")


@pytest.fixture
def out(tmp_path):
    """Where an edited file goes."""
    return tmp_path / "edited.seq"


@pytest.fixture(scope="session")
def change():
    """Change protocol, geometry or scanner fields of a design."""

    def apply(design, part=None, **fields):
        return replace(design, **({part: replace(getattr(design, part), **fields)} if part else fields))

    return apply
