"""Decorrelate and scale the coils' noise, by a noise-only readout."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

AnyArray = npt.NDArray[Any]


def noise_covariance(
    noise: AnyArray, *, noise_dwell_s: float | None = None, dwell_s: float | None = None
) -> npt.NDArray[np.complex128]:
    """Covariance E[n n^H] of the coils (coils, coils) at the imaging readout's bandwidth.

    In: ``noise`` (coils, n) complex. Noise power goes with the bandwidth 1 / dwell; a covariance measured at
    ``noise_dwell_s`` is scaled to ``dwell_s`` where both are given. Raises `SeqoptError` for too few samples or zeros.
    Source: Pruessmann et al., MRM 46:638 (2001), appendix A; Kellman & McVeigh, MRM 54:1439 (2005).
    """
    coils, count = noise.shape
    if count < 2 * coils:
        raise SeqoptError(
            f"noise readout: got {count} samples for {coils} coils, expected at least {2 * coils}; do not prewhiten"
        )
    if not np.isfinite(noise).all():
        raise SeqoptError("noise readout: it holds NaN or infinity; the file is damaged")
    wide = noise.astype(np.complex128)
    covariance: npt.NDArray[np.complex128] = wide @ wide.conj().T / count
    if not (np.diag(covariance).real > 0).all():
        raise SeqoptError("noise readout: a coil recorded nothing but zeros; do not prewhiten")
    if noise_dwell_s and dwell_s:
        covariance *= noise_dwell_s / dwell_s
    return covariance


def whitening_matrix(covariance: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
    """W (coils, coils) with W Psi W^H = 1: the inverse of the Cholesky factor, so that E|n|^2 = 1 in each coil."""
    level = np.sqrt(np.diag(covariance).real)
    if np.linalg.eigvalsh(covariance / np.outer(level, level))[0] < 1e-8:
        raise SeqoptError("noise readout: its covariance is singular, two coils are alike; do not prewhiten")
    factor = np.linalg.cholesky(covariance)
    return np.asarray(np.linalg.inv(factor), dtype=np.complex128)


def prewhiten(samples: AnyArray, whitening: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex64]:
    """Apply W to samples (..., coils, shots, samples)."""
    with np.errstate(over="ignore"):  # what is too large for single precision is refused by the data themselves
        return np.asarray(np.einsum("dc,...csn->...dsn", whitening, samples, optimize=True), dtype=np.complex64)
