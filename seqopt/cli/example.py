"""``seqopt example``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("example")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="MRD file to write.")
def command(name: str, out: Path) -> None:
    """Write example data as MRD: NAME is invivo, a 16-coil radial scan of a human brain.

    Example: seqopt example invivo --out scan.mrd
    """
    from seqopt.workflows.example import write_example

    click.echo(f"Wrote {out}: {write_example(name, out)}")
    click.echo(f"Next: seqopt recon {out} --out images")
