"""Validate any Pulseq file against a scanner, and against the design it was made from."""

from __future__ import annotations

from pathlib import Path

from seqopt.core import Certificate
from seqopt.errors import SeqoptError, reject
from seqopt.gradients.profiles import load_scanner
from seqopt.pulseq.certificate import certify_played


def validate(
    file: Path,
    scanner: str,
    *,
    design: Path | None = None,
    asc: str | None = None,
    html: Path | None = None,
    max_grad_mt_per_m: float | None = None,
    max_slew_t_per_m_per_s: float | None = None,
) -> Certificate:
    """Certificate of a .seq file.

    ``scanner`` is a profile's name or TOML path, ``design`` a directory or design.h5, ``asc`` the coil's .asc file.
    ``html`` is where the page with figures goes, in a folder that exists. Raises ``SeqoptError``, one line.
    """
    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        got = f"{html}, a directory" if html.is_dir() else f"{html}, in no directory that exists"
        raise reject("--html", got=got, expected="a file's name", remedy="name a file in a directory that exists")
    profile = load_scanner(
        scanner, max_grad_mt_per_m=max_grad_mt_per_m, max_slew_t_per_m_per_s=max_slew_t_per_m_per_s, asc=asc
    )
    known = None
    if design is not None:
        from seqopt.workflows.store import load_design

        known = load_design(design)
    certificate, played = certify_played(file, profile, design=known)
    if html is not None:
        from seqopt.workflows.store import write_text
        from seqopt.workflows.validate_report import certificate_page

        page = certificate_page(certificate, profile, played)
        try:
            write_text(html, page)
        except SeqoptError as error:
            reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else None
            raise SeqoptError(f"cannot write {html}: {reason or 'unknown'}; choose another --html") from error
    return certificate
