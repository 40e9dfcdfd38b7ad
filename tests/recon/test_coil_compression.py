"""Virtual coils against what they promise: energy, white noise, and the image."""

from __future__ import annotations

import numpy as np
import pytest
from laws import complex_normal

from seqopt.errors import SeqoptError
from seqopt.recon.coil_compression import compression_matrix


def samples() -> np.ndarray:
    """Two slices, eight coils that see mixtures of three signals, and a little noise."""
    signals, mixture = complex_normal(2, 3, 5, 40, seed=1).numpy(), complex_normal(8, 3, seed=2).numpy()
    return np.einsum("cs,zsnk->zcnk", mixture, signals) + 0.01 * complex_normal(2, 8, 5, 40, seed=3).numpy()


@pytest.mark.parametrize("keep", [3.0, 0.999])
def test_three_virtual_coils_hold_what_three_signals_gave(keep):
    matrix = compression_matrix(samples(), keep)
    assert matrix.shape == (3, 8)
    kept = np.einsum("vc,zcnk->zvnk", matrix, samples())
    assert (np.abs(kept) ** 2).sum() > 0.999 * (np.abs(samples()) ** 2).sum()


def test_white_noise_stays_white_and_all_coils_lose_nothing():
    matrix = compression_matrix(samples(), 5)
    assert np.allclose(matrix @ matrix.conj().T, np.eye(5))
    assert compression_matrix(samples(), 99).shape == (8, 8)


@pytest.mark.parametrize("keep", [0.0, -1.0, 2.5, float("nan")])
def test_other_numbers_are_refused(keep):
    with pytest.raises(SeqoptError, match="coil compression: got"):
        compression_matrix(samples(), keep)
