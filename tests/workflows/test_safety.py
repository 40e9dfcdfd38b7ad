"""Nerve stimulation and resonances in a design: refused, learned around, and checked on the written file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cli import refused

from seqopt.core import Certificate, ForbiddenBand, Geometry, Protocol, Scanner
from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner
from seqopt.learn.recipe import choose
from seqopt.sampling.trajectory import Path as Trajectory
from seqopt.units import mt_per_m_to_hz_per_m
from seqopt.workflows.design import design
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.safety import guarded, soft_limits
from seqopt.workflows.store import load_trajectory_design

EXAMPLE = load_scanner("paper", asc="example")
BANDED = replace(
    load_scanner("paper"), bands=(ForbiddenBand(1200.0, 100.0),), max_band_hz_per_m=mt_per_m_to_hz_per_m(6.0)
)


def request(out: Path, scanner: Scanner, **changes: object) -> DesignRequest:
    standard = DesignRequest(
        out=out,
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(64, 64)),
        scanner=scanner,
        protocol=Protocol(dummy_shots=2),
        recipe=replace(choose("quick"), steps=60, network_steps=1, limit_images=4),
        traj="rosette",
        shots=6,
        readout_s=2.048e-3,
        coils=4,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


def check(certificate: Certificate | None, name: str) -> tuple[float, float, bool]:
    assert certificate is not None
    (found,) = [one for one in certificate.checks if one.name == name]
    return float(found.value), float(found.limit), found.held


def test_what_the_profile_has_no_numbers_for_is_refused():
    with pytest.raises(SeqoptError, match=r"no nerve stimulation coefficients; give --asc FILE"):
        guarded(load_scanner("prisma"), limit_pns=0.8, avoid_resonances=False)
    with pytest.raises(
        SeqoptError, match=r"--avoid-resonances: scanner prisma has no forbidden bands; give --asc with the"
    ):
        guarded(load_scanner("prisma"), limit_pns=None, avoid_resonances=True)
    assert guarded(load_scanner("prisma"), limit_pns=None, avoid_resonances=False) == load_scanner("prisma")


def test_the_command_line_refuses_in_one_line(tmp_path):
    refused("design", "--limit-pns", 80, "--asc", "example", "--out", tmp_path / "a", saying="0.05..1 of the model")


def test_a_limit_slows_prephasers_and_rewinders():
    strict = guarded(EXAMPLE, limit_pns=0.8, avoid_resonances=False)
    assert strict.stimulation_limit == 0.8
    assert strict.connection_slew_share < 0.5
    assert strict.design_slew_hz_per_m_per_s == pytest.approx(
        0.95 * strict.connection_slew_share * EXAMPLE.max_slew_hz_per_m_per_s
    )


def test_only_what_is_asked_for_is_charged(tmp_path):
    initial = request(tmp_path, EXAMPLE).initial()
    assert soft_limits(request(tmp_path, EXAMPLE)) == ()
    assert soft_limits(request(tmp_path, BANDED)) == ()
    strict = guarded(EXAMPLE, limit_pns=0.3, avoid_resonances=False)
    (charge,) = soft_limits(request(tmp_path, strict, limit_pns=0.3))
    k = torch.tensor(initial.k_per_m)
    assert charge(Trajectory(k, k, 4e-6)) > 0
    assert charge(Trajectory(k, 0 * k, 4e-6)) == 0
    (charge,) = soft_limits(request(tmp_path, BANDED, avoid_resonances=True))
    assert charge(Trajectory(k, 0 * k, 4e-6)) == 0


def test_the_written_file_is_held_to_the_limit_that_was_asked_for(tmp_path):
    strict = guarded(replace(EXAMPLE, oblique="axis"), limit_pns=0.5, avoid_resonances=False)
    recipe = replace(choose("smoke"), steps=2, network_steps=1)
    asked = request(tmp_path / "out", strict, limit_pns=0.5, traj="radial", shots=3, recipe=recipe)
    _, certificate = design(replace(asked, geometry=Geometry(fov_m=(0.22, 0.22), matrix=(32, 32))))
    value, limit, held = check(certificate, "pns.peak")
    assert 0.85 * 0.5 <= value <= limit == 0.5  # and no more derated than that takes
    assert held
    assert certificate is not None
    assert certificate.overrides == ("--asc example", "--limit-pns 0.5")
    stored = load_trajectory_design(tmp_path / "out")
    assert replace(stored.scanner, connection_slew_share=strict.connection_slew_share) == strict
    assert stored.scanner.connection_slew_share > strict.connection_slew_share
    assert 0 < stored.provenance["learning"]["raw_readout_stimulation"] < 0.5


@pytest.mark.slow
def test_a_design_that_stimulates_too_much_keeps_the_limit_when_asked_to(tmp_path):
    _, free = design(request(tmp_path / "free", EXAMPLE))
    strict = guarded(EXAMPLE, limit_pns=0.8, avoid_resonances=False)
    outcome, kept = design(request(tmp_path / "kept", strict, limit_pns=0.8))
    assert check(free, "pns.peak")[0] > 1.0
    value, limit, held = check(kept, "pns.peak")
    assert (limit, held) == (0.8, True)
    assert 0.5 < value < 0.8  # what is left is for turned slices
    assert kept is not None
    assert kept.holds
    assert outcome.gain_db("cg-sense") > 0


@pytest.mark.slow
def test_a_design_that_drives_a_resonance_leaves_the_band_when_asked_to(tmp_path):
    changes = {"readout_s": 4.096e-3, "recipe": replace(choose("quick"), steps=80, network_steps=1, limit_images=4)}
    _, free = design(request(tmp_path / "free", BANDED, **changes))
    _, kept = design(request(tmp_path / "kept", BANDED, avoid_resonances=True, **changes))
    assert check(free, "resonance.1200_hz")[0] > 8.0
    assert check(kept, "resonance.1200_hz")[2]
    assert kept is not None
    assert kept.holds
