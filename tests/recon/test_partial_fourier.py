"""Partial Fourier against POCS written out with dense matrices, and against the images that the samples came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cartesian_files import fourier, phantom

from seqopt.errors import SeqoptError
from seqopt.recon.partial_fourier import pocs, share_of

N = 48


def smooth() -> np.ndarray:
    """A textured ellipse with a hole, whose phase is smooth."""
    v, u = np.meshgrid(np.arange(N) / N - 0.5, np.arange(N) / N - 0.5, indexing="ij")
    return np.abs(phantom(N, N)) * np.exp(1j * (2 * u + 3 * v * v - 2 * u * v))


def zero_filled(image: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    transform = fourier(N, N, N) / np.sqrt(N)
    kept = np.zeros((N, N))
    kept[slice(*rows), slice(*columns)] = 1
    return transform.conj().T @ (kept * (transform @ image @ transform.T)) @ transform.conj()


def filled(image: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], **options: int) -> np.ndarray:
    return pocs(torch.from_numpy(zero_filled(image, rows, columns))[None], rows, columns, **options)[0].numpy()


def error(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(np.abs(found) - np.abs(truth)) / np.linalg.norm(truth))


@pytest.mark.parametrize(
    ("rows", "columns", "gain"),
    [((15, N), (0, N), 2), ((0, 31), (0, N), 2), ((0, N), (12, N), 2), ((12, N), (12, N), 1.5)],
)
def test_a_smooth_phase_brings_back_most_of_what_lacks(rows, columns, gain):
    image = smooth()
    assert error(filled(image, rows, columns), image) < error(zero_filled(image, rows, columns), image) / gain


def test_it_is_what_dense_matrices_give():
    """Rows 14 to 47 of 48: 10 lines below the centre, so that its symmetric part is 14 to 34."""
    transform = fourier(N, N, N) / np.sqrt(N)
    image, rows = smooth(), (14, N)
    start = zero_filled(image, rows, (0, N))
    known = transform @ start @ transform.T
    window = np.zeros(N)
    for line in range(14, 35):
        window[line] = np.cos(np.pi * (line - 24) / 22) ** 2
    phase = np.angle(transform.conj().T @ (window[:, None] * known) @ transform.conj())
    estimate = start
    for _ in range(6):
        real = np.real(estimate * np.exp(-1j * phase)) * np.exp(1j * phase)
        samples = transform @ real @ transform.T
        samples[14:] = known[14:]
        samples[0] = 0  # the line without an opposite one
        estimate = transform.conj().T @ samples @ transform.conj()
    found = filled(image, rows, (0, N), iterations=6)
    assert np.linalg.norm(found - estimate) < 1e-10 * np.linalg.norm(start - estimate)


def test_samples_that_were_acquired_stay_as_they_are():
    transform = fourier(N, N, N) / np.sqrt(N)
    image = smooth() * np.exp(8j * np.hypot(*np.meshgrid(np.linspace(-1, 1, N), np.linspace(-1, 1, N))))
    samples = transform @ filled(image, (10, N), (0, 40)) @ transform.T
    assert np.allclose(samples[10:, :40], (transform @ image @ transform.T)[10:, :40])


def test_nothing_is_added_where_both_sides_end_alike():
    image = smooth()
    assert np.allclose(filled(image, (9, 40), (0, N)), zero_filled(image, (9, 40), (0, N)))
    assert share_of((9, 40), N) == 1.0
    assert share_of((N // 2, N // 2 + 1), N) == 1.0  # the centre alone
    assert share_of((0, 24 + 6), N) == pytest.approx((23 + 5) / 46)


def test_a_centre_too_narrow_for_a_phase_is_refused():
    with pytest.raises(SeqoptError, match=r"4 or more samples on either side .*, the data hold 2; use partial_fourier"):
        filled(smooth(), (22, N), (0, N))
