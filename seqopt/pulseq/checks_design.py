"""Whether a file plays the design that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import numpy.typing as npt

from seqopt.core import Check, Geometry, MaskDesign, TrajectoryDesign
from seqopt.pulseq.cartesian import plan_mask
from seqopt.pulseq.cartesian_plan import line_k
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.checks_lines import line_checks, train_checks
from seqopt.pulseq.checks_moments import moments_between_excitations
from seqopt.pulseq.played import Readout
from seqopt.pulseq.readback import PlayedSequence
from seqopt.pulseq.readout_table import serves_image

FloatArray = npt.NDArray[np.float64]
K_LIMIT_CYCLES = 1e-3
"""Of k and of what is left of a TR; the text of a .seq file keeps it to about 1e-5."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """What the readouts of a file must be."""

    order: list[tuple[int, int]]
    """(slice, LIN) in play order."""
    order_text: str
    samples: int
    dwell_s: float
    k_per_m: Mapping[int, FloatArray]
    """LIN -> (samples, 2)."""
    geometry: Geometry


def design_checks(played: PlayedSequence, design: TrajectoryDesign | MaskDesign) -> list[Check]:
    """Count, order and k of the readouts, dwell, labels, and the moments of each TR or echo train."""
    due = _due_lines(design) if isinstance(design, MaskDesign) else _due_shots(design)
    imaging = [readout for readout in played.readouts if serves_image(readout)]
    played_order = [(readout.labels.get("SLC", 0), readout.labels.get("LIN", 0)) for readout in imaging]
    wrong = [
        f"readout {at + 1} is slice {got[0]}, shot {got[1]}; due are slice {wanted[0]}, shot {wanted[1]}"
        for at, (got, wanted) in enumerate(zip(played_order, due.order, strict=False))
        if got != wanted
    ]
    out = [
        Check(
            name="design.readouts", held=len(imaging) == len(due.order), value=len(imaging), limit=len(due.order),
            remedy="" if len(imaging) == len(due.order) else "this is another design's file; export the design again",
        ),
        list_check("design.order", wrong, due.order_text, "export the design again"),
        list_check(
            "design.adc", _adc(imaging, due), f"{due.samples} samples of {due.dwell_s * 1e6:g} us",
            "export the design again",
        ),
        _k(imaging, due, played.gradients.kernels),
    ]  # fmt: skip
    if isinstance(design, MaskDesign):
        out += line_checks(imaging, design)
    if isinstance(design, MaskDesign) and design.play.sequence == "tse":
        out += train_checks(played, design)
    elif len(played.excitations) > 1:
        out.append(_rewound(played, due))
    return out


def _due_shots(design: TrajectoryDesign) -> Due:
    return Due(
        order=[(index, shot) for shot in range(design.shots) for index in range(design.geometry.slices)],
        order_text="for shot: for slice",
        samples=design.samples,
        dwell_s=design.dwell_s,
        k_per_m=dict(enumerate(design.k_per_m)),
        geometry=design.geometry,
    )


def _due_lines(design: MaskDesign) -> Due:
    return Due(
        order=list(plan_mask(design).order),
        order_text=f"lines {design.play.line_order}",
        samples=design.oversampling * design.geometry.matrix[0],
        dwell_s=design.dwell_s / design.oversampling,
        k_per_m=dict(zip(design.lines.tolist(), line_k(design, design.lines), strict=True)),
        geometry=design.geometry,
    )


def _adc(imaging: list[Readout], due: Due) -> list[str]:
    return [
        f"readout {at + 1}: {readout.samples} samples of {readout.dwell_s * 1e6:g} us"
        for at, readout in enumerate(imaging)
        if readout.samples != due.samples or abs(readout.dwell_s - due.dwell_s) > 1e-12
    ]


def _k(imaging: list[Readout], due: Due, kernels: ModuleType | None) -> Check:
    """Largest distance between played and designed k over all samples, in cycles per FOV (z counts too)."""
    fov = np.array([*due.geometry.fov_m, max(due.geometry.fov_m)])
    worst, where = 0.0, ""
    for at, readout in enumerate(imaging):
        shot = readout.labels.get("LIN", -1)
        if shot not in due.k_per_m or readout.samples != due.samples:
            worst, where = float("inf"), f"readout {at + 1}: no such shot in the design"
            break
        sample, size = _farthest(readout, due.k_per_m[shot], fov, kernels)
        if size > worst or not where:
            worst, where = size, f"shot {shot}, sample {sample}, block {readout.block + 1}"
    held = worst <= K_LIMIT_CYCLES
    return Check(
        name="design.k", held=held, value=float(f"{worst:.3g}") if np.isfinite(worst) else "no such shot",
        limit=K_LIMIT_CYCLES, unit="1/FOV", where=where,
        remedy="" if held else "the file does not play this design; export the design again",
    )  # fmt: skip


def _farthest(
    readout: Readout, due_per_m: FloatArray, fov_m: FloatArray, kernels: ModuleType | None
) -> tuple[int, float]:
    """The sample of a readout that is farthest from its k (samples, 2), and how far in cycles per FOV."""
    if kernels is not None:
        due_per_m = np.ascontiguousarray(due_per_m, dtype=np.float64)
        sample, size = kernels.farthest(readout.local_moment_per_m.T, readout.offset_per_m, due_per_m, fov_m)
        return int(sample), float(size)
    difference = readout.k_per_m * fov_m
    difference[:, :2] -= due_per_m * fov_m[:2]
    x, y, z = difference.T
    squares = x * x + y * y + z * z
    at = int(np.argmax(squares))
    return at, float(np.sqrt(squares[at]))


def _rewound(played: PlayedSequence, due: Due) -> Check:
    moments = np.abs(moments_between_excitations(played)[:, :2]) * np.array(due.geometry.fov_m)
    at = int(np.argmax(moments.max(axis=1)))
    worst = float(moments[at].max())
    held = worst <= K_LIMIT_CYCLES
    return Check(
        name="design.rewound", held=held, value=float(f"{worst:.3g}"), limit=K_LIMIT_CYCLES, unit="1/FOV",
        where=f"after excitation {at + 1}", remedy="" if held else "bring x and y moments back to 0 in each TR",
    )  # fmt: skip
