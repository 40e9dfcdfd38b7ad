"""Headers of all acquisitions of a file as one table of numbers: what sorting needs, without the samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError

COUNTERS = (
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "average",
    "slice",
    "contrast",
    "phase",
    "repetition",
    "set",
    "segment",
)
SERIES_COUNTERS = ("contrast", "set", "phase")
"""Tell one image series from another."""
VOLUME_COUNTERS = (*SERIES_COUNTERS, "repetition")
"""Tell one stack of slices from another."""
_PLAIN = {
    "flags": "<u8",
    "scan_counter": "<u4",
    "acquisition_time_stamp": "<u4",
    "number_of_samples": "<u2",
    "active_channels": "<u2",
    "discard_pre": "<u2",
    "discard_post": "<u2",
    "center_sample": "<u2",
    "encoding_space_ref": "<u2",
    "trajectory_dimensions": "<u2",
    "sample_time_us": "<f4",
}
DIRECTIONS = ("read_dir", "phase_dir", "slice_dir")
_VECTORS = ("position", *DIRECTIONS)
HEAD = np.dtype([*_PLAIN.items(), *((name, "<f4", (3,)) for name in _VECTORS), *((name, "<u2") for name in COUNTERS)])
"""About 100 bytes a readout, of the 340 in the file."""
Heads = npt.NDArray[Any]
"""(readouts,) of `HEAD`."""
NOT_IMAGING = (
    ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)
CALIBRATION = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)


def compact(rows: npt.NDArray[Any]) -> Heads:
    """Heads as they lie in the file -> `HEAD`; raises `SeqoptError` for a table that lacks a field of the format."""
    heads = np.zeros(len(rows), HEAD)
    try:
        for name in (*_PLAIN, *_VECTORS):
            heads[name] = rows[name]
        for name in COUNTERS:
            heads[name] = rows["idx"][name]
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise SeqoptError(f"the acquisitions' headers lack what ISMRMRD states ({error})") from error
    return heads


def heads_of(items: Sequence[ismrmrd.Acquisition]) -> Heads:
    """The same of acquisitions in memory."""
    heads = np.zeros(len(items), HEAD)
    for place, item in enumerate(items):
        values = [getattr(item, name) for name in _PLAIN]
        vectors = [tuple(getattr(item, name)) for name in _VECTORS]
        heads[place] = (*values, *vectors, *(getattr(item.idx, name) for name in COUNTERS))
    return heads


def flagged(heads: Heads, *flags: int) -> npt.NDArray[np.bool_]:
    """Whether any of the flags is set, (readouts,)."""
    mask = np.uint64(sum(1 << (flag - 1) for flag in set(flags)))
    found: npt.NDArray[np.bool_] = (heads["flags"] & mask) != 0
    return found


def is_noise(heads: Heads) -> npt.NDArray[np.bool_]:
    """Readouts of noise alone, (readouts,)."""
    return flagged(heads, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)


def encodes_image(heads: Heads) -> npt.NDArray[np.bool_]:
    """Readouts that encode an image, be it calibration as well, (readouts,)."""
    both = flagged(heads, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    return (both | ~flagged(heads, *NOT_IMAGING)) & ~is_noise(heads)


def kept_samples(heads: Heads) -> npt.NDArray[np.int64]:
    """Samples a readout without those that it asks to discard, (readouts,)."""
    counts = heads["number_of_samples"].astype(np.int64)
    return np.asarray(np.maximum(counts - heads["discard_pre"] - heads["discard_post"], 0))


def imaging_space(heads: Heads) -> int:
    """Number of the encoding space to which most imaging readouts belong; the first of equals."""
    spaces = heads["encoding_space_ref"][encodes_image(heads)]
    return int(np.bincount(spaces).argmax()) if len(spaces) else 0
