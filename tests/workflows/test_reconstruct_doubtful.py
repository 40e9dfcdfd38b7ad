"""What a scan leaves in doubt does not stop or spoil its reconstruction: bad noise readouts, delays, idle options."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian
from designs import radial_design
from exported import export

from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import write_acquisitions
from seqopt.mrd.files import read_raw
from seqopt.mrd.recon_config import ReconConfig
from seqopt.recon.noise_map import noise_map
from seqopt.workflows import quality, reconstruct_output
from seqopt.workflows.quality import Quality
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.reconstruct_settings import settle
from seqopt.workflows.simulate import simulate

SIGMA = 0.02


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(size=(*shape, 2)) @ [1, 1j]
    return (SIGMA / np.sqrt(2) * draw).astype(np.complex64)


def lines(
    path: Path, *, count: int = 64, coils: int = 4, averages: int = 1, seed: int = 0, change=None, **options
) -> Path:
    """A noisy scan of every line with a noise readout of ``count`` samples."""

    def measured(items):
        head, *image = items
        copies = []
        for average in range(averages):
            for place, item in enumerate(image):
                one = ismrmrd.Acquisition(
                    item.getHead(), item.data + noise(*item.data.shape, seed=9 + seed + 997 * average + place)
                )
                one.idx.average = average
                copies.append(one)
        every = [head, *copies]
        return (change(every) or every) if change else every

    image = (phantom() * ring_maps(coils))[None]
    return write_cartesian(path, image, noise=noise(coils, count), change=measured, **options)


def coil(number: int, like: int | None):
    def spoil(items):
        for item in items:
            item.data[number] = 0 if like is None else item.data[like]

    return spoil


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ({"count": 6}, "not prewhitened: noise readout: got 6 samples for 4 coils, expected at least 8"),
        (
            {"change": coil(3, like=0)},
            "not prewhitened: noise readout: its covariance is singular, two coils are alike",
        ),
    ],
)
def test_noise_that_tells_no_covariance_is_left_and_said(tmp_path, options, saying):
    path = lines(tmp_path / "s.mrd", **options)
    summary = reconstruct(path, tmp_path / "out", cross_check=False)
    assert not summary.whitened
    assert any(saying in note for note in summary.notes)
    with pytest.raises(SeqoptError, match=r"noise readout: .*; do not prewhiten"):
        reconstruct(path, tmp_path / "no", prewhiten=True)


def test_a_dead_coil_is_left_out(tmp_path):
    whole = reconstruct(lines(tmp_path / "w.mrd", coils=4), tmp_path / "w", cross_check=False)
    path = lines(tmp_path / "d.mrd", coils=4, change=coil(2, like=None))
    summary = reconstruct(path, tmp_path / "out", cross_check=False)
    assert (summary.whitened, summary.coils) == (True, 3)
    assert "coils that recorded nothing but zeros were left out: 2 (counted from 0)" in summary.notes
    assert np.corrcoef(summary.images.ravel(), whole.images.ravel())[0, 1] > 0.98


def wider(items):
    """The noise readout at a fourth of the dwell, with four times the power."""
    items[0].sample_time_us = items[1].sample_time_us / 4
    items[0].data[:] = 2 * items[0].data


@pytest.mark.parametrize("prewhiten", [None, False])
@pytest.mark.parametrize(("averages", "change"), [(1, None), (4, None), (1, wider)])
def test_the_noise_of_the_quality_page_is_that_between_two_scans(tmp_path, monkeypatch, prewhiten, averages, change):
    """They differ in the noise of their lines only."""
    judged: list[Quality] = []
    monkeypatch.setattr(reconstruct_output, "write_quality", lambda path, _, found, __: judged.append(found) or path)
    for seed in (0, 5000):
        path = lines(tmp_path / f"{seed}.mrd", count=4096, averages=averages, change=change, seed=seed)
        options = {"method": "zero-filled", "cross_check": False, "prewhiten": prewhiten}
        reconstruct(path, tmp_path / "out", quality=True, **options)
    one, other = (each.looked for each in judged)
    said = noise_map(one.reconstruct, one.samples, one.image, judged[0].noise)
    apart = (one.reconstruct(other.samples) - one.image) * np.exp(-1j * np.angle(one.image))
    inside = np.abs(one.image) > 0.2 * np.abs(one.image).max()  # outside, the noise itself makes the phase
    assert np.sqrt((apart.real[inside] ** 2).mean() / 2) == pytest.approx(np.sqrt((said[inside] ** 2).mean()), rel=0.1)


def test_without_noise_readout_the_outermost_lines_tell_the_noise(tmp_path, monkeypatch):
    """Of an object so smooth that they hold nothing else; half the noise goes with the oversampling."""
    judged: list[Quality] = []
    monkeypatch.setattr(reconstruct_output, "write_quality", lambda path, _, found, __: judged.append(found) or path)

    def noisy(items):
        for place, item in enumerate(items):
            item.data[:] += noise(*item.data.shape, seed=place)

    v, u = np.meshgrid(np.arange(32) - 16, np.arange(32) - 16, indexing="ij")
    images = np.exp(-(u**2 + v**2) / 50)[None, None] * np.ones((1, 4, 1, 1))
    path = write_cartesian(tmp_path / "s.mrd", images, change=noisy)
    reconstruct(path, tmp_path / "out", method="zero-filled", cross_check=False, quality=True)
    assert judged[0].noise.sigma.mean() == pytest.approx(SIGMA / np.sqrt(2), rel=0.07)


def test_the_median_snr_of_the_page_is_that_of_the_object(tmp_path, monkeypatch):
    """Of whitened coils, combined by maps: noise of 1 / sqrt(2) in phase with the image."""
    monkeypatch.setattr(quality, "_figures", lambda *_: [])
    path = lines(tmp_path / "s.mrd", count=4096)
    images = reconstruct(path, tmp_path / "out", method="zero-filled", cross_check=False, quality=True).images
    (found,) = re.findall(r"the median SNR is ([\d.]+\d)", (tmp_path / "out" / "qc.html").read_text())
    assert float(found) == pytest.approx(np.median(images[0][np.abs(phantom()) > 0.2]) * np.sqrt(2), rel=0.1)


def test_no_noise_is_where_nothing_was_acquired(tmp_path, monkeypatch):
    """Of half an echo, whose readouts begin at the centre, and half the lines."""

    def halved(items):
        for item in items[1:]:
            item.discard_pre, item.center_sample = 24, 32
        return items

    judged: list[Quality] = []
    monkeypatch.setattr(reconstruct_output, "write_quality", lambda path, _, found, __: judged.append(found) or path)
    path = lines(tmp_path / "s.mrd", lines=range(4, 30), change=halved)
    reconstruct(path, tmp_path / "out", method="zero-filled", cross_check=False, quality=True)
    relative = np.broadcast_to(judged[0].noise.relative, judged[0].looked.samples.shape[1:])
    expected = np.zeros((32, 32))
    expected[4:30, 12:] = 1
    assert np.array_equal(relative, expected)


def test_the_headers_noise_bandwidth_counts(tmp_path):
    """Where the receiver kept 0.64 of the noise's band, the image's noise is that of 1 / 0.64 of its power."""
    levels = []
    for share in ("", "<relativeReceiverNoiseBandwidth>0.64</relativeReceiverNoiseBandwidth>"):
        path = lines(tmp_path / f"s{len(share)}.mrd")
        system = f"<acquisitionSystemInformation>{share}</acquisitionSystemInformation>"
        with h5py.File(path, "r+") as file:
            text = file["dataset/xml"][0].decode()
            file["dataset/xml"][0] = text.replace("<experimentalConditions>", system + "<experimentalConditions>")
        levels.append(reconstruct(path, tmp_path / "out", method="zero-filled", cross_check=False).images.max())
    assert levels[1] / levels[0] == pytest.approx(0.8, rel=1e-3)


@pytest.fixture(scope="module")
def spokes(tmp_path_factory) -> Path:
    design = radial_design(slices=2, shots=24, samples=128, matrix=32)
    folder = export(design, tmp_path_factory.mktemp("d") / "design")
    for coils in (1, 4):
        simulate(folder, folder / f"{coils}.mrd", coils=coils, snr=20.0)
    return folder


def shift(items) -> None:
    """Trajectories that are not where the samples were taken."""
    for item in items:
        if not item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            item.traj[:, 0] += 0.6 * 0.25 / 32 * np.sign(item.traj[-1, 0])


def test_delays_are_found_beside_a_coil_that_holds_but_noise(spokes, tmp_path):
    raw = read_raw(spokes / "4.mrd")
    loud = max(float(np.abs(item.data).max()) for item in raw.acquisitions)
    for place, item in enumerate(raw.acquisitions):
        item.data[3] = 10 * loud / SIGMA * noise(item.data.shape[1], seed=place)
    shift(raw.acquisitions)
    write_acquisitions(tmp_path / "s.mrd", raw.xml, raw.acquisitions)
    notes = reconstruct(tmp_path / "s.mrd", tmp_path / "out", method="adjoint", cross_check=False).notes
    assert any("spokes intersect off the centre" in note for note in notes)


def test_delays_are_looked_for_in_a_slice_with_signal(spokes, tmp_path):
    """The first slice is air: what its noise says of delays is chance."""
    raw = read_raw(spokes / "4.mrd")
    loud = max(float(np.abs(item.data).max()) for item in raw.acquisitions)
    for place, item in enumerate(raw.acquisitions):
        if item.idx.slice == 0 and not item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            item.data[:] = 0.01 * loud / SIGMA * noise(*item.data.shape, seed=place)
    shift(raw.acquisitions)
    write_acquisitions(tmp_path / "s.mrd", raw.xml, raw.acquisitions)
    summary = reconstruct(tmp_path / "s.mrd", tmp_path / "out", method="adjoint", cross_check=False)
    clean = reconstruct(spokes / "4.mrd", tmp_path / "c", method="adjoint", cross_check=False)
    assert not any("spokes intersect" in note for note in clean.notes)
    assert any("spokes intersect off the centre" in note for note in summary.notes)


def test_one_coil_tells_no_delays(spokes, tmp_path):
    summary = reconstruct(spokes / "1.mrd", tmp_path / "out", method="adjoint", cross_check=False)
    assert "gradient delays were not looked for: one coil does not tell where spokes intersect" in summary.notes
    assert not any("spokes intersect off" in note for note in summary.notes)


def test_only_what_recon_toml_states_comes_before_the_methods_own(tmp_path):
    path = tmp_path / "recon.toml"

    def sparse(text: str, chosen: str = "l1-wavelet", **options) -> tuple[int, float]:
        path.write_text(text)
        config = settle(tmp_path, options).for_trajectories(chosen)
        return config.iterations, config.regularisation

    assert sparse('method = "l1-wavelet"') == (40, 0.003)
    assert sparse('method = "l1-wavelet"\niterations = 7') == (7, 0.003)
    assert sparse('method = "auto"\niterations = 12\nregularisation = 0.01') == (40, 0.003)
    assert sparse('method = "auto"', iterations=9) == (9, 0.003)
    assert sparse('method = "tv"\niterations = 50\nregularisation = 0.1', "cg-sense", method="cg-sense") == (12, 0.01)
    assert sparse('method = "cg-sense"\niterations = 12', method="l1-wavelet") == (40, 0.003)
    assert settle(tmp_path, {}).config == replace(ReconConfig(), iterations=12)


def test_options_that_change_nothing_are_named(spokes, tmp_path):
    path = lines(tmp_path / "s.mrd")
    asked = {"gradient_delays": "ring", "density": "analytic", "segments": 3, "units": "per_m"}
    notes = reconstruct(path, tmp_path / "a", cross_check=False, **asked).notes
    (note,) = (note for note in notes if "no effect" in note)
    assert note == (
        "--density, --gradient-delays, --segments, --trajectory-units have no effect on cg-sense of Cartesian lines"
    )
    asked = {"method": "adjoint", "maps": "espirit", "iterations": 5, "cross_check_sense": True}
    (note,) = reconstruct(spokes / "4.mrd", tmp_path / "b", cross_check=False, **asked).notes
    said = "--iterations, --maps, --cross-check sigpy (of coil maps and CG-SENSE) have no effect on adjoint along"
    assert note.startswith(said)
    assert not any(
        "no effect" in note for note in reconstruct(path, tmp_path / "c", iterations=5, cross_check=False).notes
    )
