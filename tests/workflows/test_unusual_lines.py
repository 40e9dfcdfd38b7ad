"""Cartesian files as scanners and converters leave them: calibration once, scans that ended early, odd headers."""

from __future__ import annotations

from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import pytest
from cartesian_files import phantom, ring_maps, write_cartesian

from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import write_acquisitions
from seqopt.mrd.files import read_raw
from seqopt.workflows.reconstruct import reconstruct

N, COILS = 32, 6
IMAGE = phantom(N, N) * ring_maps(COILS, N, N)
CENTRE = range(8, 24)
ACS_ONLY = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION


def images(path: Path, out: Path, **options) -> tuple[np.ndarray, tuple[str, ...]]:
    """(volumes, slices, y, x) of every file, and the notes."""
    summary = reconstruct(path, out, **{"cross_check": False, "formats": ("nifti",), **options})
    volumes = [np.asarray(nibabel.load(file).dataobj).T for file in sorted(out.glob("*.nii"))]
    return np.concatenate([volume.reshape(-1, *volume.shape[-3:]) for volume in volumes]), summary.notes


def error(found: np.ndarray, truth: np.ndarray | None = None) -> float:
    wanted = np.abs(phantom(N, N)) if truth is None else truth
    return float(np.linalg.norm(found * (found * wanted).sum() / (found**2).sum() - wanted) / np.linalg.norm(wanted))


def copied(item: ismrmrd.Acquisition, **counters: int) -> ismrmrd.Acquisition:
    copy = ismrmrd.Acquisition(item.getHead(), item.data.copy())
    for name, value in counters.items():
        setattr(copy.idx, name, value)
    return copy


def file(path: Path, change=None, *, slices: int = 1, **options) -> Path:
    return write_cartesian(path, np.stack([IMAGE] * slices), change=change, **options)


@pytest.mark.parametrize("method", ["grappa", "cg-sense"])
@pytest.mark.parametrize("counter", ["repetition", "contrast", "set"])
def test_calibration_that_was_recorded_once_serves_every_series(tmp_path, counter, method):
    """Every second line of three series; separate calibration lines with the first alone."""

    def thrice(items):
        image = [item for item in items if item.idx.kspace_encode_step_1 % 2 == 0]
        acs = [copied(item) for item in items if item.idx.kspace_encode_step_1 in CENTRE]
        for item in acs:
            item.setFlag(ACS_ONLY)
        return acs + [copied(item, **{counter: number}) for number in range(3) for item in image]

    found, notes = images(file(tmp_path / "a.mrd", thrice), tmp_path / "out", method=method)
    assert found.shape[:2] == (3, 1)
    assert max(error(volume[0]) for volume in found) < 0.05
    assert any("those of the nearest repetition, contrast or set" in note for note in notes)


def test_calibration_of_the_nearest_repetition_and_of_the_own_slice_is_taken(tmp_path):
    """Calibration of repetition 3 has other coils' signs, right for repetitions 2 and 3 alone."""

    def turned(items):
        out = []
        for repetition in range(4):
            for item in items:
                line, late = item.idx.kspace_encode_step_1, repetition >= 2
                copy = copied(item, repetition=repetition)
                copy.data[:] *= (np.array([1, 1, 1, -1, 1j, 1]) if late else np.ones(COILS))[:, None]
                if repetition in (0, 3) and line in CENTRE:
                    acs = copied(copy)
                    acs.setFlag(ACS_ONLY)
                    out.append(acs)
                out += [copy] if line % 2 == 0 else []
        return out

    found, _ = images(file(tmp_path / "a.mrd", turned, slices=2), tmp_path / "out", method="grappa")
    assert max(error(image) for volume in found for image in volume) < 0.05


def test_lines_of_another_contrast_calibrate_where_it_alone_holds_the_centre(tmp_path):
    def twice(items):
        sparse = [copied(item, contrast=1) for item in items if item.idx.kspace_encode_step_1 % 2 == 0]
        return [*items, *sparse]

    found, notes = images(file(tmp_path / "a.mrd", twice), tmp_path / "out", method="cg-sense")
    assert max(error(volume[0]) for volume in found) < 0.05
    assert any("about the centre of another contrast or set serve" in note for note in notes)


@pytest.mark.parametrize("method", ["cg-sense", "grappa", "auto"])
def test_a_scan_that_was_aborted_gives_the_slices_that_are_whole(tmp_path, method):
    """Of the third of three slices only lines short of the centre are there."""

    def abort(items):
        return [item for item in items if item.idx.slice < 2 or item.idx.kspace_encode_step_1 < 10]

    lines = sorted({*range(0, N, 2), *CENTRE})
    found, notes = images(file(tmp_path / "a.mrd", abort, slices=3, lines=lines), tmp_path / "out", method=method)
    assert error(found[0, 0]) < 0.05 and error(found[0, 1]) < 0.05
    assert found[0, 2].any() and np.isfinite(found).all()
    if method != "auto":
        assert any("slice(s) 2 of repetition 0 cannot be" in note and "zero-filled" in note for note in notes)


@pytest.mark.parametrize("broken", [0, 2])
def test_a_slice_that_lacks_the_centre_is_zero_filled_and_harms_no_other(tmp_path, broken):
    def hole(items):
        return [i for i in items if i.idx.slice != broken or not 12 <= i.idx.kspace_encode_step_1 <= 18]

    found, notes = images(file(tmp_path / "h.mrd", hole, slices=4), tmp_path / "out", method="cg-sense")
    whole = [number for number in range(4) if number != broken]
    assert max(error(found[0, number]) for number in whole) < 0.05
    assert found[0, broken].any()
    assert any(f"slice(s) {broken} of repetition 0 cannot be" in note for note in notes)


def test_a_repetition_that_ended_before_the_centre_is_calibrated_by_the_others(tmp_path):
    """Its own longest run of lines is long, but lies at the edge of k-space."""

    def two(items):
        return [*items, *(copied(item, repetition=1) for item in items if item.idx.kspace_encode_step_1 < 10)]

    found, notes = images(file(tmp_path / "r.mrd", two), tmp_path / "out", method="cg-sense")
    assert error(found[0, 0]) < 0.05
    assert any("about the centre of all repetitions serve" in note for note in notes)
    assert any("22 of 64 lines are missing" in note and "repetition 1 slice 0 lacks line 10" in note for note in notes)


def test_samples_that_are_damaged_are_no_slice_to_go_without(tmp_path):
    def damage(items):
        items[-1].data[0, 3] = np.nan

    with pytest.raises(SeqoptError, match="NaN or infinity"):
        images(file(tmp_path / "d.mrd", damage, slices=2), tmp_path / "out", method="cg-sense")


def test_repetitions_of_other_lines_miss_none(tmp_path):
    """Even and odd lines in turn, and a repetition that was recorded whole."""

    def turns(items):
        steps = {0: range(N), 1: range(0, N, 2), 2: range(1, N, 2), 3: range(0, N, 2), 4: range(1, N, 2)}
        return [copied(i, repetition=r) for r, own in steps.items() for i in items if i.idx.kspace_encode_step_1 in own]

    _, notes = images(file(tmp_path / "t.mrd", turns), tmp_path / "out", method="cg-sense")
    assert not any("incomplete" in note for note in notes)


def test_readouts_without_oversampling_under_a_header_with_it_are_taken_as_they_are(tmp_path):
    path = file(tmp_path / "o.mrd", oversampling=1)
    raw = read_raw(path)
    samples, fov = b"<encodedSpace>\n      <matrixSize><x>32<", b"<fieldOfView_mm><x>300<"
    xml = raw.xml.replace(samples, samples.replace(b"32", b"64")).replace(fov, fov.replace(b"300", b"600"), 1)
    assert xml != raw.xml
    write_acquisitions(path, xml, raw.acquisitions)
    found, notes = images(path, tmp_path / "out", method="zero-filled")
    assert error(found[0, 0]) < 0.05
    assert any("their oversampling was removed before" in note for note in notes)


def test_a_line_in_several_segments_is_averaged_and_parts_of_lines_are_refused(tmp_path):
    def segments(items):
        for item in items:
            item.data[:] *= 0.5
        return [*items, *(copied(item, segment=1) for item in items)]

    found, notes = images(file(tmp_path / "s.mrd", segments), tmp_path / "out", method="cg-sense")
    assert error(found[0, 0]) < 0.05
    assert any("averages and segments (idx.segment)" in note for note in notes)

    def halves(items):
        out = []
        for item in items:
            for segment in range(2):
                head = item.getHead()
                head.number_of_samples, head.idx.segment = N, segment
                out.append(ismrmrd.Acquisition(head, item.data[:, segment * N : (segment + 1) * N].copy()))
        return out

    with pytest.raises(SeqoptError, match=r"idx\.segment"):
        images(file(tmp_path / "h.mrd", halves), tmp_path / "half", method="cg-sense")


@pytest.mark.parametrize(
    ("old", "new", "said", "voxel_mm"),
    [
        (b"<z>6</z>", b"<z>0</z>", "5 mm was assumed", (300 / 32, 5)),
        # the 31 pixels of 9.375 mm, and one more of the same size
        (b"<x>32</x><y>32</y><z>1</z></matrixSize>\n      <fieldOfView_mm><x>300</x><y>300</y>",
         b"<x>31</x><y>31</y><z>1</z></matrixSize>\n      <fieldOfView_mm><x>290.625</x><y>290.625</y>",
         "31 x 31 is odd; 32 x 32", (300 / 32, 6)),
        # as many over the whole field of view: one more, which are smaller
        (b"<x>32</x><y>32</y><z>1</z></matrixSize>\n      <fieldOfView_mm><x>300</x><y>300</y>",
         b"<x>32</x><y>31</y><z>1</z></matrixSize>\n      <fieldOfView_mm><x>300</x><y>300</y>",
         "32 x 31 is odd; 32 x 32", (300 / 32, 6)),
    ],
)  # fmt: skip
def test_headers_that_no_image_can_follow_to_the_letter_are_followed_nearly(tmp_path, old, new, said, voxel_mm):
    path = file(tmp_path / "z.mrd")
    raw = read_raw(path)
    assert old in raw.xml
    write_acquisitions(path, raw.xml.replace(old, new), raw.acquisitions)
    found, notes = images(path, tmp_path / "out", method="zero-filled")
    assert error(found[0, 0]) < 0.05
    assert any(said in note for note in notes)
    sizes = nibabel.load(tmp_path / "out" / "image.nii").header.get_zooms()
    assert np.allclose(sizes[:3], (voxel_mm[0], voxel_mm[0], voxel_mm[1]), rtol=1e-4)


def test_the_quality_page_shows_a_slice_that_ended_before_the_others(tmp_path):
    """The slice in the middle lacks its last lines, others have them."""

    def abort(items):
        return [item for item in items if item.idx.slice == 0 or item.idx.kspace_encode_step_1 < 25]

    images(file(tmp_path / "a.mrd", abort, slices=3), tmp_path / "out", method="zero-filled", quality=True)
    page = (tmp_path / "out" / "qc.html").read_text()
    assert f"{N + 2 * 25} of {3 * N} planned readouts of the first series were found" in page


def test_lines_beyond_an_image_of_lower_resolution_are_on_the_quality_page_too(tmp_path):
    path = file(tmp_path / "l.mrd")
    raw = read_raw(path)
    old = b"<x>32</x><y>32</y><z>1</z></matrixSize>\n      <fieldOfView_mm><x>300</x><y>300</y>"
    assert old in raw.xml
    write_acquisitions(path, raw.xml.replace(old, old.replace(b"<y>32<", b"<y>24<")), raw.acquisitions)
    found, _ = images(path, tmp_path / "out", method="zero-filled", quality=True)
    assert found.shape[2:] == (24, N)
    assert "32 of 32 planned readouts" in (tmp_path / "out" / "qc.html").read_text()


def test_pixels_have_the_size_that_the_encoded_lines_give_them(tmp_path):
    """38 rows of 300 mm are encoded, 31.67 of which are the stated 250 mm: the image's 32 rows are 252.6 mm."""
    rows, wanted = 38, 32
    object_ = np.zeros((rows, N))
    object_[7:11, 8:12] = 1.0  # its middle lies 10.5 rows off the centre
    path = write_cartesian(tmp_path / "p.mrd", object_[None, None] * ring_maps(COILS, rows, N))
    raw = read_raw(path)
    encoded, recon = raw.xml.split(b"</encodedSpace>")
    recon = recon.replace(b"<y>38</y>", b"<y>32</y>").replace(b"<y>300</y>", b"<y>250</y>", 1)
    write_acquisitions(path, encoded + b"</encodedSpace>" + recon, raw.acquisitions)
    found, _ = images(path, tmp_path / "out", method="zero-filled")
    assert found.shape[2:] == (wanted, N)
    affine = nibabel.load(tmp_path / "out" / "image.nii").affine
    middle = np.average(np.arange(wanted), weights=found[0, 0].sum(1) ** 4)
    assert (affine @ [0, middle, 0, 1])[1] == pytest.approx(-(8.5 - rows / 2) * 300 / rows, abs=0.5)


def test_slices_and_repetitions_that_the_header_announces_are_missed(tmp_path):
    path = file(tmp_path / "m.mrd", slices=2)
    raw = read_raw(path)
    limits = b"".join(
        b"<%s><minimum>0</minimum><maximum>%d</maximum><center>0</center></%s>" % (name, last, name)
        for name, last in ((b"slice", 4), (b"repetition", 1))
    )
    write_acquisitions(path, raw.xml.replace(b"</encodingLimits>", limits + b"</encodingLimits>"), raw.acquisitions)
    _, notes = images(path, tmp_path / "out", method="zero-filled")
    missed = [note for note in notes if "incomplete" in note]
    assert [("5 slices, 3" in note, "2 repetitions, 1" in note) for note in missed] == [(True, False), (False, True)]
