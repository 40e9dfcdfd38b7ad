"""Readouts that are too long for the receiver: the .seq, its MRD header, simulated data and reconstruction."""

from __future__ import annotations

from dataclasses import replace

import ismrmrd
import numpy as np
import pypulseq as pp
import pytest
from designs import paper_scanner, radial_design
from exported import export
from pypulseq.make_adc import calc_adc_segments

from seqopt.core.segments import check_segments, fitting_segments
from seqopt.errors import SeqoptError
from seqopt.mrd.scan import read_plan, read_scan
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.export import find_sequence
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.simulate import simulate

SEGMENTS = 4


@pytest.fixture(scope="module")
def design():
    base = radial_design(shots=6, samples=400, matrix=16, slices=2)
    scanner = replace(base.scanner, adc_max_samples=128)
    return replace(base, scanner=scanner, protocol=replace(base.protocol, dummy_shots=1, adc_segments=SEGMENTS))


@pytest.fixture(scope="module")
def folder(design, tmp_path_factory):
    return export(design, tmp_path_factory.mktemp("segments"))


@pytest.mark.parametrize("dwell_us", [1.0, 2.0, 2.5, 4.0, 10.0])
@pytest.mark.parametrize("samples", [8192, 8196, 10_000, 16_384, 20_000, 40_000, 65_532])
def test_pypulseq_divides_the_same_readouts(samples, dwell_us):
    limits = pp.Opts(adc_samples_limit=8192, adc_samples_divisor=4)
    segments, each = calc_adc_segments(samples, dwell_us * 1e-6, limits, mode="lengthen")
    possible = fitting_segments(paper_scanner(), samples=samples, dwell_s=dwell_us * 1e-6)
    if segments * each == samples:
        assert segments in possible
    for count in possible[:20]:
        assert samples // count <= 8192
        assert count == 1 or round(samples // count * dwell_us * 10) % 100 == 0


def test_a_readout_that_is_too_long_is_refused_with_the_segments_that_it_needs():
    scanner = paper_scanner()
    with pytest.raises(SeqoptError, match="use --adc-segments 2"):
        check_segments(scanner, samples=10_000, dwell_s=2e-6, segments=1)
    check_segments(scanner, samples=10_000, dwell_s=2e-6, segments=2)
    with pytest.raises(SeqoptError, match="change the samples"):
        check_segments(scanner, samples=4 * 2503, dwell_s=2e-6, segments=1)
    with pytest.raises(SeqoptError, match="leave out --adc-segments"):
        check_segments(scanner, samples=1000, dwell_s=2e-6, segments=3)
    with pytest.raises(SeqoptError, match="65535"):
        check_segments(scanner, samples=80_000, dwell_s=1e-6, segments=10)


def test_the_file_says_how_long_a_segment_is_and_is_certified(design, folder):
    path = find_sequence(folder, design.name)
    certificate = certify(path, design.scanner, design=design)
    assert not [check for check in certificate.failures if check.name.startswith(("timing", "design", "format"))]
    assert "MaxAdcSegmentLength 100\n" in path.read_text()


def test_the_header_plans_one_acquisition_a_segment(design, folder):
    dataset = ismrmrd.Dataset(str(folder / f"{design.name}.mrd"), "dataset", create_if_needed=False)
    items = [dataset.read_acquisition(place) for place in range(dataset.number_of_acquisitions())]
    dataset.close()
    assert len(items) == SEGMENTS * (1 + 12)
    assert {item.number_of_samples for item in items} == {100}
    assert [item.idx.segment for item in items[:9]] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    centres = [item.center_sample for item in items[4:8]]
    assert centres == [0, 0, design.echo_sample - 200, 0]
    k = np.concatenate([item.traj for item in items[4:8]]) / (0.22 / 16)
    assert np.abs(k - design.k_per_m[0]).max() < 1e-4


def test_data_in_segments_are_read_and_reconstructed_as_whole_readouts(design, folder, tmp_path):
    summary = simulate(folder, tmp_path / "scan.mrd", coils=2)
    assert summary.readouts == 12
    with_design, without = read_scan(tmp_path / "scan.mrd", design), read_scan(tmp_path / "scan.mrd")
    assert with_design.kspace.samples.shape == (2, 2, 6, 400)
    np.testing.assert_array_equal(with_design.kspace.samples, without.kspace.samples)
    assert np.abs(without.kspace.k_per_m - design.k_per_m).max() < 1e-3
    assert read_plan(folder / f"{design.name}.mrd")[0].shape == (6, 400, 2)
    undivided = replace(design, scanner=paper_scanner(), protocol=replace(design.protocol, adc_segments=1))
    whole = export(undivided, tmp_path)
    simulate(whole, tmp_path / "whole.mrd", coils=2)
    np.testing.assert_allclose(
        read_scan(tmp_path / "whole.mrd", design).kspace.samples, with_design.kspace.samples, atol=1e-4
    )
    found = reconstruct(tmp_path / "scan.mrd", tmp_path / "out", design_path=folder, cross_check=False, iterations=3)
    assert found.samples == 400


def test_a_missing_segment_is_told(design, folder, tmp_path):
    simulate(folder, tmp_path / "scan.mrd", coils=1)
    with ismrmrd.File(str(tmp_path / "scan.mrd"), "r+") as file:
        items = list(file["dataset"].acquisitions)
        del items[-3]
        file["dataset"].acquisitions = items
    with pytest.raises(SeqoptError, match="slice 1 lacks shot 5"):
        read_scan(tmp_path / "scan.mrd", design)
