"""What the main job does when the written file does not hold, and before it starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from designs import paper_scanner

from seqopt.core import Certificate, Check, Geometry, Protocol
from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner
from seqopt.learn.recipe import choose
from seqopt.workflows import certified
from seqopt.workflows.checkpoint import Checkpoint
from seqopt.workflows.design import InterruptedRunError, design
from seqopt.workflows.design_outcome import timing_rows
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.store import load_trajectory_design


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
    assert not (tmp_path / "out" / "radial-3_v1.5.0.seq").exists()
    assert (tmp_path / "out" / "radial-3_v1.5.0.rejected.seq").exists()


def test_a_timing_that_the_fixed_trajectory_cannot_keep_is_refused_before_the_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqopt.workflows.design_setup.load_images", lambda *_, **__: pytest.fail("images were read"))
    with pytest.raises(SeqoptError, match=r"\d ms"):
        design(request(tmp_path / "out", protocol=Protocol(te_s=1.5e-3)))


def test_a_readout_too_fast_for_the_gradients_says_the_shortest(tmp_path: Path) -> None:
    with pytest.raises(SeqoptError, match=r"at least 0\.5"):
        request(tmp_path / "out", geometry=Geometry(fov_m=(0.22, 0.22), matrix=(256, 256)), readout_s=0.4e-3).initial()


def test_a_fixed_trajectory_that_breaks_a_limit_is_told_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqopt.workflows.design.tune", lambda *_: pytest.fail("told too late"))
    strict = replace(load_scanner("paper", asc="example"), stimulation_limit=0.05)
    told: list[str] = []

    def tell(notice: str) -> None:
        told.append(notice)
        raise InterruptedRunError

    asked = request(tmp_path / "out", scanner=strict)
    with pytest.raises(InterruptedRunError):
        design(asked, tell=tell)
    assert "fixed baseline does NOT hold: pns" in told[0]


def test_the_projections_options_may_change_until_something_stands_on_it(tmp_path: Path) -> None:
    first = request(tmp_path)
    Checkpoint(tmp_path / "state.pt", first.fingerprint()).finish("learn", {})
    other = replace(first, time_optimal=True, largest_move_per_fov=1.0)
    resumed = Checkpoint(tmp_path / "state.pt", other.fingerprint())
    resumed.load()
    resumed.save("U-Net learned", {})
    Checkpoint(tmp_path / "state.pt", other.fingerprint()).load()
    with pytest.raises(SeqoptError, match=r"other settings \(largest_move_per_fov, time_optimal\)"):
        Checkpoint(tmp_path / "state.pt", first.fingerprint()).load()
    with pytest.raises(SeqoptError, match=r"other settings \(seed\)"):
        Checkpoint(tmp_path / "state.pt", replace(other, seed=1).fingerprint()).load()


def test_the_files_say_how_many_samples_each_readout_has(tmp_path: Path) -> None:
    asked = request(tmp_path / "out", time_optimal=True)
    outcome, certificate = design(asked)
    assert certificate is not None
    assert certificate.holds
    learned, fixed = load_trajectory_design(asked.out), load_trajectory_design(asked.out / "fixed")
    assert learned.samples < fixed.samples == asked.samples
    readouts = json.loads((asked.out / "scores.json").read_text())["readouts"]
    assert readouts["fixed"] == {"samples": 1000, "readout_ms": 4.0}
    assert readouts["learned"] == {"samples": learned.samples, "readout_ms": pytest.approx(4e-3 * learned.samples)}
    assert ("samples", 1000, learned.samples, "") in timing_rows(outcome)
    page = (asked.out / "report.html").read_text()
    assert f"{learned.samples} samples instead of 1000" in page
    assert fixed.provenance["baseline_of"] == "radial-3"
    assert fixed.provenance["projection"]["moved_max_per_fov"] < 0.02
