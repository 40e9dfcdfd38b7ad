"""What a reader of a design's numbers must know about how it is played, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqopt.core import Certificate


def played_notices(provenance: Mapping[str, Any]) -> list[str]:
    """Whether the learned readout was re-timed, should have been, was slowed or gave way; empty where it was not."""
    found = []
    retimed, kept = provenance.get("time_optimal"), provenance.get("not_retimed")
    if retimed is not None:
        why = "as asked" if retimed["asked"] else "as it takes no more samples"
        found.append(
            f"The learned readout was re-timed ({why}): {retimed['samples']} samples instead of "
            f"{retimed['samples_before']}, {retimed['distance_from_path_per_fov']:.3g}/FOV from the learned path at "
            f"most; in the asked time the projection would have moved k by "
            f"{retimed['moved_max_without_per_fov']:.3g}/FOV"
        )
    if kept is not None:
        if "samples_needed" in kept:
            remedy = f"--time-optimal would follow the path in {kept['samples_needed']} samples"
        else:
            remedy = f"it cannot be re-timed ({kept['impossible']})"
        found.append(
            f"The projection moved k by up to {kept['moved_max_per_fov']:.3g}/FOV, farther than --largest-move; "
            f"{remedy}"
        )
    derated = provenance.get("derating", {"readouts": 1.0})
    if derated["readouts"] < 1.0:
        found.append(
            f"The learned readout was played at {100 * derated['readouts']:.0f} % of the slew rate, to keep the limits "
            f"({derated['largest']}), which moved k by up to "
            f"{provenance['projection']['moved_max_per_fov']:.3g}/FOV; a longer --readout avoids that"
        )
    if provenance["projection"]["yielded"]:
        found.append(
            "The learned readout gave way to TE or TR: its prephaser or rewinder needs longer by itself, so k was "
            f"moved by up to {provenance['projection']['moved_max_per_fov']:.3g}/FOV; a longer --te or --tr avoids that"
        )
    return found


def planned_notices(provenance: Mapping[str, Any]) -> list[str]:
    """That the initial trajectory was planned gentler or slower than it might be; empty where it was not."""
    derated = provenance.get("derating", {"readouts": 1.0})
    found = []
    if derated["readouts"] < 1.0:
        found.append(
            f"The initial trajectory was planned for {100 * derated['readouts']:.0f} % of the slew rate, to keep the "
            f"limits ({derated['largest']})"
        )
    if "tr_s" in derated:
        found.append(
            f"TR is {derated['tr_s'] * 1e3:.2f} ms, longer than the sequence needs, to keep the scanner's limit on the "
            f"RMS gradient ({derated['largest']})"
        )
    return found


def baseline_notices(certificate: Certificate | None) -> list[str]:
    """That the fixed trajectory's own file does not hold, and why; empty where it does."""
    if certificate is None or certificate.holds:
        return []
    failed = ", ".join(f"{one.name} {one.value} (limit {one.limit} {one.unit})" for one in certificate.failures)
    return [f"The certificate of the fixed baseline does NOT hold: {failed}"]
