"""Files as the public converters write them: their flags, counters and headers (read in their sources), small.

siemens_to_ismrmrd, ge_to_ismrmrd, philips_to_ismrmrd, bruker_to_ismrmrd, each with what it sets and what it leaves
out. Samples come from direct Fourier sums.
"""

from __future__ import annotations

from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import pytest
from cartesian_files import fourier, phantom, ring_maps, write_cartesian

from seqopt.errors import SeqoptError
from seqopt.mrd.acquisitions import write_acquisitions
from seqopt.mrd.cartesian_scan import read_cartesian_scan
from seqopt.mrd.files import read_raw
from seqopt.workflows.reconstruct import reconstruct

N, COILS = 32, 3
CONDITIONS = b"<experimentalConditions>"


def coil_images(slices: int = 1, rows: int = N) -> np.ndarray:
    return np.stack([phantom(rows, N) * (1 + s) * ring_maps(COILS, rows, N) for s in range(slices)])


def direct_kspace(images: np.ndarray) -> np.ndarray:
    y, x = images.shape[-2:]
    return np.einsum("ly,scyx,nx->scln", fourier(y, y, y), images, fourier(x, x, x), optimize=True) / np.sqrt(y * x)


def close(found: np.ndarray, wanted: np.ndarray, limit: float = 1e-5) -> bool:
    return found.shape == wanted.shape and np.linalg.norm(found - wanted) < limit * np.linalg.norm(wanted)


def another(item: ismrmrd.Acquisition, *flags: int, samples: slice = slice(None), **counters: int):
    """A copy with these samples, flags besides its own, and counters."""
    data = item.data[:, samples].copy()
    head = item.getHead()
    head.number_of_samples = data.shape[1]
    copy = ismrmrd.Acquisition(head, data)
    for flag in flags:
        copy.setFlag(flag)
    for name, value in counters.items():
        setattr(copy.idx, name, value)
    return copy


def with_header(path: Path, *changes: tuple[bytes, bytes]) -> Path:
    raw = read_raw(path)
    xml = raw.xml
    for old, new in changes:
        assert old in xml
        xml = xml.replace(old, new)
    write_acquisitions(path, xml, raw.acquisitions)
    return path


SIEMENS = (CONDITIONS, b"<acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor>"
           b"</acquisitionSystemInformation>" + CONDITIONS)  # fmt: skip


def test_siemens_readouts_that_serve_other_ends_are_no_image_and_change_none(tmp_path):
    """Noise of another length and dwell, phase correction, navigators with feedback, dummies, coil correction."""
    images = coil_images(slices=2)
    strangers = (
        (ismrmrd.ACQ_IS_PHASECORR_DATA, ismrmrd.ACQ_IS_REVERSE),
        (ismrmrd.ACQ_IS_PHASECORR_DATA,),
        (ismrmrd.ACQ_IS_NAVIGATION_DATA, ismrmrd.ACQ_IS_RTFEEDBACK_DATA),
        (ismrmrd.ACQ_IS_HPFEEDBACK_DATA,),
        (ismrmrd.ACQ_IS_DUMMYSCAN_DATA,),
        (ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,),
    )

    def add(items):
        extra = [another(items[5], *flags, samples=slice(0, 48), segment=1) for flags in strangers]
        noise = another(items[0], ismrmrd.ACQ_IS_NOISE_MEASUREMENT, samples=slice(0, 20))
        noise.data[:] = np.random.default_rng(0).standard_normal((COILS, 20, 2)) @ [1, 1j]
        noise.sample_time_us = 2.5
        reference = another(items[3], ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, samples=slice(0, 30))
        reference.encoding_space_ref = 1
        items[-1].setFlag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
        items[-1].setFlag(ismrmrd.ACQ_LAST_IN_REPETITION)
        for number, item in enumerate(items):  # turbo factor 4
            item.idx.segment = number % 4
        return [noise, reference, *extra[:3], *items, *extra[3:]]

    path = with_header(write_cartesian(tmp_path / "s.mrd", images, change=add), SIEMENS)
    scan = read_cartesian_scan(path)
    assert close(scan.data.samples, direct_kspace(images))
    assert scan.data.noise.shape == (COILS, 20)
    assert scan.data.noise_dwell_s == pytest.approx(2.5e-6)
    summary = reconstruct(path, tmp_path / "out", cross_check=False)
    assert any("left out 6 readouts that are no imaging data" in note for note in summary.notes)
    assert summary.whitened and summary.images.shape == (2, N, N)


@pytest.mark.parametrize("stated", [6, N // 2])
def test_siemens_partial_fourier_and_asymmetric_echoes_lie_where_the_readouts_say(tmp_path, stated):
    """Lines are counted from the first acquired one, so that ky = 0 is line 6; the header says so, or N/2."""
    images = coil_images()
    lines = range(10, N)

    def shorten(items):
        out = []
        for item in items:
            short = another(item, samples=slice(14, None), kspace_encode_step_1=item.idx.kspace_encode_step_1 - 10)
            short.center_sample = N - 14
            short.idx.user[5] = 6
            out.append(short)
        return out

    path = write_cartesian(tmp_path / "s.mrd", images, lines=lines, change=shorten)
    path = with_header(path, SIEMENS, (b"<center>16</center>", b"<center>%d</center>" % stated))
    scan = read_cartesian_scan(path)
    assert scan.data.lines.tolist() == list(lines)
    inner = slice(N // 2 - 8, N // 2 + 8)  # the outermost samples lack on one side
    wanted = direct_kspace(images)[:, :, list(lines)]
    assert close(scan.data.samples[..., inner], wanted[..., inner], limit=0.02)
    assert any("line 6 is the centre" in note for note in scan.notes) == (stated != 6)


def test_a_centre_sample_beyond_the_readout_is_none(tmp_path):
    """As where oversampling was removed and the header kept as it was, or where it is damaged."""

    def forget(items):
        for item in items:
            item.center_sample = 64

    scan = read_cartesian_scan(write_cartesian(tmp_path / "s.mrd", coil_images(), change=forget))
    assert close(scan.data.samples, direct_kspace(coil_images()))
    assert any("or one beyond their ends; their middle was taken" in note for note in scan.notes)


def test_another_vendors_user_counters_mean_nothing(tmp_path):
    def mark(items):
        for item in items:
            item.idx.user[5] = 6

    path = write_cartesian(tmp_path / "s.mrd", coil_images(), change=mark)
    assert close(read_cartesian_scan(path).data.samples, direct_kspace(coil_images()))


def test_siemens_echo_planar_lines_are_read_reversed_and_their_ghosts_foretold(tmp_path):
    images = coil_images()

    def turn(items):
        for item in items[1::2]:
            item.data[:] = item.data[:, ::-1].copy()
            item.center_sample = item.number_of_samples - 1 - item.center_sample
            item.setFlag(ismrmrd.ACQ_IS_REVERSE)
            item.idx.segment = 1

    description = (
        b"</trajectory><trajectoryDescription><identifier>ConventionalEPI</identifier></trajectoryDescription>"
    )
    path = with_header(write_cartesian(tmp_path / "e.mrd", images, change=turn), (b"</trajectory>", description))
    scan = read_cartesian_scan(path)
    assert close(scan.data.samples, direct_kspace(images))
    assert any("expect ghosts" in note for note in scan.notes)


def test_ge_states_no_dwell_and_dates_without_dashes_and_interpolates(tmp_path):
    """Its recon matrix is the transform's, larger than the acquired one, of the same field of view."""
    images = coil_images(slices=2)

    def strip(items):
        for number, item in enumerate(items):
            item.sample_time_us = 0
            item.scan_counter = number

    path = write_cartesian(tmp_path / "g.mrd", images, oversampling=1, change=strip)
    recon = b"<reconSpace>\n      <matrixSize><x>32</x><y>32</y>"
    path = with_header(
        path,
        (recon, recon.replace(b"32", b"64")),
        (CONDITIONS, b"<studyInformation><studyDate>20190529</studyDate></studyInformation>" + CONDITIONS),
        (b"63500000", b"127758610.5"),
    )
    summary = reconstruct(path, tmp_path / "out", method="cg-sense", cross_check=True)
    assert summary.agrees and summary.images.shape == (2, 64, 64)
    fine = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(np.pad(centred_k(phantom(N, N)), 16)))))
    image = summary.images[0]
    scale = (image * fine).sum() / (image**2).sum()
    assert np.linalg.norm(scale * image - fine) < 0.15 * np.linalg.norm(fine)
    for name in ("studyInformation", "experimentalConditions"):
        assert any(f"the header's {name} is not schema-valid" in note for note in summary.notes)
    assert nibabel.load(tmp_path / "out" / "image.nii").header.get_zooms()[:2] == pytest.approx((300 / 64,) * 2)


def centred_k(image: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))


def test_philips_states_no_directions_no_dwell_and_a_tr_of_letters(tmp_path):
    """Encoded matrix from the reconstructed one; fewer samples and lines are acquired; averages are measurements."""
    images = coil_images()
    lines = range(6, 27)  # e1 counts them from 0, and the centre is floor(20 / 2)

    def philips(items):
        out = []
        for item in items:
            for average in (0, 1):
                short = another(
                    item,
                    samples=slice(8, 56),
                    kspace_encode_step_1=item.idx.kspace_encode_step_1 - 6,
                    average=average,
                )
                short.data[:] *= 1 + average
                short.center_sample, short.sample_time_us = 24, 0
                for vector in (short.read_dir, short.phase_dir, short.slice_dir, short.position):
                    vector[:] = (0, 0, 0)
                out.append(short)
        noise = another(out[0], ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        noise.data[:] = np.random.default_rng(1).standard_normal((COILS, 48, 2)) @ [1, 1j]
        return [noise, *out]

    path = with_header(
        write_cartesian(tmp_path / "p.mrd", images, lines=lines, change=philips),
        (b"<center>16</center>", b"<center>10</center>"),
        (b"63500000", b"0"),
        (b"</encoding>", b"</encoding><sequenceParameters><TR>ETH</TR><TE>4.6</TE></sequenceParameters>"),
    )
    scan = read_cartesian_scan(path)
    assert scan.data.lines.tolist() == list(lines)
    inner = slice(N // 2 - 10, N // 2 + 10)
    wanted = 1.5 * direct_kspace(images)[:, :, list(lines)]
    assert close(scan.data.samples[..., inner], wanted[..., inner], limit=0.02)
    summary = reconstruct(path, tmp_path / "out", method="zero-filled", cross_check=False, formats=("nifti",))
    for said in ("sequenceParameters is not schema-valid", "states no directions", "up to 2 averages"):
        assert any(said in note for note in summary.notes), said
    assert summary.whitened


def test_bruker_directions_that_are_no_directions_cost_the_orientation_not_the_image(tmp_path):
    """It copies two of three components of each direction: right for axial slices, nonsense for others."""
    images = coil_images(slices=2)

    def coronal(items):
        for item in items:
            item.phase_dir[:], item.slice_dir[:] = (0, 0.6, 0), (0, 0.8, 1)
            item.sample_time_us = 0

    path = write_cartesian(tmp_path / "b.mrd", images, oversampling=1, change=coronal)
    summary = reconstruct(path, tmp_path / "out", method="zero-filled", cross_check=False)
    assert any("directions are not orthonormal; axial slices" in note for note in summary.notes)
    assert np.isfinite(summary.images).all() and summary.images.any()
    affine = nibabel.load(tmp_path / "out" / "image.nii").affine
    assert np.allclose(np.abs(affine[:3, :3]).argmax(0), [0, 1, 2])


def test_what_an_image_needs_of_a_header_is_never_left_out(tmp_path):
    path = write_cartesian(tmp_path / "x.mrd", coil_images())
    raw = read_raw(path)
    number = b"<userParameterLong><name>a</name><value>b</value></userParameterLong>"
    user = b"</encoding><userParameters>" + number + b"</userParameters>"
    for old, new in ((b"<x>64</x>", b"<x>64.5</x>"), (b"</encoding>", user)):
        assert old in raw.xml
        write_acquisitions(path, raw.xml.replace(old, new), raw.acquisitions)
        with pytest.raises(SeqoptError, match="not schema-valid") as caught:
            read_raw(path)
        assert "\n" not in str(caught.value)
