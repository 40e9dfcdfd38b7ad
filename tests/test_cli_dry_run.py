"""``seqopt design --dry-run`` and the options of the exported files, through the installed console script."""

from __future__ import annotations

import re
from pathlib import Path

import ismrmrd
import pypulseq
import pytest
from cli import refused, seqopt

SMALL = ["--shots", "4", "--preset", "smoke", "--matrix", "32", "--slices", "2"]


@pytest.mark.parametrize("traj", ["radial", pytest.param("igs", marks=pytest.mark.slow)])
def test_a_dry_run_tells_timing_memory_and_sizes_and_leaves_nothing(traj: str, tmp_path: Path) -> None:
    result = seqopt("design", "--traj", traj, *SMALL, "--dry-run", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    for word in ("TE", "TR", "scan time", "nerve stimulation", "_v1.5.0.seq", "_v1.4.1.seq", "memory", "raw data"):
        assert word in result.stdout
    assert re.search(r"Certificate: \d+ of \d+ checks held", result.stdout)
    assert not (tmp_path / "out").exists()


def rows(text: str) -> dict[str, tuple[str, str]]:
    """What -> (of the baseline, once it is learned)."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    return {name: (known, learned) for name, known, learned in cells}


def test_version_1_5_1_stores_arms_that_are_rotations_once(tmp_path: Path) -> None:
    versions = [option for version in ("1.5.1", "1.5.0") for option in ("--pulseq-version", version)]
    result = seqopt("design", "--traj", "spiral", "--golden", *SMALL, *versions, "--dry-run", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    sizes = [number(known) for name, (known, _) in rows(result.stdout).items() if "_v1.5" in name]
    assert len(sizes) == 2
    assert sizes[0] < 0.65 * sizes[1]


def number(text: str) -> float:
    return float(text.split()[0])


def samples_in(path: Path) -> int:
    dataset = ismrmrd.Dataset(str(path), create_if_needed=False)
    try:
        return sum(dataset.read_acquisition(n).number_of_samples for n in range(dataset.number_of_acquisitions()))
    finally:
        dataset.close()


def test_a_dry_run_foretells_the_design(tmp_path: Path) -> None:
    options = ["design", *SMALL, "--te", 4, "--tr", 16, "--calibrate", "delays", "--budget", 0.1, "--out", tmp_path]
    foretold = seqopt(*options, "--dry-run")
    made = seqopt(*options)
    assert (foretold.returncode, made.returncode) == (0, 0), foretold.stderr + made.stderr
    told = rows(foretold.stdout)
    fixed, learned = tmp_path / "fixed" / "radial-4-fixed_v1.5.0.seq", tmp_path / "radial-4_v1.5.0.seq"
    for path, column in ((fixed, 0), (learned, 1)):
        sequence = pypulseq.Sequence()
        sequence.read(str(path))
        assert number(told["TE"][column]) == pytest.approx(1e3 * sequence.get_definition("EchoTime"))
        assert number(told["TR"][column]) == pytest.approx(1e3 * sequence.get_definition("RepetitionTime"))
        assert number(told["scan time"][column]) == pytest.approx(sequence.duration()[0], rel=1e-5)
    for version in ("1.5.0", "1.4.1"):
        written = [
            (tmp_path / f"{name}_v{version}.seq").stat().st_size for name in ("fixed/radial-4-fixed", "radial-4")
        ]
        expected = [1e6 * number(text) for text in told[f"radial-4_v{version}.seq"]]
        assert written[0] == pytest.approx(expected[0], rel=0.01)
        assert written[1] == pytest.approx(expected[1], rel=0.3)
        assert written[1] > 1.3 * written[0]  # so that the baseline's size would not pass for the learned one's
    raw = f"({8 * 8 * samples_in(tmp_path / 'radial-4.mrd')} bytes)"
    assert all(text.endswith(raw) for text in told["raw data of 8 coils"])


@pytest.mark.slow
def test_samples_that_the_least_time_decides_are_not_foretold() -> None:
    result = seqopt("design", *SMALL, "--dry-run", "--time-optimal")
    assert result.returncode == 0, result.stderr
    told = rows(result.stdout)
    assert told["samples of a readout"][1].startswith("known once learned")
    assert "bytes" not in told["raw data of 8 coils"][1]


def test_a_dry_run_refuses_what_the_design_would() -> None:
    refused("design", *SMALL, "--dry-run", "--readout", 40, saying="--adc-segments 2")


@pytest.mark.slow
def test_it_refuses_other_versions_times_that_do_not_fit_and_segments_of_masks() -> None:
    refused("design", *SMALL, "--dry-run", "--te", 0.5, saying="echo time")
    refused("design", *SMALL, "--dry-run", "--pulseq-version", "1.3.1", saying="1.5.0, 1.4.1")
    refused("design", "--traj", "igs", *SMALL, "--adc-segments", 2, saying="--adc-segments")


@pytest.mark.slow
def test_one_version_and_a_long_readout_in_segments_are_planned() -> None:
    options = ["--pulseq-version", "1.4.1", "--readout", 40, "--adc-segments", 2]
    result = seqopt("design", *SMALL, "--dry-run", *options)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "_v1.4.1.seq" in result.stdout
    assert "_v1.5.0.seq" not in result.stdout
