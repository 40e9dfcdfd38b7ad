"""design.h5: what is written comes back; what is damaged is refused; what fails leaves the old file alone."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import h5py
import numpy as np
import pytest
from designs import radial_design

from seqopt.core import Protocol
from seqopt.errors import SeqoptError
from seqopt.workflows.store import load_design, load_network, save_design, write_text

ARRAYS = ("gradient_hz_per_m", "k_start_per_m", "k_per_m", "initial_k_per_m")


def design(**change):
    base = radial_design(shots=3, samples=64, slices=2, wiggle=0.3)
    protocol = Protocol(te_s=0.003, tr_s=None, dummy_shots=5)
    provenance = {"seed": 7, "recipe": {"traj": "radial"}, "history": [1.0, 0.5]}
    return dataclasses.replace(base, protocol=protocol, provenance=provenance, **change)


@pytest.fixture
def path(tmp_path) -> Path:
    save_design(tmp_path / "design.h5", design(), networks={"unet": {"down.0.weight": np.arange(6.0).reshape(2, 3)}})
    return tmp_path / "design.h5"


def test_a_design_makes_the_round_trip(path):
    before, after = design(), load_design(path)
    for field in dataclasses.fields(before):
        if field.name in ARRAYS:
            assert np.array_equal(getattr(after, field.name), getattr(before, field.name)), field.name
        else:
            assert getattr(after, field.name) == getattr(before, field.name), field.name
            assert type(getattr(after, field.name)) is type(getattr(before, field.name)), field.name


def test_the_directory_names_the_design_too(path):
    assert load_design(path.parent).name == "radial-3"


def test_network_weights_make_the_round_trip(path):
    assert np.array_equal(load_network(path, "unet")["down.0.weight"], np.arange(6.0).reshape(2, 3))
    with pytest.raises(SeqoptError, match=r"no weights for 'varnet' \(it holds: unet\)"):
        load_network(path, "varnet")


def test_every_numeric_dataset_names_its_unit(path):
    units = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: units.update({name: item.attrs.get("unit")}) if _numeric(item) else None)
    assert units == {
        "gradient_hz_per_m": "Hz/m",
        "k_start_per_m": "1/m",
        "k_per_m": "1/m",
        "initial_k_per_m": "1/m",
        "networks/unet/down.0.weight": "1",
    }


def _numeric(item) -> bool:
    return isinstance(item, h5py.Dataset) and item.dtype.kind == "f"


def test_a_truncated_file_is_refused(path):
    whole = path.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(SeqoptError, match=r"truncated or damaged|not a seqopt design"):
            load_design(path)


def test_a_missing_dataset_is_refused(path):
    with h5py.File(path, "a") as file:
        del file["k_per_m"]
    with pytest.raises(SeqoptError, match="truncated or damaged"):
        load_design(path)


def test_a_missing_file_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(SeqoptError, match=r"no design at .*design\.h5; give the directory"):
        load_design(tmp_path)


def test_a_foreign_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "fastmri.h5", "w") as file:
        file["kspace"] = np.zeros(4)
    with pytest.raises(SeqoptError, match="not a seqopt design"):
        load_design(tmp_path / "fastmri.h5")
    (tmp_path / "notes.h5").write_text("not HDF5 at all\n" * 100)
    with pytest.raises(SeqoptError, match="cannot be read as a design"):
        load_design(tmp_path / "notes.h5")


def test_a_newer_format_is_refused(path):
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 99
    with pytest.raises(SeqoptError, match="newer seqopt; update"):
        load_design(path)


def test_a_full_disk_leaves_the_old_file_intact(path, monkeypatch):
    before = path.read_bytes()

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SeqoptError, match="No space left on device; free space or choose another --out"):
        save_design(path, design(name="other"))
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["design.h5"]  # nothing half-written lies about


def test_any_other_failure_leaves_the_old_file_intact_as_well(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(h5py.Group, "create_dataset", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        save_design(path, design(name="other"))
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["design.h5"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SeqoptError, match="cannot write"):
        save_design(tmp_path / "file" / "design.h5", design())


def test_texts_end_lines_alike_everywhere(tmp_path):
    write_text(tmp_path / "a" / "recon.toml", "x = 1\ny = 2\n")
    assert (tmp_path / "a" / "recon.toml").read_bytes() == b"x = 1\ny = 2\n"
