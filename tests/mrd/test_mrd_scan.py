"""Reading acquired data: sorting, averages, units of the trajectory, and everything that can be wrong with a file."""

from __future__ import annotations

from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from changed_scans import changed, without_trajectory
from designs import radial_design
from exported import header_only

from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import write_acquisitions
from seqopt.mrd.files import read_raw
from seqopt.mrd.header import write_scan
from seqopt.mrd.scan import read_scan


@pytest.fixture(scope="module")
def design():
    return radial_design(slices=2, shots=4, samples=128, matrix=32)


@pytest.fixture(scope="module")
def scan(design, tmp_path_factory) -> Path:
    """Readout n of the file holds the number n in every sample."""
    folder = tmp_path_factory.mktemp("scan")
    header = header_only(design, folder / "header.mrd", noise_readouts=2)
    data = [np.full((3, 128), number + 1j, np.complex64) for number in range(10)]
    write_scan(folder / "scan.mrd", header, data)
    return folder / "scan.mrd"


@pytest.mark.parametrize("with_design", [True, False])
def test_samples_are_sorted_by_slice_and_shot_and_noise_is_apart(scan, design, with_design):
    read = read_scan(scan, design if with_design else None)
    numbers = read.kspace.samples[:, 0, :, 0].real
    assert np.array_equal(numbers, [[2, 4, 6, 8], [3, 5, 7, 9]])
    assert read.kspace.noise.shape == (3, 2 * 128)
    assert read.kspace.noise_dwell_s == pytest.approx(4e-6)
    assert read.kspace.dwell_s == pytest.approx(4e-6)
    assert np.allclose(read.kspace.k_per_m, design.k_per_m, atol=1e-4)
    assert read.kspace.geometry == design.geometry
    assert np.allclose(read.placement.positions_m, [[0, 0, -0.0025], [0, 0, 0.0025]])
    assert read.kspace.design_signature == "0123456789abcdef" * 2
    assert read.notes == ()


def test_play_order_does_not_matter(scan, design, tmp_path):
    shuffled = changed(scan, tmp_path / "s.mrd", lambda items: items[::-1])
    assert np.array_equal(read_scan(shuffled).kspace.samples, read_scan(scan).kspace.samples)


def test_averages_are_averaged(scan, tmp_path):
    def add_average(items):
        again = [ismrmrd.Acquisition(item.getHead(), 3 * item.data, item.traj.copy()) for item in items[2:]]
        for item in again:
            item.idx.average = 1
        return items + again

    read = read_scan(changed(scan, tmp_path / "a.mrd", add_average))
    assert np.allclose(read.kspace.samples, 2 * read_scan(scan).kspace.samples)
    assert read.kspace.averages.tolist() == [[2] * 4] * 2
    assert read.notes == ("averaged up to 2 averages of each readout",)


def test_the_first_repetition_is_taken_and_said_so(scan, tmp_path):
    def add_repetition(items):
        again = [ismrmrd.Acquisition(item.getHead(), 3 * item.data, item.traj.copy()) for item in items[2:]]
        for item in again:
            item.idx.repetition = 1
        return items + again

    read = read_scan(changed(scan, tmp_path / "r.mrd", add_repetition))
    assert np.array_equal(read.kspace.samples, read_scan(scan).kspace.samples)
    assert read.notes == ("took repetition 0 of 2; the others were left out",)


def test_discarded_samples_leave_data_and_trajectory(scan, design, tmp_path):
    def discard(items):
        for item in items[2:]:
            item.discard_pre, item.discard_post = 8, 20

    read = read_scan(changed(scan, tmp_path / "d.mrd", discard))
    assert read.kspace.samples.shape == (2, 3, 4, 100)
    assert np.allclose(read.kspace.k_per_m, design.k_per_m[:, 8:108], atol=1e-4)


def rescaled(scan: Path, target: Path, factor: float) -> Path:
    """The trajectory in another unit that the header does not state."""
    raw = read_raw(scan)
    for item in raw.acquisitions[2:]:
        item.traj[:] *= factor
    write_acquisitions(target, raw.xml.replace(b"trajectory_unit", b"something_else"), raw.acquisitions)
    return target


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "cycles_per_encoded_sample"), (32.0, "cycles_per_fov")])
def test_an_unstated_unit_of_the_trajectory_is_told_by_its_extent(scan, design, tmp_path, factor, unit):
    read = read_scan(rescaled(scan, tmp_path / "u.mrd", factor))
    assert np.allclose(read.kspace.k_per_m, design.k_per_m, atol=1e-3)
    assert unit in read.notes[0]


def test_a_unit_that_cannot_be_told_is_refused(scan, tmp_path):
    with pytest.raises(SeqoptError, match="neither cycles per sample"):
        read_scan(rescaled(scan, tmp_path / "u.mrd", 400.0))


def test_a_third_column_of_a_2d_scan_is_density(scan, tmp_path):
    def add_column(items):
        whole = []
        for item in items[2:]:
            head = item.getHead()
            head.trajectory_dimensions = 3
            column = np.abs(np.arange(128, dtype=np.float32) - 64)[:, None]
            whole.append(ismrmrd.Acquisition(head, item.data.copy(), np.hstack([item.traj, column])))
        return items[:2] + whole

    weights = read_scan(changed(scan, tmp_path / "w.mrd", add_column)).kspace.weights
    assert weights.shape == (4, 128)
    assert np.allclose(weights[0] / weights[0, 0], np.abs(np.arange(128) - 64) / 64)


def test_the_spiral_of_another_group_reads():
    mrbabel = pytest.importorskip("mrbabel_data")
    read = read_scan(Path(mrbabel.testdata("ismrmrd")))
    assert read.kspace.samples.shape == (1, 36, 32, 1284)
    assert read.kspace.weights.shape == (32, 1284)
    assert np.abs(read.kspace.k_per_m).max() == pytest.approx(320.0, rel=0.01)  # krmax_per_cm 3.2 in its header


def test_an_mrd_2_stream_is_named_as_such():
    mrbabel = pytest.importorskip("mrbabel_data")
    with pytest.raises(SeqoptError, match="MRD version 2 stream"):
        read_scan(Path(mrbabel.testdata("mrd")))


@pytest.mark.parametrize(
    ("other", "saying"),
    [
        (dict(slices=2, shots=5, samples=128, matrix=32), "holds 8 readouts .* has 10"),
        (dict(slices=1, shots=4, samples=128, matrix=32), "holds 8 readouts .* has 4"),
        (dict(slices=2, shots=4, samples=256, matrix=32), "128 samples, but the design radial-4 has 256"),
        (dict(slices=2, shots=4, samples=128, matrix=32, wiggle=3.0), "trajectory is .* away"),
    ],
)
def test_data_of_another_design_are_refused_with_the_sizes(scan, other, saying):
    with pytest.raises(SeqoptError, match=saying):
        read_scan(scan, radial_design(**other))


def test_a_missing_readout_is_named(scan, tmp_path):
    with pytest.raises(SeqoptError, match="slice 1 lacks shot 3"):
        read_scan(changed(scan, tmp_path / "m.mrd", lambda items: items[:-1]))


def test_counters_that_were_never_set_are_refused(scan, tmp_path):
    def reset(items):
        for item in items:
            item.idx.kspace_encode_step_1 = 0

    with pytest.raises(SeqoptError, match="recorded 4 times"):
        read_scan(changed(scan, tmp_path / "c.mrd", reset))


def test_nan_in_samples_or_trajectory_is_refused(scan, tmp_path):
    def poison_data(items):
        items[5].data[0, 7] = np.nan

    def poison_trajectory(items):
        items[5].traj[7] = np.nan

    with pytest.raises(SeqoptError, match="samples hold NaN"):
        read_scan(changed(scan, tmp_path / "d.mrd", poison_data))
    with pytest.raises(SeqoptError, match="trajectory holds NaN"):
        read_scan(changed(scan, tmp_path / "t.mrd", poison_trajectory))


def test_a_header_without_data_is_no_scan(design, tmp_path):
    with pytest.raises(SeqoptError, match="header without data"):
        read_scan(header_only(design, tmp_path / "h.mrd"))


def test_readouts_of_different_lengths_are_refused(scan, tmp_path):
    def shorten(items):
        items[4].discard_post = 5

    with pytest.raises(SeqoptError, match="readouts differ in size"):
        read_scan(changed(scan, tmp_path / "l.mrd", shorten))


def test_a_file_without_trajectory_asks_for_the_design(scan, design, tmp_path):
    bare = changed(scan, tmp_path / "b.mrd", without_trajectory)
    assert np.array_equal(read_scan(bare, design).kspace.k_per_m, design.k_per_m)
    with pytest.raises(SeqoptError, match="give the design with --design"):
        read_scan(bare)


def test_a_header_that_the_schema_does_not_know_is_refused(scan, tmp_path):
    raw = read_raw(scan)
    write_acquisitions(tmp_path / "x.mrd", raw.xml.replace(b"<encoding>", b"<encodings>"), raw.acquisitions)
    with pytest.raises(SeqoptError, match="not schema-valid"):
        read_scan(tmp_path / "x.mrd")


def test_an_acquisition_that_claims_more_than_it_holds_is_refused(scan, tmp_path):
    target = tmp_path / "claim.mrd"
    target.write_bytes(scan.read_bytes())
    with h5py.File(target, "r+") as file:
        table = file["dataset/data"][()]
        table["head"]["active_channels"] = 60000
        file["dataset/data"][...] = table
    with pytest.raises(SeqoptError, match="claims 60000 channels"):
        read_scan(target)


def test_no_truncation_gives_anything_but_one_clear_error(scan, tmp_path):
    whole = scan.read_bytes()
    for share in (0.0, 0.001, 0.05, 0.3, 0.6, 0.9, 0.99):
        target = tmp_path / "t.mrd"
        target.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(SeqoptError, match=r"t\.mrd"):
            read_scan(target)


def test_no_damaged_byte_gives_a_traceback(scan, tmp_path):
    whole = scan.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(30):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 20):
            damaged[place] ^= int(generator.integers(1, 256))
        target = tmp_path / "f.mrd"
        target.write_bytes(damaged)
        try:
            read_scan(target)
        except SeqoptError as error:
            assert "\n" not in str(error)


def test_foreign_hdf5_is_refused_by_what_it_holds(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["kspace"] = np.zeros((2, 3))
        file["dataset/data"] = np.zeros(4)
    with pytest.raises(SeqoptError, match="not MRD"):
        read_scan(tmp_path / "f.h5")
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["kspace"] = np.zeros((2, 3))
    with pytest.raises(SeqoptError, match="it holds kspace"):
        read_scan(tmp_path / "g.h5")


def test_reading_leaves_the_file_untouched(scan, design):
    before = scan.read_bytes(), scan.stat().st_mtime_ns
    read_scan(scan, design)
    assert (scan.read_bytes(), scan.stat().st_mtime_ns) == before
