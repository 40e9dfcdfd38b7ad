"""Gradient delays of radial data from the data themselves: where spokes intersect, they must agree (RING)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

REACH = 2.0
"""Shifts up to this many 1/FOV are found."""
_STEP = 0.05
_PARTNERS = 6
_STRAIGHT = 0.25  # 1/FOV off the line
_GROUPS = 8  # of spokes, one of which is left out at a time
_CERTAIN = 3.0  # standard errors


@dataclass(frozen=True)
class Spokes:
    """Radial readouts, in 1/FOV."""

    direction: FloatArray
    """(spokes, 2) unit vectors x, y in the sense of play."""
    offset: FloatArray
    """(spokes, 2) nominal distance of the line from k = 0."""
    first: FloatArray
    """(spokes,) position of sample 0 along the direction."""
    spacing: FloatArray
    """(spokes,) of the samples."""


@dataclass(frozen=True)
class RingShift:
    """What the spokes say of the gradients' delays: a spoke of direction n was shifted by S n."""

    shift: FloatArray
    """Symmetric S (2, 2) in 1/FOV."""
    error: FloatArray
    """Standard errors (2, 2) of S."""

    def is_found(self, least: float) -> bool:
        """Whether any of S is ``least`` 1/FOV or more and cannot be chance."""
        size = np.abs(self.shift)
        return bool(((size >= least) & (size > _CERTAIN * self.error)).any())


def ring_shift(samples: AnyArray, k_per_m: FloatArray, fov_m: tuple[float, float]) -> RingShift:
    """By how much delayed gradients shifted radial spokes, from where the spokes intersect.

    In: samples (..., shots, samples), coils first, k (shots, samples, 2) nominal. A delay t of gradients that draw
    v 1/FOV a second is S = -v t on the diagonal. Pairs of spokes near a right angle are searched for the points where
    all coils agree; three parameters explain all of them in the least-squares sense. Their errors are a jackknife's
    that leaves spokes out: pairs share them. One coil leaves curves on which spokes agree, no points; several must
    differ about the centre. Raises `SeqoptError` for other trajectories. Source: Rosenzweig, Holme, Uecker, MRM
    81:1898 (2019).
    """
    spokes = radial_spokes(k_per_m, fov_m)
    places = np.arange(-REACH, REACH + _STEP / 2, _STEP)
    central = _central(samples.reshape(-1, *samples.shape[-2:]), spokes, places)
    rows, right, owners = [], [], []
    for i, j in _pairs(spokes.direction):
        found = _intersection(central[i], central[j], places)
        if found is None:
            continue
        ni, nj = spokes.direction[i], spokes.direction[j]
        apart = found[1] * nj + spokes.offset[j] - found[0] * ni - spokes.offset[i]
        x, y = ni - nj
        rows += [[x, y, 0.0], [0.0, x, y]]
        right += list(apart)
        owners += [(i, j), (i, j)]
    if len(rows) < 8:
        raise SeqoptError("gradient delays: the spokes agree nowhere near the centre; set gradient_delays = 'none'")
    shift, error = _jackknife(np.array(rows), np.array(right), np.array(owners))
    return RingShift(*(np.array([[xx, xy], [xy, yy]]) for xx, xy, yy in (shift, error)))


def shifted_spokes(k_per_m: FloatArray, shift: FloatArray, fov_m: tuple[float, float]) -> FloatArray:
    """K (shots, samples, 2) in 1/m with each spoke moved by S n."""
    spokes = radial_spokes(k_per_m, fov_m)
    return np.asarray(k_per_m + (spokes.direction @ shift.T)[:, None] / np.array(fov_m))


def radial_spokes(k_per_m: FloatArray, fov_m: tuple[float, float]) -> Spokes:
    """The lines that the shots draw; raises `SeqoptError` where they are no spokes through the centre."""
    position = k_per_m * np.array(fov_m)
    span = position[:, -1] - position[:, 0]
    length = np.linalg.norm(span, axis=-1)
    if k_per_m.shape[0] < 4 or k_per_m.shape[1] < 16 or not (length > 8).all():
        raise SeqoptError("gradient delays: RING needs four or more radial spokes")
    direction = span / length[:, None]
    along = np.einsum("snd,sd->sn", position, direction)
    across = position - along[..., None] * direction[:, None]
    offset = across.mean(1)
    bent = np.abs(across - offset[:, None]).max() > _STRAIGHT
    spacing = (along[:, -1] - along[:, 0]) / (along.shape[1] - 1)
    even = along[:, :1] + spacing[:, None] * np.arange(along.shape[1])
    centred = (along[:, 0] < -2 * REACH) & (along[:, -1] > 2 * REACH) & (np.linalg.norm(offset, axis=-1) < REACH)
    if bent or np.abs(along - even).max() > _STRAIGHT or not centred.all():
        raise SeqoptError("gradient delays: RING needs straight spokes through the centre at constant speed")
    return Spokes(direction, offset, along[:, 0], spacing)


def _central(samples: AnyArray, spokes: Spokes, places: FloatArray) -> AnyArray:
    """(spokes, channels, places) signals about the centre, exact for objects within the field of view."""
    count = samples.shape[-1]
    index = np.arange(count) - count // 2
    images = np.fft.fftshift(np.fft.ifft(samples.astype(np.complex128), axis=-1), axes=-1)
    result = np.empty((samples.shape[1], len(samples), len(places)), np.complex128)
    for spoke in range(samples.shape[1]):
        wanted = (places - spokes.first[spoke]) / spokes.spacing[spoke]
        result[spoke] = images[:, spoke] @ np.exp(-2j * np.pi / count * index[:, None] * wanted)
    return result


def _pairs(direction: FloatArray) -> list[tuple[int, int]]:
    """For each spoke those nearest to a right angle, none flatter than 45 degrees."""
    cosine = np.abs(direction @ direction.T)
    pairs = set()
    for i, row in enumerate(cosine):
        for j in np.argsort(row, kind="stable")[:_PARTNERS]:
            if row[j] < np.sqrt(0.5):
                pairs.add((min(i, int(j)), max(i, int(j))))
    return sorted(pairs)


def _intersection(one: AnyArray, other: AnyArray, places: FloatArray) -> tuple[float, float] | None:
    """Positions along two spokes at which the channels (channels, places) agree best; None at the search's rim."""
    product = np.real(one.conj().T @ other)
    distance = (np.abs(one) ** 2).sum(0)[:, None] + (np.abs(other) ** 2).sum(0) - 2 * product
    a, b = (int(v) for v in np.unravel_index(int(np.argmin(distance)), distance.shape))
    last = len(places) - 1
    if not (0 < a < last and 0 < b < last):
        return None
    da, db = _lowest(distance[a - 1 : a + 2, b - 1 : b + 2])
    return float(places[a] + da * _STEP), float(places[b] + db * _STEP)


def _lowest(patch: FloatArray) -> FloatArray:
    """Offset (2,) of the minimum of the parabola through 3 x 3 values, at most one step."""
    gradient = np.array([patch[2, 1] - patch[0, 1], patch[1, 2] - patch[1, 0]]) / 2
    mixed = (patch[2, 2] + patch[0, 0] - patch[2, 0] - patch[0, 2]) / 4
    second = np.array(
        [
            [patch[2, 1] + patch[0, 1] - 2 * patch[1, 1], mixed],
            [mixed, patch[1, 2] + patch[1, 0] - 2 * patch[1, 1]],
        ]
    )
    if np.linalg.det(second) <= 0:
        return np.zeros(2)
    return np.clip(-np.linalg.solve(second, gradient), -1.0, 1.0)


def _jackknife(rows: FloatArray, right: FloatArray, owners: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """The robust solution and its standard error by leaving out, in turn, all pairs of every so many-th spoke."""
    fits = []
    for group in range(_GROUPS):
        kept = (owners % _GROUPS != group).all(1)
        if kept.any() and not kept.all():
            fits.append(_robust(rows[kept], right[kept]))
    spread = np.var(np.array(fits), axis=0) * (len(fits) - 1)
    return _robust(rows, right), np.asarray(np.sqrt(spread), np.float64)


def _robust(rows: FloatArray, right: FloatArray) -> FloatArray:
    """Least squares that gives outliers less weight: Huber's, five rounds."""
    weight = np.ones(len(right))
    for _ in range(5):
        root = np.sqrt(weight)
        found: FloatArray = np.asarray(np.linalg.lstsq(rows * root[:, None], right * root, rcond=None)[0], np.float64)
        residual = np.asarray(np.abs(rows @ found - right), np.float64)
        scale = max(1.4826 * float(np.median(residual)), 1e-6)
        weight = 1.0 / np.maximum(1.0, residual / (1.345 * scale))
    return found
