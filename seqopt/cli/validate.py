"""``seqopt validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seqopt.cli.design_options import ASC_HELP

if TYPE_CHECKING:
    from seqopt.core import Certificate


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--scanner", default="paper", show_default=True, help="Profile name or path of your own .toml.")
@click.option("--asc", metavar="FILE", help=ASC_HELP)
@click.option("--design", type=click.Path(path_type=Path), help="Design directory: compare k-space with it too.")
@click.option("--max-grad", type=float, metavar="MT/M", help="Largest gradient in mT/m instead of the profile's.")
@click.option("--max-slew", type=float, metavar="T/M/S", help="Largest slew rate in T/m/s instead of the profile's.")
@click.option("--html", type=click.Path(path_type=Path), metavar="PATH", help="Write a page with figures, all in one.")
@click.option("--json", "as_json", is_flag=True, help="Print the certificate as JSON.")
def command(
    file: Path,
    scanner: str,
    asc: str | None,
    design: Path | None,
    max_grad: float | None,
    max_slew: float | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Measure any Pulseq FILE against a scanner's limits: exit 0 all held, 1 something did not, 2 unreadable.

    Example: seqopt validate radial-16_v1.5.0.seq --scanner prisma
    """
    import json

    from seqopt.workflows.validate import validate

    certificate = validate(
        file, scanner, design=design, asc=asc, html=html, max_grad_mt_per_m=max_grad, max_slew_t_per_m_per_s=max_slew
    )
    if as_json:
        click.echo(json.dumps(certificate.to_dict(), indent=2))
    else:
        _show(certificate)
    return 0 if certificate.holds else 1


def _show(certificate: Certificate) -> None:
    rows = [
        ("held" if check.held else "FAILED", check.name, f"{check.value} {check.unit}".strip(), str(check.limit))
        for check in certificate.checks
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row, check in zip(rows, certificate.checks, strict=True):
        line = "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), f"limit {row[3]}"])
        click.echo(line.rstrip())
        if check.is_spelled_out:
            for text in filter(None, (check.where, check.remedy)):
                click.echo(f"        {text}")
    click.echo("")
    for name, value in certificate.summary.items():
        click.echo(f"{name}: {value}")
    click.echo("")
    for text in certificate.not_checked:
        click.echo(f"not checked: {text}")
    failed = len(certificate.failures)
    verdict = "all checks held" if not failed else f"{failed} of {len(rows)} checks did not hold"
    click.echo(f"{certificate.file} against {certificate.against}: {verdict}")
