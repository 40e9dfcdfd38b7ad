from __future__ import annotations

import pytest

from seqopt.errors import SeqoptError
from seqopt.mrd.recon_config import ReconConfig, read_recon_config, read_stated, recon_toml


def test_settings_come_back_as_written(tmp_path):
    config = ReconConfig(method="adjoint", iterations=7, regularisation=0.25, cross_check=False, sequence='a "b".seq')
    (tmp_path / "recon.toml").write_text(recon_toml(config))
    assert read_recon_config(tmp_path / "recon.toml") == config


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("iterashuns = 3", "unknown setting 'iterashuns'; known: method"),
        ("iterations = 'many'", "expected a int"),
        ("cross_check = 1", "expected a bool"),
        ("iterations = 0", "expected 1..1000"),
        ("regularisation = -1", "expected 0..1000"),
        ("calibration = 2", "expected 6..128"),
        ("format_version = 99", "newer seqopt"),
        ("method = ", "cannot be read as TOML"),
    ],
)
def test_bad_settings_are_refused(tmp_path, text, saying):
    (tmp_path / "recon.toml").write_text(text)
    with pytest.raises(SeqoptError, match=saying):
        read_recon_config(tmp_path / "recon.toml")


def test_whole_numbers_do_for_real_ones(tmp_path):
    (tmp_path / "recon.toml").write_text("regularisation = 1")
    assert read_recon_config(tmp_path / "recon.toml").regularisation == 1.0


def test_what_the_file_states_is_told_from_what_is_usual(tmp_path):
    path = tmp_path / "recon.toml"
    path.write_text('method = "tv"\niterations = 12\n')
    config, stated = read_stated(path)
    assert (config.method, config.regularisation, stated) == ("tv", 0.01, {"method", "iterations"})
