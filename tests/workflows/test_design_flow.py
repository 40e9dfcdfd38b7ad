"""What the main job does when the written file does not hold, and before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from designs import paper_scanner

from seqopt.core import Certificate, Check, Geometry, Protocol
from seqopt.errors import SeqoptError
from seqopt.learn.recipe import choose
from seqopt.pulseq.gre import plan_gre
from seqopt.workflows import certified
from seqopt.workflows.design import design
from seqopt.workflows.design_request import DesignRequest, slowest


def request(out: Path, **changes: object) -> DesignRequest:
    standard = DesignRequest(
        out=out,
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(32, 32)),
        scanner=paper_scanner(),
        protocol=Protocol(dummy_shots=1),
        recipe=replace(choose("smoke"), steps=2, network_steps=1),
        shots=3,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


def test_a_file_whose_certificate_does_not_hold_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = certified.certify

    def failing(*arguments: object, **options: object) -> Certificate:
        certificate = real(*arguments, **options)  # type: ignore[arg-type]
        return replace(certificate, checks=(*certificate.checks, Check(name="made.up", held=False, value=2, limit=1)))

    monkeypatch.setattr(certified, "certify", failing)
    _, certificate = design(request(tmp_path / "out"))
    assert not certificate.holds
    assert not (tmp_path / "out" / "radial-3.seq").exists()
    assert (tmp_path / "out" / "radial-3.rejected.seq").exists()


def test_a_timing_that_no_learned_trajectory_is_sure_to_fit_is_refused_before_the_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqopt.workflows.design_setup.load_images", lambda *_, **__: pytest.fail("images were read"))
    with pytest.raises(SeqoptError, match=r"\d ms"):
        design(request(tmp_path / "out", protocol=Protocol(te_s=1.5e-3)))


def test_the_slowest_timing_is_slower_than_that_of_the_fixed_trajectory(tmp_path: Path) -> None:
    asked = request(tmp_path / "out")
    path = asked.initial()
    fixed = asked.designed(path.k_per_m, path)
    assert plan_gre(slowest(fixed)).min_te_s >= plan_gre(fixed).min_te_s
    assert plan_gre(slowest(fixed)).min_tr_s >= plan_gre(fixed).min_tr_s


def test_a_readout_too_fast_for_the_gradients_says_the_shortest(tmp_path: Path) -> None:
    with pytest.raises(SeqoptError, match=r"at least 0\.5"):
        request(tmp_path / "out", geometry=Geometry(fov_m=(0.22, 0.22), matrix=(256, 256)), readout_s=0.4e-3).initial()
