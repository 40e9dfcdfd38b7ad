"""`seqopt recon` on whole scans: repetitions and contrasts as series, aborted scans, the .seq itself, several sets."""

from __future__ import annotations

from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import pytest
from cli import refused, seqopt
from designs import radial_design
from exported import export

from seqopt.errors import SeqoptError
from seqopt.mrd import series
from seqopt.mrd.acquisitions import write_acquisitions
from seqopt.mrd.files import read_raw
from seqopt.workflows.reconstruct import reconstruct
from seqopt.workflows.simulate import simulate


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return export(radial_design(slices=3, shots=24, samples=128, matrix=32), tmp_path_factory.mktemp("d") / "design")


@pytest.fixture(scope="module")
def scan(folder) -> Path:
    simulate(folder, folder / "scan.mrd", coils=3, snr=50.0)
    return folder / "scan.mrd"


def changed(scan: Path, target: Path, change) -> Path:
    raw = read_raw(scan)
    write_acquisitions(target, raw.xml, change(raw.acquisitions) or raw.acquisitions)
    return target


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


def test_a_slice_of_zeros_is_black_and_said(scan, tmp_path):
    def erase(items):
        for item in items[1:]:
            if item.idx.slice == 1:
                item.data[:] = 0

    path = changed(scan, tmp_path / "z.mrd", erase)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "BLOCK_BYTES", 1)
        summary = reconstruct(path, tmp_path / "out", method="adjoint", cross_check=False)
    assert not summary.images[1].any() and summary.images[0].any() and summary.images[2].any()
    assert any("slices 1 hold zeros only" in note for note in summary.notes)


@pytest.mark.slow
def test_the_command_takes_k_from_the_sequence_and_says_so(scan, folder, tmp_path):
    def strip(items):
        whole = []
        for item in items:
            head = item.getHead()
            head.trajectory_dimensions = 0
            whole.append(ismrmrd.Acquisition(head, item.data.copy()))
        return whole

    bare = changed(scan, tmp_path / "bare.mrd", strip)
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
