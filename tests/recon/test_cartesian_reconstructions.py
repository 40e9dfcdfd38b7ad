"""Reconstructions of Cartesian lines against dense algebra, sigpy, and the images that the lines came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cartesian_files import fourier, phantom, ring_maps
from laws import relative

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.images.coils import simulated_coil_maps
from seqopt.images.sources import load_images
from seqopt.recon.cartesian import MAPS_NEEDED, cartesian_reconstructions
from seqopt.recon.cartesian_maps import central_block, maps_of_lines
from seqopt.recon.cross_check import sigpy_fft_difference
from seqopt.recon.grappa import WIDTH, grappa_lines, kernel
from seqopt.recon.l1_wavelet import shrink
from seqopt.recon.unet import UNet

Y, X, COILS = 16, 12, 4


def small() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (y, x), maps (coils, y, x) and all samples (coils, y, x) by direct sums, complex128."""
    image, maps = phantom(Y, X), ring_maps(COILS, Y, X)
    kspace = np.einsum("ly,cyx,nx->cln", fourier(Y, Y, Y), maps * image, fourier(X, X, X)) / np.sqrt(Y * X)
    return image, maps, kspace


def mask_of(lines, size: int = Y) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[list(lines)] = True
    return mask


def reconstructed(name: str, samples, mask, maps=None, **options) -> np.ndarray:
    maps = None if maps is None else torch.from_numpy(np.asarray(maps))
    samples = torch.from_numpy(samples * mask[:, None])[None]
    return cartesian_reconstructions[name](samples, torch.from_numpy(mask), maps, **options)[0].numpy()


def dense(maps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Encoding (coils * acquired samples, pixels) from the definition."""
    transform = np.einsum("ly,nx->lnyx", fourier(Y, Y, Y)[mask], fourier(X, X, X)) / np.sqrt(Y * X)
    return np.concatenate([(transform * coil).reshape(-1, Y * X) for coil in maps])


@pytest.mark.parametrize("lines", [range(Y), [0, 3, 7, 8, 9, 14]])
def test_zero_filled_is_the_adjoint_by_direct_sums(lines):
    _, maps, kspace = small()
    mask = mask_of(lines)
    encode = dense(maps, mask)
    combined = (encode.conj().T @ kspace[:, mask].reshape(-1)).reshape(Y, X)
    assert relative(reconstructed("zero-filled", kspace, mask, maps), combined) < 1e-12
    each = [dense(np.ones((1, Y, X)), mask).conj().T @ coil[mask].ravel() for coil in kspace]
    squares = np.sqrt((np.abs(each) ** 2).sum(0)).reshape(Y, X)
    assert relative(reconstructed("zero-filled", kspace, mask), squares) < 1e-12


def test_cg_sense_is_the_regularised_least_squares_image():
    _, maps, kspace = small()
    mask = mask_of([0, 2, 5, 6, 7, 8, 9, 10, 13])
    encode = dense(maps, mask)
    exact = np.linalg.solve(
        encode.conj().T @ encode + 0.05 * np.eye(Y * X), encode.conj().T @ kspace[:, mask].reshape(-1)
    )
    found = reconstructed("cg-sense", kspace, mask, maps, iterations=200, regularisation=0.05)
    assert relative(found, exact.reshape(Y, X)) < 1e-4


def test_full_data_give_the_image_by_every_method_with_maps():
    image, maps, kspace = small()
    for name in ("zero-filled", "cg-sense", "l1-wavelet", "grappa"):
        options = {"calibration": torch.from_numpy(kspace[:, 4:12])[None], "calibration_lines": np.arange(4, 12)}
        found = reconstructed(name, kspace, mask_of(range(Y)), maps, regularisation=0.0, **options)
        assert relative(found, image) < 1e-6, name


@pytest.fixture(scope="module")
def brain():
    """An embedded brain (64 x 64) seen by 8 coils: image, maps, noiseless and noisy samples (coils, y, x) complex64."""
    image_set = load_images(None, matrix=64, fov_m=0.22)
    y, x = np.mgrid[:64, :64] / 64 - 0.5
    image = (image_set.images[image_set.select("test", 1)][0] * np.exp(1j * (2 * x + 3 * y * y))).astype(np.complex64)
    maps = simulated_coil_maps(8, Geometry(fov_m=(0.22, 0.22), matrix=(64, 64)))
    transform = fourier(64, 64, 64)
    kspace = np.einsum("ly,cyx,nx->cln", transform, maps * image, transform, optimize=True) / 64
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((*kspace.shape, 2)) @ [1, 1j] / np.sqrt(2) * np.abs(image).mean() / 40
    return image, maps, kspace.astype(np.complex64), (kspace + noise).astype(np.complex64)


CALIBRATION = np.arange(20, 44)


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    image, truth = np.abs(image), np.abs(truth)
    return float(np.linalg.norm(image * (image * truth).sum() / (image**2).sum() - truth) / np.linalg.norm(truth))


def test_grappa_fills_every_second_line_far_better_than_zeros_do(brain):
    _, _, full, noisy = brain
    mask = mask_of({*range(0, 64, 2), *CALIBRATION.tolist()}, 64)
    filled = grappa_lines(full, mask, full[:, CALIBRATION], CALIBRATION)
    assert np.array_equal(filled[:, mask], full[:, mask])
    assert relative(filled[:, ~mask], full[:, ~mask]) < 0.25  # zeros: 1
    options = {"calibration": torch.from_numpy(noisy[:, CALIBRATION])[None], "calibration_lines": CALIBRATION}
    maps = maps_of_lines(noisy[:, CALIBRATION], CALIBRATION, (64, 64))
    image = brain[0]
    zero = nrmse(reconstructed("zero-filled", noisy, mask, maps), image)
    assert nrmse(reconstructed("grappa", noisy, mask, maps, **options), image) < 0.6 * zero


@pytest.mark.parametrize("acceleration", [3, 4])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_grappa_follows_any_regular_pattern(brain, acceleration, first):
    _, _, full, _ = brain
    mask = mask_of({*range(first, 64, acceleration), *CALIBRATION.tolist()}, 64)
    filled = grappa_lines(full, mask, full[:, CALIBRATION], CALIBRATION)
    assert np.array_equal(filled[:, mask], full[:, mask])
    assert relative(filled, full) < 0.6 * relative(full * mask[:, None], full)


def test_grappa_fills_gaps_beside_one_line_and_leaves_what_was_never_reached(brain):
    """Every third line from 10 to 61: 9 and 8 lie beside 10, 62 and 63 beside 61, and lines below 8 beside none."""
    full = brain[2]
    mask = mask_of({*range(10, 64, 3), *CALIBRATION.tolist()}, 64)
    filled = grappa_lines(full, mask, full[:, CALIBRATION], CALIBRATION)
    assert np.flatnonzero(filled.any((0, 2))).tolist() == list(range(8, 64))


def test_grappa_takes_two_lines_on_either_side(brain):
    """Line 5 of every second is made of 2, 4, 6 and 8."""
    full = brain[2]
    mask = mask_of({*range(0, 64, 2), *CALIBRATION.tolist()}, 64)
    made_of = []
    for line in range(0, 16, 2):
        lines = full.copy()
        lines[:, [other for other in range(0, 16, 2) if other != line]] = 0
        if grappa_lines(lines, mask, full[:, CALIBRATION], CALIBRATION)[:, 5].any():
            made_of.append(line)
    assert made_of == [2, 4, 6, 8]


def test_a_grappa_kernel_is_the_direct_least_squares_fit(brain):
    """Every place of the kernel in the block written out as one equation."""
    block, rows = brain[3][:3, 24:40, 10:34].astype(np.complex128), np.arange(-1, 3)
    equations, results = [], []
    for line in range(2, 16 - 4):
        for column in range(WIDTH // 2, 24 - WIDTH // 2):
            near = block[:, [line - 2, line, line + 2, line + 4], column - 2 : column + 3]
            equations.append(near.ravel())
            results.append(block[:, line + 1, column])
    direct = np.linalg.lstsq(np.array(equations), np.array(results), rcond=None)[0].T.reshape(3, 3, 4, WIDTH)
    assert relative(kernel(block, acceleration=2, gap=1, rows=rows, regularisation=0.0), direct) < 1e-5


def test_grappa_refuses_what_it_cannot_fill(brain):
    full = brain[2]
    irregular = mask_of({1, 6, 8, 50, 55, *CALIBRATION.tolist()}, 64)
    with pytest.raises(SeqoptError, match="the 29 lines are not regular; use cg-sense or l1-wavelet"):
        grappa_lines(full, irregular, full[:, CALIBRATION], CALIBRATION)
    regular = mask_of(range(0, 64, 4), 64)
    with pytest.raises(SeqoptError, match="more than 4 calibration lines for gaps of 4, got 3"):
        grappa_lines(full, regular, full[:, 31:34], np.arange(31, 34))
    with pytest.raises(SeqoptError, match="grappa needs calibration lines"):
        reconstructed("grappa", full, regular)


def variable_density() -> np.ndarray:
    generator = np.random.default_rng(3)
    weight = 1 / (1 + np.abs(np.arange(64) - 32)) ** 1.2
    weight[CALIBRATION] = 0
    outer = generator.choice(64, 10, replace=False, p=weight / weight.sum())
    return mask_of({*outer.tolist(), *CALIBRATION.tolist()}, 64)


def test_iterative_methods_beat_zero_filling_and_keep_up_with_sigpys(brain):
    import sigpy.mri as mr

    image, _, _, noisy = brain
    mask = variable_density()
    maps = maps_of_lines(noisy[:, CALIBRATION], CALIBRATION, (64, 64))
    error = {
        name: nrmse(reconstructed(name, noisy, mask, maps), image) for name in ("zero-filled", "cg-sense", "l1-wavelet")
    }
    data = noisy * mask[:, None]
    scale = np.abs(reconstructed("zero-filled", noisy, mask, maps)).max()
    peer = mr.app.L1WaveletRecon(
        data / scale, maps, 0.003, weights=mask[:, None] * np.ones(64), show_pbar=False, max_iter=60
    )
    sense = mr.app.SenseRecon(data, maps, 0.01, weights=mask[:, None] * np.ones(64), show_pbar=False, max_iter=30)
    assert relative(reconstructed("cg-sense", noisy, mask, maps), sense.run()) < 0.01
    assert error["cg-sense"] < 0.9 * error["zero-filled"]
    assert error["l1-wavelet"] < error["cg-sense"]
    assert error["l1-wavelet"] < 1.05 * nrmse(peer.run(), image)


def test_shrinking_by_nothing_is_the_identity_and_by_much_leaves_the_coarse_image():
    generator = np.random.default_rng(0)
    images = generator.standard_normal((2, 48, 36, 2)) @ [1, 1j]
    assert np.allclose(shrink(images, np.zeros(2)), images)
    shrunk = shrink(images, np.array([0.5, 1e3]))
    assert 0 < np.linalg.norm(images[0] - shrunk[0]) < np.linalg.norm(images[0])
    assert np.linalg.norm(shrunk[1]) < 0.3 * np.linalg.norm(images[1])


def test_equal_data_give_equal_wavelet_images(brain):
    maps = maps_of_lines(brain[3][:, CALIBRATION], CALIBRATION, (64, 64))
    first, second = (reconstructed("l1-wavelet", brain[3], variable_density(), maps, iterations=5) for _ in "ab")
    assert np.array_equal(first, second)


@pytest.mark.parametrize("method", ["walsh", "espirit"])
def test_maps_of_lines_are_the_true_ones_up_to_a_common_phase(brain, method):
    image, truth, _, noisy = brain
    maps = maps_of_lines(noisy[:, CALIBRATION], CALIBRATION, (64, 64), method=method)
    inside = np.abs(image) > 0.2 * np.abs(image).max()
    assert np.quantile(np.abs((maps.conj() * truth).sum(0))[inside], 0.02) > 0.97
    assert np.allclose((np.abs(maps) ** 2).sum(0), 1.0, atol=1e-4)


def test_espirit_maps_agree_with_sigpys_on_the_whole_grid(brain):
    import sigpy.mri as mr

    image, _, _, noisy = brain
    ours = maps_of_lines(noisy[:, CALIBRATION], CALIBRATION, (64, 64), method="espirit")
    theirs = mr.app.EspiritCalib(noisy, calib_width=24, crop=0, show_pbar=False).run()
    inside = np.abs(image) > 0.2 * np.abs(image).max()
    assert np.quantile(np.abs((ours.conj() * theirs).sum(0))[inside], 0.02) > 0.98


@pytest.mark.parametrize(("columns", "size"), [(None, 24), ((22, 64), 20), ((0, 40), 16)])
def test_maps_take_no_columns_that_were_not_acquired(brain, columns, size):
    block = central_block(brain[2][:, CALIBRATION], CALIBRATION, (64, 64), size=24, columns=columns)
    centre = slice(32 - size // 2, 32 + size // 2)
    assert np.array_equal(block, brain[2][:, centre, centre])


def test_maps_without_calibration_are_refused_with_the_remedy(brain):
    saying = "6 or more calibration lines .* hold 0; design with --calibration, or use the method 'zero-filled'"
    with pytest.raises(SeqoptError, match=saying):
        maps_of_lines(brain[2][:, :0], np.arange(0), (64, 64))
    with pytest.raises(SeqoptError, match="the data hold 4;"):
        maps_of_lines(brain[2][:, 30:34], np.arange(30, 34), (64, 64))
    for name in MAPS_NEEDED:
        with pytest.raises(SeqoptError, match=f"{name} needs coil maps; .* 'zero-filled'"):
            reconstructed(name, brain[2], mask_of(range(64), 64))
    assert (maps_of_lines(brain[2][:1, :0], np.arange(0), (64, 64)) == 1).all()  # one coil needs none


def test_an_untrained_network_leaves_the_zero_filled_image_as_it_is(brain):
    weights = {name: value.detach().numpy() for name, value in UNet(channels=4, levels=3).state_dict().items()}
    mask = variable_density()
    restored = reconstructed("unet", brain[3], mask, network_weights=weights)
    assert relative(restored, reconstructed("zero-filled", brain[3], mask)) < 1e-3
    with pytest.raises(SeqoptError, match="needs the design whose network was trained"):
        reconstructed("unet", brain[3], mask)


def test_the_cross_check_tells_a_transform_that_is_off(brain, monkeypatch):
    from seqopt.recon import cross_check

    mask = variable_density()
    assert max(sigpy_fft_difference(brain[3][0], brain[0], mask).values()) < 1e-5
    right = cross_check.centred_ifft2
    monkeypatch.setattr(cross_check, "centred_ifft2", lambda samples: right(samples).roll(1, -1))
    assert sigpy_fft_difference(brain[3][0], brain[0], mask)["adjoint"] > 0.1


@pytest.mark.parametrize("options", [{"iterations": 0}, {"regularisation": -1.0}])
@pytest.mark.parametrize("name", ["cg-sense", "l1-wavelet"])
def test_impossible_numbers_are_refused(name, options):
    _, maps, kspace = small()
    with pytest.raises(SeqoptError, match=f"{next(iter(options))}: got"):
        reconstructed(name, kspace, mask_of(range(Y)), maps, **options)
