import html
import json
import re

import pytest
from cli import refused, seqopt
from designs import radial_design

from seqopt.gradients.profiles import scanner_names


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
    held = seqopt("validate", folder / "radial-4.seq", "--max-grad", 60, "--asc", "example", "--max-slew", 250)
    assert "against paper: all" not in held.stdout
    assert "against paper with --max-grad 60 mT/m, --max-slew 250 T/m/s, --asc example: " in held.stdout
    told = json.loads(seqopt("validate", folder / "radial-4.seq", "--max-grad", 60, "--json").stdout)
    assert (told["scanner"], told["overrides"]) == ("paper", ["--max-grad 60 mT/m"])


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
    assert any(re.match(r"prisma +Siemens +3 +80 +200 +vector", row) for row in rows)
    assert any(re.match(r"[\w, -]*\bprisma\b[\w, -]*: .*pulseq-systems", row) for row in rows)
    described = [name for row in rows if ": " in row and row[0] != " " for name in row.partition(": ")[0].split(", ")]
    assert sorted(described) == sorted(scanner_names())
    assert len(rows) < len(scanner_names()) + 22
    missing = rows[next(n for n, row in enumerate(rows) if re.match(r"[\w, -]*\bprisma\b[\w, -]*: ", row)) + 1]
    assert "not published: nerve stimulation coefficients" in missing


def test_one_profile_or_an_own_file_can_be_listed(tmp_path):
    assert "HRMB" not in seqopt("scanners", "prisma").stdout
    assert re.search(r"ge-uhp +GE .* response", seqopt("scanners", "ge-uhp").stdout)
    refused("scanners", "prismo", saying="unknown scanner")


def test_a_coil_s_file_adds_nerves_and_resonances_to_the_checks(folder, tmp_path):
    coil = tmp_path / "coil.asc"
    rows = ["aflGCAcousticResonanceFrequency[0] = 590", "aflGCAcousticResonanceBandwidth[0] = 100"]
    for axis in "XYZ":
        rows += [
            f"flGSWDTau{axis}[{i}] = {tau}\nflGSWDA{axis}[{i}] = {a}" for i, tau, a in ((0, 0.2, 0.4), (1, 3, 0.5))
        ]
        rows += [f"flGSWDTau{axis}[2] = 0.03\nflGSWDA{axis}[2] = 0.1", f"flGSWDStimulationLimit{axis} = 90"]
    coil.write_text("\n".join(rows))
    shown = seqopt("validate", folder / "radial-4.seq", "--asc", coil, "--html", tmp_path / "a.html").stdout
    page = html.unescape((tmp_path / "a.html").read_text())
    for said in (shown, page.partition("<details>")[0]):  # not folded away
        assert re.search(r"\d in the worst of 24 slice orientations tried", said)
        assert "the limit is a convention and not published" in said
    assert re.search(r"held +pns\.peak +[\d.]+ of the limit +limit 1\.0", shown)
    assert re.search(r"held +resonance\.590_hz", shown)
    assert "nerve stimulation" not in shown.partition("not checked")[2]
    coil.write_text("nothing\n")
    refused("validate", folder / "radial-4.seq", "--asc", coil, saying="neither SAFE coefficients")


@pytest.mark.parametrize("name", ["validate", "scanners"])
def test_help_has_an_example(name):
    assert f"Example: seqopt {name}" in seqopt(name, "--help").stdout


def test_the_page_is_one_file_with_the_failures_first_and_figures(folder, tmp_path):
    page = tmp_path / "certificate.html"
    result = seqopt("validate", folder / "radial-4.seq", "--scanner", "freemax", "--html", page)
    assert result.returncode == 1, result.stderr
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 2
    assert not re.search(r"(src|href)=.?https?:|<script", text)
    assert text.index("gradient.vector_slew") < text.index("format.version")  # what failed comes before the whole list
    assert "do not hold" in text
    assert "Not checked" in text
    assert not re.search(r"\bsafe\b", text.replace("SAFE", ""), re.IGNORECASE)


def test_a_file_that_cannot_be_played_still_gets_its_page_and_names_what_is_missing(folder, tmp_path):
    import hashlib

    body = (folder / "radial-4.seq").read_bytes().split(b"\n[SIGNATURE]")[0]
    body = re.sub(rb"(?m)^( *1 +\d+) +\d+ ", rb"\1 99 ", body, count=1)
    digest = hashlib.md5(body).hexdigest().encode()
    (tmp_path / "a.seq").write_bytes(body + b"\n[SIGNATURE]\nType md5\nHash " + digest + b"\n")
    result = seqopt("validate", tmp_path / "a.seq", "--html", tmp_path / "a.html")
    assert result.returncode == 1, result.stderr
    assert "block 1 plays RF 99, which is not defined" in result.stdout
    assert "which is not defined" in (tmp_path / "a.html").read_text()


def test_a_page_that_cannot_be_written_is_one_line(folder, tmp_path):
    (tmp_path / "file").write_text("")
    for page in (tmp_path / "file" / "a.html", tmp_path / "none" / "a.html", tmp_path):
        refused("validate", folder / "radial-4.seq", "--html", page, saying="--html")
        assert "--out" not in seqopt("validate", folder / "radial-4.seq", "--html", page).stderr
    assert not (tmp_path / "none").exists()
