"""Whether a file plays the design that it was made from."""

from __future__ import annotations

import numpy as np

from seqopt.core import Check, TrajectoryDesign
from seqopt.pulseq.checks_format import list_check
from seqopt.pulseq.checks_imaging import moments_between_excitations
from seqopt.pulseq.played import Readout
from seqopt.pulseq.readback import PlayedSequence

K_LIMIT_CYCLES = 0.01


def design_checks(played: PlayedSequence, design: TrajectoryDesign) -> list[Check]:
    """Count, order and k of the readouts, dwell, and the transverse moments of each TR."""
    imaging = [readout for readout in played.readouts if not readout.is_noise]
    wanted = [(index, shot) for shot in range(design.shots) for index in range(design.geometry.slices)]
    played_order = [(readout.labels.get("SLC", 0), readout.labels.get("LIN", 0)) for readout in imaging]
    wrong = [
        f"readout {at + 1} is slice {got[0]}, shot {got[1]}; due are slice {due[0]}, shot {due[1]}"
        for at, (got, due) in enumerate(zip(played_order, wanted, strict=False))
        if got != due
    ]
    out = [
        Check(
            name="design.readouts", held=len(imaging) == len(wanted), value=len(imaging), limit=len(wanted),
            remedy="" if len(imaging) == len(wanted) else "this is another design's file; export the design again",
        ),
        list_check("design.order", wrong, "for shot: for slice", "export the design again"),
        list_check(
            "design.adc", _adc(imaging, design), f"{design.samples} samples of {design.dwell_s * 1e6:g} us",
            "export the design again",
        ),
        _k(imaging, design),
    ]  # fmt: skip
    if len(played.excitations) > 1:
        out.append(_rewound(played, design))
    return out


def _adc(imaging: list[Readout], design: TrajectoryDesign) -> list[str]:
    return [
        f"readout {at + 1}: {readout.samples} samples of {readout.dwell_s * 1e6:g} us"
        for at, readout in enumerate(imaging)
        if readout.samples != design.samples or abs(readout.dwell_s - design.dwell_s) > 1e-12
    ]


def _k(imaging: list[Readout], design: TrajectoryDesign) -> Check:
    """Largest distance between played and designed k over all samples, in cycles per FOV (z counts too)."""
    fov = np.array([*design.geometry.fov_m, max(design.geometry.fov_m)])
    worst, where = 0.0, ""
    for at, readout in enumerate(imaging):
        shot = readout.labels.get("LIN", -1)
        if not 0 <= shot < design.shots or readout.samples != design.samples:
            worst, where = float("inf"), f"readout {at + 1}: no such shot in the design"
            break
        difference = readout.k_per_m * fov
        difference[:, :2] -= design.k_per_m[shot] * fov[:2]
        sizes = np.linalg.norm(difference, axis=1)
        sample = int(np.argmax(sizes))
        if sizes[sample] > worst or not where:
            worst, where = float(sizes[sample]), f"shot {shot}, sample {sample}, block {readout.block + 1}"
    held = worst <= K_LIMIT_CYCLES
    return Check(
        name="design.k", held=held, value=float(f"{worst:.3g}") if np.isfinite(worst) else "no such shot",
        limit=K_LIMIT_CYCLES, unit="1/FOV", where=where,
        remedy="" if held else "the file does not play this design; export the design again",
    )  # fmt: skip


def _rewound(played: PlayedSequence, design: TrajectoryDesign) -> Check:
    moments = np.abs(moments_between_excitations(played)[:, :2]) * np.array(design.geometry.fov_m)
    at = int(np.argmax(moments.max(axis=1)))
    worst = float(moments[at].max())
    held = worst <= K_LIMIT_CYCLES
    return Check(
        name="design.rewound", held=held, value=float(f"{worst:.3g}"), limit=K_LIMIT_CYCLES, unit="1/FOV",
        where=f"after excitation {at + 1}", remedy="" if held else "bring x and y moments back to 0 in each TR",
    )  # fmt: skip
