"""What `seqopt recon` decides, in process; the command itself is tested in test_cli_recon.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from designs import radial_design
from exported import export

from seqopt.errors import SeqoptError
from seqopt.mrd.recon_config import read_recon_config, recon_toml
from seqopt.recon import cross_check
from seqopt.recon.unet import UNet
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.simulate import simulate
from seqopt.workflows.store import save_design


@pytest.fixture
def design():
    return radial_design(shots=16, samples=128, matrix=32)


@pytest.fixture
def folder(design, tmp_path) -> Path:
    return export(design, tmp_path / "design")


@pytest.fixture
def scan(folder, tmp_path) -> Path:
    simulate(folder, tmp_path / "scan.mrd", coils=4)
    return tmp_path / "scan.mrd"


def configured(folder: Path, **settings: object) -> None:
    path = folder / "recon.toml"
    path.write_text(recon_toml(replace(read_recon_config(path), cross_check=False, **settings)))


def test_the_designs_settings_apply_and_options_come_first(folder, scan, tmp_path):
    configured(folder, iterations=3)
    summary = reconstruct(scan, tmp_path / "a", design_path=folder)
    assert (summary.config.method, summary.config.iterations, summary.cross_check) == ("cg-sense", 3, None)
    summary = reconstruct(scan, tmp_path / "b", design_path=folder, method="adjoint")
    assert summary.config.method == "adjoint"


def test_equal_data_give_equal_files(folder, scan, tmp_path):
    configured(folder)
    for name in "ab":
        reconstruct(scan, tmp_path / name, design_path=folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_a_trained_network_is_taken_from_the_design(folder, design, scan, tmp_path):
    network = UNet(channels=4, levels=3)
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    save_design(folder / "design.h5", design, networks={"unet": weights})
    configured(folder)
    restored = reconstruct(scan, tmp_path / "u", design_path=folder, method="unet").images
    plain = reconstruct(scan, tmp_path / "a", design_path=folder, method="adjoint").images
    assert np.allclose(restored, plain, rtol=1e-3, atol=1e-3 * plain.max())  # untrained, it changes nothing


@pytest.mark.parametrize(
    ("settings", "saying"),
    [
        ({"method": "unet"}, "holds no weights for 'unet'"),
        ({"method": "unrolled"}, "holds no weights for 'unrolled'"),
        ({"maps": "sum"}, "known: walsh, espirit"),
        ({"density": "ramp"}, "known: pipe-menon, analytic, file"),
        ({"density": "file"}, "the data hold no weights"),
        ({"iterations": 0}, "iterations: got 0"),
        ({"regularisation": -1.0}, "regularisation: got -1"),
    ],
)
def test_impossible_settings_are_refused_before_anything_is_written(folder, scan, tmp_path, settings, saying):
    with pytest.raises(SeqoptError, match=saying):
        reconstruct(scan, tmp_path / "out", design_path=folder, **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["unet", "unrolled"])
def test_a_network_without_design_is_refused(scan, tmp_path, method):
    with pytest.raises(SeqoptError, match=f"'{method}' needs the design whose network was trained; give it with"):
        reconstruct(scan, tmp_path / "out", method=method)


def test_weights_of_another_network_under_its_name_are_refused(folder, design, scan, tmp_path):
    weights = {name: value.detach().numpy() for name, value in UNet(channels=4, levels=2).state_dict().items()}
    save_design(folder / "design.h5", design, networks={"unrolled": weights})
    with pytest.raises(SeqoptError, match="not those of a seqopt unrolled reconstruction"):
        reconstruct(scan, tmp_path / "out", design_path=folder, method="unrolled")
    assert not (tmp_path / "out").exists()


def test_data_of_a_sequence_exported_since_are_named(folder, scan, tmp_path):
    configured(folder, seq_md5="f" * 32)
    notes = reconstruct(scan, tmp_path / "out", design_path=folder).notes
    assert any("the design's is ffffffff" in note for note in notes)


def test_a_cross_check_that_does_not_hold_is_said_in_the_record(folder, scan, tmp_path, monkeypatch):
    """A NUFFT that is 5 % off."""
    right = cross_check.Nufft.adjoint
    monkeypatch.setattr(cross_check.Nufft, "adjoint", lambda self, samples, k: 1.05 * right(self, samples, k))
    summary = reconstruct(scan, tmp_path / "out", design_path=folder)
    assert not summary.agrees
    assert json.loads((tmp_path / "out" / "recon.json").read_text())["cross_check_agrees"] is False
