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
from seqopt.learn.recipe import choose
from seqopt.mrd.scan import read_plan
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.gre import plan_gre, write_gre
from seqopt.sampling.initial import initial_trajectories
from seqopt.workflows.design_request import DesignRequest, slowest

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
    return asked.designed(0.97 * path.k_per_m + np.arange(1, 5)[:, None, None] / 4 * wave, path)


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


@pytest.mark.parametrize("family", FAMILIES)
def test_no_trajectory_learned_from_a_family_is_slower_than_its_slowest_timing(family: str) -> None:
    asked = request(family)
    bound = plan_gre(slowest(fixed(asked)))
    for design in (fixed(asked), bent(asked)):
        timing = plan_gre(design)
        assert timing.min_te_s <= bound.min_te_s
        assert timing.min_tr_s <= bound.min_tr_s
