"""Every version of a sequence is written under a name that says it, measured, and named in the MRD header."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from designs import radial_design

from seqopt.errors import SeqoptError
from seqopt.mrd.files import read_raw
from seqopt.mrd.header import planned_signatures, write_header
from seqopt.mrd.recon_config import ReconConfig
from seqopt.mrd.xml_header import user_string
from seqopt.pulseq.export import find_sequence
from seqopt.pulseq.gre import build_gre
from seqopt.pulseq.readback import read_sequence
from seqopt.workflows import certified
from seqopt.workflows.certified import write_certified
from seqopt.workflows.reconstruct_settings import signature_notes
from seqopt.workflows.simulate import simulate_design


@pytest.fixture
def design():
    base = radial_design(shots=3, samples=64, matrix=16)
    return replace(base, protocol=replace(base.protocol, dummy_shots=0))


def test_both_versions_are_written_certified_and_named_in_the_header(design, tmp_path):
    written = write_certified(tmp_path, design, build_gre)
    name = design.name
    sequences = (f"{name}_v1.5.0.seq", f"{name}_v1.4.1.seq")
    assert written.files == (*sequences, "certificate.json", "certificate_v1.4.1.json")
    assert {path.name for path in tmp_path.iterdir()} == set(written.files)
    md5 = {}
    for file, text, version in zip(sequences, written.files[2:], ((1, 5, 0), (1, 4, 1)), strict=True):
        found = read_sequence(tmp_path / file).file
        told = json.loads((tmp_path / text).read_text())
        assert found.version == version
        assert (told["holds"], told["file"], told["md5"]) == (True, file, found.md5)
        md5[".".join(map(str, version))] = found.md5
    timing = written.timing
    assert (timing.md5, written.other_md5) == (md5["1.5.0"], {"1.4.1": md5["1.4.1"]})
    write_header(
        tmp_path / f"{name}.mrd", design, te_s=timing.te_s, tr_s=timing.tr_s, order=timing.order,
        noise_readouts=timing.noise_readouts, seq_md5=timing.md5, other_md5=written.other_md5,
    )  # fmt: skip
    header = read_raw(tmp_path / f"{name}.mrd").header
    assert user_string(header, "seq_signature") == md5["1.5.0"]
    assert user_string(header, "seq_signature_v1.4.1") == md5["1.4.1"]
    assert planned_signatures(tmp_path / f"{name}.mrd") == set(md5.values())
    for version in ("1.5.0", "1.4.1"):  # each of them is the header's sequence
        assert find_sequence(tmp_path, name).name == f"{name}_v{version}.seq"
        assert simulate_design(design, tmp_path, tmp_path / "scan.mrd", coils=1).readouts == 3
        (tmp_path / f"{name}_v{version}.seq").unlink()


def test_data_of_either_version_belong_to_a_design_and_others_are_named():
    one, other = "1" * 32, "2" * 32
    for config in (ReconConfig(seq_md5=one, seq_md5_v1_4_1=other), ReconConfig(seq_md5=f"{one} {other}")):
        for played in (one, other, f"{one} {other}", None):
            assert signature_notes(played, config) == []
        assert "the data name the sequence 33333333, the design's is 11111111" in signature_notes("3" * 32, config)[0]


def test_a_sequence_that_is_refused_leaves_what_lay_there(design, tmp_path):
    written = write_certified(tmp_path, design, build_gre)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SeqoptError, match="echo time"):
        write_certified(tmp_path, replace(design, protocol=replace(design.protocol, te_s=1e-4)), build_gre)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == set(written.files)


def test_no_sequence_has_its_name_before_its_certificate_is_written(design, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(path, text):
        raise Killed

    monkeypatch.setattr(certified, "write_text", killed)
    with pytest.raises(Killed):
        write_certified(tmp_path, design, build_gre)
    assert find_sequence(tmp_path, design.name) is None


def test_one_version_alone_replaces_what_lay_there(design, tmp_path):
    write_certified(tmp_path, design, build_gre)
    written = write_certified(tmp_path, design, build_gre, ("1.4.1",))
    assert {path.name for path in tmp_path.iterdir()} == {f"{design.name}_v1.4.1.seq", "certificate.json"}
    assert written.certificate.holds


def test_a_file_that_does_not_hold_says_so_in_its_name(design, tmp_path):
    late = replace(design, echo_sample=design.echo_sample + 9)
    written = write_certified(tmp_path, late, build_gre)
    assert not written.certificate.holds
    assert {path.name for path in tmp_path.glob("*.seq")} == {
        f"{design.name}_v{version}.rejected.seq" for version in ("1.5.0", "1.4.1")
    }
    for certificate, text, file in zip(written.certificates, written.files[2:], written.files[:2], strict=True):
        assert certificate.file == json.loads((tmp_path / text).read_text())["file"] == file
        assert (tmp_path / file).exists()
    assert find_sequence(tmp_path, design.name) is None
    with pytest.raises(SeqoptError, match="no radial-3_v1"):
        simulate_design(late, tmp_path, tmp_path / "scan.mrd")
