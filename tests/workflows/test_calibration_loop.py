"""From a scanner whose gradients lag and whose field is off to the image: what calibration scans measure and mend."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from designs import radial_design
from exported import export
from mask_designs import export_mask, mask_design
from scipy.ndimage import gaussian_filter

from seqopt.errors import SeqoptError
from seqopt.images.sources import load_images
from seqopt.mrd.files import read_raw
from seqopt.mrd.recon_config import ReconConfig
from seqopt.mrd.scan import read_scan
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.reconstruct_calibration import Calibration
from seqopt.workflows.simulate import simulate
from seqopt.workflows.simulate_field import smooth_field_hz
from seqopt.workflows.simulate_signals import Disturbance
from seqopt.workflows.store import save_design

LAG = Disturbance(delays_s=(3e-6, 3e-6))


@pytest.fixture(scope="module")
def design():
    made = radial_design(shots=32, samples=256, matrix=64)
    return replace(made, protocol=replace(made.protocol, calibrate=("maps", "delays", "b0")))


@pytest.fixture(scope="module")
def folder(design, tmp_path_factory):
    folder = export(design, tmp_path_factory.mktemp("loop") / "design")
    every = load_images(None, matrix=128, fov_m=0.22).images
    np.save(folder / "brain.npy", every[np.linspace(0, len(every) - 1, 40).astype(int)])
    return folder


def scanned(folder, name, disturbance=None, snr=float("inf")):
    path = folder / f"{name}.mrd"
    brain, truth = folder / "brain.npy", folder / "truth.npy"
    simulate(folder, path, images=brain, coils=4, snr=snr, truth=truth, disturbance=disturbance)
    return path


@pytest.fixture(scope="module")
def clean(folder):
    return scanned(folder, "clean")


@pytest.fixture(scope="module")
def lagging(folder):
    return scanned(folder, "lagging", LAG)


def error(folder, scan, **options):
    out = scan.with_suffix("")
    summary = reconstruct(scan, out, design_path=folder, cross_check=False, **options)
    truth = np.load(folder / "truth.npy")
    scale = (summary.images * truth).sum() / (summary.images**2).sum()
    return float(np.linalg.norm(scale * summary.images - truth) / np.linalg.norm(truth)), summary


def test_a_lag_of_three_microseconds_changes_the_signal_by_more_than_a_tenth(design, clean, lagging):
    before, after = (read_scan(path, design).kspace.samples for path in (clean, lagging))
    assert 0.1 < np.linalg.norm(after - before) / np.linalg.norm(before) < 0.4


def test_with_calibrated_delays_the_image_is_that_without_delays(folder, clean, lagging):
    without_lag, _ = error(folder, clean)
    mended, summary = error(folder, lagging)
    spoilt, _ = error(folder, lagging, calibration_scans=False, gradient_delays="none")
    assert mended < 1.05 * without_lag + 1e-3
    assert spoilt > 2 * without_lag
    assert any("lag by 3.0" in note for note in summary.notes)


def test_reference_scans_lie_where_lagging_gradients_led_them(lagging):
    """So much earlier on a straight line, at constant speed."""
    raw = read_raw(lagging)
    moved, nominal = (
        Calibration.of(raw, lagging, ReconConfig(gradient_delays=delays), []).scans["maps"]
        for delays in ("calibration", "none")
    )
    speed = np.gradient(nominal.k_per_m, nominal.dwell_s, axis=-2)
    back = (nominal.k_per_m - moved.k_per_m)[:, 4:-4]
    assert np.linalg.norm(back - 3e-6 * speed[:, 4:-4]) < 0.05 * np.linalg.norm(back)


def test_delays_are_corrected_once_though_the_response_has_them_too(folder, clean, lagging, tmp_path):
    without_lag, _ = error(folder, clean)
    hz = np.linspace(0, 50_000, 501)
    x, y = (np.exp(-2j * np.pi * hz * lag_s) for lag_s in LAG.delays_s)
    table = np.stack([hz, x.real, x.imag, y.real, y.imag], 1)
    np.savetxt(tmp_path / "g.csv", table, delimiter=",", header="frequency_hz,x_re,x_im,y_re,y_im", comments="")
    mended, summary = error(folder, lagging, girf=str(tmp_path / "g.csv"))
    assert mended < 1.05 * without_lag + 1e-3
    assert not any("lag by" in note for note in summary.notes)


def test_delays_are_found_in_noise_and_recorded(folder):
    scan = scanned(folder, "noisy", Disturbance(delays_s=(3e-6, -1e-6)), snr=20.0)
    spoilt, _ = error(folder, scan, calibration_scans=False, gradient_delays="none")
    mended, _ = error(folder, scan)
    record = json.loads((scan.with_suffix("") / "recon.json").read_text())
    assert record["gradient_delays_us"] == pytest.approx([3.0, -1.0], abs=0.15)
    assert record["maps_from"] == "reference scan"
    assert mended < 0.8 * spoilt


def test_maps_of_the_reference_serve_as_well_as_those_of_the_image(folder, clean):
    by_reference, _ = error(folder, clean)
    by_image, _ = error(folder, clean, calibration_scans=False)
    assert by_reference < by_image + 0.005


def test_the_field_is_mapped_and_stored_in_hertz(folder, design):
    scan = scanned(folder, "field", Disturbance(off_resonance_hz=80.0), snr=50.0)
    _, summary = error(folder, scan)
    path = next(path for path in summary.files if path.name == "field_map.nii")
    found = nibabel.load(path).get_fdata()[:, :, 0].T
    due = smooth_field_hz(design.geometry.shape, 80.0)
    inside = found != 0
    assert inside.mean() > 0.2
    assert np.sqrt(np.mean((found - due)[inside] ** 2)) < 5.0
    assert found[inside].min() < 0


def test_a_mask_takes_its_maps_from_the_reference(tmp_path):
    mask = mask_design("tse", matrix=(32, 32), shots=16, fov_m=(0.22, 0.22))
    mask = replace(mask, protocol=replace(mask.protocol, calibrate=("maps",)))
    folder = export_mask(mask, tmp_path / "d")
    save_design(folder / "design.h5", mask)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "i.npy", np.abs(gaussian_filter(rng.normal(size=(40, 64, 64)), (0, 3, 3))))
    simulate(folder, tmp_path / "s.mrd", images=tmp_path / "i.npy", coils=4, snr=50.0)
    summary = reconstruct(tmp_path / "s.mrd", tmp_path / "o", design_path=folder, method="cg-sense")
    assert json.loads((tmp_path / "o" / "recon.json").read_text())["maps_from"] == "reference scan"
    assert summary.agrees


def test_impossible_disturbances_are_refused():
    with pytest.raises(SeqoptError, match="gradient delay: got 3e"):
        Disturbance(delays_s=(3.0, 3.0))
    with pytest.raises(SeqoptError, match="off-resonance: got nan"):
        Disturbance(off_resonance_hz=float("nan"))
