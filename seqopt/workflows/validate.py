"""Validate any Pulseq file against a scanner, and against the design it was made from."""

from __future__ import annotations

from pathlib import Path

from seqopt.core import Certificate
from seqopt.gradients.profiles import load_scanner
from seqopt.pulseq.certificate import certify


def validate(
    file: Path,
    scanner: str,
    *,
    design: Path | None = None,
    max_grad_mt_per_m: float | None = None,
    max_slew_t_per_m_per_s: float | None = None,
) -> Certificate:
    """Certificate of a .seq file; ``scanner`` is a profile's name or TOML path, ``design`` a directory or design.h5."""
    profile = load_scanner(scanner, max_grad_mt_per_m=max_grad_mt_per_m, max_slew_t_per_m_per_s=max_slew_t_per_m_per_s)
    if design is None:
        return certify(file, profile)
    from seqopt.workflows.store import load_design

    return certify(file, profile, design=load_design(design))
