"""The header of a mask as readers without seqopt see it: the ismrmrd package and raw HDF5."""

from __future__ import annotations

from dataclasses import replace

import ismrmrd
import numpy as np
import pytest
from mask_designs import export_mask, mask_design

from seqopt.errors import SeqoptError
from seqopt.mrd.header import play_order, write_scan
from seqopt.mrd.mask_header import write_mask_header
from seqopt.pulseq.cartesian import plan_mask


@pytest.fixture(scope="module", params=["gre", "tse"])
def design(request):
    return mask_design(request.param)


@pytest.fixture(scope="module")
def path(design, tmp_path_factory):
    return export_mask(design, tmp_path_factory.mktemp("mask")) / f"{design.name}.mrd"


def opened(path):
    with ismrmrd.Dataset(str(path), "dataset", mode="r") as dataset:
        header = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
        return header, [dataset.read_acquisition(at) for at in range(dataset.number_of_acquisitions())]


def test_the_encoding_is_that_of_an_oversampled_cartesian_scan(path, design):
    encoding = opened(path)[0].encoding[0]
    assert encoding.trajectory.value == "cartesian"
    encoded, image = encoding.encodedSpace, encoding.reconSpace
    assert (encoded.matrixSize.x, encoded.matrixSize.y, encoded.matrixSize.z) == (64, 24, 1)
    assert (image.matrixSize.x, image.matrixSize.y, image.matrixSize.z) == (32, 24, 1)
    assert (encoded.fieldOfView_mm.x, encoded.fieldOfView_mm.y) == (pytest.approx(440.0), pytest.approx(200.0))
    assert (image.fieldOfView_mm.x, image.fieldOfView_mm.y) == (pytest.approx(220.0), pytest.approx(200.0))
    limits = encoding.encodingLimits
    found = {
        name: (getattr(limits, name).minimum, getattr(limits, name).maximum, getattr(limits, name).center)
        for name in ("kspace_encoding_step_0", "kspace_encoding_step_1", "slice", "segment", "contrast", "set")
    }
    echoes = 4 if design.play.sequence == "tse" else 1
    assert found == {
        "kspace_encoding_step_0": (0, 63, 32),
        "kspace_encoding_step_1": (0, 23, 12),
        "slice": (0, 1, 1),
        "segment": (0, echoes - 1, 0),
        "contrast": (0, 0, 0),
        "set": (0, 0, 0),
    }
    assert encoding.echoTrainLength == echoes


def test_the_parallel_imaging_block_states_acceleration_and_calibration(path, design, tmp_path):
    parallel = opened(path)[0].encoding[0].parallelImaging
    assert parallel.accelerationFactor.kspace_encoding_step_1 == 2  # 24 / 11
    assert parallel.accelerationFactor.kspace_encoding_step_2 == 1
    assert parallel.calibrationMode.value == "embedded"
    without = mask_design(design.play.sequence, calibration=0)
    bare = export_mask(without, tmp_path) / f"{without.name}.mrd"
    header, acquisitions = opened(bare)
    assert header.encoding[0].parallelImaging.calibrationMode.value == "other"
    assert not any(item.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING) for item in acquisitions)


def test_times_and_angles_are_those_of_the_sequence(path, design):
    parameters, timing = opened(path)[0].sequenceParameters, plan_mask(design)
    assert parameters.TE == [pytest.approx(timing.te_s * 1e3)]
    assert parameters.TR == [pytest.approx(timing.tr_s * 1e3)]
    assert parameters.flipAngle_deg == [pytest.approx(90.0 if design.play.sequence == "tse" else 15.0)]
    spacing = timing.echo_spacing_s
    assert parameters.echo_spacing == ([] if spacing is None else [pytest.approx(spacing * 1e3)])


def test_one_acquisition_a_line_in_play_order_noise_first(path, design):
    acquisitions, timing = opened(path)[1], plan_mask(design)
    assert len(acquisitions) == 1 + 22
    assert acquisitions[0].isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    assert not any(item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT) for item in acquisitions[1:])
    lines = [(item.idx.slice, item.idx.kspace_encode_step_1) for item in acquisitions[1:]]
    assert lines == list(timing.order)
    assert play_order(path)[1:] == [(False, *place) for place in timing.order]
    assert [item.idx.segment for item in acquisitions[1:]] == list(timing.echoes or [0] * 22)
    assert all(item.idx.contrast == item.idx.set == 0 for item in acquisitions)


def test_each_line_states_its_centre_dwell_and_whether_it_calibrates(path):
    for item in opened(path)[1]:
        assert item.number_of_samples == 64
        assert item.trajectory_dimensions == 0
        assert item.sample_time_us == pytest.approx(4.0)
        if not item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            assert item.center_sample == 32
            calibrates = item.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
            assert bool(calibrates) == (item.idx.kspace_encode_step_1 in (10, 11, 12, 13))
            assert not item.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)


def test_flags_open_and_close_slices_and_measurement(path):
    acquisitions = opened(path)[1]
    first = [at for at, item in enumerate(acquisitions) if item.isFlagSet(ismrmrd.ACQ_FIRST_IN_SLICE)]
    last = [at for at, item in enumerate(acquisitions) if item.isFlagSet(ismrmrd.ACQ_LAST_IN_SLICE)]
    slices = [item.idx.slice for item in acquisitions]
    assert first == [1, slices.index(1)]
    assert sorted(last) == sorted(len(slices) - 1 - slices[::-1].index(slice_) for slice_ in (0, 1))
    assert acquisitions[-1].isFlagSet(ismrmrd.ACQ_LAST_IN_MEASUREMENT)


def test_data_join_the_header_by_position(path, tmp_path):
    data = [np.full((3, 64), at + 1j, np.complex64) for at in range(23)]
    write_scan(tmp_path / "scan.mrd", path, data)
    header, acquisitions = opened(tmp_path / "scan.mrd")
    assert header.acquisitionSystemInformation.receiverChannels == 3
    for at, (item, planned) in enumerate(zip(acquisitions, opened(path)[1], strict=True)):
        assert np.array_equal(item.data, data[at])
        assert item.idx.kspace_encode_step_1 == planned.idx.kspace_encode_step_1
        assert item.flags == planned.flags


def test_an_order_that_misses_or_repeats_a_line_is_refused(design, tmp_path):
    timing = plan_mask(design)
    for order in (timing.order[1:], (*timing.order[1:], timing.order[1])):
        with pytest.raises(SeqoptError, match="expected each of 2 slices x 11 lines once"):
            write_mask_header(
                tmp_path / "x.mrd", design, te_s=3e-3, tr_s=9e-3, order=order, noise_readouts=1, seq_md5="x"
            )
    other = replace(design, shots=9)
    with pytest.raises(SeqoptError, match="expected each of 2 slices x 9 lines once"):
        write_mask_header(
            tmp_path / "x.mrd", other, te_s=3e-3, tr_s=9e-3, order=timing.order, noise_readouts=1, seq_md5="x"
        )
    assert list(tmp_path.iterdir()) == []
