"""Limits that are asked for hold in the written file with no more derating than that takes, or are refused at once."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from cli import refused, seqopt

from seqopt.core import CartesianProtocol, ForbiddenBand, Geometry, Protocol, Scanner, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner
from seqopt.learn.recipe import choose
from seqopt.pulseq.cartesian import build_mask
from seqopt.pulseq.checks_pns import measure_stimulation
from seqopt.pulseq.gre import build_gre, write_gre
from seqopt.pulseq.readback import read_sequence
from seqopt.units import mt_per_m_to_hz_per_m
from seqopt.workflows.certified import certify_unwritten
from seqopt.workflows.design import design
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.dry_run import dry_run_trajectory
from seqopt.workflows.mask_recipe import choose_mask_recipe
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.safety import guarded

EXAMPLE = load_scanner("paper", asc="example")


def request(scanner: Scanner, out: Path = Path("unused"), **changes: object) -> DesignRequest:
    standard = DesignRequest(
        out=out,
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(32, 32)),
        scanner=scanner,
        protocol=Protocol(dummy_shots=1),
        recipe=replace(choose("smoke"), steps=2, network_steps=1),
        shots=4,
        readout_s=2.048e-3,
        coils=2,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


def within(limit: float, **changes: object) -> DesignRequest:
    return request(guarded(EXAMPLE, limit_pns=limit, avoid_resonances=False), limit_pns=limit, **changes)


def learned(asked: DesignRequest) -> TrajectoryDesign:
    initial = asked.initial()
    return asked.designed(initial.k_per_m, initial, yields=True)


def value(one: TrajectoryDesign, name: str) -> float:
    certificate = certify_unwritten(build_gre(one)[0], one)
    (found,) = [check for check in certificate.checks if check.name == name]
    return float(found.value)


AXIAL = replace(EXAMPLE, oblique="axis")
"""Of slices that are not turned: others stimulate more, and what is spent on speed is theirs."""


def test_prephasers_are_no_gentler_than_the_limit_takes():
    strict = guarded(AXIAL, limit_pns=0.8, avoid_resonances=False)
    asked, cautious = request(strict, limit_pns=0.8), strict.connection_slew_share
    fixed = asked.baseline()
    assert 0.85 * 0.8 <= value(fixed, "pns.peak") <= 0.8
    assert fixed.scanner.connection_slew_share > 1.2 * cautious
    slower = replace(asked, scanner=replace(AXIAL, connection_slew_share=cautious), limit_pns=None).baseline()
    assert slower.gradient_hz_per_m.shape[1] > fixed.gradient_hz_per_m.shape[1]


def test_speed_is_not_bought_with_what_turned_slices_need(tmp_path):
    fixed = within(0.8).baseline()
    path = tmp_path / "fixed.seq"
    write_gre(fixed, path)
    found = measure_stimulation(read_sequence(path), EXAMPLE.stimulation, raster_s=EXAMPLE.grad_raster_s)
    assert found.peak < found.worst_orientation <= 0.8


def test_a_limit_does_not_make_connections_faster_than_the_profile_lets_them_be():
    slow = replace(AXIAL, connection_slew_share=0.2)
    strict = guarded(slow, limit_pns=1.0, avoid_resonances=False)
    assert request(strict, limit_pns=1.0).baseline().scanner.connection_slew_share == pytest.approx(0.2)


def test_an_initial_path_that_would_stimulate_too_much_is_planned_for_a_lower_slew_rate():
    asked = within(0.5, traj="spiral-in-out")
    fixed = asked.baseline()
    assert (
        0.85 * 0.5
        <= value(fixed, "pns.peak")
        <= 0.5
        < value(request(EXAMPLE, traj="spiral-in-out").baseline(), "pns.peak")
    )
    assert fixed.provenance["projection"]["moved_max_per_fov"] < 1e-3
    assert np.abs(fixed.k_per_m).max() == pytest.approx(asked.geometry.k_max_per_m[0], rel=0.06)
    again = within(0.5, traj="spiral-in-out").baseline()
    assert np.array_equal(again.gradient_hz_per_m, fixed.gradient_hz_per_m)


def test_what_cannot_keep_its_limit_is_refused_before_anything_is_learned(tmp_path):
    asked = within(0.3, traj="rosette", readout_s=1.024e-3, out=tmp_path / "out")
    with pytest.raises(SeqoptError, match=r"--limit-pns 0.3: pns.peak is .* readout \(block .*lengthen") as told:
        design(asked)
    assert "\n" not in str(told.value)
    with pytest.raises(SeqoptError, match=r"--limit-pns 0\.3: pns\.peak is"):
        dry_run_trajectory(asked)
    assert not (tmp_path / "out").exists()


def test_the_command_refuses_it_in_one_line(tmp_path):
    options = ["--traj", "rosette", "--matrix", 32, "--shots", 4, "--readout", 1.024, "--preset", "smoke"]
    options += ["--scanner", "paper", "--asc", "example", "--limit-pns", 0.3, "--out", tmp_path / "out"]
    refused("design", *options, saying="--limit-pns 0.3: pns.peak is")
    assert not (tmp_path / "out").exists()


def test_limits_that_the_coil_is_known_for_are_kept_unasked_and_let_pass_when_asked():
    spiral = ["design", "--traj", "spiral", "--shots", 4, "--preset", "smoke", "--scanner", "prisma", "--dry-run"]
    kept, passed = (seqopt(*spiral, "--asc", "example", *more) for more in ([], ["--limit-pns", "none"]))
    assert "against prisma with --asc example, --limit-pns 1." in kept.stdout
    assert "NOT held" not in kept.stdout
    assert "NOT held: pns.peak 1." in passed.stdout


def test_bands_that_are_known_are_avoided_unasked_and_let_pass_when_asked(tmp_path):
    profile = tmp_path / "own.toml"
    published = files("seqopt.gradients") / "scanners" / "prisma.toml"
    bands = 'resonances_source = "made up"\n[[resonances]]\ncentre_hz = 1200.0\nwidth_hz = 300.0\n'
    profile.write_text(published.read_text() + "resonance_limit_mt_per_m = 3.0\n" + bands)
    spiral = ["design", "--traj", "spiral", "--shots", 4, "--matrix", 64, "--scanner", profile, "--dry-run"]
    kept, passed = (seqopt(*spiral, *more) for more in ([], ["--allow-resonances"]))
    assert "NOT held" not in kept.stdout
    assert "NOT held: resonance.1200_hz" in passed.stdout


def test_a_file_that_breaks_the_limit_is_told_as_baseline_and_slowed_where_it_is_learned(tmp_path):
    """A path from a file is played as it is."""
    np.save(tmp_path / "path.npy", request(EXAMPLE, traj="spiral-in-out").initial().k_per_m)
    asked = within(0.7, traj=f"file:{tmp_path / 'path.npy'}", trajectory_unit="1/m", out=tmp_path / "out")
    assert value(asked.baseline(), "pns.peak") > 0.7
    assert asked.baseline().provenance["derating"]["readouts"] == 1.0
    outcome, certificate = design(asked)
    assert certificate is not None
    assert certificate.holds
    assert outcome.learned.provenance["derating"]["readouts"] < 1.0
    assert any("fixed baseline does NOT hold: pns.peak" in notice for notice in outcome.notices)
    assert any("of the slew rate, to keep the limits" in notice for notice in outcome.notices)


def test_a_band_that_the_readout_drives_is_kept():
    banded = replace(EXAMPLE, bands=(ForbiddenBand(1200.0, 300.0),), max_band_hz_per_m=mt_per_m_to_hz_per_m(3.0))
    free, kept = (request(banded, traj="spiral", avoid_resonances=asked) for asked in (False, True))
    assert value(learned(free), "resonance.1200_hz") > 3.0 >= value(learned(kept), "resonance.1200_hz")


def test_a_tr_that_is_not_given_is_as_long_as_the_rms_limit_asks_for_and_a_given_one_is_refused():
    strict = replace(EXAMPLE, max_rms_grad_hz_per_m=mt_per_m_to_hz_per_m(8.0), rms_window_s=0.1)
    assert value(request(strict).baseline(), "gradient.rms_z") <= 8.0
    hot = request(EXAMPLE).baseline()
    assert value(replace(hot, scanner=strict), "gradient.rms_z") > 8.0
    with pytest.raises(SeqoptError, match=r"gradient.rms_. is .*; lengthen --tr or leave it out"):
        request(strict, protocol=Protocol(dummy_shots=1, tr_s=10e-3)).baseline()


@pytest.mark.parametrize("sequence", ["gre", "tse"])
def test_lines_keep_the_limit_whatever_is_chosen(sequence):
    strict = guarded(EXAMPLE, limit_pns=0.6, avoid_resonances=False)
    asked = MaskRequest(
        out=Path("unused"),
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(64, 64)),
        scanner=strict,
        protocol=Protocol(dummy_shots=1),
        recipe=choose_mask_recipe("smoke", budget=1.0),
        shots=16,
        coils=1,
        limit_pns=0.6,
        play=CartesianProtocol(sequence=sequence, echo_train=4),
    )
    drawn = np.random.default_rng(1).permutation(64)
    central = asked.slowest().order[: asked.central]
    order = np.array([*central, *[line for line in drawn if line not in central]])
    for one in (asked.slowest(), asked.designed(order)):
        certificate = certify_unwritten(build_mask(one)[0], one)
        (found,) = [check for check in certificate.checks if check.name == "pns.peak"]
        assert found.held
        assert found.limit == 0.6
    assert asked.slowest().scanner.connection_slew_share >= strict.connection_slew_share


def test_inner_lines_whose_lobes_leave_te_shorter_keep_the_rms_limit_too():
    strict = replace(EXAMPLE, max_rms_grad_hz_per_m=mt_per_m_to_hz_per_m(7.45), rms_window_s=0.1)
    asked = MaskRequest(
        out=Path("unused"), geometry=Geometry(fov_m=(0.22, 0.22), matrix=(64, 64)), scanner=strict,
        protocol=Protocol(dummy_shots=1), recipe=choose_mask_recipe("smoke", budget=1.0), shots=8, coils=1,
    )  # fmt: skip
    inner = asked.designed(np.array(sorted(range(64), key=lambda line: abs(line - 32))))
    as_slow = replace(inner, protocol=asked.slowest().protocol)
    held = []
    for one in (asked.slowest(), inner, as_slow):
        checks = {check.name: check for check in certify_unwritten(build_mask(one)[0], one).checks}
        held.append(all(checks[f"gradient.rms_{axis}"].held for axis in "xyz"))
    assert held == [True, True, False]
