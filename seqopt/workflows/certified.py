"""What every design leaves: a sequence, certified before it gets its name, and what it was made by."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from seqopt.core import Certificate, MaskDesign, TrajectoryDesign
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.timing import SequenceTiming
from seqopt.workflows.store import replacing, write_text

Design = TypeVar("Design", TrajectoryDesign, MaskDesign)


def write_certified(
    folder: Path, one: Design, write: Callable[[Design, Path], SequenceTiming]
) -> tuple[SequenceTiming, Certificate]:
    """Write ``<name>.seq`` and certificate.json; a file whose certificate does not hold is ``<name>.rejected.seq``."""
    folder.mkdir(parents=True, exist_ok=True)
    final, draft = folder / f"{one.name}.seq", folder / f"{one.name}.rejected.seq"
    with replacing(draft) as temporary:  # it gets its name only once it is certified
        timing = write(one, temporary)
    certificate = replace(certify(draft, one.scanner, design=one), file=final.name)
    if certificate.holds:
        draft.replace(final)
    else:
        final.unlink(missing_ok=True)
    write_text(folder / "certificate.json", json.dumps(certificate.to_dict(), indent=1, sort_keys=True) + "\n")
    return timing, certificate


def made_by(*packages: str) -> dict[str, Any]:
    """Versions of seqopt, what it always stands on and ``packages``, and the date: for a design's provenance."""
    names = ("seqopt", "torch", *packages, "pypulseq", "ismrmrd", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in names}},
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
