"""Cartesian lines that come with a trajectory of their own are told from paths that are none."""

from __future__ import annotations

from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian
from mask_designs import export_mask, mask_design

from seqopt.mrd.cartesian_lines import is_cartesian, is_cartesian_file
from seqopt.mrd.files import open_mrd, read_raw
from seqopt.mrd.header import write_scan
from seqopt.mrd.played_reader import PlayedReader
from seqopt.pulseq.played_scan import played_scan
from seqopt.workflows.reconstruct import reconstruct

N = 16
SAMPLES = 2 * N


def with_k(path: Path, change=lambda k, line: k, *, before=lambda item: None, **options) -> Path:
    """Each readout with k (samples, 2) in 1/(encoded FOV), as its line number has it and ``change`` makes of it."""

    def add(items):
        out = []
        for item in items:
            before(item)
            line = item.idx.kspace_encode_step_1
            k = np.stack([np.arange(SAMPLES) - N, np.full(SAMPLES, line - N // 2)], -1).astype(float)
            head = item.getHead()
            head.trajectory_dimensions = 2
            out.append(ismrmrd.Acquisition(head, item.data.copy(), np.asarray(change(k, line), np.float32)))
        return out

    images = (phantom(N, N) * ring_maps(2, N, N))[None]
    return write_cartesian(path, images, **{"change": add, **options})


def told(path: Path) -> bool:
    """By the file's headers and by what was read, which must say the same."""
    with open_mrd(path) as reader:
        found = is_cartesian_file(reader)
    assert is_cartesian(read_raw(path), path) == found
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda k, line: k,
        lambda k, line: k / [SAMPLES, N],  # cycles per sample
        lambda k, line: k / [0.6, 0.3],  # 1/m
        lambda k, line: k + np.array([0.5, 0.0]),  # in the middle of the dwell time
        lambda k, line: k + 0.01 * np.sin(k),  # as single precision and rasters leave it
    ],
)
def test_k_on_the_lines_that_the_counters_number_is_cartesian_in_any_unit(tmp_path, change):
    assert told(with_k(tmp_path / "s.mrd", change))
    assert told(with_k(tmp_path / "u.mrd", change, lines=range(0, N, 2), calibration_only=[7, 9]))


def test_reversed_lines_are_cartesian_where_their_flag_says_so(tmp_path):
    def odd(item):
        if item.idx.kspace_encode_step_1 % 2:
            item.setFlag(ismrmrd.ACQ_IS_REVERSE)

    def turned(k, line):
        return k[::-1] - [1, 0] if line % 2 else k

    def reversed_centre(item):
        odd(item)
        item.center_sample = N - 2 if item.idx.kspace_encode_step_1 % 2 else N

    assert told(with_k(tmp_path / "r.mrd", turned, before=reversed_centre))
    assert not told(with_k(tmp_path / "n.mrd", turned))


@pytest.mark.parametrize(
    "change",
    [
        lambda k, line: k @ [[np.cos(line), np.sin(line)], [-np.sin(line), np.cos(line)]],  # spokes
        lambda k, line: np.stack([16 * np.sin(k[:, 0] / 10.2), k[:, 1]], -1),  # sampled on ramps
        lambda k, line: k + [0, 0.3] * np.sin(k[:, :1]),  # wavy
        lambda k, line: k + np.array([0, 2]),  # another line than the counter says
        lambda k, line: np.full_like(k, np.nan),
    ],
)
def test_k_that_the_counters_do_not_tell_is_a_trajectory_though_the_header_says_cartesian(tmp_path, change):
    assert not told(with_k(tmp_path / "s.mrd", change))


def test_lines_of_a_header_that_does_not_say_cartesian_are_a_trajectory(tmp_path):
    assert not told(with_k(tmp_path / "s.mrd", trajectory="other"))
    assert told(write_cartesian(tmp_path / "b.mrd", (phantom(N, N) * ring_maps(2, N, N))[None]))


@pytest.mark.parametrize("sequence", ["gre", "tse"])
def test_the_sequence_of_a_mask_plays_lines_and_the_image_is_that_of_the_lines(tmp_path, sequence):
    """With the .seq in place of the design: k of a TSE's or GRE's readouts lies where the line counters say."""
    folder = export_mask(mask_design(sequence, slices=1), tmp_path / "d")
    header = folder / f"mask-{sequence}.mrd"
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(2, item.number_of_samples)) + 0j for item in read_raw(header).acquisitions]
    write_scan(tmp_path / "s.mrd", header, samples)
    played = played_scan(next(folder.glob("*.seq")))
    with open_mrd(tmp_path / "s.mrd") as reader:
        assert is_cartesian_file(PlayedReader(reader, played), "per_m")
    images = [
        reconstruct(tmp_path / "s.mrd", tmp_path / name, seq_path=seq, method="zero-filled", cross_check=False).images
        for name, seq in (("seq", next(folder.glob("*.seq"))), ("header", None))
    ]
    assert np.array_equal(*images)
