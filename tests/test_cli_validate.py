import json
import re

import pytest
from cli import refused, seqopt
from designs import radial_design


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A design directory as `seqopt design` leaves it."""
    from seqopt.pulseq.gre import write_gre
    from seqopt.workflows.store import save_design

    folder = tmp_path_factory.mktemp("design")
    design = radial_design(shots=4, samples=256, slices=2, wiggle=0.3)
    save_design(folder / "design.h5", design)
    write_gre(design, folder / "radial-4.seq")
    return folder


def test_a_good_file_holds_and_exits_0(folder):
    result = seqopt("validate", folder / "radial-4.seq", "--scanner", "paper")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "all checks held" in result.stdout
    assert "FAILED" not in result.stdout
    assert "SAR" in result.stdout


def test_a_weaker_scanner_fails_with_exit_1_and_says_where_and_what_to_do(folder):
    result = seqopt("validate", folder / "radial-4.seq", "--scanner", "freemax")
    assert result.returncode == 1, result.stderr
    assert re.search(r"FAILED +gradient\.vector_slew", result.stdout)
    assert "block" in result.stdout
    assert "lengthen the ramps" in result.stdout


def test_limits_given_on_the_line_replace_the_profile_s(folder):
    result = seqopt("validate", folder / "radial-4.seq", "--max-grad", 5)
    assert result.returncode == 1
    assert re.search(r"FAILED +gradient\.vector_amplitude .*limit 5\.0", result.stdout)


def test_json_is_one_document_with_the_k_of_the_design(folder):
    result = seqopt("validate", folder / "radial-4.seq", "--design", folder, "--json")
    certificate = json.loads(result.stdout)
    assert result.returncode == 0
    assert certificate["holds"] is True
    k = next(check for check in certificate["checks"] if check["name"] == "design.k")
    assert k["value"] < 1e-3
    assert certificate["summary"]["readouts"] == 8


def test_what_cannot_be_read_is_one_line_and_exit_2(folder, tmp_path):
    text = (folder / "radial-4.seq").read_bytes()
    (tmp_path / "cut.seq").write_bytes(text[: len(text) // 2])
    refused("validate", tmp_path / "cut.seq", saying="truncated")
    refused("validate", tmp_path / "none.seq", saying="none.seq")
    refused("validate", folder / "design.h5", saying="Pulseq text file")
    refused("validate", folder / "radial-4.seq", "--scanner", "prismo", saying="prisma")
    refused("validate", folder / "radial-4.seq", "--max-slew", 9e9, saying="T/m/s")
    refused("validate", folder / "radial-4.seq", "--design", tmp_path, saying="no design at")


def test_scanners_lists_every_profile_with_its_source():
    result = seqopt("scanners")
    assert result.returncode == 0, result.stderr
    rows = result.stdout.splitlines()
    assert rows[1].startswith("paper ")
    assert any(re.match(r"prisma +Siemens +3 +80 +200 .*pulseq-systems", row) for row in rows)
    assert len(rows) > 20


@pytest.mark.parametrize("name", ["validate", "scanners"])
def test_help_has_an_example(name):
    assert f"Example: seqopt {name}" in seqopt(name, "--help").stdout
