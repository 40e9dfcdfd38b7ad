"""Fewer virtual coils that hold nearly all of the signal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import reject


def compression_matrix(samples: npt.NDArray[Any], keep: float) -> npt.NDArray[np.complex128]:
    """Matrix (virtual, coils) with orthonormal rows: the strongest principal components of the coils.

    In: samples (slices, coils, ...) after prewhitening; ``keep`` below 1 is a share of the energy that must stay,
    1 or more a number of virtual coils. Noise stays white and unit. Raises `SeqoptError` for other numbers. Source:
    Buehrer et al., MRM 57:1131 (2007); Huang et al., MRI 26:133 (2008).
    """
    coils = samples.shape[1]
    if not 0 < keep <= 1024 or (keep >= 1 and keep != int(keep)):
        raise reject(
            "coil compression",
            got=f"{keep:g}",
            expected="a share of the energy below 1, or a whole number of coils",
            remedy="0.99 is usual",
        )
    covariance = np.zeros((coils, coils), np.complex128)
    for one in samples.reshape(len(samples), coils, -1):
        covariance += one @ one.conj().T
    energy, vectors = np.linalg.eigh(covariance)
    if keep >= 1:
        virtual = min(int(keep), coils)
    else:
        share = np.cumsum(energy[::-1]) / max(float(energy.sum()), 1e-300)
        virtual = min(int(np.searchsorted(share, keep)) + 1, coils)
    return np.asarray(vectors[:, ::-1][:, :virtual].conj().T)
