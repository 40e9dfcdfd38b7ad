"""The data classes refuse what cannot be, and name the likely mistake."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from designs import paper_scanner, radial_design

from seqopt import units
from seqopt.core import Certificate, Check, Geometry, KspaceData, Protocol
from seqopt.errors import SeqoptError

GEOMETRY = Geometry(fov_m=(0.20, 0.26), matrix=(32, 40), slices=3, slice_thickness_m=0.004, slice_gap_m=0.001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fov_m": (220.0, 220.0)}, "field of view along x: got 220 m.*was it given in mm"),
        ({"fov_m": (0.22, 0.00022)}, "field of view along y: got 0.00022 m.*the other way round"),
        ({"fov_m": (float("nan"), 0.2)}, "field of view along x: got nan"),
        ({"matrix": (33, 40)}, "matrix along x: got 33, expected an even number; use 34"),
        ({"matrix": (32, 4)}, "matrix along y: got 4, expected 8..4096"),
        ({"matrix": (32, 100_000)}, "matrix along y: got 100000"),
        ({"slices": 0}, "slices: got 0"),
        ({"slice_thickness_m": 5.0}, "slice thickness: got 5 m.*was it given in mm"),
        ({"slice_gap_m": -0.001}, "slice gap: got -0.001 m"),
    ],
)
def test_a_geometry_names_the_likely_mistake(change, message):
    with pytest.raises(SeqoptError, match=message):
        dataclasses.replace(GEOMETRY, **change)


def test_a_geometry_knows_its_voxels_and_its_k_space():
    assert GEOMETRY.voxel_m == pytest.approx((0.00625, 0.0065))
    assert GEOMETRY.k_max_per_m == pytest.approx((80.0, 76.923), rel=1e-4)
    assert GEOMETRY.shape == (40, 32)  # images are (y, x)
    assert GEOMETRY.slice_positions_m() == pytest.approx([-0.005, 0.0, 0.005])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_grad_hz_per_m": 50.0}, "largest gradient: got .* mT/m, expected 1..1000 mT/m"),  # mT/m for Hz/m
        ({"max_grad_hz_per_m": 0.05}, "was it given in T/m or Hz/m"),
        ({"max_slew_hz_per_m_per_s": 200.0}, "largest slew rate: got .* T/m/s.*was it given in"),
        ({"grad_raster_s": 10.0}, "grad_raster_s: got 10 s.*give seconds"),  # us for s
        ({"rf_dead_time_s": 100.0}, "rf_dead_time_s: got 100 s"),
        ({"field_t": 3000.0}, "field: got 3000 T.*give tesla"),
        ({"margin": 95}, "margin: got 95"),  # percent for a share
        ({"margin": 0.0}, "margin: got 0"),
    ],
)
def test_a_scanner_names_the_likely_mistake(change, message):
    with pytest.raises(SeqoptError, match=message):
        dataclasses.replace(paper_scanner(), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"te_s": 1e-6}, "TE: got 1e-06 s.*ms where seconds"),
        ({"te_s": 40.0}, "TE: got 40 s"),
        ({"tr_s": 100.0}, "TR: got 100 s.*ms where seconds"),
        ({"tr_s": -1.0}, "TR: got -1 s"),
        ({"flip_rad": 15.0}, "flip angle: got 859.* degrees.*give degrees"),
        ({"flip_rad": 0.0}, "flip angle"),
        ({"dummy_shots": -1}, "dummy shots: got -1"),
    ],
)
def test_a_protocol_names_the_likely_mistake(change, message):
    with pytest.raises(SeqoptError, match=message):
        Protocol(**change)


def test_every_refusal_is_one_line():
    with pytest.raises(SeqoptError) as refusal:
        Geometry(fov_m=(220.0, 220.0), matrix=(32, 32))
    assert len(str(refusal.value).splitlines()) == 1


def damaged(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy[(0,) * copy.ndim] = np.nan
    return copy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {"k_per_m": d.k_per_m[0]}, "k_per_m has shape"),
        (lambda d: {"k_per_m": np.concatenate([d.k_per_m, d.k_per_m[..., :1]], -1)}, "expected 3 axes ending in 2"),
        (lambda d: {"k_per_m": damaged(d.k_per_m)}, "k_per_m holds NaN"),
        (lambda d: {"gradient_hz_per_m": damaged(d.gradient_hz_per_m)}, "gradient_hz_per_m holds NaN"),
        (lambda d: {"k_start_per_m": d.k_start_per_m[:-1]}, "disagree on the number of shots"),
        (lambda d: {"gradient_hz_per_m": d.gradient_hz_per_m[:-1]}, "disagree on the number of shots"),
        (lambda d: {"initial_k_per_m": d.initial_k_per_m[:, :-1]}, "another shape"),
        (lambda d: {"echo_sample": d.samples}, "echo sample: got 64, expected 0..63"),
        (lambda d: {"echo_sample": -1}, "echo sample: got -1"),
        (lambda d: {"gradient_hz_per_m": d.gradient_hz_per_m + 1.0}, "start and end at zero gradient"),
        (lambda d: {"adc_start_edge": d.adc_start_edge + 11}, "the ADC ends after the waveform"),
    ],
)
def test_a_design_checks_itself(change, message):
    design = radial_design(samples=64, shots=2)
    with pytest.raises(SeqoptError, match=message):
        dataclasses.replace(design, **change(design))


def test_a_design_knows_its_times():
    design = radial_design(samples=64, shots=2)
    assert (design.shots, design.samples) == (2, 64)
    assert design.block_duration_s == pytest.approx((10 + 26 + 10) * 10e-6)
    assert design.echo_time_in_block_s == pytest.approx(100e-6 + 32.5 * 4e-6)


def kspace(**change) -> KspaceData:
    fields = {
        "samples": np.ones((1, 2, 3, 4), np.complex64),
        "k_per_m": np.zeros((3, 4, 2)),
        "geometry": GEOMETRY,
        "dwell_s": 4e-6,
    }
    return KspaceData(**{**fields, **change})


def test_acquired_data_check_themselves():
    kspace()
    kspace(k_per_m=np.zeros((1, 3, 4, 2)))
    with pytest.raises(SeqoptError, match="slices, coils, shots, samples"):
        kspace(samples=np.ones((2, 3, 4), np.complex64))
    with pytest.raises(SeqoptError, match="does not match samples"):
        kspace(k_per_m=np.zeros((4, 3, 2)))
    with pytest.raises(SeqoptError, match="samples hold NaN"):
        kspace(samples=damaged(np.ones((1, 2, 3, 4), np.complex64)))
    with pytest.raises(SeqoptError, match="trajectory holds NaN"):
        kspace(k_per_m=damaged(np.zeros((3, 4, 2))))


def test_a_certificate_holds_only_if_every_check_does():
    held = Check(name="gradient.amplitude", held=True, value=40.0, limit=50.0, unit="mT/m")
    broken = dataclasses.replace(held, name="gradient.slew", held=False)
    good = Certificate(file="a.seq", md5="0", scanner="paper", checks=(held,))
    bad = dataclasses.replace(good, checks=(held, broken))
    assert good.holds
    assert not bad.holds
    assert bad.failures == (broken,)
    assert json.loads(json.dumps(bad.to_dict()))["checks"][1]["name"] == "gradient.slew"


def test_units_convert_there_and_back_for_floats_and_arrays():
    import torch

    assert units.mt_per_m_to_hz_per_m(40.0) == pytest.approx(1.70304e6)
    assert units.t_per_m_per_s_to_hz_per_m_per_s(200.0) == pytest.approx(8.5152e9)
    for value in (40.0, np.array([1.0, 40.0]), torch.tensor([1.0, 40.0])):
        back = units.hz_per_m_to_mt_per_m(units.mt_per_m_to_hz_per_m(value))
        assert type(back) is type(value)
        assert np.allclose(np.asarray(back), np.asarray(value))
        back = units.hz_per_m_per_s_to_t_per_m_per_s(units.t_per_m_per_s_to_hz_per_m_per_s(value))
        assert np.allclose(np.asarray(back), np.asarray(value))
        assert np.allclose(np.asarray(units.cycles_to_k(units.k_to_cycles(value, 0.002), 0.002)), np.asarray(value))


def test_k_max_is_half_a_cycle_and_pi_per_voxel():
    k_max, voxel = np.array(GEOMETRY.k_max_per_m), np.array(GEOMETRY.voxel_m)
    assert np.allclose(units.k_to_cycles(k_max, voxel), 0.5)
    assert np.allclose(units.k_to_radians(k_max, voxel), np.pi)
