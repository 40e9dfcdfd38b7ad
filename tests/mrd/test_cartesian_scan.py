"""Cartesian MRD files of a writer that shares nothing with seqopt, read into lines of k-space."""

from __future__ import annotations

from dataclasses import replace

import ismrmrd
import numpy as np
import pytest
from cartesian_files import fourier, phantom, ring_maps, write_cartesian
from designs import paper_scanner

from seqopt.core import Geometry, MaskDesign, Protocol
from seqopt.errors import SeqoptError
from seqopt.mrd.cartesian_scan import read_cartesian_scan

N, COILS = 32, 3


def coil_images(slices: int = 1, y: int = N) -> np.ndarray:
    return np.stack([phantom(y, N) * (1 + s) * ring_maps(COILS, y, N) for s in range(slices)])


def direct_kspace(images: np.ndarray) -> np.ndarray:
    y, x = images.shape[-2:]
    return np.einsum("ly,scyx,nx->scln", fourier(y, y, y), images, fourier(x, x, x), optimize=True) / np.sqrt(y * x)


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    return found.shape == wanted.shape and np.linalg.norm(found - wanted) < 1e-5 * np.linalg.norm(wanted)


def mask_design(lines: list[int], *, calibration: int = 0, slices: int = 1) -> MaskDesign:
    return MaskDesign(
        name="igs-test",
        family="igs",
        geometry=Geometry(fov_m=(0.3, 0.3), matrix=(N, N), slices=slices, slice_thickness_m=0.006),
        scanner=paper_scanner(),
        protocol=Protocol(),
        order=np.array(lines),
        shots=len(lines),
        calibration=calibration,
    )


@pytest.mark.parametrize("oversampling", [1, 2])
def test_lines_are_those_of_the_images_without_oversampling(tmp_path, oversampling):
    images = coil_images(slices=2)
    scan = read_cartesian_scan(write_cartesian(tmp_path / "s.mrd", images, oversampling=oversampling))
    assert close(scan.data.samples, direct_kspace(images))
    assert np.array_equal(scan.data.lines, np.arange(N))
    assert scan.data.acquired.all()
    assert scan.data.geometry == scan.image
    assert (scan.image.fov_m, scan.image.slice_thickness_m) == ((0.3, 0.3), 0.006)
    assert scan.data.dwell_s == pytest.approx(oversampling * 5e-6)
    assert np.allclose(scan.placement.positions_m, [[0, 0, 0], [0, 0, 0.01]])


@pytest.mark.parametrize("centre", [N // 2, 9, 40])
def test_the_headers_centre_says_which_line_is_k_zero(tmp_path, centre):
    images, lines = coil_images(), [8, 15, 16, 17, 30]
    data = read_cartesian_scan(write_cartesian(tmp_path / "s.mrd", images, lines=lines, centre=centre)).data
    assert np.array_equal(data.lines, lines)
    assert close(data.samples, direct_kspace(images)[:, :, lines])
    assert np.array_equal(data.mask(0).nonzero()[0], lines)
    grid = data.grid(0)
    assert close(grid[:, lines], direct_kspace(images)[0][:, lines])
    assert not np.delete(grid, lines, axis=1).any()


def test_calibration_and_imaging_lines_are_both_and_calibration_lines_only_calibration(tmp_path):
    """As ismrmrd's generator flags an acceleration of 2 with reference lines in the middle."""
    images, inside = coil_images(), range(10, 22)
    imaging, between = list(range(0, N, 2)), [line for line in inside if line % 2]
    path = write_cartesian(tmp_path / "s.mrd", images, lines=imaging, calibration=inside, calibration_only=between)
    scan = read_cartesian_scan(path)
    assert np.array_equal(scan.data.lines, imaging)
    assert np.array_equal(scan.data.calibration_lines, inside)
    assert close(scan.data.calibration, direct_kspace(images)[:, :, list(inside)])
    assert close(scan.data.samples, direct_kspace(images)[:, :, imaging])
    assert not scan.notes


def test_without_flags_the_lines_about_the_centre_calibrate(tmp_path):
    lines = [0, 3, *range(12, 20), 25]
    scan = read_cartesian_scan(write_cartesian(tmp_path / "s.mrd", coil_images(), lines=lines))
    assert np.array_equal(scan.data.calibration_lines, range(12, 20))
    assert any("the 8 lines about the centre serve" in note for note in scan.notes)
    lonely = read_cartesian_scan(write_cartesian(tmp_path / "l.mrd", coil_images(), lines=[0, 4, 8, 12, 16, 20]))
    assert lonely.data.calibration.shape == (1, COILS, 0, N)


def test_where_too_few_lines_are_flagged_those_about_the_centre_calibrate(tmp_path):
    """As of a mask with calibration=1 whose chosen lines fill the centre."""
    images, lines = coil_images(), [0, 3, *range(8, 24), 29]
    path = write_cartesian(tmp_path / "s.mrd", images, lines=lines, calibration=[16])
    for design in (None, mask_design([16, *(line for line in lines if line != 16)], calibration=1)):
        scan = read_cartesian_scan(path, design)
        assert np.array_equal(scan.data.calibration_lines, range(8, 24))
        assert close(scan.data.calibration, direct_kspace(images)[:, :, 8:24])
        assert scan.notes.count("too few calibration lines (1) are flagged; the 16 lines about the centre serve") == 1
    sparse = write_cartesian(tmp_path / "p.mrd", images, lines=[3, *range(14, 19), 29], calibration=[16])
    assert read_cartesian_scan(sparse).data.calibration_lines.tolist() == [16]  # five about the centre are too few


def test_as_many_flagged_lines_as_maps_need_are_taken_as_they_are(tmp_path):
    path = write_cartesian(tmp_path / "s.mrd", coil_images(), calibration=range(13, 19))
    scan = read_cartesian_scan(path)
    assert np.array_equal(scan.data.calibration_lines, range(13, 19))
    assert not scan.notes


def test_averages_are_averaged_and_of_repetitions_the_first_is_taken(tmp_path):
    images = coil_images()

    def repeat(items):
        more = []
        for kind, number in (("average", 1), ("repetition", 1)):
            for item in items:
                copy = ismrmrd.Acquisition(item.getHead(), 3 * item.data)
                setattr(copy.idx, kind, number)
                more.append(copy)
        return items + more

    scan = read_cartesian_scan(write_cartesian(tmp_path / "s.mrd", images, change=repeat))
    assert close(scan.data.samples, 2 * direct_kspace(images))
    assert any("took repetition 0 of 2" in note for note in scan.notes)


def test_noise_readouts_stand_apart(tmp_path):
    noise = np.random.default_rng(0).standard_normal((COILS, 64, 2)) @ [1, 1j]
    data = read_cartesian_scan(write_cartesian(tmp_path / "s.mrd", coil_images(), noise=noise)).data
    assert close(data.noise, noise)
    assert data.noise_dwell_s == pytest.approx(5e-6)
    assert data.samples.shape == (1, COILS, N, N)


def test_reversed_readouts_and_partial_echoes_find_their_centre(tmp_path):
    images = coil_images()

    def turn(items):
        for item in items[::2]:
            item.data[:] = item.data[:, ::-1].copy()
            item.center_sample = item.number_of_samples - 1 - item.center_sample
            item.setFlag(ismrmrd.ACQ_IS_REVERSE)

    turned = read_cartesian_scan(write_cartesian(tmp_path / "r.mrd", images, change=turn)).data
    assert close(turned.samples, direct_kspace(images))

    def cut(items):
        cuts = []
        for item in items:
            head = item.getHead()
            head.number_of_samples, head.center_sample, head.discard_pre = 60, 28, 2
            cuts.append(ismrmrd.Acquisition(head, item.data[:, 4:].copy()))
        return cuts

    found = read_cartesian_scan(write_cartesian(tmp_path / "p.mrd", images, change=cut)).data.samples[..., 8:24]
    wanted = direct_kspace(images)[..., 8:24]  # the outermost samples lack
    assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)


@pytest.mark.parametrize(("held", "columns"), [((20, 64), (10, 32)), ((0, 44), (0, 22)), ((0, 64), None)])
def test_half_echoes_say_which_columns_they_hold(tmp_path, held, columns):
    """Of 64 samples with k = 0 on the 32nd, two for each of 32 columns."""

    def cut(items):
        cuts = []
        for item in items:
            head = item.getHead()
            head.number_of_samples, head.center_sample = held[1] - held[0], 32 - held[0]
            cuts.append(ismrmrd.Acquisition(head, item.data[:, slice(*held)].copy()))
        return cuts

    assert read_cartesian_scan(write_cartesian(tmp_path / "p.mrd", coil_images(), change=cut)).data.columns == columns


def test_phase_oversampling_enlarges_the_encoded_matrix_and_is_said(tmp_path):
    images = coil_images(y=40)
    scan = read_cartesian_scan(write_cartesian(tmp_path / "s.mrd", images, rows=32))
    assert scan.data.geometry.matrix == (32, 40)
    assert scan.data.geometry.fov_m == pytest.approx((0.3, 0.375))
    assert scan.image.matrix == (32, 32)
    assert close(scan.data.samples, direct_kspace(images))
    assert any("phase oversampling" in note for note in scan.notes)


def test_an_aborted_scan_is_read_with_a_note(tmp_path):
    """The last slice lacks its last lines; the design knows what else was to come."""
    lines = [16, 15, 17, 14, 18, 13, 19, 12, 4, 28]
    path = write_cartesian(tmp_path / "s.mrd", coil_images(slices=2), lines=lines, change=lambda items: [*items[:-2]])
    scan = read_cartesian_scan(path)
    assert scan.data.acquired.sum(1).tolist() == [10, 8]
    assert any("2 of 20 lines are missing" in note for note in scan.notes)
    assert not scan.data.grid(1)[:, [19, 28]].any()
    planned = read_cartesian_scan(path, mask_design([*lines, 2, 30], slices=3))
    assert any("1 of 3 slices" in note for note in planned.notes)
    assert any("6 of 24 lines are missing" in note for note in planned.notes)
    assert len(planned.placement.positions_m) == 2


def test_data_of_another_design_are_refused(tmp_path):
    path = write_cartesian(tmp_path / "s.mrd", coil_images(), lines=[4, 15, 16])
    with pytest.raises(SeqoptError, match="holds line 4, which the design igs-test does not"):
        read_cartesian_scan(path, mask_design([16, 15]))
    with pytest.raises(SeqoptError, match="64 samples, but the design igs-test has 128"):
        read_cartesian_scan(path, replace(mask_design([4, 15, 16]), oversampling=4))


def test_bad_files_are_refused_in_one_line(tmp_path):
    def refused(saying: str, **options) -> None:
        path = tmp_path / f"{abs(hash(saying))}.mrd"
        write_cartesian(path, coil_images(), **options)
        with pytest.raises(SeqoptError, match=saying) as caught:
            read_cartesian_scan(path)
        assert "\n" not in str(caught.value)

    def each(act):
        return lambda items: [act(item) for item in items] and None

    def poison(items):
        items[3].data[0, 5] = np.nan

    refused("NaN", change=poison)
    refused("header without data", change=each(lambda item: item.data.fill(0)))
    refused("was recorded 32 times", change=each(lambda item: setattr(item.idx, "kspace_encode_step_1", 0)))
    refused("not Cartesian by its header", trajectory="spiral")
    refused("no line lies within", change=each(lambda item: setattr(item.idx, "kspace_encode_step_1", 200)), lines=[5])
    refused("only noise or calibration", lines=[], calibration_only=range(10, 20))
    refused("readouts differ in size", change=lambda items: setattr(items[4], "discard_post", 5))
    whole = write_cartesian(tmp_path / "whole.mrd", coil_images()).read_bytes()
    for share in (0.0, 0.01, 0.4, 0.9):
        (tmp_path / "t.mrd").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(SeqoptError, match=r"t\.mrd"):
            read_cartesian_scan(tmp_path / "t.mrd")
