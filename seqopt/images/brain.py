"""The embedded brain: MNI ICBM152 with its tissue maps, shipped inside nilearn, nothing to download."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.images.image_set import Volume
from seqopt.images.resample import Grid, resample

SOURCE = "MNI ICBM152 nonlinear symmetric 2009 T1 (average of 152 brains), as shipped with nilearn"
STEP_M = 1e-3
LEAST_AREA = 0.25  # of the largest slice: leaves out the cap and the brain stem


@functools.cache
def _template(name: str) -> npt.NDArray[np.float32]:
    """(z, y, x) float32 in 0..1, x to the patient's left and y to posterior, so that [0, 0] displays upper left."""
    from nilearn import datasets

    load = {
        "T1": datasets.load_mni152_template,
        "GM": datasets.load_mni152_gm_template,
        "WM": datasets.load_mni152_wm_template,
    }[name]
    right_anterior_superior: npt.NDArray[Any] = np.asarray(load(resolution=1).dataobj, dtype=np.float32)
    return np.ascontiguousarray(right_anterior_superior.transpose(2, 1, 0)[:, ::-1, ::-1])


def brain_volume(grid: Grid, *, contrasts: bool = False) -> Volume:
    """Axial slices 1 mm apart of the embedded brain, centred in the grid; skull-stripped and without noise.

    Displayed with the origin upper left, anterior is up and the patient's right is left. Out: a `Volume` with (n, y, x)
    float32 images, and the maps 'GM' and 'WM' in 0..1 if ``contrasts``. Source: Fonov et al., NeuroImage 54 (2011) 313.
    """
    t1 = _template("T1")
    mask = t1 > 0.1
    area = mask.sum(axis=(1, 2))
    enough = np.flatnonzero(area >= LEAST_AREA * area.max())
    chosen = slice(int(enough[0]), int(enough[-1]) + 1)
    centre = tuple(float(np.flatnonzero(mask.any(axis=axes))[[0, -1]].mean()) for axes in ((0, 2), (0, 1)))

    def on_grid(name: str) -> npt.NDArray[np.float32]:
        return resample(_template(name)[chosen], step_m=(STEP_M, STEP_M), grid=grid, centre=(centre[0], centre[1]))

    return Volume(
        name="MNI152",
        images=on_grid("T1"),
        step_m=STEP_M,
        channels={name: np.minimum(on_grid(name), 1.0) for name in ("GM", "WM")} if contrasts else {},
    )
