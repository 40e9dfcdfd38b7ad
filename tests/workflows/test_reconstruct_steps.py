"""The steps of a reconstruction on simulated scans whose fault is known: with the step it leaves no trace."""

from __future__ import annotations

import json
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian
from designs import radial_design
from exported import export

from seqopt.cli.recon import command
from seqopt.cli.recon_options import settings_of
from seqopt.errors import SeqoptError
from seqopt.images.sources import load_images
from seqopt.mrd.recon_config import ReconConfig, read_recon_config, recon_toml
from seqopt.recon.cross_check import agree
from seqopt.recon.unrolled import Unrolled
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.reconstruct_output import ReconSummary
from seqopt.workflows.reconstruct_settings import settle
from seqopt.workflows.simulate import simulate
from seqopt.workflows.simulate_field import smooth_field_hz
from seqopt.workflows.simulate_signals import Disturbance
from seqopt.workflows.store import load_design, save_design

OFF_HZ = 1000.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = export(radial_design(shots=32, samples=256, matrix=64), tmp_path_factory.mktemp("steps") / "design")
    every = load_images(None, matrix=128, fov_m=0.22).images
    np.save(folder / "brain.npy", every[np.linspace(0, len(every) - 1, 40).astype(int)])
    return folder


def scanned(folder: Path, name: str, disturbance: Disturbance | None = None, *, coils: int = 6) -> Path:
    path = folder / f"{name}.mrd"
    if not path.exists():
        options = {"images": folder / "brain.npy", "coils": coils, "snr": 60.0, "truth": folder / "truth.npy"}
        simulate(folder, path, disturbance=disturbance, **options)
    return path


def error(folder: Path, scan: Path, out: Path, **options: object) -> tuple[float, ReconSummary]:
    summary = reconstruct(scan, out, design_path=folder, cross_check=False, **options)
    truth, image = np.load(folder / "truth.npy"), np.abs(nibabel.load(out / "image.nii").get_fdata().transpose(2, 1, 0))
    scale = (image * truth).sum() / (image**2).sum()
    return float(np.linalg.norm(scale * image - truth) / np.linalg.norm(truth)), summary


def record(out: Path) -> dict[str, object]:
    return json.loads((out / "recon.json").read_text())


def test_delays_are_found_from_the_spokes_themselves(folder, tmp_path):
    clean, _ = error(folder, scanned(folder, "clean"), tmp_path / "c")
    lagging = scanned(folder, "lagging", Disturbance(delays_s=(4e-6, 2e-6)))
    spoilt, _ = error(folder, lagging, tmp_path / "s", gradient_delays="none")
    mended, summary = error(folder, lagging, tmp_path / "m")
    assert spoilt > 1.5 * clean
    assert mended < 1.1 * clean + 2e-3
    (note,) = (note for note in summary.notes if "spokes intersect" in note)
    x, y = (float(part.split()[-1]) for part in note.split(" us (")[:2])
    assert x == pytest.approx(4.0, abs=0.3)
    assert y == pytest.approx(2.0, abs=0.3)
    assert record(tmp_path / "c")["spoke_shift_per_fov"] is None
    assert record(tmp_path / "m")["spoke_shift_per_fov"] is not None


def test_the_gradient_response_from_a_file_does_as_well(folder, tmp_path):
    lagging = scanned(folder, "lagging", Disturbance(delays_s=(4e-6, 2e-6)))
    hz = np.linspace(0, 50_000, 501)
    x, y = (np.exp(-2j * np.pi * hz * lag_s) for lag_s in (4e-6, 2e-6))
    table = np.stack([hz, x.real, x.imag, y.real, y.imag], 1)
    np.savetxt(tmp_path / "girf.csv", table, delimiter=",", header="frequency_hz,x_re,x_im,y_re,y_im", comments="")
    clean, _ = error(folder, scanned(folder, "clean"), tmp_path / "c")
    mended, summary = error(folder, lagging, tmp_path / "m", girf=str(tmp_path / "girf.csv"))
    assert mended < 1.1 * clean + 2e-3
    assert any("response to the gradients since before the excitation" in note for note in summary.notes)
    (sequence,) = folder.glob("*.seq")
    played = reconstruct(lagging, tmp_path / "p", seq_path=sequence, girf=str(tmp_path / "girf.csv"), cross_check=False)
    assert np.linalg.norm(played.images - summary.images) < 2e-3 * np.linalg.norm(summary.images)
    with pytest.raises(SeqoptError, match="give --design or --seq"):
        reconstruct(lagging, tmp_path / "o", girf=str(tmp_path / "girf.csv"))


def test_off_resonance_is_corrected_by_a_map_from_a_file(folder, tmp_path):
    """1000 Hz turn the phase by a whole circle while a spoke is read."""
    scan = scanned(folder, "field", Disturbance(off_resonance_hz=OFF_HZ))
    fine = smooth_field_hz((128, 128), OFF_HZ)
    field = fine.reshape(64, 2, 64, 2).mean((1, 3))
    nibabel.save(nibabel.Nifti1Image(field.T[..., None].astype(np.float32), None), tmp_path / "field.nii")
    clean, _ = error(folder, scanned(folder, "clean"), tmp_path / "c")
    spoilt, _ = error(folder, scan, tmp_path / "s")
    errors = {
        method: error(folder, scan, tmp_path / method, method=method, field_map=str(tmp_path / "field.nii"))[0]
        for method in ("cg-sense", "tv")
    }
    assert spoilt > 1.5 * clean
    assert errors["cg-sense"] < 1.2 * clean + 5e-3
    assert errors["tv"] < 1.2 * clean + 5e-3
    assert record(tmp_path / "tv")["field_map_corrected"] == "field.nii"
    small = tmp_path / "small.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((32, 48, 1), np.float32), None), small)
    with pytest.raises(
        SeqoptError, match=r"small.nii has 32 x 48 x 1 pixels .*, the images 64 x 64 x 1, and it states"
    ):
        reconstruct(scan, tmp_path / "o", design_path=folder, field_map=str(small))
    with pytest.raises(SeqoptError, match="hold no calibration scan 'b0'"):
        reconstruct(scan, tmp_path / "o", design_path=folder, field_map="measured")
    assert not (tmp_path / "o").exists()


def test_a_map_lies_where_its_affine_says(folder, tmp_path):
    """Turned, finer, larger and with slices to choose from, it corrects as well; elsewhere it is refused."""
    scan = scanned(folder, "field", Disturbance(off_resonance_hz=OFF_HZ))
    plain = smooth_field_hz((128, 128), OFF_HZ).reshape(64, 2, 64, 2).mean((1, 3))
    nibabel.save(nibabel.Nifti1Image(plain.T[..., None].astype(np.float32), None), tmp_path / "plain.nii")
    wanted, _ = error(folder, scan, tmp_path / "s", field_map=str(tmp_path / "plain.nii"))
    affine = nibabel.load(tmp_path / "s" / "image.nii").affine
    around = np.pad(plain, ((6, 6), (6, 6)), mode="edge").T  # x, y
    volume = np.stack([around - 700, around, around + 500], -1)
    stacked = affine @ np.array([[1, 0, 0, -6], [0, 1, 0, -6], [0, 0, 1, -1], [0, 0, 0, 1]])
    size = around.shape[1]
    turned = stacked @ np.array([[0, 1, 0, 0], [-1, 0, 0, size - 1], [0, 0, 1, 0], [0, 0, 0, 1]])
    half = affine.copy()
    half[:3, 3] += 40  # mm
    files = {
        "turned": nibabel.Nifti1Image(volume.transpose(1, 0, 2)[::-1].astype(np.float32), turned),
        "fine": nibabel.Nifti1Image(
            np.kron(plain.T, np.ones((2, 2)))[..., None], affine @ np.diag([0.5, 0.5, 1, 1]) @ _shifted(-0.5)
        ),
        "elsewhere": nibabel.Nifti1Image(plain.T[..., None], half),
        "nowhere": nibabel.Nifti1Image(plain.T[..., None], np.eye(4)),
    }
    for name, image in files.items():
        nibabel.save(image, tmp_path / f"{name}.nii")
    for name in ("turned", "fine"):
        found, summary = error(folder, scan, tmp_path / name, field_map=str(tmp_path / f"{name}.nii"))
        assert found == pytest.approx(wanted, abs=2e-3)
        assert any("resampled" in note for note in summary.notes)
    for name in ("elsewhere", "nowhere"):
        with pytest.raises(
            SeqoptError, match=rf"{name}.nii covers .* % of the slice at \(.*\) mm \(RAS\) by its affine"
        ):
            reconstruct(scan, tmp_path / "o", design_path=folder, field_map=str(tmp_path / f"{name}.nii"))


def _shifted(pixels: float) -> np.ndarray:
    shift = np.eye(4)
    shift[:2, 3] = pixels
    return shift


def test_half_the_coils_give_nearly_the_same_image(folder, tmp_path):
    scan = scanned(folder, "clean")
    every, _ = error(folder, scan, tmp_path / "a")
    fewer, summary = error(folder, scan, tmp_path / "b", coil_compression=0.99)
    assert fewer < 1.15 * every + 2e-3
    assert summary.coils < 6
    assert record(tmp_path / "b")["virtual_coils"] == summary.coils


@pytest.mark.parametrize("settings", [{"method": "l1-wavelet"}, {"method": "tv"}, {"density": "analytic"}])
def test_other_methods_and_weights_do_as_well_as_the_usual_ones(folder, tmp_path, settings):
    scan = scanned(folder, "clean")
    usual, _ = error(folder, scan, tmp_path / "a")
    other, _ = error(folder, scan, tmp_path / "b", **settings)
    assert other < 1.05 * usual + 2e-3


def test_auto_says_what_it_chose_and_why(folder, tmp_path):
    scan = scanned(folder, "clean")
    _, summary = error(folder, scan, tmp_path / "a", method="auto")
    assert (summary.config.method, summary.config.iterations) == ("l1-wavelet", 40)
    assert any(note.startswith("the method is l1-wavelet: the shots cover only") for note in summary.notes)
    design = tmp_path / "design"
    subprocess.run(["cp", "-r", folder, design], check=True)
    save_design(design / "design.h5", load_design(folder), networks=dict([Unrolled(4, 2).stored()]))
    _, summary = error(design, scan, tmp_path / "b", method="auto")
    assert summary.config.method == "unrolled"


def test_lines_take_the_same_steps(tmp_path):
    images = phantom(48, 48)[None, None] * ring_maps(6, 48, 48)
    lines = sorted({*range(0, 48, 2), *range(14, 34)})
    scan = write_cartesian(tmp_path / "s.mrd", images, lines=lines, calibration=range(14, 34))
    summary = reconstruct(scan, tmp_path / "a", method="auto", coil_compression=3.0)
    assert summary.coils == 3
    assert any(note.startswith("the method is") for note in summary.notes)
    with pytest.raises(SeqoptError, match="along trajectories; these are Cartesian lines"):
        reconstruct(scan, tmp_path / "b", field_map="measured")


@pytest.mark.slow
def test_the_whole_reconstruction_is_compared_with_sigpy(folder, tmp_path):
    scan, options = scanned(folder, "clean"), settings_of({"cross_check": "sigpy", "no_cross_check": False})
    summary = reconstruct(scan, tmp_path / "a", design_path=folder, maps="espirit", **options)
    found = record(tmp_path / "a")["cross_check_sigpy"]
    assert set(found) == {"adjoint", "forward", "maps", "cg-sense"}
    assert found["cg-sense"] < 1e-3
    assert found["maps"] < 0.1
    assert summary.agrees


def test_a_difference_in_any_part_is_a_disagreement():
    assert agree({"adjoint": 1e-3, "maps": 0.1, "cg-sense": 1e-3})
    for wrong in ({"maps": 0.3}, {"cg-sense": 0.02}, {"forward": float("nan")}):
        assert not agree({"adjoint": 1e-3, **wrong})


def test_what_is_compared_is_an_option():
    def checks(**options):
        settings = settings_of({"cross_check": None, "no_cross_check": False, **options})
        return settings["cross_check"], settings["cross_check_sense"]

    assert checks() == (None, None)
    assert checks(cross_check="nufft") == (True, False)
    assert checks(cross_check="sigpy") == (True, True)
    assert checks(cross_check="none") == checks(no_cross_check=True) == (False, False)


@pytest.mark.parametrize(
    ("settings", "saying"),
    [
        ({"gradient_delays": "calibration"}, "the data hold no calibration spokes"),
        ({"partial_fourier": "pocs"}, "for Cartesian lines; these data lie along a trajectory"),
        ({"gradient_delays": "magic"}, "gradient_delays: got 'magic', expected auto, calibration, ring, none"),
        ({"coil_compression": -1.0}, "coil_compression: got -1"),
        ({"coil_compression": 2.5}, "coil compression: got 2.5"),
        ({"segments": 0}, "segments: got 0"),
        ({"girf": "none.csv"}, "cannot be read as a table"),
        ({"field_map": "none.nii"}, "cannot be read as NIfTI"),
    ],
)
def test_impossible_steps_are_refused_before_anything_is_written(folder, tmp_path, settings, saying):
    with pytest.raises(SeqoptError, match=saying):
        reconstruct(scanned(folder, "clean"), tmp_path / "out", design_path=folder, **settings)
    assert not (tmp_path / "out").exists()


def test_every_step_is_an_option_and_a_setting():
    options = {parameter.name for parameter in command.params}
    settings = {setting.name for setting in fields(ReconConfig)}
    files = {"design", "sequence", "header", "seq_md5", "seq_md5_v1_4_1", "seqopt_version", "format_version"}
    assert settings - files - {"cross_check_sense"} <= options


def test_without_whitening_or_weights_the_image_is_nearly_the_same(folder, tmp_path):
    """The noise is equal in all coils, and CG-SENSE solves for the samples whatever their weights."""
    scan = scanned(folder, "clean")
    usual, _ = error(folder, scan, tmp_path / "a")
    for settings in ({"prewhiten": False}, {"density": "none"}):
        other, summary = error(folder, scan, tmp_path / "b", **settings)
        assert other < 1.1 * usual + 2e-3
    assert not error(folder, scan, tmp_path / "c", prewhiten=False)[1].whitened
    assert summary.whitened


def test_steps_come_from_recon_toml_too(folder, tmp_path):
    design = tmp_path / "design"
    subprocess.run(["cp", "-r", folder, design], check=True)
    path = design / "recon.toml"
    path.write_text(recon_toml(replace(read_recon_config(path), coil_compression=4.0, method="tv")))
    _, summary = error(design, scanned(folder, "clean"), tmp_path / "a")
    assert (summary.config.method, summary.coils) == ("tv", 4)


def test_files_that_recon_toml_names_lie_beside_it_and_those_of_options_where_one_is(tmp_path, monkeypatch):
    (tmp_path / "design").mkdir()
    (tmp_path / "design" / "recon.toml").write_text('girf = "scanner/girf.csv"\nfield_map = "measured"\n')
    monkeypatch.chdir(tmp_path)
    for design in (tmp_path / "design", Path("design"), Path("design") / "design.h5"):
        config = settle(design, {}).config
        assert Path(config.girf).resolve() == tmp_path / "design" / "scanner" / "girf.csv"
        assert config.field_map == "measured"
        assert settle(design, {"girf": "mine.csv"}).config.girf == "mine.csv"
    (tmp_path / "design" / "recon.toml").write_text(f'field_map = "{tmp_path}/far.nii"\n')
    assert settle(Path("design"), {}).config.field_map == f"{tmp_path}/far.nii"
