"""A .seq, anyone's, as a reconstruction needs it: k, labels and use of every ADC event in play order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seqopt.core.played_scan import IntArray, PlayedScan
from seqopt.errors import SeqoptError
from seqopt.pulseq.played import Readout
from seqopt.pulseq.readback import read_sequence
from seqopt.pulseq.readout_table import serves_image

LABELS = {
    "LIN": "kspace_encode_step_1",
    "SLC": "slice",
    "REP": "repetition",
    "ECO": "contrast",
    "AVG": "average",
    "SET": "set",
    "PHS": "phase",
}
_FLAT = 0.02  # kz over the extent of kx and ky that a slice's own gradients leave


def played_scan(path: Path) -> PlayedScan:
    """Play a Pulseq file and keep what its ADC events sample.

    Where labels do not tell the image's readouts apart, their lines are counted in play order. Raises `SeqoptError` for
    a damaged file, one without imaging readouts, and for encoding along z.
    """
    sequence = read_sequence(path)
    readouts = sequence.readouts
    image = np.array([serves_image(readout) for readout in readouts], dtype=bool)
    if not image.any():
        raise SeqoptError(f"{path} plays no readout that serves an image; give the sequence that was played")
    _require_flat(path, [readout for readout, one in zip(readouts, image, strict=True) if one])
    counters = {
        name: np.array([readout.labels.get(label, 0) for readout in readouts], dtype=np.int64)
        for label, name in LABELS.items()
    }
    return PlayedScan(
        name=path.name,
        samples=np.array([readout.samples for readout in readouts], dtype=np.int64),
        noise=np.array([readout.is_noise for readout in readouts], dtype=bool),
        image=image,
        counters={**counters, "kspace_encode_step_1": _lines(counters, image)},
        moments_per_m=tuple(readout.local_moment_per_m[:, :2] for readout in readouts),
        offsets_per_m=np.array([readout.offset_per_m[:2] for readout in readouts]),
        signatures=frozenset(md5 for md5 in (sequence.file.md5, sequence.file.signature) if md5),
    )


def _require_flat(path: Path, readouts: list[Readout]) -> None:
    extents: dict[tuple[float, ...], Readout] = {}
    for readout in readouts:
        extents.setdefault((id(readout.local_moment_per_m), *readout.offset_per_m.tolist()), readout)
    reach = np.max([np.abs(readout.k_per_m).max(axis=0) for readout in extents.values()], axis=0)
    if reach[2] > _FLAT * max(reach[0], reach[1]):
        raise SeqoptError(
            f"{path} encodes along z up to {reach[2]:.4g} 1/m (x {reach[0]:.4g}, y {reach[1]:.4g}); "
            "seqopt reconstructs 2-D slices in x and y"
        )


def _lines(counters: dict[str, IntArray], image: np.typing.NDArray[np.bool_]) -> IntArray:
    """LIN where it tells readouts apart that agree in all other labels; else they are counted."""
    lines = counters["kspace_encode_step_1"].copy()
    others = np.stack([values for name, values in counters.items() if name != "kspace_encode_step_1"], axis=-1)[image]
    labelled = np.concatenate([others, lines[image, None]], axis=-1)
    if len(np.unique(labelled, axis=0)) == len(labelled):
        return lines
    _, group = np.unique(others, axis=0, return_inverse=True)
    counted = np.zeros(len(others), dtype=np.int64)
    for number in range(int(group.max()) + 1):
        mine = group.reshape(-1) == number
        counted[mine] = np.arange(mine.sum())
    lines[image] = counted
    return lines
