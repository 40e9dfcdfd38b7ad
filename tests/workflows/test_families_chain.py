"""Each family through the chain without learning: initial, projected, written, certified from the file, handed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from designs import paper_scanner
from exported import header_only

from seqopt.core import Geometry, Protocol, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.learn.recipe import choose
from seqopt.mrd.scan import read_plan
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.gre import plan_gre, write_gre
from seqopt.sampling.initial import initial_trajectories
from seqopt.workflows.design_notices import played_notices
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.playable import Stage

FAMILIES = list(initial_trajectories)


def request(traj: str, **changes: object) -> DesignRequest:
    standard = DesignRequest(
        out=Path("unused"),
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(64, 64), slices=2),
        scanner=paper_scanner(),
        protocol=Protocol(dummy_shots=1),
        recipe=choose("smoke"),
        traj=traj,
        shots=4,
        readout_s=2.56e-3,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


def fixed(asked: DesignRequest) -> TrajectoryDesign:
    path = asked.initial()
    return asked.designed(path.k_per_m, path)


def bent(asked: DesignRequest) -> TrajectoryDesign:
    """What learning may do: waves on every shot, the echo's free part included."""
    path = asked.initial()
    time = np.arange(asked.samples) / asked.samples
    wave = np.stack([np.sin(9 * time + 1), np.cos(7 * time)], -1) * 2.0 / 0.22
    return asked.designed(0.97 * path.k_per_m + np.arange(1, 5)[:, None, None] / 4 * wave, path, yields=True)


@pytest.mark.parametrize("bend", [fixed, bent])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_written_file_of_every_family_holds(family: str, bend: object, tmp_path: Path) -> None:
    asked = request(family)
    design = bend(asked)  # type: ignore[operator]
    assert design.family == family
    write_gre(design, tmp_path / "a.seq")
    alone = certify(tmp_path / "a.seq", asked.scanner)
    assert alone.holds, alone.failures
    assert "imaging.echo" in {check.name for check in alone.checks}
    known = certify(tmp_path / "a.seq", asked.scanner, design=design)
    assert known.holds, known.failures
    assert known.summary["te_ms"] == pytest.approx(plan_gre(design).te_s * 1e3, abs=asked.dwell_s * 1e3)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_echo_a_few_samples_away_is_found_in_the_file_alone(family: str, tmp_path: Path) -> None:
    design = fixed(request(family))
    late = replace(design, echo_sample=design.echo_sample + (40 if family.startswith("spiral") else 4))
    write_gre(late, tmp_path / "late.seq")
    assert [check.name for check in certify(tmp_path / "late.seq", design.scanner).failures] == ["imaging.echo"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_header_of_every_family_gives_the_trajectory_and_the_echo_back(family: str, tmp_path: Path) -> None:
    design = fixed(request(family))
    path = header_only(design, tmp_path / "a.mrd")
    k_per_m, dwell_s = read_plan(path)
    assert np.abs(k_per_m - design.k_per_m).max() * 0.22 < 1e-4
    assert dwell_s == pytest.approx(design.dwell_s)
    with ismrmrd.Dataset(str(path), "dataset", mode="r") as file:
        assert file.read_acquisition(1).center_sample == design.echo_sample


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_pinned_at_the_echo_stays_exactly_and_the_rest_follows(family: str) -> None:
    asked = request(family)
    path, design = asked.initial(), bent(asked)
    moved = design.k_per_m[:, path.echo_sample] - path.k_per_m[:, path.echo_sample]
    assert np.abs(np.einsum("sij,sj->si", path.pinned, moved)).max() * 0.22 < 1e-9
    free = np.trace(path.pinned, axis1=1, axis2=2) < 1.5
    assert (np.linalg.norm(moved[free], axis=-1) > 0.1 / 0.22).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_initial_trajectory_is_made_once_and_played_as_it_is(family: str) -> None:
    asked = request(family)
    assert asked.initial() is asked.initial()
    assert fixed(asked).provenance["projection"]["moved_max_per_fov"] < 0.02


@pytest.mark.parametrize("family", ["cartesian", "radial", "spiral", "rosette"])
def test_what_is_learned_keeps_the_shortest_times_of_the_fixed_trajectory(family: str, tmp_path: Path) -> None:
    """Asked for as TE and TR, they are met to the microsecond by a path that by itself would need longer, or not."""
    asked = request(family)
    shortest = plan_gre(fixed(asked))
    timed = replace(asked, protocol=replace(asked.protocol, te_s=shortest.min_te_s, tr_s=shortest.min_tr_s))
    design = bent(timed)
    timing = plan_gre(design)
    assert timing.te_s == pytest.approx(shortest.min_te_s, abs=1e-9)
    assert timing.tr_s == pytest.approx(shortest.min_tr_s, abs=1e-9)
    write_gre(design, tmp_path / "a.seq")
    certificate = certify(tmp_path / "a.seq", asked.scanner, design=design)
    assert certificate.holds, certificate.failures
    longer = plan_gre(bent(asked))
    moved = design.provenance["projection"]
    assert moved["yielded"] == any("gave way" in notice for notice in played_notices(design.provenance))
    assert moved["yielded"] == (longer.min_te_s > timing.te_s + 1e-9 or longer.min_tr_s > timing.tr_s + 1e-9)


def test_an_echo_time_off_every_raster_but_that_of_the_pulse_is_met_exactly(tmp_path: Path) -> None:
    for te_s in (4.001e-3, 4.0037e-3, 4.009e-3):
        asked = request("radial", protocol=Protocol(dummy_shots=1, te_s=round(te_s, 6)))
        design = fixed(asked)
        assert plan_gre(design).te_s == pytest.approx(round(te_s, 6), abs=1e-9)
        write_gre(design, tmp_path / "a.seq")
        certificate = certify(tmp_path / "a.seq", asked.scanner, design=design)
        assert certificate.holds, certificate.failures
        assert certificate.summary["te_ms"] == pytest.approx(round(te_s, 6) * 1e3, abs=1e-3)


@pytest.mark.parametrize("family", ["radial", "spiral", "cartesian"])
def test_a_time_optimal_design_plays_the_learned_paths_in_less_time(family: str, tmp_path: Path) -> None:
    asked = request(family, readout_s=5.12e-3)
    plain, quick = bent(asked), bent(replace(asked, time_optimal=True))
    assert quick.samples < plain.samples
    assert quick.samples % 4 == 0
    assert quick.initial_k_per_m.shape == quick.k_per_m.shape
    facts = quick.provenance["time_optimal"]
    assert facts["samples_before"] == plain.samples
    assert facts["distance_from_path_per_fov"] < 0.1
    write_gre(quick, tmp_path / "a.seq")
    certificate = certify(tmp_path / "a.seq", asked.scanner, design=quick)
    assert certificate.holds, certificate.failures
    with_header, _ = read_plan(header_only(quick, tmp_path / "a.mrd"))
    assert np.abs(with_header - quick.k_per_m).max() * 0.22 < 1e-4


def too_fast(asked: DesignRequest) -> TrajectoryDesign:
    """Waves that the gradients cannot play in the readout that there is."""
    path = asked.initial()
    time = np.arange(asked.samples) / asked.samples - 0.5
    wave = np.stack([np.sin(40 * time), np.sin(30 * time)], -1) * 4.0 / 0.22
    return asked.designed(0.97 * path.k_per_m + np.sin(np.pi * (time + 0.5))[:, None] * wave, path, yields=True)


def test_a_path_too_fast_for_the_gradients_is_not_given_a_longer_readout_unasked() -> None:
    asked = request("radial", readout_s=0.64e-3)
    plain = too_fast(asked)
    assert plain.samples == asked.samples
    assert "time_optimal" not in plain.provenance
    moved = plain.provenance["not_retimed"]["moved_max_per_fov"]
    assert moved == plain.provenance["projection"]["moved_max_per_fov"] > 0.5
    needed = plain.provenance["not_retimed"]["samples_needed"]
    (notice,) = played_notices(plain.provenance)
    assert f"--time-optimal would follow the path in {needed} samples" in notice
    longer = too_fast(replace(asked, time_optimal=True))
    assert longer.samples == needed > asked.samples
    assert longer.provenance["time_optimal"]["distance_from_path_per_fov"] < 0.1
    assert longer.provenance["time_optimal"]["moved_max_without_per_fov"] == moved
    assert f"{needed} samples instead of {asked.samples}" in played_notices(longer.provenance)[0]
    enough = too_fast(replace(asked, largest_move_per_fov=50.0))
    assert np.array_equal(enough.k_per_m, plain.k_per_m)
    assert played_notices(enough.provenance) == []


def test_a_path_that_is_uneven_in_speed_is_re_timed_unasked_in_no_more_samples() -> None:
    asked = request("radial", readout_s=1.28e-3)
    path = asked.initial()
    time = np.arange(asked.samples) - path.echo_sample
    uneven = time + 0.95 * np.sin(2 * np.pi * time / 14) * 14 / (2 * np.pi)  # hurries and rests on a straight line
    spokes = np.interp(np.clip(uneven, time[0], time[-1]), time, np.arange(asked.samples))
    at = np.arange(asked.samples)
    wish = np.stack([[np.interp(spokes, at, k[:, axis]) for axis in range(2)] for k in path.k_per_m]).swapaxes(1, 2)
    design = replace(asked, largest_move_per_fov=0.1).designed(wish, path, yields=True)
    assert design.samples <= asked.samples
    facts = design.provenance["time_optimal"]
    assert not facts["asked"]
    assert facts["moved_max_without_per_fov"] > 0.1 > facts["distance_from_path_per_fov"]
    assert "as it takes no more samples" in played_notices(design.provenance)[0]


def test_a_readout_that_cannot_be_re_timed_is_projected_and_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "_takes", lambda *_: False)
    asked = request("radial", readout_s=0.64e-3)
    plain = too_fast(asked)
    assert plain.samples == asked.samples
    assert "it cannot be re-timed" in played_notices(plain.provenance)[0]
    with pytest.raises(SeqoptError, match="does not take"):
        too_fast(replace(asked, time_optimal=True))
