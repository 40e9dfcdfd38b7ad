"""The header file as a reader without seqopt sees it: raw HDF5, plain XML, and the ismrmrd package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import h5py
import ismrmrd
import numpy as np
import pytest
from designs import radial_design
from exported import header_only

from seqopt.errors import SeqoptError
from seqopt.mrd.header import play_order, write_header, write_scan

NS = {"m": "http://www.ismrm.org/ISMRMRD"}


@pytest.fixture(scope="module")
def design():
    return radial_design(slices=2, shots=4, samples=128, matrix=32, wiggle=0.5)


@pytest.fixture(scope="module")
def path(design, tmp_path_factory) -> Path:
    return header_only(design, tmp_path_factory.mktemp("header") / "radial.mrd")


def rows(path: Path) -> np.ndarray:
    with h5py.File(path, "r") as file:
        return file["dataset/data"][()]


def xml(path: Path) -> ElementTree.Element:
    with h5py.File(path, "r") as file:
        return ElementTree.fromstring(file["dataset/xml"][0])


def test_one_acquisition_a_readout_in_play_order_noise_first(path, design):
    table = rows(path)
    assert len(table) == 1 + 2 * 4
    assert [bool(row["head"]["flags"] & (1 << 18)) for row in table] == [True] + [False] * 8
    found = [(row["head"]["idx"]["slice"], row["head"]["idx"]["kspace_encode_step_1"]) for row in table[1:]]
    assert found == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]
    assert [int(row["head"]["scan_counter"]) for row in table] == list(range(1, 10))
    assert play_order(path)[:2] == [(True, 0, 0), (False, 0, 0)]


def test_trajectory_is_float32_cycles_per_encoded_sample(path, design):
    table = rows(path)
    assert table[0]["head"]["trajectory_dimensions"] == 0
    assert table[0]["traj"].size == 0
    voxel_m = 0.22 / 32
    for row in table[1:]:
        assert row["head"]["trajectory_dimensions"] == 2
        assert row["traj"].dtype == np.float32
        shot = row["head"]["idx"]["kspace_encode_step_1"]
        assert np.allclose(row["traj"].reshape(128, 2), design.k_per_m[shot] * voxel_m, atol=1e-7)
        assert np.abs(row["traj"]).max() <= 0.5 + 0.5 / 32


def test_each_acquisition_states_time_centre_channels_and_placement(path):
    for row in rows(path):
        head = row["head"]
        assert head["number_of_samples"] == 128
        assert head["sample_time_us"] == pytest.approx(4.0)
        assert head["available_channels"] == head["active_channels"] == 1
        assert head["channel_mask"][0] == 1
        assert head["discard_pre"] == head["discard_post"] == 0
        assert np.allclose(np.cross(head["read_dir"], head["phase_dir"]), head["slice_dir"])
        assert np.linalg.norm(head["slice_dir"]) == pytest.approx(1.0)
        if not head["flags"] & (1 << 18):
            assert head["center_sample"] == 64
            assert np.allclose(head["position"], [0, 0, (-2.5, 2.5)[head["idx"]["slice"]]])  # mm


def test_flags_open_and_close_slices_repetition_and_measurement(path):
    flags = [int(row["head"]["flags"]) for row in rows(path)]

    def flagged(number: int) -> list[int]:
        return [index for index, value in enumerate(flags) if value & (1 << (number - 1))]

    assert flagged(7) == [1, 2]  # first in slice
    assert flagged(8) == [7, 8]  # last in slice
    assert flagged(14) == [8]  # last in repetition
    assert flagged(25) == [8]  # last in measurement


def test_xml_says_what_was_played(path):
    root = xml(path)

    def text(where: str) -> str:
        return root.find(where, NS).text

    assert text(".//m:trajectory") == "other"
    assert text(".//m:trajectoryDescription/m:identifier") == "seqopt-radial"
    assert float(text(".//m:TE")) == pytest.approx(3.0)
    assert float(text(".//m:TR")) == pytest.approx(12.0)
    assert float(text(".//m:flipAngle_deg")) == pytest.approx(15.0)
    assert text(".//m:H1resonanceFrequency_Hz") == "127728000"
    assert text(".//m:patientPosition") == "HFS"
    strings = {p[0].text: p[1].text for p in root.iterfind(".//m:userParameters/m:userParameterString", NS)}
    assert strings == {"trajectory_unit": "cycles_per_encoded_sample", "seq_signature": "0123456789abcdef" * 2}
    limits = {
        element.tag.split("}")[1]: [int(part.text) for part in element]
        for element in root.find(".//m:encodingLimits", NS)
    }
    assert limits["kspace_encoding_step_1"] == [0, 3, 2]
    assert limits["slice"] == [0, 1, 1]
    assert limits["kspace_encoding_step_0"] == [0, 127, 64]
    assert all(value == [0, 0, 0] for name, value in limits.items() if name in ("average", "repetition", "contrast"))


def test_the_schema_of_the_ismrmrd_package_accepts_it(path):
    with ismrmrd.Dataset(str(path), "dataset", mode="r") as dataset:
        header = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())  # fails on unknown elements
        assert dataset.number_of_acquisitions() == 9
        assert dataset.read_acquisition(1).traj.shape == (128, 2)
    assert header.encoding[0].reconSpace.matrixSize.x == 32
    assert header.encoding[0].encodedSpace.fieldOfView_mm.x == pytest.approx(220.0)


def test_equal_input_gives_equal_bytes(path, design, tmp_path):
    assert header_only(design, tmp_path / "again.mrd").read_bytes() == path.read_bytes()


def test_the_vendor_is_never_siemens(design, tmp_path):
    siemens = replace(design, scanner=replace(design.scanner, vendor="Siemens", name="Prisma"))
    root = xml(header_only(siemens, tmp_path / "s.mrd"))
    assert "siemens" not in root.find(".//m:systemVendor", NS).text.lower()
    assert root.find(".//m:systemModel", NS).text == "Prisma"


def test_an_order_that_misses_a_shot_is_refused(design, tmp_path):
    with pytest.raises(SeqoptError, match="got 1 readouts, expected each of 2 slices x 4 shots"):
        write_header(tmp_path / "x.mrd", design, te_s=3e-3, tr_s=9e-3, order=[(0, 0)], noise_readouts=1, seq_md5="x")


def test_more_shots_than_sixteen_bits_hold_are_refused():
    from seqopt.mrd.xml_header import HeaderFields, build_header

    fields = HeaderFields(
        geometry=radial_design().geometry,
        shots=70000,
        samples=8,
        echo_sample=4,
        coils=1,
        field_t=3.0,
        vendor="",
        model="",
    )
    with pytest.raises(SeqoptError, match="16-bit"):
        build_header(fields)


def test_data_join_the_header_by_position(path, tmp_path, rng):
    data = [(rng.standard_normal((3, 128)) + 1j).astype(np.complex64) for _ in range(9)]
    write_scan(tmp_path / "scan.mrd", path, data)
    table = rows(tmp_path / "scan.mrd")
    for row, wanted, planned in zip(table, data, rows(path), strict=True):
        assert np.array_equal(row["data"].view(np.complex64).reshape(3, 128), wanted)
        assert np.array_equal(row["traj"], planned["traj"])
        assert row["head"]["active_channels"] == 3
        assert row["head"]["channel_mask"][0] == 0b111
    assert xml(tmp_path / "scan.mrd").find(".//m:receiverChannels", NS).text == "3"


@pytest.mark.parametrize(
    ("count", "length", "saying"), [(8, 128, "plans 9 readouts, the data hold 8"), (9, 64, "readout 0")]
)
def test_data_of_another_size_do_not_join(path, tmp_path, count, length, saying):
    with pytest.raises(SeqoptError, match=saying):
        write_scan(tmp_path / "scan.mrd", path, [np.ones((2, length), np.complex64)] * count)


@pytest.fixture
def rng():
    return np.random.default_rng(1)
