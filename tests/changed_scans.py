"""Real MRD files written again with other acquisitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ismrmrd

from seqopt.mrd.acquisitions import write_acquisitions
from seqopt.mrd.files import read_raw

Items = list[ismrmrd.Acquisition]


def changed(scan: Path, target: Path, change: Callable[[Items], Items | None]) -> Path:
    """Rewrite a file with its list of acquisitions changed in place or replaced."""
    raw = read_raw(scan)
    write_acquisitions(target, raw.xml, change(raw.acquisitions) or raw.acquisitions)
    return target


def without_trajectory(items: Items) -> Items:
    """Copies that hold samples alone."""
    whole = []
    for item in items:
        head = item.getHead()
        head.trajectory_dimensions = 0
        whole.append(ismrmrd.Acquisition(head, item.data.copy()))
    return whole
