from __future__ import annotations

import sys

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.mrd.scan import read_scan
from seqopt.workflows.example import write_example


def test_a_missing_package_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mrbabel_data", None)
    with pytest.raises(SeqoptError, match="pip install mrbabel-data"):
        write_example("invivo", tmp_path / "scan.mrd")
    assert list(tmp_path.iterdir()) == []


def test_the_spokes_are_equalised_over_the_echoes_and_reach_the_edge_of_k_space(tmp_path):
    pytest.importorskip("mrbabel_data")
    write_example("invivo", tmp_path / "scan.mrd")
    data = read_scan(tmp_path / "scan.mrd").kspace
    assert data.samples.shape == (1, 16, 400, 512)
    assert data.geometry.matrix == (256, 256)
    centre = np.sqrt((np.abs(data.samples[0, :, :, 256]) ** 2).sum(0)).reshape(25, 16).mean(0)
    assert np.allclose(centre, centre[0], rtol=1e-4)  # in the package the last echo has 0.23 of the first
    radius = np.linalg.norm(data.k_per_m, axis=-1) * 0.22
    assert radius.max() == pytest.approx(128.0, abs=0.2)
    assert np.allclose(np.diff(radius[:, 300:], axis=1), 0.5, atol=1e-3)  # twofold oversampled
