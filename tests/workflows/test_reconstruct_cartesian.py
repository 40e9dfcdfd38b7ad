"""`seqopt recon` on Cartesian scans of a writer that shares nothing with seqopt; in process and as a command."""

from __future__ import annotations

import json
from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import pytest
from cartesian_files import fourier, phantom, ring_maps, write_cartesian
from cli import seqopt
from designs import paper_scanner, radial_design
from exported import export

from seqopt.core import Geometry, MaskDesign, Protocol
from seqopt.errors import SeqoptError
from seqopt.mrd.images import read_images
from seqopt.mrd.recon_config import ReconConfig, recon_toml
from seqopt.recon import cross_check
from seqopt.recon.cartesian import cartesian_reconstructions
from seqopt.recon.unet import UNet
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.simulate import simulate
from seqopt.workflows.store import save_design

N, COILS = 48, 6
CENTRE = range(14, 34)
EVERY_SECOND = sorted({*range(0, N, 2), *CENTRE})
IRREGULAR = sorted({*CENTRE, 1, 4, 9, 38, 40, 45})


def truth(slices: int = 1) -> np.ndarray:
    return np.stack([phantom(N, N) * (1 + 0.5 * s) for s in range(slices)])


def scan_file(path: Path, slices: int = 1, *, noisy: bool = True, **options) -> Path:
    """SNR about 60, with a noise readout whose coils are a little correlated."""
    generator = np.random.default_rng(1)
    mixing = np.eye(COILS) + 0.05 * generator.standard_normal((COILS, COILS))  # more would shade the whitened image

    def noise(samples: int) -> np.ndarray:
        return 0.01 * mixing @ (generator.standard_normal((COILS, samples, 2)) @ [1, 1j] / np.sqrt(2))

    given = options.pop("change", None)

    def add(items):
        for item in items[1:] if noisy else ():
            item.data[:] += noise(item.number_of_samples)
        return given(items) if given else None

    images = truth(slices)[:, None] * ring_maps(COILS, N, N)
    return write_cartesian(path, images, noise=noise(4 * N) if noisy else None, change=add, **options)


def half_echo(items: list[ismrmrd.Acquisition]) -> list[ismrmrd.Acquisition]:
    """Without the first 30 of 96 samples."""
    heads = [item.getHead() for item in items]
    for head in heads:
        head.number_of_samples, head.center_sample = head.number_of_samples - 30, max(head.center_sample - 30, 0)
    return [ismrmrd.Acquisition(head, item.data[:, 30:].copy()) for head, item in zip(heads, items, strict=True)]


def nrmse(image: np.ndarray, wanted: np.ndarray) -> float:
    wanted = np.abs(wanted)
    scale = (image * wanted).sum() / (image**2).sum()
    return float(np.linalg.norm(scale * image - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize(("method", "limit"), [("cg-sense", 0.06), ("l1-wavelet", 0.06), ("grappa", 0.08)])
def test_every_second_line_becomes_the_image(tmp_path, method, limit):
    scan = scan_file(tmp_path / "s.mrd", slices=2, lines=EVERY_SECOND, calibration=CENTRE)
    summary = reconstruct(scan, tmp_path / "out", method=method)
    assert summary.cartesian and summary.whitened and summary.agrees
    assert max(summary.cross_check.values()) < 1e-5
    assert (summary.shots, summary.samples, summary.coils) == (len(EVERY_SECOND), N, COILS)
    for image, wanted in zip(summary.images, truth(2), strict=True):
        assert nrmse(image, wanted) < limit
    plain = reconstruct(scan, tmp_path / "z", method="zero-filled", cross_check=False)
    assert nrmse(summary.images[0], truth()[0]) < 0.7 * nrmse(plain.images[0], truth()[0])
    record = json.loads((tmp_path / "out" / "recon.json").read_text())
    assert (record["method"], record["maps"], record["lines"]) == (method, "walsh", EVERY_SECOND)


def test_the_command_reconstructs_a_cartesian_scan_and_says_what_it_did(tmp_path):
    scan = scan_file(tmp_path / "s.mrd", lines=IRREGULAR, calibration=CENTRE)
    result = seqopt("recon", scan, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    said = f"1 slice(s) of {N} x {N} pixels from {len(IRREGULAR)} lines x {N} samples x {COILS} coils, cg-sense"
    assert said in result.stdout
    assert "FFT against sigpy on these data" in result.stdout
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["image.mrd", "image.nii", "image.png", "qc.html", "recon.json"]
    image = read_images(tmp_path / "out" / "image.mrd")[0][0]
    record = json.loads((tmp_path / "out" / "recon.json").read_text())
    assert (record["iterations"], record["regularisation"], record["density"]) == (30, 0.01, None)
    assert nrmse(image, truth()[0]) < 0.2


def test_what_cannot_be_done_is_refused_before_anything_is_written(tmp_path):
    scan = scan_file(tmp_path / "s.mrd", lines=IRREGULAR, calibration=CENTRE)
    for method, saying in (
        ("grappa", "not regular; use cg-sense or l1-wavelet"),
        ("magic", "known: adjoint, cg-sense, l1-wavelet, tv, unet, unrolled, zero-filled, grappa"),
    ):
        with pytest.raises(SeqoptError, match=saying):
            reconstruct(scan, tmp_path / "no", method=method)
    assert not (tmp_path / "no").exists()


def test_without_noise_and_maps_the_image_is_the_direct_inverse_sum(tmp_path):
    """No calibration: root sum of squares, and a note."""
    lines = [0, 3, 9, 15, 22, 24, 26, 33, 40]
    scan = scan_file(tmp_path / "s.mrd", noisy=False, lines=lines)
    summary = reconstruct(scan, tmp_path / "out", method="zero-filled")
    turn = fourier(N, N, N) / np.sqrt(N)
    part = turn[lines].conj().T @ turn[lines]
    wanted = np.sqrt((np.abs(part @ (truth()[0] * ring_maps(COILS, N, N))) ** 2).sum(0))
    assert np.linalg.norm(summary.images[0] - wanted) < 1e-5 * np.linalg.norm(wanted)
    assert any("root sum of squares" in note for note in summary.notes)
    assert any("not prewhitened" in note for note in summary.notes)
    for method in ("cg-sense", "l1-wavelet"):
        with pytest.raises(SeqoptError, match=r"coil maps need 6 or more .* --calibration, .* 'zero-filled'"):
            reconstruct(scan, tmp_path / "no", method=method)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("method", ["zero-filled", "cg-sense", "l1-wavelet"])
def test_an_aborted_scan_gives_the_image_of_the_lines_it_has(tmp_path, method):
    """The second slice ends early: its image is the one that a scan of fewer lines gives."""
    few = [line for line in IRREGULAR if line <= 38]

    def cut(items):
        return [item for item in items if item.idx.slice == 0 or item.idx.kspace_encode_step_1 in few]

    options = {"slices": 2, "noisy": False, "calibration": CENTRE}
    aborted = scan_file(tmp_path / "a.mrd", lines=IRREGULAR, change=cut, **options)
    short = scan_file(tmp_path / "b.mrd", lines=few, **options)
    found = reconstruct(aborted, tmp_path / "out", method=method)
    assert any("2 of 52 lines are missing" in note for note in found.notes)
    wanted = reconstruct(short, tmp_path / "s", method=method, cross_check=False)
    assert not any("missing" in note for note in wanted.notes)
    first, second = (np.linalg.norm(found.images[n] - one) / np.linalg.norm(one) for n, one in enumerate(wanted.images))
    assert second < 1e-5
    assert first > 1e-2


def test_phase_oversampling_is_cut_off_the_image(tmp_path):
    images = np.zeros((1, 60, N), complex)
    images[:, 6:54] = truth()
    maps = ring_maps(COILS, 60, N)
    scan = write_cartesian(tmp_path / "s.mrd", images[:, None] * maps, rows=N)
    summary = reconstruct(scan, tmp_path / "out")
    assert summary.images.shape == (1, N, N)
    assert nrmse(summary.images[0], truth()[0]) < 0.05


def test_a_mask_design_places_the_lines_and_brings_settings_and_network(tmp_path):
    """Where a converter's header knows nothing of the sequence."""
    design = MaskDesign(
        name="igs-26",
        family="igs",
        geometry=Geometry(fov_m=(0.3, 0.3), matrix=(N, N), slice_thickness_m=0.006),
        scanner=paper_scanner(),
        protocol=Protocol(),
        order=np.array([*CENTRE, *sorted(set(IRREGULAR) - set(CENTRE)), 47]),
        shots=len(IRREGULAR) + 1,
        calibration=len(CENTRE),
    )
    network = UNet(channels=4, levels=3)
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    save_design(tmp_path / "design.h5", design, networks={"unet": weights})
    (tmp_path / "recon.toml").write_text(recon_toml(ReconConfig(iterations=7, cross_check=False)))
    scan = scan_file(tmp_path / "s.mrd", lines=IRREGULAR, calibration=CENTRE, trajectory="other")
    summary = reconstruct(scan, tmp_path / "out", design_path=tmp_path, quality=True)
    assert any("1 of 27 lines are missing" in note for note in summary.notes)
    assert "26 of 27 planned readouts" in (tmp_path / "out" / "qc.html").read_text()
    record = json.loads((tmp_path / "out" / "recon.json").read_text())
    assert (record["design"], record["iterations"]) == ("igs-26", 7)
    assert nrmse(summary.images[0], truth()[0]) < 0.2
    other = reconstruct(scan, tmp_path / "w", design_path=tmp_path, method="l1-wavelet").config
    assert (other.iterations, other.regularisation) == (30, 0.003)  # the folder's are for another method
    restored = reconstruct(scan, tmp_path / "u", design_path=tmp_path, method="unet").images
    plain = reconstruct(scan, tmp_path / "z", design_path=tmp_path, method="zero-filled").images
    assert np.allclose(restored, plain, rtol=1e-3, atol=1e-3 * plain.max())  # untrained, it changes nothing


def test_a_method_that_does_not_fit_the_data_is_refused_with_those_that_do(tmp_path):
    lines = scan_file(tmp_path / "s.mrd", lines=EVERY_SECOND, calibration=CENTRE)
    known = ", ".join(cartesian_reconstructions)
    for method in ("adjoint", "unrolled"):
        with pytest.raises(SeqoptError, match=f"'{method}' is not for Cartesian lines .*; known for them: {known}"):
            reconstruct(lines, tmp_path / "out", method=method)
    folder = export(radial_design(shots=16, samples=128, matrix=32), tmp_path / "design")
    simulate(folder, tmp_path / "radial.mrd", coils=2)
    for method in ("grappa", "zero-filled"):
        with pytest.raises(SeqoptError, match=f"'{method}' is not for data along a trajectory .*: adjoint, cg-sense"):
            reconstruct(tmp_path / "radial.mrd", tmp_path / "out", method=method)
    with pytest.raises(SeqoptError, match="'unet' needs the design"):
        reconstruct(lines, tmp_path / "out", method="unet")
    with pytest.raises(SeqoptError, match=r"holds 34 readouts .* the design radial-16 has 16"):
        reconstruct(lines, tmp_path / "out", design_path=folder)
    assert not (tmp_path / "out").exists()


def test_a_transform_that_is_off_does_not_pass_the_cross_check(tmp_path, monkeypatch):
    right = cross_check.centred_ifft2
    monkeypatch.setattr(cross_check, "centred_ifft2", lambda samples: 1.05 * right(samples))
    scan = scan_file(tmp_path / "s.mrd", lines=EVERY_SECOND, calibration=CENTRE)
    assert not reconstruct(scan, tmp_path / "out", method="zero-filled").agrees
    assert json.loads((tmp_path / "out" / "recon.json").read_text())["cross_check_agrees"] is False


def test_equal_data_give_equal_files(tmp_path):
    scan = scan_file(tmp_path / "s.mrd", lines=IRREGULAR, calibration=CENTRE)
    for name in "ab":
        reconstruct(scan, tmp_path / name, method="l1-wavelet", cross_check=False)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("partial", "method", "said"),
    [
        ({"lines": range(14, N)}, "zero-filled", "72 % of ky and 100 % of kx"),
        ({"lines": sorted({*range(14, N, 2), *CENTRE}), "calibration": CENTRE}, "grappa", "73 % of ky"),
        ({"lines": range(14, N)}, "cg-sense", "72 % of ky"),
        ({"change": half_echo}, "zero-filled", "100 % of ky and 70 % of kx"),
    ],
)
def test_what_one_side_lacks_is_filled_by_the_phase(tmp_path, partial, method, said):
    scan = scan_file(tmp_path / "s.mrd", **partial)
    error = {}
    for wanted in ("zero", "auto"):
        summary = reconstruct(scan, tmp_path / wanted, method=method, partial_fourier=wanted, cross_check=False)
        error[wanted] = nrmse(summary.images[0], truth()[0])
    assert error["auto"] < 0.75 * error["zero"]
    (note,) = (note for note in summary.notes if note.startswith("partial Fourier"))
    assert said in note and note.endswith("was filled by POCS")


def test_what_cannot_be_filled_stays_zero_or_is_refused(tmp_path):
    """No coil maps, so that the image is a root sum of squares; gaps among the lines."""
    for lines, why in ((range(20, 48, 2), "the image is real"), (EVERY_SECOND[7:], "lines lack")):
        scan = scan_file(tmp_path / f"{len(lines)}.mrd", lines=lines)
        summary = reconstruct(scan, tmp_path / "o", method="zero-filled", cross_check=False)
        assert any("stays zero" in note and why in note for note in summary.notes), summary.notes
    real = tmp_path / "14.mrd"
    with pytest.raises(SeqoptError, match="pocs needs complex images"):
        reconstruct(real, tmp_path / "r", method="zero-filled", partial_fourier="pocs")


def test_coil_maps_and_cg_sense_of_lines_are_compared_with_sigpy_too(tmp_path):
    scan = scan_file(tmp_path / "s.mrd", lines=EVERY_SECOND, calibration=CENTRE)
    checks = {"cross_check": True, "cross_check_sense": True}
    found = reconstruct(scan, tmp_path / "o", method="cg-sense", **checks).cross_check
    assert set(found) == {"adjoint", "forward", "cg-sense", "maps"}
    assert found["cg-sense"] < 1e-4
    assert found["maps"] < 0.15
    wrong = ring_maps(COILS, N, N)[[1, 2, 3, 4, 5, 0]]
    block = np.einsum("ly,cyx,nx->cln", fourier(24, N, N), truth() * ring_maps(COILS, N, N), fourier(24, N, N))
    assert not cross_check.agree(cross_check.sigpy_maps_of_centre_difference(block, wrong))
    assert cross_check.agree(cross_check.sigpy_maps_of_centre_difference(block, ring_maps(COILS, N, N)))


def test_oversampling_stays_where_that_is_asked_for(tmp_path):
    """Twice the field of view along x, in the middle of which is the image."""
    scan = scan_file(tmp_path / "s.mrd", noisy=False)
    cut, whole = (
        reconstruct(scan, tmp_path / name, method="cg-sense", remove_oversampling=remove, cross_check=False)
        for name, remove in (("cut", True), ("whole", False))
    )
    assert whole.matrix == (2 * N, N)
    middle = whole.images[0, :, N // 2 : -N // 2] / np.sqrt(2)  # of twice the samples, by a unitary transform
    assert np.linalg.norm(middle - cut.images[0]) < 0.02 * np.linalg.norm(cut.images)
    affines = [nibabel.load(tmp_path / name / "image.nii").affine for name in ("cut", "whole")]
    assert np.allclose(affines[0] @ [0, 0, 0, 1], affines[1] @ [N // 2, 0, 0, 1])
