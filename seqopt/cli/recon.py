"""``seqopt recon``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("recon")
@click.argument("scan", type=click.Path(path_type=Path))
@click.option("--design", type=click.Path(path_type=Path), help="Design directory; optional if SCAN has a trajectory.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory for the results.")
@click.option(
    "--method",
    help="Along trajectories adjoint, cg-sense, unet or unrolled; for Cartesian lines zero-filled, cg-sense, "
    "l1-wavelet, grappa or unet.  [default: the design's recon.toml, or cg-sense]",
)
@click.option("--iterations", type=int, help="Of cg-sense and l1-wavelet.  [default: 12; 30 for Cartesian lines]")
@click.option(
    "--regularisation",
    type=float,
    help="Weight of the image's energy, or of its wavelets relative to the brightest pixel.  "
    "[default: 0.01; l1-wavelet 0.003]",
)
@click.option("--maps", help="Coil maps from the data: walsh or espirit.  [default: walsh]")
@click.option(
    "--cross-check/--no-cross-check", default=None, help="Compare the transform with sigpy's.  [default: yes]"
)
def command(
    scan: Path,
    design: Path | None,
    out: Path,
    method: str | None,
    iterations: int | None,
    regularisation: float | None,
    maps: str | None,
    cross_check: bool | None,
) -> int:
    """Reconstruct acquired MRD data: image series (MRD), NIfTI, PNG and recon.json.

    Cartesian lines are told by the design, or by the header's trajectory. A scan that was aborted, or whose lines are
    missing otherwise, is reconstructed from the lines it has.

    Exit 1 when the cross-check against sigpy does not hold.

    Example: seqopt recon scan.mrd --design out --out images
    """
    from seqopt.recon.cross_check import TOLERANCE
    from seqopt.workflows.reconstruct import reconstruct

    summary = reconstruct(
        scan,
        out,
        design_path=design,
        method=method,
        iterations=iterations,
        regularisation=regularisation,
        maps=maps,
        cross_check=cross_check,
    )
    readouts, transform = ("lines", "FFT") if summary.cartesian else ("shots", "NUFFT")
    y, x = summary.images.shape[1:]
    click.echo(
        f"{scan.name}: {len(summary.images)} slice(s) of {x} x {y} pixels from {summary.shots} {readouts} x "
        f"{summary.samples} samples x {summary.coils} coils, {summary.config.method}"
        f"{', prewhitened' if summary.whitened else ''}"
    )
    for note in summary.notes:
        click.echo(f"Note: {note}")
    if summary.cross_check is not None:
        worst = ", ".join(f"{name} {value:.1e}" for name, value in summary.cross_check.items())
        verdict = "held" if summary.agrees else "NOT held"
        click.echo(f"{transform} against sigpy on these data: {worst} (limit {TOLERANCE:g}, {verdict})")
    for path in summary.files:
        click.echo(f"Wrote {path}")
    return 0 if summary.agrees else 1
