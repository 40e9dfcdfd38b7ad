"""Variety and noise: deterministic for one generator, with the statistics that are stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.images import (
    ImageSet,
    complex_noise,
    evaluation_images,
    noise_sigma,
    random_contrast,
    smooth_phase,
    training_batches,
)


def image_set(*, complex_valued: bool = False) -> ImageSet:
    y, x = np.mgrid[:32, :32] - 16
    images = np.stack([(np.hypot(y, x) < 6 + index) * (0.2 + 0.1 * index) for index in range(8)]).astype(np.float32)
    splits = {"train": np.arange(4), "validation": np.arange(4, 5), "test": np.arange(5, 8)}
    made = images.astype(np.complex64) * np.complex64(1j) if complex_valued else images
    return ImageSet(images=made, voxel_m=1e-3, source="discs", splits=splits)


def test_batches_depend_on_the_generator_alone():
    def some(seed: int) -> np.ndarray:
        batches = training_batches(image_set(), 3, np.random.default_rng(seed))
        return np.stack([next(batches) for _ in range(4)])

    assert some(1).shape == (4, 3, 32, 32) and some(1).dtype == np.complex64
    np.testing.assert_array_equal(some(1), some(1))
    assert np.abs(some(1) - some(2)).max() > 0.01


def test_each_training_image_comes_once_before_any_comes_again_and_no_other_ever():
    areas = [int((np.abs(image) > 0).sum()) for image in image_set().images]
    batches = training_batches(image_set(), 2, np.random.default_rng(0))
    for _ in range(5):
        epoch = np.concatenate([next(batches), next(batches)])
        assert sorted(int((np.abs(image) > 1e-6).sum()) for image in epoch) == areas[:4]


def test_evaluation_images_are_the_same_for_one_seed_whatever_the_limit():
    full, again = (evaluation_images(image_set(), "test", 7) for _ in range(2))
    np.testing.assert_array_equal(full, again)
    np.testing.assert_array_equal(evaluation_images(image_set(), "test", 7, limit=1), full[1:2])
    assert np.abs(evaluation_images(image_set(), "test", 8) - full).max() > 0.01
    np.testing.assert_allclose(np.abs(full), image_set().images[5:], atol=1e-6)


def test_complex_images_keep_their_own_phase():
    full = evaluation_images(image_set(complex_valued=True), "test", 7)
    np.testing.assert_array_equal(full, image_set(complex_valued=True).images[5:])


def labelled_set() -> ImageSet:
    """Half discs whose two maps are their left and right halves, so that a flip shows."""
    plain = image_set()
    left = (np.arange(32) < 16)[None, None, :]
    inside = plain.images > 0
    upper = (np.arange(32) < 20)[None, :, None]
    maps = {"GM": (inside & left & upper).astype(np.float32), "WM": (inside & ~(left & upper)).astype(np.float32)}
    return replace(plain, images=plain.images * (1.0 + maps["WM"]), channels=maps)


def test_labels_lie_on_their_images_under_every_flip():
    seen = set()
    batches = training_batches(labelled_set(), 2, np.random.default_rng(0), labels=("WM", "GM"))
    for images, maps in (next(batches) for _ in range(20)):
        assert maps.shape == (2, 2, 32, 32) and maps.dtype == np.float32
        for image, (white, grey) in zip(np.abs(images), maps, strict=True):
            np.testing.assert_array_equal(image > 1e-6, (white + grey) > 0)
            pixels = np.argwhere(grey > 0).mean(0) - 15.5
            seen.add((bool(pixels[0] > 0), bool(pixels[1] > 0)))
            # a contrast is a curve of the magnitude and the maps: constant within each tissue where the maps lie right
            assert np.ptp(image[grey > 0]) < 1e-4 and np.ptp(image[white > 0]) < 1e-4
    assert len(seen) == 4


def test_asking_for_labels_changes_no_image():
    images = labelled_set()
    plain = training_batches(images, 3, np.random.default_rng(4))
    with_labels = training_batches(images, 3, np.random.default_rng(4), labels=("GM",))
    for _ in range(6):
        np.testing.assert_array_equal(next(plain), next(with_labels)[0])
    judged, maps = evaluation_images(images, "test", 7, limit=2, labels=("GM", "WM"))
    np.testing.assert_array_equal(judged, evaluation_images(images, "test", 7, limit=2))
    chosen = images.select("test", 2)
    np.testing.assert_array_equal(maps, np.stack([images.channels[name][chosen] for name in ("GM", "WM")], 1))


def test_images_keep_their_own_contrast_when_asked_to():
    images, maps = next(
        training_batches(labelled_set(), 4, np.random.default_rng(0), labels=("GM", "WM"), contrasts=False)
    )
    levels = {
        round(float(level), 4)
        for image, (_, white) in zip(np.abs(images), maps, strict=True)
        for level in np.unique(image[white > 0].round(4))
    }
    assert levels <= {round(2 * (0.2 + 0.1 * index), 4) for index in range(4)}


def test_the_batches_of_a_seed_stay_what_they_were():
    """Sums written down from the first release: designs of a seed depend on every draw."""
    batches = training_batches(labelled_set(), 2, np.random.default_rng(11))
    found = [complex(next(batches).sum()) for _ in range(3)]
    np.testing.assert_allclose(
        found,
        [
            -77.9290771484375 - 270.8469543457031j,
            -167.1534423828125 + 58.94563674926758j,
            -116.61979675292969 + 164.6650390625j,
        ],
        rtol=1e-4,
    )


def test_images_without_tissue_maps_are_refused_when_labels_are_asked_for():
    for ask in (
        lambda: training_batches(image_set(), 2, np.random.default_rng(0), labels=("GM", "WM")),
        lambda: evaluation_images(image_set(), "test", 0, labels=("GM", "WM")),
    ):
        with pytest.raises(SeqoptError, match=r"discs: got images without the tissue maps GM, WM.*embedded brain"):
            ask()


def test_phase_is_smooth_and_of_unit_magnitude():
    for seed in range(5):
        phase = smooth_phase((64, 48), np.random.default_rng(seed))
        np.testing.assert_allclose(np.abs(phase), 1.0, atol=1e-6)
        assert max(np.abs(np.diff(phase, axis=axis)).max() for axis in (0, 1)) < 0.4


def test_contrast_keeps_background_scale_and_phase():
    image = image_set(complex_valued=True).images[7] * np.complex64(1.0 / 0.9)
    for seed in range(8):
        other = random_contrast(image, np.random.default_rng(seed))
        assert not other[image == 0].any() and 0.85 < np.abs(other).max() < 1.15
        np.testing.assert_allclose(np.angle(other[image != 0]), np.pi / 2, atol=1e-5)


def test_tissue_maps_change_the_contrast_between_tissues():
    grey = np.zeros((16, 16), np.float32)
    grey[:, :8] = 1.0
    image, channels = 0.5 + 0.5 * (1 - grey), {"GM": grey, "WM": 1 - grey}
    ratios = [
        (lambda made: made[0, 0] / made[0, -1])(random_contrast(image, np.random.default_rng(seed), channels=channels))
        for seed in range(20)
    ]
    assert min(ratios) < 0.6 and max(ratios) > 1.0  # T1-like and T2-like


def test_noise_is_white_circular_and_of_the_stated_size():
    noise = complex_noise((200, 200), 0.3, np.random.default_rng(0))
    assert noise.dtype == np.complex64
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(0.09, rel=0.02)
    assert noise.real.var() == pytest.approx(noise.imag.var(), rel=0.05)
    assert abs(np.mean(noise**2)) < 0.002
    spectrum = np.abs(np.fft.fft2(noise, norm="ortho")) ** 2  # unitary: the same sigma in k-space
    assert spectrum.mean() == pytest.approx(0.09, rel=0.02)


def test_snr_is_the_mean_of_the_object_over_sigma():
    image = np.zeros((1, 20, 20))
    image[0, 5:15, 5:15] = 2.0
    assert noise_sigma(20.0, image) == pytest.approx(0.1)
    assert noise_sigma(20.0, 1j * image) == pytest.approx(0.1)
    assert noise_sigma(float("inf"), image) == 0.0


@pytest.mark.parametrize("snr", [0.0, -3.0, float("nan")])
def test_an_snr_that_is_not_above_zero_is_refused(snr):
    with pytest.raises(SeqoptError, match=r"SNR: got .*, expected a number above 0"):
        noise_sigma(snr, np.ones((1, 8, 8)))


def test_empty_images_and_batches_are_refused():
    with pytest.raises(SeqoptError, match="empty"):
        noise_sigma(10.0, np.zeros((1, 8, 8)))
    with pytest.raises(SeqoptError, match="batch: got 0"):
        next(training_batches(image_set(), 0, np.random.default_rng(0)))
