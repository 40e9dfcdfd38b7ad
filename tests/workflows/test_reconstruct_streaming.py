"""`seqopt recon` on whole scans: repetitions and contrasts as series, aborted scans, the .seq itself, several sets."""

from __future__ import annotations

from pathlib import Path

import h5py
import ismrmrd
import nibabel
import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian
from changed_scans import changed, without_trajectory
from cli import refused, seqopt
from designs import radial_design
from exported import export

from seqopt.errors import SeqoptError
from seqopt.mrd import series
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.simulate import simulate


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return export(radial_design(slices=3, shots=24, samples=128, matrix=32), tmp_path_factory.mktemp("d") / "design")


@pytest.fixture(scope="module")
def scan(folder) -> Path:
    simulate(folder, folder / "scan.mrd", coils=3, snr=50.0)
    return folder / "scan.mrd"


def images(scan: Path, out: Path, **options) -> np.ndarray:
    return reconstruct(scan, out, **{"method": "adjoint", "cross_check": False, **options}).images


def test_repetitions_become_the_fourth_axis_and_each_is_its_own_image(scan, tmp_path):
    def repeat(items):
        copies = [ismrmrd.Acquisition(item.getHead(), 2 * item.data, item.traj.copy()) for item in items[1:]]
        for item in copies:
            item.idx.repetition = 1
        return [*items, *copies]

    path = changed(scan, tmp_path / "r.mrd", repeat)
    summary = reconstruct(path, tmp_path / "out", method="adjoint", cross_check=False)
    assert (summary.slices, summary.volumes) == (3, 2)
    volumes = nibabel.load(tmp_path / "out" / "image.nii").get_fdata()
    assert volumes.shape == (32, 32, 3, 2)
    assert np.allclose(volumes[..., 1], 2 * volumes[..., 0], rtol=1e-4)
    assert np.allclose(summary.images, images(scan, tmp_path / "one"), rtol=1e-4)


def test_slice_by_slice_gives_the_images_of_the_whole(scan, folder, tmp_path, monkeypatch):
    whole = images(scan, tmp_path / "a", design_path=folder, method="cg-sense")
    monkeypatch.setattr(series, "BLOCK_BYTES", 1)
    single = images(scan, tmp_path / "b", design_path=folder, method="cg-sense")
    assert np.allclose(single, whole, rtol=1e-4, atol=1e-5 * whole.max())
    affines = [nibabel.load(tmp_path / name / "image.nii").affine for name in "ab"]
    assert np.array_equal(*affines)


def test_an_aborted_scan_along_a_trajectory_gives_the_image_of_the_shots_it_has(scan, folder, tmp_path):
    """Two shots of the last slice are missing: the others are untouched, it is that of a scan without these shots."""

    def kept(item):
        return item.idx.kspace_encode_step_1 < 22

    aborted = changed(
        scan, tmp_path / "a.mrd", lambda items: [i for i in items if i.idx.slice < 2 or i.idx.kspace_encode_step_1 < 22]
    )
    short = changed(scan, tmp_path / "s.mrd", lambda items: [i for i in items if kept(i)])
    summary = reconstruct(aborted, tmp_path / "out", design_path=folder, method="adjoint", cross_check=False)
    (note,) = summary.notes
    assert "2 of 72 shots are missing" in note and "(slice 2 lacks shot 22, 23)" in note
    whole, fewer = images(scan, tmp_path / "w"), images(short, tmp_path / "f")
    assert np.allclose(summary.images[:2], whole[:2], rtol=1e-3, atol=1e-3 * whole.max())
    assert np.allclose(summary.images[2], fewer[2], rtol=1e-3, atol=1e-3 * whole.max())
    assert np.abs(fewer[2] - whole[2]).max() > 0.02 * whole.max()


def erased(number: int):
    def erase(items):
        for item in items:
            if item.idx.slice == number and not item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
                item.data[:] = 0

    return erase


@pytest.mark.parametrize(
    ("number", "block_bytes", "maps"), [(1, 1, "walsh"), (0, 16 << 20, "espirit"), (1, 16 << 20, "walsh")]
)
def test_a_slice_of_zeros_is_black_and_said_and_changes_no_other(
    scan, tmp_path, monkeypatch, number, block_bytes, maps
):
    monkeypatch.setattr(series, "BLOCK_BYTES", block_bytes)
    whole = images(scan, tmp_path / "w", method="cg-sense", maps=maps)
    path = changed(scan, tmp_path / "z.mrd", erased(number))
    summary = reconstruct(path, tmp_path / "out", method="cg-sense", maps=maps, cross_check=True, quality=True)
    assert not summary.images[number].any()
    assert summary.agrees
    others = [place for place in range(3) if place != number]
    assert np.allclose(summary.images[others], whole[others], rtol=1e-3, atol=1e-3 * whole.max())
    assert any(f"slices {number} hold zeros only" in note for note in summary.notes)
    affines = [nibabel.load(tmp_path / name / "image.nii").affine for name in ("w", "out")]
    assert np.array_equal(*affines)
    page = (tmp_path / "out" / "qc.html").read_text()
    assert f"over the object, slice {0 if number == 1 else 1}" in page
    assert any("so the page on quality is of slice 0" in note for note in summary.notes) == (number == 1)


def test_lines_of_a_slice_of_zeros_are_black_for_every_method(tmp_path):
    """Which would solve for a kernel, or divide by the coils' sum, where there is none."""
    whole = np.stack([phantom() * ring_maps(4)] * 3)
    lines = sorted({*range(0, 32, 2), *range(11, 22)})
    path = write_cartesian(tmp_path / "z.mrd", whole, lines=lines, change=erased(0))
    for method in ("zero-filled", "cg-sense", "grappa"):
        found = images(path, tmp_path / method, method=method, maps="espirit")
        assert not found[0].any() and np.isfinite(found).all()
        assert np.allclose(found[1], found[2], rtol=1e-3) and found[1].any()


def test_a_slice_of_zeros_lies_where_its_own_series_says(scan, tmp_path):
    """The table moved between contrasts; of the second contrast one slice holds zeros."""

    def move(items):
        copies = [ismrmrd.Acquisition(item.getHead(), item.data.copy(), item.traj.copy()) for item in items[1:]]
        for item in copies:
            item.idx.contrast = 1
            item.position[2] += 100.0
        erased(2)(copies)
        return [*items, *copies]

    path = changed(scan, tmp_path / "m.mrd", move)
    reconstruct(path, tmp_path / "out", method="adjoint", cross_check=False)
    with h5py.File(tmp_path / "out" / "image.mrd") as file:
        heads = np.concatenate(
            [group["header"][()] for group in file["dataset"].values() if isinstance(group, h5py.Group)]
        )
    places = {(int(h["contrast"]), int(h["slice"])): float(h["position"][2]) for h in heads}
    assert places == pytest.approx({(c, s): 100.0 * c + 5.0 * (s - 1) for c in (0, 1) for s in range(3)}, abs=1e-3)


def test_a_design_of_as_many_shots_but_another_image_is_named_with_both_sizes(scan, folder, tmp_path):
    """Where the file holds a trajectory it is refused; without one a converter may just have guessed the image."""
    other = export(radial_design(slices=3, shots=24, samples=128, matrix=48), tmp_path / "other")
    bare = changed(scan, tmp_path / "bare.mrd", without_trajectory)
    summary = reconstruct(bare, tmp_path / "out", design_path=other, method="adjoint", cross_check=False)
    said = "the header says 32 x 32 pixels of 220 x 220 mm, the design radial-24 48 x 48 pixels of 220 x 220 mm"
    assert any(note.startswith(said) for note in summary.notes)
    assert any("was it exported anew?" in note for note in summary.notes)
    with pytest.raises(SeqoptError, match="cycles/FOV away from that of the design radial-24; give the design"):
        reconstruct(scan, tmp_path / "no", design_path=other, method="adjoint")
    own = reconstruct(bare, tmp_path / "own", design_path=folder, method="adjoint", cross_check=False)
    assert not own.notes


@pytest.mark.slow
def test_the_command_takes_k_from_the_sequence_and_says_so(scan, folder, tmp_path):
    bare = changed(scan, tmp_path / "bare.mrd", without_trajectory)
    options = ("--method", "adjoint", "--no-cross-check")
    sequence = next(folder.glob("*.seq"))
    result = seqopt("recon", bare, "--seq", sequence, "--out", tmp_path / "out", *options)
    assert result.returncode == 0, result.stderr
    assert f"73 readouts were joined with those of {sequence.name} in play order" in result.stdout
    found = nibabel.load(tmp_path / "out" / "image.nii").get_fdata()
    assert np.allclose(found.transpose(2, 1, 0), images(scan, tmp_path / "w"), rtol=1e-3, atol=1e-3 * found.max())
    other = export(radial_design(slices=3, shots=9, samples=128, matrix=32), tmp_path / "other")
    wrong = next(other.glob("*.seq"))
    refused("recon", bare, "--seq", wrong, "--out", tmp_path / "no", saying="72 imaging readouts of 128 samples, but")
    for path, asked, saying in (
        (bare, {}, "or the sequence with --seq"),
        (scan, {"dataset": "raw"}, "--dataset can be dataset"),
        (scan, {"units": "inch"}, "known: cycles_per_encoded"),
    ):
        with pytest.raises(SeqoptError, match=saying):
            reconstruct(path, tmp_path / "no", **asked)
    assert not (tmp_path / "no").exists()
