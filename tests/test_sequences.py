"""The golden recipes: what lies in sequences/ is what the code of today writes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from cli import refused, seqopt

from seqopt.core import MaskDesign
from seqopt.gradients.profiles import load_scanner
from seqopt.pulseq.cartesian import write_mask
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.export import VERSIONS, sequence_name
from seqopt.pulseq.gre import write_gre
from seqopt.workflows.store import load_design

FOLDERS = sorted(path.parent for path in (Path(__file__).parents[1] / "sequences").glob("*/recipe.toml"))


def test_there_are_recipes() -> None:
    assert FOLDERS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_golden_sequence_is_what_its_design_writes_today(folder: Path, version: str, tmp_path: Path) -> None:
    design = load_design(folder)
    write = write_mask if isinstance(design, MaskDesign) else write_gre
    write(design, tmp_path / "again.seq", version=version)  # type: ignore[arg-type]
    assert (tmp_path / "again.seq").read_bytes() == (folder / sequence_name(design.name, version)).read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_golden_sequence_is_certified(folder: Path, version: str) -> None:
    design, recipe = load_design(folder), tomllib.loads((folder / "recipe.toml").read_text())
    path = folder / sequence_name(design.name, version)
    certificate = certify(path, load_scanner(recipe["scanner"]), design=design)
    assert certificate.holds, certificate.failures


def test_a_recipe_gives_defaults_and_unknown_entries_are_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('traj = "zigzag"\n')
    refused("design", "--recipe", recipe, "--out", tmp_path / "out", saying="zigzag")
    recipe.write_text("shoots = 4\n")
    refused("design", "--recipe", recipe, "--out", tmp_path / "out", saying="'shoots'")
    recipe.write_text("shots = [\n")
    refused("design", "--recipe", recipe, "--out", tmp_path / "out", saying="recipe")
    recipe.write_text('traj = "zigzag"\nshots = 0\n')
    refused("design", "--recipe", recipe, "--traj", "radial", "--out", tmp_path / "out", saying="--shots")
    assert seqopt("design", "--help").returncode == 0
