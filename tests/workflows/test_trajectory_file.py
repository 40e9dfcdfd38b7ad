"""Anybody's trajectory as the initial one, through real files: numpy, our own exports, a .seq by pypulseq."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from designs import paper_scanner, radial_design, readouts
from exported import header_only

from seqopt.core import Geometry, Protocol
from seqopt.errors import SeqoptError
from seqopt.learn.recipe import choose
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.gre import write_gre
from seqopt.sampling.initial import initial_trajectories
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.trajectory_file import load_trajectory, path_from_file

GEOMETRY = Geometry(fov_m=(0.22, 0.22), matrix=(64, 64))
VOXEL_M = 0.22 / 64
UNITS = {"1/m": 1.0, "1/fov": 0.22, "cycles": VOXEL_M, "radians": 2 * np.pi * VOXEL_M}


def spiral() -> np.ndarray:
    return initial_trajectories["spiral"](readouts(GEOMETRY, 4, 800)).k_per_m


def saved(path: Path, k: np.ndarray) -> Path:
    np.save(path, k)
    return path


def request(path: Path, **changes: object) -> DesignRequest:
    standard = DesignRequest(
        out=Path("unused"),
        geometry=GEOMETRY,
        scanner=paper_scanner(),
        protocol=Protocol(dummy_shots=1),
        recipe=choose("smoke"),
        traj=f"file:{path}",
        shots=4,
        readout_s=3.2e-3,
        trajectory_unit="1/m" if path.suffix.startswith(".np") else None,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", UNITS)
def test_an_array_is_read_in_each_of_the_units(unit: str, tmp_path: Path) -> None:
    k = spiral()
    found = load_trajectory(saved(tmp_path / "k.npy", k * UNITS[unit]), GEOMETRY, unit=unit)
    assert found.k_per_m == pytest.approx(k, abs=1e-9)
    assert found.dwell_s is None
    assert found.echo_sample == 0


def test_an_npz_archive_holds_one_array_or_one_named_k(tmp_path: Path) -> None:
    k = spiral()
    np.savez(tmp_path / "a.npz", anything=k)
    np.savez(tmp_path / "b.npz", other=k[:1], k=k)
    np.savez(tmp_path / "c.npz", one=k, two=k)
    for name in ("a.npz", "b.npz"):
        assert np.array_equal(load_trajectory(tmp_path / name, GEOMETRY, unit="1/m").k_per_m, k)
    with pytest.raises(SeqoptError, match="one, two; name the trajectory's array 'k'"):
        load_trajectory(tmp_path / "c.npz", GEOMETRY, unit="1/m")


def test_an_array_without_a_unit_is_refused_with_the_four_that_there_are(tmp_path: Path) -> None:
    path = saved(tmp_path / "k.npy", spiral())
    for unit in (None, "1/cm"):
        with pytest.raises(SeqoptError, match=r"1/m, 1/fov .*cycles .*radians") as refusal:
            load_trajectory(path, GEOMETRY, unit=unit)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("is_in", "said"), [("1/fov", "1/m"), ("1/m", "cycles"), ("radians", "cycles"), ("cycles", "1/m")]
)
def test_values_that_cannot_be_in_the_stated_unit_are_refused(is_in: str, said: str, tmp_path: Path) -> None:
    k = radial_design().k_per_m * UNITS[is_in] * (1 if is_in != "1/fov" else 0.4)
    with pytest.raises(SeqoptError, match="cannot be in that unit"):
        load_trajectory(saved(tmp_path / "k.npy", k), GEOMETRY, unit=said)


def test_a_trajectory_for_another_matrix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeqoptError, match="choose --matrix and --fov for it"):
        load_trajectory(saved(tmp_path / "k.npy", 1.2 * spiral()), GEOMETRY, unit="1/m")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.zeros((4, 800)), r"expected real numbers \(shots, samples, 2\)"),
        (np.zeros((4, 800, 3)), r"expected real numbers \(shots, samples, 2\)"),
        (np.zeros((4, 800, 2), dtype=complex), r"expected real numbers"),
        (np.array([[{}]], dtype=object), "plain numpy array"),
        (np.full((4, 800, 2), np.nan), "NaN"),
    ],
)
def test_arrays_that_are_no_trajectory_are_refused(content: np.ndarray, says: str, tmp_path: Path) -> None:
    with pytest.raises(SeqoptError, match=says):
        load_trajectory(saved(tmp_path / "k.npy", content), GEOMETRY, unit="1/m")


def test_missing_foreign_and_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    for name in ("k.txt", "k.npy", "k.npz", "k.mrd", "k.seq"):
        with pytest.raises(SeqoptError, match="no trajectory at"):
            load_trajectory(tmp_path / name, GEOMETRY, unit="1/m")
        (tmp_path / name).write_bytes(b"\x93NUMPY rubbish")
        with pytest.raises(SeqoptError) as refusal:
            load_trajectory(tmp_path / name, GEOMETRY, unit="1/m" if ".np" in name else None)
        assert "\n" not in str(refusal.value)
    with pytest.raises(SeqoptError, match="such files state theirs"):
        load_trajectory(tmp_path / "k.seq", GEOMETRY, unit="cycles")


def test_our_own_exports_are_read_back(tmp_path: Path) -> None:
    design = radial_design(slices=2, wiggle=0.5)
    write_gre(design, tmp_path / "a.seq")
    header_only(design, tmp_path / "a.mrd")
    for name, limit in (("a.seq", 0.001), ("a.mrd", 1e-4)):
        found = load_trajectory(tmp_path / name, GEOMETRY)
        assert np.abs(found.k_per_m - design.k_per_m).max() * 0.22 < limit
        assert found.dwell_s == pytest.approx(design.dwell_s)
        assert found.echo_sample == design.echo_sample


def foreign_spokes(samples: int) -> np.ndarray:
    along = ((np.arange(samples) + 0.5) / samples * 2 - 1) * 140.0
    angles = np.arange(3) * np.pi / 3
    return along[None, :, None] * np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]


def write_foreign_seq(path: Path) -> None:
    """The spokes above as plain trapezoids by pypulseq, with an ADC of 256 samples of 10 us."""
    import pypulseq as pp

    system = pp.Opts(max_grad=50, grad_unit="mT/m", max_slew=200, slew_unit="T/m/s", rf_dead_time=1e-4)
    sequence, samples, dwell, reach = pp.Sequence(system), 256, 10e-6, 140.0
    flat, rise = samples * dwell, 2e-4
    amplitude = 2 * reach / flat
    for angle in np.arange(3) * np.pi / 3:
        pulse = pp.make_block_pulse(0.2, duration=2e-4, delay=1e-4, system=system, use="excitation")
        sequence.add_block(pulse)
        turned = [(axis, float(value)) for axis, value in zip("xy", (np.cos(angle), np.sin(angle)), strict=True)]
        before = -amplitude * (flat + rise) / 2
        sequence.add_block(
            *(pp.make_trapezoid(a, area=before * v, duration=1e-3, system=system) for a, v in turned if abs(v) > 1e-6)
        )
        trapezoids = [
            pp.make_trapezoid(a, amplitude=amplitude * v, flat_time=flat, rise_time=rise, system=system)
            for a, v in turned
            if abs(v) > 1e-6
        ]
        sequence.add_block(*trapezoids, pp.make_adc(samples, dwell=dwell, delay=rise, system=system))
    sequence.write(str(path))


def test_a_sequence_that_pypulseq_made_becomes_an_initial_trajectory_and_a_certified_file(tmp_path: Path) -> None:
    write_foreign_seq(tmp_path / "foreign.seq")
    found = load_trajectory(tmp_path / "foreign.seq", GEOMETRY)
    assert np.abs(found.k_per_m - foreign_spokes(256)).max() * 0.22 < 0.01
    assert found.dwell_s == pytest.approx(10e-6)
    assert found.echo_sample in (127, 128)
    asked = request(tmp_path / "foreign.seq", shots=3, readout_s=2.56e-3)  # resampled to 640
    path = asked.initial()
    assert np.abs(path.k_per_m - foreign_spokes(640)).max() * 0.22 < 0.02
    design = asked.designed(path.k_per_m, path)
    assert (design.family, design.name) == ("file", "file-foreign-3")
    assert design.provenance["initial"]["samples_in_file"] == 256
    write_gre(design, tmp_path / "ours.seq")
    assert certify(tmp_path / "ours.seq", asked.scanner, design=design).holds


def test_another_dwell_is_resampled_along_the_same_curve(tmp_path: Path) -> None:
    curve = initial_trajectories["spiral"](readouts(GEOMETRY, 4, 1600, dwell_s=2e-6)).k_per_m
    path = request(saved(tmp_path / "fine.npy", curve)).initial()
    between = (curve[:, ::2] + curve[:, 1::2]) / 2
    assert np.abs(path.k_per_m - between)[:, 1:].max() * 0.22 < 0.02
    assert path.echo_sample == 0


def test_shots_and_readouts_that_do_not_fit_are_refused_with_those_that_do(tmp_path: Path) -> None:
    design = radial_design(shots=4, samples=512)
    write_gre(design, tmp_path / "a.seq")
    with pytest.raises(SeqoptError, match="use --shots 4"):
        request(tmp_path / "a.seq", shots=5).initial()
    with pytest.raises(SeqoptError, match=r"use --readout 2\.048 --dwell 4 --shots 4"):
        request(tmp_path / "a.seq").initial()
    path = request(tmp_path / "a.seq", readout_s=2.048e-3).initial()
    assert np.abs(path.k_per_m - design.k_per_m).max() * 0.22 < 0.01


def test_a_trajectory_that_breaks_the_limits_a_little_is_projected_and_much_is_refused(tmp_path: Path) -> None:
    rough = spiral() + 0.02 / 0.22 * np.sin(np.arange(800) * 1.5)[None, :, None]
    asked = readouts(GEOMETRY, 4, 800)
    path = path_from_file(saved(tmp_path / "rough.npy", rough), asked, unit="1/m")
    assert 0.01 < path.facts["moved_max_per_fov"] < 0.2
    moved = np.linalg.norm((path.k_per_m - rough) * 0.22, axis=-1).max()
    assert moved == pytest.approx(path.facts["moved_max_per_fov"])
    slew = np.linalg.norm(np.diff(path.k_per_m, n=2, axis=1), axis=-1).max() / asked.dwell_s**2
    assert slew <= asked.max_slew_hz_per_m_per_s * (1 + 1e-9)
    square = np.sign(np.sin(np.arange(800) / 40))[None, :, None] * np.full((4, 1, 2), 100.0)
    with pytest.raises(SeqoptError, match=r"breaks the limits .*; lengthen --readout"):
        path_from_file(saved(tmp_path / "square.npy", square), asked, unit="1/m")


def test_lines_from_a_file_stay_free_along_phase_encoding(tmp_path: Path) -> None:
    lines = initial_trajectories["cartesian"](readouts(GEOMETRY, 4, 800))
    path = request(saved(tmp_path / "k.npy", lines.k_per_m)).initial()
    assert path.echo_sample == lines.echo_sample
    assert path.pinned == pytest.approx(lines.pinned, abs=1e-3)


def test_golden_angles_and_units_are_refused_where_they_mean_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "k.npy", spiral())
    with pytest.raises(SeqoptError, match="leave out --golden"):
        request(path, golden=True)
    with pytest.raises(SeqoptError, match="leave out --trajectory-unit"):
        request(path, traj="radial")
