"""Calibration scans in MRD files: flags, encodings, reading back, and what is missing."""

from dataclasses import replace

import ismrmrd
import ismrmrd.xsd
import numpy as np
import pytest
from designs import radial_design
from exported import export
from mask_designs import export_mask, mask_design

from seqopt.mrd.calibration import calibration_rows, scans_by_kind
from seqopt.mrd.cartesian_lines import is_cartesian
from seqopt.mrd.cartesian_scan import sort_cartesian_scan
from seqopt.mrd.files import read_raw
from seqopt.mrd.header import write_scan
from seqopt.mrd.heads import heads_of
from seqopt.mrd.scan import read_plan, sort_scan
from seqopt.pulseq.calibration_scans import planned_calibration


@pytest.fixture(scope="module")
def design():
    made = radial_design(slices=2, shots=3, samples=64, matrix=16)
    return replace(made, protocol=replace(made.protocol, calibrate=("maps", "delays", "b0")))


@pytest.fixture(scope="module")
def scan(design, tmp_path_factory):
    """Acquired data whose every readout holds its own number, two coils."""
    folder = export(design, tmp_path_factory.mktemp("d") / "design")
    raw = read_raw(folder / f"{design.name}.mrd")
    data = [np.full((2, 64), 1.0 + n, np.complex64) for n in range(len(raw.acquisitions))]
    write_scan(folder / "scan.mrd", folder / f"{design.name}.mrd", data)
    return folder / "scan.mrd"


def test_flags_counters_and_play_order_are_those_of_the_sequence(design, scan):
    items = read_raw(scan).acquisitions
    due = planned_calibration(design)
    assert items[0].isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    for item, one in zip(items[1:], due, strict=False):
        reference = item.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
        navigator = item.isFlagSet(ismrmrd.ACQ_IS_NAVIGATION_DATA)
        assert (reference, navigator) == ((True, False) if one.kind == "maps" else (False, True))
        assert item.encoding_space_ref == 1
        assert (item.idx.contrast, item.idx.average, item.idx.slice) == (one.echo, one.average, one.slice)
        assert np.allclose(item.traj, one.k_per_m * np.array(design.geometry.voxel_m), atol=1e-6)
    image = items[1 + len(due) :]
    assert len(image) == 6
    assert all(item.encoding_space_ref == 0 and item.idx.set == 0 for item in image)
    assert image[0].isFlagSet(ismrmrd.ACQ_FIRST_IN_REPETITION)
    assert not any(item.isFlagSet(ismrmrd.ACQ_FIRST_IN_SLICE) for item in items[: 1 + len(due)])


def test_the_header_is_schema_valid_and_describes_the_second_encoding(scan):
    raw = read_raw(scan)
    header = ismrmrd.xsd.CreateFromDocument(raw.xml)
    assert len(header.encoding) == 2
    second = header.encoding[1]
    assert second.trajectoryDescription.identifier == "seqopt-calibration"
    highest = {name: getattr(second.encodingLimits, name).maximum for name in ("set", "contrast", "average")}
    assert highest == {"set": 3, "contrast": 1, "average": 3}
    assert second.encodedSpace == header.encoding[0].encodedSpace


def test_scans_are_read_back_by_kind_with_averages_averaged(design, scan):
    notes: list[str] = []
    raw = read_raw(scan)
    found = scans_by_kind(raw, scan, notes)
    assert notes == []
    assert list(found) == ["maps", "delays", "b0"]
    due = planned_calibration(design)
    numbers = {
        (one.kind, one.slice, one.line, one.echo): [
            2.0 + n
            for n, other in enumerate(due)
            if (other.kind, other.slice, other.line, other.echo) == (one.kind, one.slice, one.line, one.echo)
        ]
        for one in due
    }
    for kind, one in found.items():
        for place, (line, echo) in enumerate(zip(one.lines.tolist(), one.echoes.tolist(), strict=True)):
            slices = [1] if kind == "delays" else [0, 1]
            for index, slice_ in enumerate(slices):
                assert one.samples[index, 0, place, 5] == pytest.approx(np.mean(numbers[kind, slice_, line, echo]))
            wanted = next(o.k_per_m for o in due if (o.kind, o.line, o.echo) == (kind, line, echo))
            assert np.allclose(one.k_per_m[place], wanted, atol=1e-3)
    assert found["b0"].echo_spacing_s == pytest.approx(2.24e-3, abs=1e-5)
    raw.header.encoding[1].encodedSpace.fieldOfView_mm.y *= 2  # voxels twice as high
    assert np.allclose(scans_by_kind(raw, scan, [])["maps"].k_per_m, found["maps"].k_per_m * (1, 0.5))
    assert np.count_nonzero(~calibration_rows(heads_of(raw.acquisitions), raw.header)) == 7
    assert sort_scan(raw, scan, design).kspace.samples.shape == (2, 2, 3, 64)


def test_a_scan_that_lacks_a_readout_is_not_used_and_said(scan):
    raw = read_raw(scan)
    lost = next(n for n, item in enumerate(raw.acquisitions) if item.idx.set == 1)
    notes: list[str] = []
    found = scans_by_kind(
        replace(raw, acquisitions=[item for n, item in enumerate(raw.acquisitions) if n != lost]), scan, notes
    )
    assert list(found) == ["delays", "b0"]
    assert "maps is incomplete" in notes[0]


def test_other_people_s_sets_are_left_alone(tmp_path):
    folder = export(radial_design(shots=2, samples=32, matrix=16), tmp_path / "d")
    raw = read_raw(folder / "radial-2.mrd")
    for item in raw.acquisitions:
        item.idx.set = 1
    assert scans_by_kind(raw, folder, []) == {}
    assert not calibration_rows(heads_of(raw.acquisitions), raw.header).any()


def test_the_header_still_serves_as_a_trajectory_file_and_as_cartesian_data(design, scan, tmp_path):
    k_per_m, _ = read_plan(scan)
    assert np.allclose(k_per_m, design.k_per_m, atol=1e-3)
    mask = mask_design("gre")
    mask = replace(mask, protocol=replace(mask.protocol, calibrate=("maps",)))
    header = export_mask(mask, tmp_path / "m") / f"{mask.name}.mrd"
    raw = read_raw(header)
    rng = np.random.default_rng(0)
    samples = raw.acquisitions[0].number_of_samples
    data = [rng.normal(size=(2, samples)).astype(np.complex64) for _ in raw.acquisitions]
    write_scan(tmp_path / "s.mrd", header, data)
    raw = read_raw(tmp_path / "s.mrd")
    found = scans_by_kind(raw, header, [])
    assert is_cartesian(raw, header)
    assert found["maps"].samples.shape[:2] == (mask.geometry.slices, 2)
    assert sort_cartesian_scan(raw, header, mask).data.lines.tolist() == mask.lines.tolist()
